# SPDX-License-Identifier: MIT
"""With FDSTORE= the manager keeps the sockets that we opened, and clients who come between two processes are served."""

import os
import re
import signal

import pytest

from support.backend import speak_first
from support.configuration import section
from support.manager import Manager
from support.proc import free_address, listener_inodes, wait_until
from support.stage import address_of, refuses
from support.streams import exchange, outcome
from support.unit import Unit


def test_what_we_opened_is_kept(stage):
    """All of it, under names of ours; nothing that was inherited."""
    inherited = stage.listener()
    addresses = [free_address(), stage.path("app.sock"), stage.name("app"), "127.0.0.1:0", "127.0.0.1:0", "sd-listen:unit"]
    unit = Unit(stage, section(stage.backend(), *addresses), [inherited], ["unit"])
    proxy = unit.start(6)
    inodes = listener_inodes(proxy.pid) - {os.fstat(inherited.fileno()).st_ino}
    assert unit.kept() == inodes and len(inodes) == 5
    names = [name for name, _ in unit.manager.store]
    assert len(set(names)) == 5
    assert all(re.fullmatch(r"sockfront-[0-9a-z-]+", name) for name in names), names


def test_clients_between_two_processes_are_served(stage):
    backend = stage.backend(speak_first(b"here"))
    inherited = stage.listener()
    path = stage.path("app.sock")
    addresses = [free_address(), path, stage.name("app")]
    unit = Unit(stage, section(backend, *addresses, "sd-listen:*"), [inherited], ["unit"])
    unit.start(4)
    inode = os.stat(path).st_ino
    for _ in range(3):
        before = unit.kept()
        unit.stop()
        assert os.stat(path).st_ino == inode, "the path stays at the end, and is not bound anew"
        clients = [stage.connect(address) for address in (*addresses, address_of(inherited)) for _ in range(5)]
        proxy = unit.start(4)
        assert len(proxy.listening) == 4, "sd-listen:* has nothing but what is the unit's"
        for client in clients:
            assert outcome(client, 5) == (b"here", "end")
        assert unit.kept() == before


def test_after_a_crash_too(stage):
    backend = stage.backend(speak_first(b"here"))
    addresses = [free_address(), stage.path("app.sock")]
    unit = Unit(stage, section(backend, *addresses))
    unit.start(2).kill()
    unit.proxy.ended_as_expected = True
    clients = [stage.connect(address) for address in addresses]
    unit.start(2)
    assert [outcome(client, 5) for client in clients] == [(b"here", "end")] * 2


def test_what_no_line_names_is_given_up(stage):
    backend = stage.backend(speak_first(b"here"))
    kept, gone, path = free_address(), free_address(), stage.path("gone.sock")
    unit = Unit(stage, section(backend, kept, gone, path))
    unit.start(3)
    unit.stop()
    unit.write(section(backend, kept))
    proxy = unit.start(1)
    assert unit.kept() == listener_inodes(proxy.pid)
    assert stage.visit(kept) == (b"here", "end")
    assert refuses(gone) and refuses(path)


def test_address_that_grew(stage):
    """What is kept for the old address is not in the way of the new one."""
    backend = stage.backend(speak_first(b"here"))
    narrow = free_address()
    wide = "0.0.0.0:" + narrow.rpartition(":")[2]
    unit = Unit(stage, section(backend, narrow))
    unit.start(1)
    unit.stop()
    unit.write(section(backend, wide))
    proxy = unit.start(1)
    assert proxy.listening == [wide]
    assert unit.kept() == listener_inodes(proxy.pid)
    assert stage.visit(narrow) == (b"here", "end")


@pytest.mark.parametrize("change", ["removed", "another socket"])
def test_path_that_changed_meanwhile(stage, change):
    """What is kept for a file that is gone leads nowhere."""
    backend = stage.backend(speak_first(b"here"))
    path = stage.path("app.sock")
    unit = Unit(stage, section(backend, path, options="unix-listen-unlink = yes"))
    unit.start(1)
    unit.stop()
    os.unlink(path)
    if change == "another socket":
        stage.listener(path).close()
    proxy = unit.start(1)
    assert stage.visit(path) == (b"here", "end")
    assert unit.kept() == listener_inodes(proxy.pid)


def test_a_reload_adds_and_removes(stage):
    backend = stage.backend(speak_first(b"here"))
    one, two, path = free_address(), free_address(), stage.path("app.sock")
    unit = Unit(stage, section(backend, one))
    proxy = unit.start(1)
    for listen in ([one, two, path], [path], [two], [one, path]):
        unit.write(section(backend, *listen))
        since = len(unit.manager.messages)
        assert "reloaded" in proxy.reload(), proxy.log
        unit.ready(since)
        assert unit.kept() == listener_inodes(proxy.pid) and len(unit.kept()) == len(listen)
    proxy.before = None
    unit.stop()
    assert os.path.exists(path)
    clients = [stage.connect(address) for address in (one, path)]
    unit.start(2)
    assert [outcome(client, 5) for client in clients] == [(b"here", "end")] * 2


def test_what_a_reload_drops_is_refused_before_the_manager_lets_go(stage):
    """The copy that is kept listens too: nobody shall wait there for good."""
    backend = stage.backend(speak_first(b"here"))
    stays, goes = free_address(), [free_address(), stage.path("app.sock"), stage.name("app")]
    unit = Unit(stage, section(backend, stays, *goes))
    proxy = unit.start(4)
    with unit.manager.deaf():
        unit.write(section(backend, stays))
        proxy.signal(signal.SIGHUP)
        proxy.wait_log("reloaded")
        for address in goes:
            wait_until(lambda: refuses(address), f"{address} refuses clients")
        assert len(unit.kept()) == 4
        assert stage.visit(stays) == (b"here", "end")


def test_options_that_changed(stage):
    """A socket that is taken back is made what the file says now."""
    backend = stage.backend(speak_first(b"here"))
    path = stage.path("app.sock")
    unit = Unit(stage, section(backend, path, options="unix-listen-chmod = owner"))
    unit.start(1)
    unit.stop()
    unit.write(section(backend, path, options="unix-listen-chmod = everybody"))
    unit.start(1)
    assert os.stat(path).st_mode & 0o777 == 0o666
    assert stage.visit(path) == (b"here", "end")


def test_an_upgrade_keeps_the_store(stage):
    backend = stage.backend(speak_first(b"here"))
    path, inherited = stage.path("app.sock"), stage.listener()
    unit = Unit(stage, section(backend, free_address(), path, "sd-listen"), [inherited], ["unit"])
    unit.start(3)
    unit.stop()
    proxy = unit.start(3)
    before = unit.kept()
    for _ in range(2):
        since = len(unit.manager.messages)
        proxy.upgrade()
        wait_until(lambda: unit.manager.said("READY=1", since, proxy.pid), "the new process speaks for itself")
        assert unit.kept() == before
        assert stage.visit(path) == stage.visit(address_of(inherited)) == (b"here", "end")
        stage.close_sockets_of([stage.sockets])
        proxy.wait_replaced()
    unit.stop()
    client = stage.connect(path)
    unit.start(3)
    assert outcome(client, 5) == (b"here", "end")


def test_without_a_store_nothing_is_sent(stage):
    manager = Manager(stage)
    path = stage.path("app.sock")
    proxy = stage.proxy(path, stage.backend().address, environment=manager.environment)
    manager.wait("READY=1")
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0
    assert not os.path.exists(path)
    assert not manager.store and not [m for m in manager.messages if m.value("FDSTORE")]


def test_names_of_units_are_not_taken_for_ours(stage):
    """A .socket unit may be called sockfront-something."""
    backend, inherited = stage.backend(), stage.listener()
    proxy = stage.handed([inherited], "sd-listen:sockfront-web", backend.address, names="sockfront-web")
    client = stage.connect(address_of(inherited))
    exchange(client, backend.accept(), seed=1, size=1000)
    assert proxy.alive()
