# SPDX-License-Identifier: MIT
"""Reload, upgrade, stop, idle exit: the listeners of [status] go the way of all others, and take no part in them."""

import os
import time

import pytest

from support.configuration import process, section
from support.manager import Manager
from support.proc import free_address, listener_inodes, wait_until
from support.proxy import SANITIZE
from support.stage import address_of, refuses
from support.status import ask, request, status_section
from support.streams import exchange

GRACE = 4 if SANITIZE else 1


def write(stage, *parts):
    return stage.file("sockfront.conf", "".join(parts))


def test_a_reload_adds_keeps_and_removes(stage):
    backend, kept, path = stage.backend(), free_address(), stage.path("status.sock")
    web = section(backend, free_address())
    proxy = stage.proxy("-c", write(stage, web))
    proxy.before = None
    write(stage, web, status_section(kept))
    assert "1 listener(s) kept, 1 added, 0 removed" in proxy.reload()
    assert ask(stage, kept).code == 200
    before = listener_inodes(proxy.pid)
    write(stage, web, status_section(kept, path, options="status-host = a\nunix-listen-chmod = 0660"))
    assert "2 listener(s) kept, 1 added, 0 removed" in proxy.reload()
    assert before < listener_inodes(proxy.pid)
    for address in (kept, path):
        assert ask(stage, address, "/healthz", "a").code == 200
    write(stage, web, status_section(path))
    assert "2 listener(s) kept, 0 added, 1 removed" in proxy.reload()
    assert refuses(kept)
    assert ask(stage, path, "/healthz", "a").code == 421
    write(stage, web)
    proxy.reload()
    assert not os.path.exists(path)
    exchange(*stage.live_pair(backend, proxy.listening[0]), size=1000)


def test_an_address_changes_sides(stage):
    backend, one, other = stage.backend(), free_address(), free_address()
    proxy = stage.proxy("-c", write(stage, section(backend, one), status_section(other)))
    proxy.before = None
    for _ in range(2):
        assert ask(stage, other).code == 200
        exchange(*stage.live_pair(backend, one), size=1000)
        one, other = other, one
        write(stage, section(backend, one), status_section(other))
        assert "2 listener(s) kept, 0 added, 0 removed" in proxy.reload()


def test_a_failed_reload_changes_nothing(stage):
    backend, address = stage.backend(), free_address()
    web = section(backend, free_address())
    proxy = stage.proxy("-c", write(stage, web, status_section(address)))
    write(stage, web, status_section("127.0.0.1:0", options="allow = nonsense"))
    assert "failed" in proxy.reload()
    write(stage, web, status_section("192.0.2.1:1", options="allow = any"))
    assert "failed" in proxy.reload()
    assert ask(stage, address).code == 200


def test_who_is_connected_stays_over_a_reload(stage):
    backend, address = stage.backend(), free_address()
    web = section(backend, free_address())
    proxy = stage.proxy("-c", write(stage, web, status_section(address)))
    proxy.before = None
    client = stage.connect(address)
    client.sendall(request()[:10])
    write(stage, web, status_section(address, stage.name("other")))
    proxy.reload()
    client.sendall(request()[10:])
    assert client.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("kind", ["own", "inherited"])
def test_an_upgrade_passes_them_on(stage, kind):
    backend, path = stage.backend(), stage.path("status.sock")
    listen = path if kind == "own" else "sd-listen:status"
    file = write(stage, section(backend, "127.0.0.1:0"), status_section(listen))
    if kind == "own":
        proxy = stage.proxy("-c", file)
    else:
        proxy = stage.handed([stage.listener(path)], "-c", file, names="status")
    inode = os.stat(path).st_ino
    for _ in range(2):
        pair = stage.live_pair(backend, proxy.listening[0])
        old = proxy.pid
        before = listener_inodes(old)
        proxy.upgrade()
        for _ in range(20):
            assert ask(stage, path).code == 200, "the old one answers that it drains"
        # Each has one beside these, by which evhttp gets its clients.
        assert len(listener_inodes(proxy.pid) & before) == 2
        wait_until(lambda: not listener_inodes(old), "the old one listens no more")
        exchange(*pair, size=1000)
        stage.close_sockets_of([pair])
        proxy.wait_replaced()
    assert os.stat(path).st_ino == inode


def test_an_upgrade_with_another_address(stage):
    """What the new process lacks is closed, path and all."""
    backend, one, other = stage.backend(), stage.path("one.sock"), stage.path("other.sock")
    web = section(backend, "127.0.0.1:0")
    proxy = stage.proxy("-c", write(stage, web, status_section(one)))
    pair = stage.live_pair(backend, proxy.listening[0])
    write(stage, web, status_section(other))
    proxy.upgrade()
    assert wait_until(lambda: os.path.exists(other) and ask(stage, other).code == 200, "the new one answers")
    wait_until(lambda: not os.path.exists(one), "the path is gone")
    stage.close_sockets_of([pair])
    proxy.wait_replaced()


def test_systemd_keeps_them_over_a_restart(stage):
    manager, path = Manager(stage), stage.path("status.sock")
    file = write(stage, section(stage.backend(), "127.0.0.1:0"), status_section(path))
    environment = {**manager.environment, "FDSTORE": "10"}
    proxy = stage.proxy("-c", file, environment=environment)
    wait_until(lambda: len(manager.store) == 2, "both sockets are kept")
    assert ask(stage, path).code == 200
    proxy.finish(released=False)
    waiting = stage.connect(path)
    waiting.sendall(request())
    names = ":".join(name for name, _ in manager.store)
    stage.handed([sock for _, sock in manager.store], "-c", file, names=names, environment=environment)
    assert waiting.recv(100).startswith(b"HTTP/1.1 200")


# ---- idle exit ----


def test_it_keeps_nobody_up(stage):
    """An own status address may stand beside exit-idle-time; and to be asked is no activity."""
    path = stage.path("status.sock")
    text = process("exit-idle-time = 1s") + section(stage.backend(), "sd-listen") + status_section(path)
    proxy = stage.handed([stage.listener()], "-c", stage.file("sockfront.conf", text))
    stage.connect(path)  # and asks nothing
    began = time.monotonic()
    while proxy.alive() and time.monotonic() - began < 20 * GRACE:
        try:
            ask(stage, path)
        except OSError:
            break
        time.sleep(0.05)
    assert proxy.wait() == 0
    assert proxy.grep("no connection for exit-idle-time")
    assert not os.path.exists(path)


def test_clients_take_no_slot(stage):
    backend, address = stage.backend(), free_address()
    text = process("max-connections = 1") + section(backend, "127.0.0.1:0") + status_section(address)
    proxy = stage.proxy("-c", stage.file("sockfront.conf", text))
    for _ in range(3):
        stage.connect(address)
    exchange(*stage.live_pair(backend, proxy.listening[0]), size=1000)
    assert ask(stage, address).code == 200


def test_inherited_ones_are_told_of(stage):
    """A socket that only [status] takes is no socket that nobody has taken."""
    text = section(stage.backend(), "sd-listen:web") + status_section("sd-listen:status")
    listeners = [stage.listener(), stage.listener()]
    proxy = stage.handed(listeners, "-c", stage.file("sockfront.conf", text), names="web:status")
    assert ask(stage, address_of(listeners[1])).code == 200
    assert not proxy.grep("will hang")
