# SPDX-License-Identifier: MIT
"""SIGUSR2: a new process takes over every socket; until it is ready nothing changes, and nobody is lost."""

import os
import re
import resource
import shutil
import signal
import time

import pytest

from support.backend import echo, speak_first
from support.load import Load
from support.manager import Manager
from support.proc import children, free_address, kinds, listener_inodes, parent, wait_until
from support.proxy import SANITIZE, SOCKFRONT
from support.stage import address_of, refuses
from support.streams import exchange, read_exactly, round_trip


@pytest.fixture
def binary(stage):
    """A copy of sockfront that a test may replace."""
    return shutil.copy(SOCKFRONT, stage.path("sockfront"))


def script(stage, path, text):
    """Puts a program in the place of another, as an installation does."""
    new = stage.path("new")
    with open(new, "w") as file:
        file.write("#!/bin/sh\n" + text + "\n")
    os.chmod(new, 0o755)
    os.rename(new, path)


def environment_of(pid):
    with open(f"/proc/{pid}/environ", "rb") as file:
        pairs = [pair.partition(b"=") for pair in file.read().split(b"\0") if pair]
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


# ---- what is taken over ----


def test_all_that_we_opened(stage):
    """TCP, a path and an abstract name; twice, since a successor can be replaced too."""
    backend = stage.backend()
    path, name = stage.path("app.sock"), stage.name("app")
    proxy = stage.proxy("127.0.0.1:0", path, name, backend.address, sockets=3)
    addresses = [proxy.listening[0], path, name]
    before, file = listener_inodes(proxy.pid), os.stat(path)
    for number in range(3):
        old = proxy.pid
        pairs = [stage.live_pair(backend, address) for address in addresses]
        proxy.upgrade()
        assert proxy.pid != old and parent(proxy.pid) == os.getpid()
        assert listener_inodes(proxy.pid) == before
        for address in addresses:
            exchange(*stage.live_pair(backend, address), seed=number, size=1000)
        for client, connection in pairs:
            exchange(client, connection, seed=number)
        stage.close_sockets_of(pairs)
        proxy.wait_replaced()
        assert (os.stat(path).st_dev, os.stat(path).st_ino) == (file.st_dev, file.st_ino)
    stage.close_sockets()
    proxy.finish()
    assert not os.path.exists(path), "the last one removes it"


INHERITED = [["sd-listen:*"], ["sd-listen", "sd-listen:second"], ["accept-from-fd:4", "sd-listen:first"]]


@pytest.mark.parametrize("words", INHERITED)
def test_what_was_inherited(stage, words):
    backend = stage.backend()
    listeners = [stage.listener(), stage.listener(stage.path("second.sock"))]
    addresses = [address_of(listeners[0]), stage.path("second.sock")]
    proxy = stage.handed(listeners, *words, backend.address, names="first:second", listening=2)
    for number in range(3):
        pair = stage.live_pair(backend, addresses[1])
        proxy.upgrade()
        now = environment_of(proxy.pid)
        assert (now["LISTEN_FDS"], now["LISTEN_FDNAMES"]) == ("2", "first:second")
        assert int(now["LISTEN_PID"]) == proxy.pid
        for address in addresses:
            exchange(*stage.live_pair(backend, address), seed=number, size=1000)
        exchange(*pair, seed=number)
        stage.close_sockets_of([pair])
        proxy.wait_replaced()


def test_one_that_nobody_has_taken_yet(stage):
    """It is passed on all the same, and a changed file may name it."""
    backend = stage.backend()
    listeners = [stage.listener(), stage.listener()]
    file = stage.file("sockfront.conf", f"[proxy a]\nlisten = sd-listen:a\nbackend = {backend.address}\n")
    proxy = stage.handed(listeners, "-c", file, names="a:b")
    waiting = stage.connect(address_of(listeners[1]))
    stage.file("sockfront.conf", f"[proxy a]\nlisten = sd-listen:*\nbackend = {backend.address}\n")
    proxy.upgrade()
    proxy.before = None
    exchange(waiting, backend.accept(), seed=1, size=1000)


@pytest.mark.parametrize("words", [["accept-from-fd:7"], ["--sd-accept-ignore-environment", "sd-listen"]])
def test_what_no_variable_names(stage, words):
    backend, listener = stage.backend(), stage.listener()
    number = 7 if "7" in words[0] else 3
    move = ["--move", f"{listener.fileno()}:{number}"]
    proxy = stage.proxy(*words, backend.address, handover=move, pass_fds=[listener.fileno()])
    for seed in range(2):
        proxy.upgrade()
        assert "LISTEN_FDS" not in environment_of(proxy.pid)
        exchange(*stage.live_pair(backend, address_of(listener)), seed=seed, size=1000)


def test_number_that_no_line_names_for_a_while(stage):
    """Its clients wait in the queue from one process to the next, until a line names it again."""
    backend, listener, own = stage.backend(), stage.listener(), stage.name("app")
    without = f"[proxy a]\nlisten = {own}\nbackend = {backend.address}\n"
    file = stage.file("sockfront.conf", f"{without}listen = accept-from-fd:7\n")
    move = ["--move", f"{listener.fileno()}:7"]
    proxy = stage.proxy("-c", file, handover=move, pass_fds=[listener.fileno()], sockets=2)
    stage.file("sockfront.conf", without)
    assert "1 removed" in proxy.after_signal(signal.SIGHUP, "reloaded|reload failed")
    waiting = stage.connect(address_of(listener))
    for _ in range(2):
        proxy.upgrade()
        proxy.wait_replaced()
    stage.file("sockfront.conf", f"{without}listen = accept-from-fd:7\n")
    assert "1 added" in proxy.after_signal(signal.SIGHUP, "reloaded|reload failed")
    exchange(waiting, backend.accept(), seed=1, size=1000)


def test_path_that_was_removed_is_bound_anew(stage):
    backend, path = stage.backend(), stage.path("app.sock")
    proxy = stage.proxy(path, backend.address)
    queued = stage.live_pair(backend, path)
    os.unlink(path)
    proxy.upgrade()
    exchange(*stage.live_pair(backend, path), seed=1, size=1000)
    exchange(*queued, seed=2)
    stage.close_sockets_of([queued])
    proxy.wait_replaced()
    assert os.path.exists(path), "the old process leaves the new one's path alone"
    exchange(*stage.live_pair(backend, path), seed=1, size=1000)


@pytest.mark.parametrize("how", ["freshly started", "with connections"])
def test_no_descriptor_is_left_over(stage, how):
    """The successor holds as many as the first had: proxy.finish() compares too."""
    backend = stage.backend()
    listener = stage.listener()
    proxy = stage.handed([listener], "sd-listen", "127.0.0.1:0", stage.path("a"), backend.address, listening=3)
    pairs = [stage.live_pair(backend, stage.path("a")) for _ in range(5 if how == "with connections" else 0)]
    # While the last process has connections, the new one is told when it ends.
    expected = {**proxy.before, "socket": proxy.before["socket"] + bool(pairs)}
    for _ in range(3):
        proxy.upgrade()
        wait_until(lambda: kinds(proxy.pid) == expected, "as many as the first had")
        assert not children(proxy.pid)
    for pair in pairs:
        exchange(*pair, seed=1, size=1000)
    stage.close_sockets()
    wait_until(lambda: kinds(proxy.pid) == proxy.before, "as many as the first had, in the end")


# ---- what the new process is ----


def test_binary_that_was_replaced(stage, binary):
    backend = stage.backend(speak_first(b"here"))
    proxy = stage.proxy("127.0.0.1:0", backend.address, program=binary)
    script(stage, binary, f'echo "the new program, $0 $*" >&2\nexec {SOCKFRONT} --access-log "$@"')
    proxy.upgrade()
    proxy.wait_replaced()
    proxy.wait_log(re.escape(f"the new program, {binary} 127.0.0.1:0"))
    assert stage.visit(proxy.listening[0]) == (b"here", "end")
    stage.close_sockets()
    proxy.wait_log("backend=")


def test_symbolic_link_that_leads_elsewhere(stage, binary):
    """What is started is the path that was called, not what it led to then."""
    link = stage.path("current")
    os.symlink(SOCKFRONT, link)
    backend = stage.backend(speak_first(b"here"))
    proxy = stage.proxy("127.0.0.1:0", backend.address, program=link)
    os.unlink(link)
    os.symlink(binary, link)
    proxy.upgrade()
    assert os.readlink(f"/proc/{proxy.pid}/exe") == binary
    assert stage.visit(proxy.listening[0]) == (b"here", "end")


def test_changed_configuration(stage):
    one, two = stage.backend(speak_first(b"one")), stage.backend(speak_first(b"two"))
    kept, gone, new = free_address(), stage.path("gone.sock"), stage.path("new.sock")
    file = stage.file("sockfront.conf", f"[proxy a]\nlisten = {kept}\nlisten = {gone}\nbackend = {one.address}\n")
    proxy = stage.proxy("-c", file, sockets=2)
    before = listener_inodes(proxy.pid)
    stage.file(
        "sockfront.conf",
        f"[sockfront]\nworkers = 2\n[proxy b]\nlisten = {kept}\nlisten = {new}\nbackend = {two.address}\n"
        "tcp-keepalive = 9000:3:1000\n",
    )
    proxy.upgrade()
    proxy.before = None
    proxy.wait_replaced()
    assert stage.visit(kept) == (b"two", "end")
    assert stage.visit(new) == (b"two", "end")
    assert refuses(gone)
    assert len(before & listener_inodes(proxy.pid)) == 1
    assert len(os.listdir(f"/proc/{proxy.pid}/task")) >= 3


def test_changed_descriptor_limit(stage):
    """Lowered here, since raising it takes a privilege."""
    backend = stage.backend()
    proxy = stage.proxy("--log-level=debug", "127.0.0.1:0", backend.address)
    resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (400, 400))
    proxy.upgrade()
    proxy.before = None  # fewer pipes, too
    assert proxy.grep(r"at most \d{3} connections at once, with 400 descriptors"), proxy.log
    exchange(*stage.live_pair(backend, proxy.listening[0]), seed=1, size=1000)


# ---- what the manager hears ----


def test_the_manager_is_told_by_the_old_process(stage):
    manager = Manager(stage)
    backend = stage.backend()
    proxy = stage.proxy("127.0.0.1:0", backend.address, environment=manager.environment)
    manager.wait("READY=1")
    for _ in range(2):
        old, since = proxy.pid, len(manager.messages)
        client, connection = stage.live_pair(backend, proxy.listening[0])
        new = proxy.upgrade()
        told = manager.wait(f"MAINPID={new}", since)
        assert told.pid == old and "READY=1" in told.lines
        wait_until(lambda: manager.said("READY=1", since, new), "the new process speaks for itself")
        exchange(client, connection, seed=1)
        client.close()
        connection.close()
        proxy.wait_replaced()
        at = manager.messages.index(told)
        assert not [m for m in manager.messages[since:at] if m.pid == new], "it spoke before it was known"
        assert not [m.lines for m in manager.messages[at + 1 :] if m.pid == old], "it is the other's service now"
        assert not manager.said("STOPPING=1")


def test_watchdog_is_of_the_new_process(stage):
    manager = Manager(stage)
    pid_of_the_shell = '[ -z "$SF_DONE" ] && export SF_DONE=1 WATCHDOG_PID=$$; exec "$@"'
    proxy = stage.proxy(
        "127.0.0.1:0",
        stage.backend().address,
        prefix=["/bin/sh", "-c", pid_of_the_shell, "sh"],
        environment={**manager.environment, "WATCHDOG_USEC": "200000"},
    )
    manager.wait("WATCHDOG=1")
    assert environment_of(proxy.pid)["WATCHDOG_PID"] == str(proxy.pid)
    new = proxy.upgrade()
    assert int(environment_of(new)["WATCHDOG_PID"]) == new
    wait_until(lambda: manager.said("WATCHDOG=1", pid=new), "the new process feeds the watchdog")


def test_watchdog_of_another_process_stays_so(stage):
    manager = Manager(stage)
    environment = {**manager.environment, "WATCHDOG_USEC": "100000", "WATCHDOG_PID": str(os.getpid())}
    proxy = stage.proxy("127.0.0.1:0", stage.backend().address, environment=environment)
    new = proxy.upgrade()
    assert environment_of(new)["WATCHDOG_PID"] == str(os.getpid())
    manager.wait("READY=1", 2)
    time.sleep(0.3)
    assert not manager.said("WATCHDOG=1")


# ---- when it does not work ----


FAILURES = {
    "is gone": ("cannot be started", None),
    "ends at once": ("ended before it took over", "exit 0"),
    "crashes": ("ended before it took over", "kill -SEGV $$"),
    "is no program": ("cannot be started", ""),
}


@pytest.mark.parametrize("case", FAILURES)
def test_binary_that_fails_changes_nothing(stage, binary, case):
    said, text = FAILURES[case]
    manager = Manager(stage)
    backend, path = stage.backend(), stage.path("app.sock")
    words = ["127.0.0.1:0", path, backend.address]
    proxy = stage.proxy(*words, program=binary, sockets=2, environment=manager.environment)
    pid, before, inode = proxy.pid, listener_inodes(proxy.pid), os.stat(path).st_ino
    manager.wait("READY=1")
    client, connection = stage.live_pair(backend, path)
    if text:
        script(stage, binary, text)
    else:
        os.unlink(binary)
    if text == "":
        stage.file("sockfront", "not a program")
        os.chmod(binary, 0o755)
    since = len(manager.messages)
    for _ in range(2):
        line = proxy.after_signal(signal.SIGUSR2, r"upgrade: .* goes on")
        assert said in line, proxy.log
    reap()
    assert not children(pid) and listener_inodes(pid) == before and os.stat(path).st_ino == inode
    assert not [m for m in manager.messages[since:] if m.value("MAINPID") or "STOPPING=1" in m.lines]
    exchange(client, connection, seed=1)
    exchange(*stage.live_pair(backend, path), seed=2, size=1000)
    if os.path.lexists(binary):
        os.unlink(binary)
    shutil.copy(SOCKFRONT, binary)
    proxy.upgrade()
    exchange(*stage.live_pair(backend, path), seed=3, size=1000)


def reap():
    """Takes note of every orphan that has ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def test_configuration_that_became_bad_changes_nothing(stage):
    manager = Manager(stage)
    backend, path, taken = stage.backend(), stage.path("app.sock"), stage.listener()
    good = f"[proxy a]\nlisten = {path}\nbackend = {backend.address}\n"
    file = stage.file("sockfront.conf", good)
    proxy = stage.proxy("-c", file, environment=manager.environment)
    manager.wait("READY=1")
    inode, since = os.stat(path).st_ino, len(manager.messages)
    for bad in (good + "nonsense = 1\n", good + f"listen = {stage.path('b')}\nlisten = {address_of(taken)}\n"):
        stage.file("sockfront.conf", bad)
        line = proxy.after_signal(signal.SIGUSR2, r"goes on|takes over")
        assert "goes on" in line
        assert os.stat(path).st_ino == inode and not os.path.exists(stage.path("b"))
        exchange(*stage.live_pair(backend, path), seed=1, size=1000)
    assert proxy.grep(re.escape(file) + ":4: .*nonsense"), proxy.log
    assert proxy.grep("error: .*" + re.escape(address_of(taken))), proxy.log
    assert not [m for m in manager.messages[since:] if m.value("MAINPID") or "STOPPING=1" in m.lines]
    stage.file("sockfront.conf", good)
    proxy.upgrade()
    exchange(*stage.live_pair(backend, path), seed=1, size=1000)


def held(stage, binary):
    """Replaces the binary by one that waits for a file before it is sockfront."""
    gate = stage.path("gate")
    script(stage, binary, f'echo "held $$" >&2\nwhile [ ! -e {gate} ]; do sleep 0.02; done\nexec {SOCKFRONT} "$@"')
    return gate


def hold(stage, proxy):
    """Starts an upgrade and has it wait; returns the process id."""
    line = proxy.after_signal(signal.SIGUSR2, r"^held \d+")
    return int(line.split()[1])


def ended(pid):
    """The exit status of an orphan, waited for; it may have another parent for a moment."""
    def statuses():
        try:
            return [status for got, status in [os.waitpid(pid, os.WNOHANG)] if got]
        except ChildProcessError:
            return []

    return wait_until(statuses, "the orphan ends")[0]


def test_serves_while_the_new_one_is_slow(stage, binary):
    backend = stage.backend()
    proxy = stage.proxy("127.0.0.1:0", backend.address, program=binary)
    gate = held(stage, binary)
    hold(stage, proxy)
    for number in range(5):
        exchange(*stage.live_pair(backend, proxy.listening[0]), seed=number, size=1000)
    proxy.signal(signal.SIGUSR2)
    proxy.wait_log("one is under way already")
    assert len(proxy.grep("^held")) == 1
    stage.file(os.path.basename(gate), "")
    proxy.followed(proxy.wait_log("takes over")[0])
    exchange(*stage.live_pair(backend, proxy.listening[0]), seed=1, size=1000)


def test_stop_calls_it_off(stage, binary):
    """SIGTERM during an upgrade ends both, and takes the path away."""
    manager = Manager(stage)
    backend, path = stage.backend(), stage.path("app.sock")
    proxy = stage.proxy(path, backend.address, program=binary, environment=manager.environment)
    held(stage, binary)
    client, connection = stage.live_pair(backend, path)
    new = hold(stage, proxy)
    proxy.signal(signal.SIGTERM)
    proxy.wait_log("the upgrade is called off")
    assert ended(new) == signal.SIGTERM
    exchange(client, connection, seed=1)
    client.close()
    connection.close()
    assert proxy.wait(5) == 0
    assert not os.path.exists(path)
    assert not [m for m in manager.messages if m.pid == new]


def test_old_process_that_dies_takes_the_new_one_with_it(stage, binary):
    """Nobody runs on beside what a supervisor starts again; the next start finds the address free."""
    manager = Manager(stage)
    backend = stage.backend(speak_first(b"here"))
    proxy = stage.proxy("127.0.0.1:0", backend.address, program=binary, environment=manager.environment)
    gate = held(stage, binary)
    new = hold(stage, proxy)
    proxy.signal(signal.SIGKILL)
    stage.file(os.path.basename(gate), "")
    assert os.waitstatus_to_exitcode(ended(new)) == 1
    assert proxy.wait() == -signal.SIGKILL
    assert proxy.grep("process to take over from has ended")
    assert not [m for m in manager.messages if m.pid == new]
    stage.proxy(proxy.listening[0], backend.address)
    assert stage.visit(proxy.listening[0]) == (b"here", "end")


def test_reload_during_an_upgrade(stage, binary):
    """Whoever serves in the end has the file as it was at the signal."""
    one, two = stage.backend(speak_first(b"one")), stage.backend(speak_first(b"two"))
    address = free_address()
    file = stage.file("sockfront.conf", f"[proxy a]\nlisten = {address}\nbackend = {one.address}\n")
    proxy = stage.proxy("-c", file, program=binary)
    gate = held(stage, binary)
    hold(stage, proxy)
    stage.file("sockfront.conf", f"[proxy a]\nlisten = {address}\nbackend = {two.address}\n")
    proxy.signal(signal.SIGHUP)
    time.sleep(0.1)
    stage.file(os.path.basename(gate), "")
    proxy.followed(proxy.wait_log("takes over")[0])
    proxy.wait_log("reloaded ")
    proxy.wait_replaced()
    assert stage.visit(address) == (b"two", "end")


def test_reload_wants_back_what_the_upgrade_dropped(stage, binary):
    """The new process opens nothing before the old one, who has clients to accept there, has closed it."""
    backend = stage.backend(echo)
    kept, path = stage.name("app"), stage.path("app.sock")
    without = f"[proxy a]\nunix-listen-unlink = yes\nlisten = {kept}\nbackend = {backend.address}\n"
    file = stage.file("sockfront.conf", f"{without}listen = {path}\n")
    proxy = stage.proxy("-c", file, program=binary, sockets=2)
    gate = held(stage, binary)
    old = proxy.pid
    hold(stage, proxy)
    stage.file("sockfront.conf", without)
    proxy.signal(signal.SIGHUP)
    proxy.wait_log("reload: waiting")
    os.kill(old, signal.SIGSTOP)
    stage.file(os.path.basename(gate), "")
    wait_until(lambda: len(proxy.grep("connections at once")) == 2, "the new process has read its file")
    clients = [stage.connect(path) for _ in range(300)]
    stage.file("sockfront.conf", f"{without}listen = {path}\n")
    os.kill(old, signal.SIGCONT)
    proxy.followed(proxy.wait_log("takes over")[0])
    assert "1 added" in proxy.wait_log("reloaded|reload failed")[0], proxy.log
    clients.append(stage.connect(path))
    for client in clients:
        round_trip(client)
    proxy.before = None
    stage.close_sockets()


def test_reload_that_waited_for_an_upgrade_that_failed(stage, binary):
    one, two = stage.backend(speak_first(b"one")), stage.backend(speak_first(b"two"))
    address = free_address()
    file = stage.file("sockfront.conf", f"[proxy a]\nlisten = {address}\nbackend = {one.address}\n")
    proxy = stage.proxy("-c", file, program=binary)
    script(stage, binary, "echo held $$ >&2; sleep 0.5; exit 1")
    new = hold(stage, proxy)
    stage.file("sockfront.conf", f"[proxy a]\nlisten = {address}\nbackend = {two.address}\n")
    proxy.signal(signal.SIGHUP)
    proxy.wait_log("reloaded ")
    assert os.waitstatus_to_exitcode(ended(new)) == 1
    assert stage.visit(address) == (b"two", "end")


def test_during_a_drain_it_is_too_late(stage):
    backend = stage.backend()
    proxy = stage.proxy("127.0.0.1:0", backend.address)
    client, connection = stage.live_pair(backend, proxy.listening[0])
    proxy.signal(signal.SIGTERM)
    proxy.wait_log("stopping")
    proxy.signal(signal.SIGUSR2)
    proxy.wait_log("upgrade: too late")
    exchange(client, connection, seed=1, size=1000)
    client.close()
    connection.close()
    assert proxy.wait(5) == 0


def test_stop_after_it_cuts_neither(stage):
    """The old one drains on its own; the new one's SIGTERM is the new one's."""
    backend = stage.backend()
    proxy = stage.proxy("127.0.0.1:0", backend.address)
    old = stage.live_pair(backend, proxy.listening[0])
    proxy.upgrade()
    new = stage.live_pair(backend, proxy.listening[0])
    proxy.signal(signal.SIGTERM)
    pids = (proxy.pid, proxy.replaced[0].pid)
    wait_until(lambda: not any(map(listener_inodes, pids)), "both have closed the listener")
    exchange(*old, seed=1)
    exchange(*new, seed=2)
    stage.close_sockets_of([old, new])
    assert proxy.process.wait(5) == 0
    proxy.wait_replaced()
    proxy.ended_as_expected = True


def test_handed_connection_is_nobody_elses(stage):
    """With the one connection of Accept=yes or inetd there is nothing to take over."""
    proxy, ours, connection = stage.inetd_pair()
    proxy.signal(signal.SIGUSR2)
    proxy.wait_log("upgrade: .*connection")
    exchange(ours, connection, seed=1)
    ours.close()
    connection.close()
    assert proxy.wait() == 0
    assert not children(proxy.pid)


def test_queue_at_the_limit_goes_to_the_new_process(stage):
    """Clients who wait because of max-connections are served by whoever has room first."""
    backend = stage.backend()
    proxy = stage.proxy("--max-connections=1", "127.0.0.1:0", backend.address)
    held_pair = stage.live_pair(backend, proxy.listening[0])
    queued = [stage.connect(proxy.listening[0]) for _ in range(4)]
    for number, client in enumerate(queued):
        client.sendall(bytes([number]))
    proxy.upgrade()
    for number, client in enumerate(queued):
        connection = backend.accept(5)
        assert read_exactly(connection, 1)[0] == number
        exchange(client, connection, seed=number, size=1000)
        client.close()
        connection.close()
    exchange(*held_pair, seed=9)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_hundred_upgrades_under_load(stage, workers):
    backend = stage.backend(echo)
    inherited = stage.listener(backlog=1024)
    path, name = stage.path("app.sock"), stage.name("app")
    words = [f"--workers={workers}", "127.0.0.1:0", path, name, "sd-listen:web", backend.address]
    proxy = stage.handed([inherited], *words, names="web", listening=4)
    load = Load([proxy.listening[0], path, name, address_of(inherited)], stage.seed)
    for _ in range(15 if SANITIZE else 100):
        proxy.upgrade()
        load.check()
    load.stop()
    proxy.wait_replaced(20)
