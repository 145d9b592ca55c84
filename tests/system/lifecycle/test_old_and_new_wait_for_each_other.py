# SPDX-License-Identifier: MIT
"""Both processes of an upgrade: what each still owes to its clients, to the other, and to a stop."""

import fcntl
import os
import re
import resource
import select
import shutil
import signal
import socket
import stat
import time

import pytest

from support.configuration import process, section
from support.faults import Faults
from support.manager import Manager
from support.old_process import OldProcess
from support.proc import children, command_line, listening_sockets, wait_until
from support.proxy import SOCKFRONT, Adopted
from support.stage import address_of
from support.streams import exchange, is_silent, outcome, read_exactly


def config(stage, backend, *listen, options=()):
    return stage.file("sockfront.conf", process(*options) + section(backend, *listen))


def test_listener_that_the_new_one_does_not_have(stage):
    """Its clients are the old one's to the last, and its path goes."""
    backend, kept, dropped = stage.backend(), stage.path("kept"), stage.path("dropped")
    file = config(stage, backend, kept, dropped, options=["max-connections = 1"])
    proxy = stage.proxy("-c", file, sockets=2)
    live = stage.live_pair(backend, kept)
    queued = stage.connect(dropped)
    queued.sendall(b"queued")
    config(stage, backend, kept)
    live[0].close()
    live[1].close()
    proxy.upgrade()
    proxy.before = None
    connection = backend.accept()
    assert read_exactly(connection, 6) == b"queued"
    wait_until(lambda: not os.path.exists(dropped), "the path of the dropped listener goes")
    assert os.path.exists(kept)
    exchange(queued, connection, seed=1, size=1000)
    exchange(*stage.live_pair(backend, kept), seed=2, size=1000)


def hand_over(proxy, manager):
    """An upgrade to its end: the new one speaks for itself.  Returns the old one."""
    old, new = proxy.process, proxy.upgrade()
    wait_until(lambda: manager.said("READY=1", pid=new), "the new one is the service")
    return old


def test_first_stop_of_a_process_that_was_replaced_does_not_cut(stage):
    """It was asked to stop once, not twice."""
    backend, path, manager = stage.backend(), stage.path("app.sock"), Manager(stage)
    proxy = stage.proxy("--drain-timeout=infinity", path, backend.address, environment=manager.environment)
    client, connection = stage.live_pair(backend, path)
    old = hand_over(proxy, manager)
    old.send_signal(signal.SIGTERM)
    proxy.wait_log("already waiting")
    exchange(client, connection, seed=1, size=1000)
    client, connection = stage.live_pair(backend, path)
    client.close()
    connection.close()
    assert old.poll() is not None or wait_until(lambda: old.poll() is not None, "it ends with its connection") is not None


def test_second_stop_cuts(stage):
    backend, path, manager = stage.backend(), stage.path("app.sock"), Manager(stage)
    proxy = stage.proxy("--drain-timeout=infinity", path, backend.address, environment=manager.environment)
    client, connection = stage.live_pair(backend, path)
    old = hand_over(proxy, manager)
    old.send_signal(signal.SIGTERM)
    proxy.wait_log("already waiting")
    assert is_silent(client, 0.3)
    old.send_signal(signal.SIGTERM)
    assert outcome(connection, 5) == (b"", "reset")
    proxy.wait_replaced()


def test_new_one_outlives_the_old_ones_connections(stage):
    """A manager ends what is left of a service whose main process has ended."""
    backend, path = stage.backend(), stage.path("app.sock")
    proxy = stage.proxy("--drain-timeout=30s", path, backend.address)
    client, connection = stage.live_pair(backend, path)
    old = proxy.process
    proxy.upgrade()
    proxy.signal(signal.SIGTERM)
    wait_until(lambda: not listening_sockets(proxy.pid), "the new one stops")
    time.sleep(0.5)
    assert proxy.alive() and old.poll() is None
    exchange(client, connection, seed=1)
    assert proxy.wait(10) == 0
    proxy.wait_replaced()


def test_new_one_does_not_exit_idle_before(stage):
    backend, listener = stage.backend(), stage.listener()
    proxy = stage.handed([listener], "--exit-idle-time=300ms", "sd-listen", backend.address)
    client, connection = stage.live_pair(backend, address_of(listener))
    proxy.upgrade()
    time.sleep(1)
    assert proxy.alive(), proxy.log
    exchange(client, connection, seed=1)
    stage.close_sockets_of([(client, connection)])
    assert proxy.wait(10) == 0
    proxy.wait_replaced()


def test_idle_exit_accepts_until_the_old_ones_connections_have_ended(stage):
    """To wait without accepting would leave newcomers in the queue for as long."""
    backend, listener = stage.backend(), stage.listener()
    address = "%s:%d" % listener.getsockname()
    proxy = stage.handed([listener], "--exit-idle-time=200ms", "sd-listen", backend.address)
    old = stage.live_pair(backend, address)
    proxy.upgrade()
    for seed in range(3):
        time.sleep(0.5)
        new = stage.live_pair(backend, address)
        exchange(*new, seed=seed, size=1000)
        stage.close_sockets_of([new])
    assert not proxy.grep("no connection for exit-idle-time")
    stage.close_sockets_of([old])
    assert proxy.wait(10) == 0
    assert proxy.grep("no connection for exit-idle-time")
    proxy.wait_replaced()


def test_cut_does_not_wait(stage):
    backend, path = stage.backend(), stage.path("app.sock")
    proxy = stage.proxy("--drain-timeout=30s", path, backend.address)
    stage.live_pair(backend, path)
    proxy.upgrade()
    proxy.signal(signal.SIGTERM)
    wait_until(lambda: not listening_sockets(proxy.pid), "the new one stops")
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(5) == 0
    for old in proxy.replaced:
        old.send_signal(signal.SIGTERM)
        old.send_signal(signal.SIGTERM)


def test_failed_one_leaves_options_and_modes(stage):
    """What the two share is as it was: the old one goes on with it."""
    backend, path, listener = stage.backend(), stage.path("app.sock"), stage.listener()
    taken = stage.listener()
    file = config(stage, backend, path, "sd-listen")
    proxy = stage.handed([listener], "-c", file, listening=2)
    before = stat.S_IMODE(os.stat(path).st_mode)
    with open(file, "a") as more:
        more.write("unix-listen-chmod = 0612\ntcp-keepalive = 30000::\n")
        more.write(f"listen = {address_of(taken)}\n")
    line = proxy.after_signal(signal.SIGUSR2, "this one goes on")
    assert "ended before" in line
    assert stat.S_IMODE(os.stat(path).st_mode) == before
    assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
    exchange(*stage.live_pair(backend, path), seed=1, size=1000)

    # The same by a reload; and then without what is in the way.
    assert "failed" in proxy.reload()
    assert stat.S_IMODE(os.stat(path).st_mode) == before
    assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
    taken.close()
    assert "reloaded" in proxy.reload()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o612
    assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    proxy.before = None


def test_modes_and_options_follow_a_successful_one(stage):
    backend, path = stage.backend(), stage.path("app.sock")
    file = config(stage, backend, path)
    proxy = stage.proxy("-c", file)
    with open(file, "a") as more:
        more.write("unix-listen-chmod = 0612\n")
    inode = os.stat(path).st_ino
    proxy.upgrade()
    assert (os.stat(path).st_ino, stat.S_IMODE(os.stat(path).st_mode)) == (inode, 0o612)


def test_new_one_that_dies_before_it_is_the_service(stage):
    """It accepts already; the manager hears of nobody else than the old one."""
    manager = Manager(stage)
    backend, path = stage.backend(), stage.path("app.sock")
    proxy = stage.proxy(path, backend.address, environment=manager.environment)
    manager.wait("READY=1")
    # A manager that is slow to read is the time in which it can happen.
    proxy.signal(signal.SIGUSR2)
    proxy.wait_log("starting ")
    new = wait_until(lambda: successors(proxy), "the new process")
    for pid in new:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    said = proxy.wait_log("takes over|goes on")[0]
    if "goes on" in said:
        exchange(*stage.live_pair(backend, path), seed=1, size=1000)
        assert not [m for m in manager.messages if m.value("MAINPID")]
    else:
        proxy.followed(said)
        proxy.replaced.clear()
        proxy.ended_as_expected = True


def successors(proxy):
    """Processes with its arguments that were left to us; other tests' orphans are ours, too."""
    arguments = proxy.command[-2:]
    return [pid for pid in children(os.getpid()) if pid != proxy.pid and command_line(pid)[-2:] == arguments]


@pytest.mark.parametrize("both", [True, False])
def test_new_one_that_is_stopped_before_it_is_the_service(stage, both):
    """It ends at once, whatever the old one has left to do."""
    backend, path = stage.backend(), stage.path("app.sock")
    program = shutil.copy(SOCKFRONT, stage.path("sockfront"))
    proxy = stage.proxy("--drain-timeout=infinity", path, backend.address, program=program)
    pair = stage.live_pair(backend, path)
    go = stage.path("go")
    os.unlink(program)
    # The signal is there before the program, which acts upon it as soon as it can.
    stage.file("sockfront", f"""#!/usr/bin/python3
import os, signal, sys, time
print("held", os.getpid(), file=sys.stderr, flush=True)
while not os.path.exists("{go}"):
    time.sleep(0.05)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.kill(os.getpid(), signal.SIGTERM)
os.execv("{SOCKFRONT}", sys.argv)
""")
    os.chmod(program, 0o755)
    new = int(proxy.after_signal(signal.SIGUSR2, r"^held \d+").split()[1])
    if both:
        proxy.signal(signal.SIGTERM)
        proxy.wait_log("called off")
    stage.file("go", "")
    Adopted(new).wait(20)
    assert not proxy.grep("takes over")
    wait_until(lambda: os.path.exists(path) != both, "the path goes with the old one alone")
    exchange(*pair, seed=1, size=1000)
    if both:
        stage.close_sockets_of([pair])
        assert proxy.wait(10) == 0
    else:
        exchange(*stage.live_pair(backend, path), seed=2, size=1000)


def test_new_one_that_is_stopped_while_the_manager_is_told(stage):
    """It may be the service already, with whose end the manager would end the old one's connections."""
    manager = Manager(stage)
    backend, path = stage.backend(), stage.path("app.sock")
    proxy = stage.proxy("--drain-timeout=30s", path, backend.address, environment=manager.environment)
    pair, old = stage.live_pair(backend, path), proxy.process
    with manager.deaf():
        proxy.followed(proxy.after_signal(signal.SIGUSR2, "takes over"))
        proxy.signal(signal.SIGTERM)
        time.sleep(0.5)
        assert proxy.alive() and old.poll() is None
        assert os.path.exists(path)
    wait_until(lambda: not os.path.exists(path), "the path goes with the new one")
    time.sleep(0.5)
    assert proxy.alive() and old.poll() is None
    exchange(*pair, seed=1)
    stage.close_sockets_of([pair])
    assert proxy.wait(10) == 0
    proxy.wait_replaced()


@pytest.mark.plain_only("a sanitizer's library must be the first one loaded")
def test_old_one_outlives_the_connections_of_one_that_was_called_off(stage):
    """It is the service to the end, and the new one may have accepted somebody."""
    faults, backend = Faults(stage), stage.backend()
    proxy = stage.proxy("--drain-timeout=30s", "127.0.0.1:0", backend.address, environment=faults.environment)
    faults.begin("mute")
    proxy.after_signal(signal.SIGUSR2, "starting ")
    wait_until(lambda: len(proxy.listening) == 2, "the new one accepts")
    (new,) = successors(proxy)
    proxy.after_signal(signal.SIGTERM, "called off")
    pair = stage.live_pair(backend, proxy.listening[0])
    faults.end("mute")
    wait_until(lambda: not listening_sockets(new), "the new one stops")
    time.sleep(0.3)
    assert proxy.alive()
    exchange(*pair, seed=1)
    stage.close_sockets_of([pair])
    Adopted(new).wait(10)
    assert proxy.wait(10) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_the_old_one_is_asked_while_the_manager_is_told(stage, number):
    """It is meant for the service: a manager that has not read yet who that is asks the old one."""
    manager = Manager(stage)
    backend, path, later = stage.backend(), stage.path("app.sock"), stage.path("later.sock")
    file = config(stage, backend, path)
    proxy = stage.proxy("-c", file, environment=manager.environment)
    pair, old = stage.live_pair(backend, path), proxy.process
    with manager.deaf():
        proxy.followed(proxy.after_signal(signal.SIGUSR2, "takes over"))
        config(stage, backend, path, later)
        old.send_signal(number)
        time.sleep(0.3)
    if number == signal.SIGHUP:
        proxy.wait_log("reloaded .*1 added")
        exchange(*stage.live_pair(backend, later), seed=2, size=1000)
    else:
        wait_until(lambda: not os.path.exists(path), "the new one stops, too")
    exchange(*pair, seed=1, size=1000)
    stage.close_sockets_of([pair])
    proxy.wait_replaced()
    if number == signal.SIGTERM:
        assert proxy.wait(10) == 0
    proxy.before = None


def test_stored_sockets_are_forgotten_before_the_manager_is_told(stage):
    """From then on it listens to the new one alone."""
    manager = Manager(stage)
    backend, kept, dropped = stage.backend(), stage.path("kept"), stage.path("dropped")
    file = config(stage, backend, kept, dropped)
    proxy = stage.proxy("-c", file, sockets=2, environment={**manager.environment, "FDSTORE": "9"})
    wait_until(lambda: len(manager.store) == 2, "both are stored")
    config(stage, backend, kept)
    old = proxy.pid
    proxy.upgrade()
    proxy.wait_replaced()
    manager.wait("READY=1")
    said = [message for message in manager.messages if message.pid == old]
    assert said[-1].value("MAINPID"), [message.lines for message in said]
    assert len(manager.store) == 1
    proxy.before = None


def test_hundreds_of_listeners(stage):
    """There is much to tell: none is forgotten, and its path with it."""
    backend = stage.backend()
    paths = [stage.path(f"s{number}") for number in range(450)]
    proxy = stage.proxy("-c", config(stage, backend, *paths), sockets=len(paths))
    proxy.upgrade(60)
    proxy.wait_replaced()
    assert [path for path in paths if not os.path.exists(path)] == []
    exchange(*stage.live_pair(backend, paths[-1]), seed=1, size=1000)
    proxy.before = None


def test_reload_that_waits_for_an_upgrade_that_fails(stage):
    """It is not forgotten: the old one, which goes on, does it."""
    backend, path, later = stage.backend(), stage.path("app.sock"), stage.path("later.sock")
    program = shutil.copy(SOCKFRONT, stage.path("sockfront"))
    file = config(stage, backend, path)
    proxy = stage.proxy("-c", file, program=program)
    config(stage, backend, path, later)
    os.unlink(program)
    stage.file("sockfront", "#!/bin/sh\nsleep 1\nexit 1\n")
    os.chmod(program, 0o755)
    proxy.after_signal(signal.SIGUSR2, "starting ")
    proxy.signal(signal.SIGHUP)
    proxy.wait_log("reload: waiting")
    proxy.wait_log("this one goes on")
    proxy.wait_log("reloaded .*1 added")
    exchange(*stage.live_pair(backend, later), seed=1, size=1000)
    proxy.before = None


def test_connection_behind_a_listener(stage):
    """Nobody else can take that over, wherever it stands among what was passed."""
    backend, listener = stage.backend(), stage.listener()
    ours, theirs = map(stage.keep, socket.socketpair())
    proxy = stage.handed([listener, theirs], "sd-listen:*", backend.address)
    theirs.close()
    connection = backend.accept()
    assert proxy.after_signal(signal.SIGUSR2, "nobody else can take that over")
    exchange(ours, connection, seed=1, size=1000)
    stage.close_sockets_of([(ours, connection)])
    proxy.before = None


def test_called_off_right_behind_go(stage):
    """Whoever was accepted by then is served; the others stay in the queue, which is the old one's, too."""
    backend = stage.backend()
    for _ in range(5):
        listener = stage.listener()
        address = address_of(listener)
        clients = [stage.connect(address) for _ in range(10)]
        for client in clients:
            client.sendall(b"x")
        old = OldProcess(stage, listener, "--drain-timeout=30s", "accept-from-fd:4", backend.address)
        old.hear("NOTE_READY")
        old.say("NOTE_GO", "NOTE_CALLED_OFF")
        line = old.new.wait_log("stopping: ")[0]
        served = 0 if "no connection" in line else int(re.search(r"for (\d+) conn", line)[1])
        assert served == len(clients) or is_readable(listener)
        for _ in range(served):
            connection = backend.accept()
            assert read_exactly(connection, 1) == b"x"
            connection.close()
        for client in clients:
            client.close()
        assert old.new.wait(10) == 0, old.new.log


def is_readable(sock):
    return bool(select.select([sock], [], [], 0)[0])


def test_called_off_and_cut(stage):
    """Two signals of its own are enough, whatever came with the calling off."""
    backend, listener = stage.backend(), stage.listener()
    old = OldProcess(stage, listener, "--drain-timeout=infinity", "accept-from-fd:4", backend.address)
    old.hear("NOTE_READY")
    old.say("NOTE_GO")
    old.hear("NOTE_ACCEPTING")
    client, connection = stage.live_pair(backend, address_of(listener))
    old.new.signal(signal.SIGTERM)
    old.say("NOTE_CALLED_OFF")
    old.new.wait_log("called it off|already waiting|waiting for")
    time.sleep(0.3)
    connection.sendall(b"y")
    assert read_exactly(client, 1) == b"y"
    for _ in range(2):
        old.new.signal(signal.SIGTERM)
        time.sleep(0.2)
    assert outcome(connection, 5) == (b"", "reset")
    assert old.new.wait(5) == 0


def test_one_that_fails_late_leaves_inherited_options(stage):
    backend, listener = stage.backend(), stage.listener()
    file = config(stage, backend, "sd-listen")
    proxy = stage.handed([listener], "-c", file)
    with open(file, "a") as more:
        more.write("tcp-keepalive = 30000::\n")
    config_text = open(file).read()
    stage.file("sockfront.conf", config_text.replace("[sockfront]\n", "[sockfront]\nworkers = 40\n"))
    resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (64, 64))
    assert "ended before" in proxy.after_signal(signal.SIGUSR2, "this one goes on")
    assert proxy.grep("limit of open files")
    assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0


def test_where_nobody_waits_for_children(stage):
    """SIGCHLD that is ignored is handed down by whoever starts us."""
    backend, path = stage.backend(), stage.path("app.sock")
    proxy = stage.proxy(
        path, backend.address, preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    )
    proxy.upgrade()
    exchange(*stage.live_pair(backend, path), seed=1, size=1000)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2])
def test_signal_while_the_listeners_are_opened(stage, number):
    """Nothing is left behind, and nobody is left out: it is acted upon once all is open."""
    backend, first = stage.backend(), stage.path("first.sock")
    os.mkdir(stage.path("locked"))
    second = stage.path("locked/second.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(second)
    file = stage.file("sockfront.conf", section(backend, first, second, options="unix-listen-unlink = yes"))
    directory = os.open(stage.path("locked"), os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    proxy = stage.proxy("-c", file, sockets=0)
    wait_until(lambda: os.path.exists(first), "the first is open")
    proxy.signal(number)
    time.sleep(0.2)
    assert proxy.alive()
    os.close(directory)
    if number == signal.SIGTERM:
        assert proxy.wait(10) == 0
        assert not os.path.exists(first) and not os.path.exists(second)
        return
    line = proxy.wait_log("reloaded |takes over")[0]
    if number == signal.SIGUSR2:
        proxy.followed(line)
    exchange(*stage.live_pair(backend, second), seed=1, size=1000)


def test_pipe_as_configuration_does_not_stop_later_reloads(stage):
    backend, path = stage.backend(), stage.path("app.sock")
    file = config(stage, backend, path)
    proxy = stage.proxy("-c", file)
    os.rename(file, file + ".good")
    os.mkfifo(file)
    assert "failed" in proxy.reload()
    os.rename(file + ".good", file)
    assert "reloaded" in proxy.reload()
