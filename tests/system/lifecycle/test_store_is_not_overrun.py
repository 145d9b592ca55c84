# SPDX-License-Identifier: MIT
"""systemd's store: each socket is sent once, and no more of them than it keeps; a path stays for what is kept alone."""

import os
import re

import pytest

from support.backend import speak_first
from support.configuration import section
from support.proc import kinds, limit_descriptors, listener_inodes, wait_until
from support.streams import outcome
from support.unit import Unit


def sent(unit, since=0):
    """How many sockets the manager was sent."""
    return len(unit.manager.said("FDSTORE=1", since))


def test_only_what_changed_is_sent(stage):
    backend, names = stage.backend(), [stage.name(f"app{i}") for i in range(5)]
    unit = Unit(stage, section(backend, *names[:3]))
    proxy = unit.start(3)
    assert sent(unit) == 3
    for listen, expected in ((names[:3], 0), (names[:4], 1), (names[1:5], 1), (names[1:5], 0)):
        unit.write(section(backend, *listen))
        since = len(unit.manager.messages)
        assert "reloaded" in proxy.reload()
        unit.ready(since)
        assert sent(unit, since) == expected
        assert unit.kept() == listener_inodes(proxy.pid)


def test_an_upgrade_sends_nothing_again(stage):
    backend, names = stage.backend(), [stage.name(f"app{i}") for i in range(3)]
    unit = Unit(stage, section(backend, *names))
    proxy = unit.start(3)
    since = len(unit.manager.messages)
    proxy.upgrade()
    wait_until(lambda: unit.manager.said("READY=1", since, proxy.pid), "the new process speaks for itself")
    assert sent(unit, since) == 0
    assert unit.kept() == listener_inodes(proxy.pid)


def test_manager_that_does_not_read(stage):
    """At most one copy of each socket waits, however often the file changes meanwhile."""
    backend, kept = stage.backend(), [stage.name(f"kept{i}") for i in range(20)]
    unit = Unit(stage, section(backend, *kept), most=100)
    proxy = unit.start(20)
    before = kinds(proxy.pid)["socket"]
    with unit.manager.deaf():
        since = len(unit.manager.messages)
        for number in range(20):
            # Those that came with the last one go.
            new = [stage.name(f"new{number}-{i}") for i in range(10)]
            unit.write(section(backend, *kept, *new))
            assert "reloaded" in proxy.reload()
            # The new sockets with a copy each; and one that is being sent.
            most = before + 10 + 10 + 1
            wait_until(lambda most=most: kinds(proxy.pid)["socket"] <= most, f"{most} sockets at most")
    wait_until(lambda: unit.kept() == listener_inodes(proxy.pid), "the manager keeps what is listened on")
    wait_until(lambda: kinds(proxy.pid)["socket"] == before + 10, "no copy is left")
    assert sent(unit, since) <= 10 + 1


def started_with_paths(stage, most, number=3):
    backend = stage.backend(speak_first(b"here"))
    paths = [stage.path(f"{i}.sock") for i in range(number)]
    unit = Unit(stage, section(backend, *paths), most=most)
    unit.start(number)
    return unit, paths


def test_more_than_the_store_keeps(stage):
    """What is not kept is opened anew by the next process, which finds nothing in the way."""
    unit, paths = started_with_paths(stage, most=2)
    line = unit.proxy.wait_log("FileDescriptorStoreMax=")[0]
    assert "at most 2 sockets" in line and paths[2] in line and "FileDescriptorStoreMax=3 " in line
    for _ in range(2):
        unit.stop()
        assert [os.path.exists(path) for path in paths] == [True, True, False]
        clients = [stage.connect(path) for path in paths[:2]]
        unit.start(3)
        assert [outcome(client, 5) for client in clients] == [(b"here", "end")] * 2
        assert stage.visit(paths[2]) == (b"here", "end")
    # What the warning says is done.
    unit.stop()
    unit.keep(3)
    proxy = unit.start(3)
    assert not proxy.grep("FileDescriptorStoreMax")
    unit.stop()
    assert all(map(os.path.exists, paths))


def test_room_that_comes_later(stage):
    unit, paths = started_with_paths(stage, most=2)
    backend = stage.backend(speak_first(b"here"))
    unit.write(section(backend, *paths[1:]))
    since = len(unit.manager.messages)
    assert "reloaded" in unit.proxy.reload()
    unit.ready(since)
    assert unit.kept() == listener_inodes(unit.proxy.pid)
    unit.stop()
    assert [os.path.exists(path) for path in paths] == [False, True, True]


def test_what_the_manager_has_not_read_is_not_kept(stage):
    """Nobody would take it from there, and the next start must not find a dead socket."""
    backend = stage.backend(speak_first(b"here"))
    paths = [stage.path(f"{i}.sock") for i in range(3)]
    unit = Unit(stage, section(backend, *paths))
    with unit.manager.deaf():
        proxy = unit.start()
        proxy.wait_listening(3)
        unit.stop()
        assert not any(map(os.path.exists, paths))
    assert not unit.manager.store
    unit.start(3)
    assert [stage.visit(path) for path in paths] == [(b"here", "end")] * 3


def reloads_within(proxy, descriptors):
    limit_descriptors(proxy.pid, descriptors)
    return "reloaded" in proxy.reload()


def test_no_descriptors_to_send_them_with(stage):
    """What could not be sent is not kept, and its path goes."""
    backend, paths = stage.backend(), [stage.path(f"{i}.sock") for i in range(20)]
    unit = Unit(stage, section(backend, paths[0]), most=100)
    proxy = unit.start(1)
    unit.write(section(backend, *paths))
    with unit.manager.deaf():
        since = len(unit.manager.messages)
        used = len(os.listdir(f"/proc/{proxy.pid}/fd"))
        # Just enough to open them all.
        limits = iter(range(used + 19, used + 80))
        reloads = 1
        while not reloads_within(proxy, next(limits)):
            reloads += 1
    # One that failed says so too.
    wait_until(lambda: len(unit.manager.said("READY=1", since)) == reloads, "the manager has read of them all")
    unsent = {re.search(r"(/\S+\.sock): systemd cannot keep", line)[1] for line in proxy.grep("cannot keep")}
    assert unsent, proxy.log
    assert len(unit.kept()) == 20 - len(unsent)
    unit.stop()
    assert {path for path in paths if not os.path.exists(path)} == unsent


@pytest.mark.parametrize("typed", ["{}/gone.sock", "./gone.sock"])
@pytest.mark.parametrize("now", ["this socket", "another file"])
def test_path_of_a_line_that_is_gone(stage, now, typed):
    """It goes with its socket; what others have put there stays."""
    backend = stage.backend(speak_first(b"here"))
    kept, gone = stage.path("kept.sock"), stage.path("gone.sock")
    unit = Unit(stage, section(backend, kept, typed.format(stage.directory)), cwd=stage.directory)
    unit.start(2)
    unit.stop()
    if now == "another file":
        os.unlink(gone)
        stage.listener(gone)
    unit.write(section(backend, kept))
    proxy = unit.start(1)
    assert os.path.exists(gone) is (now == "another file")
    assert unit.kept() == listener_inodes(proxy.pid)
