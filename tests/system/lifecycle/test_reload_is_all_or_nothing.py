# SPDX-License-Identifier: MIT
"""SIGHUP: all of the file as it is now, or nothing; what did not change goes on, and nobody is lost."""

import os
import re
import signal
import socket
import time

import pytest

from support.backend import echo, speak_first
from support.configuration import process, section
from support.load import Load
from support.manager import Manager
from support.names import NameServer
from support.proc import (
    accepted_option,
    descriptors,
    free_address,
    free_port,
    listener_inodes,
    listener_numbers,
    listening_sockets,
    state,
    wait_until,
)
from support.stage import address_of, refuses
from support.streams import exchange, is_silent, outcome, read_exactly, round_trip


class Service:
    """A proxy with a file that can be written again."""

    def __init__(self, stage, text, *arguments, sockets=1, inherited=(), names=None, **options):
        self.stage = stage
        self.file = stage.file("sockfront.conf", text)
        words = [*arguments, "-c", self.file]
        if inherited:
            self.proxy = stage.handed(inherited, *words, names=names, listening=sockets, **options)
        else:
            self.proxy = stage.proxy(*words, sockets=sockets, **options)

    def write(self, text):
        self.stage.file("sockfront.conf", text)

    def reload(self, text, works=True):
        self.write(text)
        line = self.proxy.reload()
        assert ("reloaded" in line) is works, self.proxy.log
        if works:
            self.proxy.before = None  # it may hold more now, or less
        return line


# ---- all or nothing ----


BAD_LINES = {"listn = :80": "listn", "backend = nowhere": "backend", "connect-timeout = soon": "connect-timeout"}


@pytest.mark.parametrize("bad", BAD_LINES)
def test_bad_file_changes_nothing(stage, bad):
    backend, address = stage.backend(speak_first(b"here")), free_address()
    service = Service(stage, section(backend, address))
    before = listener_inodes(service.proxy.pid)
    service.reload(f"[proxy b]\n{bad}\n" + section(backend, free_address(), name="c"), works=False)
    assert service.proxy.grep(re.escape(service.file) + r":[12]: .*" + BAD_LINES[bad]), service.proxy.log
    assert listener_inodes(service.proxy.pid) == before
    assert stage.visit(address) == (b"here", "end")


def test_file_that_is_gone_changes_nothing(stage):
    backend, address = stage.backend(speak_first(b"here")), free_address()
    service = Service(stage, section(backend, address))
    os.unlink(service.file)
    assert "failed" in service.proxy.reload()
    assert service.proxy.grep(re.escape(service.file))
    assert stage.visit(address) == (b"here", "end")
    service.reload(section(backend, address))


def test_address_that_is_taken_changes_nothing(stage):
    """What else the file has new is neither opened nor left behind."""
    one, two = stage.backend(speak_first(b"one")), stage.backend(speak_first(b"two"))
    address, path, taken = free_address(), stage.path("new.sock"), stage.listener()
    service = Service(stage, section(one, address))
    before = listener_inodes(service.proxy.pid)
    service.reload(section(two, address, path) + section(two, address_of(taken), name="b"), works=False)
    assert service.proxy.grep(r"sockfront.conf:6: \[proxy b\]: " + re.escape(address_of(taken))), service.proxy.log
    assert listener_inodes(service.proxy.pid) == before
    assert not os.path.exists(path)
    assert stage.visit(address) == (b"one", "end")
    free = address_of(taken)
    taken.close()
    service.reload(section(two, address, path) + section(two, free, name="b"))
    assert stage.visit(address) == (b"two", "end")
    assert stage.visit(path) == (b"two", "end")


def test_option_that_fails_changes_nothing(stage):
    """An option that the kernel refuses on one listener is not left set on the others."""
    backend, first, second = stage.backend(), free_address(), free_address()
    plain = section(backend, first) + section(backend, second, name="b")
    service = Service(stage, plain, sockets=2)
    service.reload(
        section(backend, first, options="tcp-keepalive = 5000:3:1000")
        + section(backend, second, name="b", options="tcp-congestion = no-such-control"),
        works=False,
    )
    client, _ = stage.live_pair(backend, first)
    assert accepted_option(service.proxy.pid, client, socket.SO_KEEPALIVE) == 0
    service.reload(plain)


# ---- what changes ----


def test_added_and_removed(stage):
    one, two = stage.backend(speak_first(b"one")), stage.backend(speak_first(b"two"))
    kept, gone, new = free_address(), free_address(), free_address()
    path, name = stage.path("gone"), stage.name("n")
    service = Service(stage, section(one, kept) + section(one, gone, path, name="b"), sockets=3)
    before = listener_inodes(service.proxy.pid)
    line = service.reload(section(one, kept) + section(two, new, name, name="c"))
    assert re.search(r"1 listener\(s\) kept, 2 added, 2 removed", line), line
    assert stage.visit(kept) == (b"one", "end")
    assert stage.visit(new) == (b"two", "end")
    assert stage.visit(name) == (b"two", "end")
    assert refuses(gone) and not os.path.exists(path)
    assert len(listener_inodes(service.proxy.pid) & before) == 1
    service.reload(section(one, gone, path, name="b") + section(one, kept))
    assert stage.visit(gone) == (b"one", "end")
    assert stage.visit(path) == (b"one", "end")
    assert refuses(new) and refuses(name)


def test_live_connections_keep_their_backend(stage):
    one, two, address = stage.backend(), stage.backend(), free_address()
    service = Service(stage, section(one, address))
    client, connection = stage.live_pair(one, address)
    service.reload(section(two, address, name="renamed"))
    later, other = stage.live_pair(two, address)
    exchange(client, connection, seed=stage.seed)
    exchange(later, other, seed=stage.seed)


def test_live_connections_outlive_their_listener(stage):
    backend, address, other = stage.backend(), free_address(), free_address()
    service = Service(stage, section(backend, address, options="idle-timeout = 1h"))
    client, connection = stage.live_pair(backend, address)
    for _ in range(3):
        service.reload(section(backend, other, name="b"))
        service.reload(section(backend, free_address(), name="c", options="idle-timeout = 300ms"))
    time.sleep(0.5)
    exchange(client, connection, seed=stage.seed)


def test_options_of_listeners_that_stay(stage):
    backend, address = stage.backend(), free_address()
    service = Service(stage, section(backend, address))
    before = listener_inodes(service.proxy.pid)
    first, _ = stage.live_pair(backend, address)
    service.reload(section(backend, address, options="tcp-keepalive = 7000:3:2000\ntype-of-service = 16"))
    second, _ = stage.live_pair(backend, address)
    service.reload(section(backend, address))
    third, _ = stage.live_pair(backend, address)
    seen = [
        (
            accepted_option(service.proxy.pid, client, socket.SO_KEEPALIVE),
            accepted_option(service.proxy.pid, client, socket.TCP_KEEPIDLE, socket.IPPROTO_TCP) == 7,
            accepted_option(service.proxy.pid, client, socket.IP_TOS, socket.IPPROTO_IP),
        )
        for client in (first, second, third)
    ]
    assert seen == [(0, False, 0), (1, True, 16), (0, False, 0)]
    assert listener_inodes(service.proxy.pid) == before


def test_mode_of_a_path_that_stays(stage):
    backend, path = stage.backend(speak_first(b"here")), stage.path("app.sock")
    service = Service(stage, section(backend, path, options="unix-listen-chmod = owner"))
    inode = os.stat(path).st_ino
    service.reload(section(backend, path, options="unix-listen-chmod = everybody"))
    assert os.stat(path).st_mode & 0o777 == 0o666
    assert os.stat(path).st_ino == inode
    assert stage.visit(path) == (b"here", "end")


def test_what_stays_as_it_was_is_named(stage):
    backend, address = stage.backend(speak_first(b"here")), free_address()
    service = Service(stage, section(backend, address))
    settings = process("workers = 3", "pipe-size = 64K")
    service.reload(settings + section(backend, address, options="tcp-reuse-port = yes"))
    for name in ("workers", "pipe-size", "tcp-reuse-port"):
        assert service.proxy.grep(f"warning: .*{name}"), service.proxy.log
    assert stage.visit(address) == (b"here", "end")


def test_settings_of_the_process(stage):
    backend, address = stage.backend(), free_address()
    text = section(backend, address)
    service = Service(stage, process("max-connections = 1") + text)
    proxy = service.proxy
    client, connection = stage.live_pair(backend, address)
    second = stage.connect(address)
    with pytest.raises(TimeoutError):
        backend.accept(0.3)
    service.reload(process("max-connections = 2", "access-log = yes", "drain-timeout = 1ms") + text)
    other = backend.accept(5)
    exchange(second, other, seed=1, size=1000)
    second.close()
    other.close()
    proxy.wait_log("client=.*backend=")
    proxy.signal(signal.SIGTERM)
    assert outcome(connection, 5) == (b"", "reset")
    assert client and proxy.wait(5) == 0


def test_log_level(stage):
    backend, addresses = stage.backend(speak_first(b"here")), [free_address() for _ in range(3)]
    service = Service(stage, section(backend, addresses[0]))
    for number in (2, 3):
        stage.file("sockfront.conf", process("log-level = error") + section(backend, *addresses[:number]))
        service.proxy.signal(signal.SIGHUP)
        wait_until(lambda: listening_sockets(service.proxy.pid) == number, "there is one listener more")
        said = len(service.proxy.listening)
    assert said == len(service.proxy.listening) == 2, "what is new is said at level info"
    service.reload("nonsense", works=False)
    assert service.proxy.grep("error: ")
    service.proxy.before = None


# ---- sockets that were inherited ----


def test_inherited_sockets_are_matched_again(stage):
    """By position and by name, from one proxy to another, dropped and taken again."""
    one, two = stage.backend(speak_first(b"one")), stage.backend(speak_first(b"two"))
    web, api = stage.listener(), stage.listener(stage.path("api.sock"))
    web_address, api_address = address_of(web), stage.path("api.sock")
    text = section(one, "sd-listen:web", "sd-listen:api")
    service = Service(stage, text, sockets=2, inherited=[web, api], names="web:api")

    service.reload(section(one, "sd-listen") + section(two, "sd-listen:api", name="b"))
    assert stage.visit(web_address) == (b"one", "end")
    assert stage.visit(api_address) == (b"two", "end")

    service.reload(section(one, "sd-listen:api") + section(two, "sd-listen:web", name="b"))
    assert stage.visit(web_address) == (b"two", "end")
    assert stage.visit(api_address) == (b"one", "end")

    service.reload(section(two, "sd-listen:web", name="b"))
    assert service.proxy.grep('warning: .*"api"'), service.proxy.log
    waiting = stage.connect(api_address)
    assert is_silent(waiting, 0.2)

    nothing = section(one, "sd-listen:nothing", name="c")
    service.reload(section(two, "accept-from-fd:3", name="b") + nothing, works=False)
    service.reload(section(two, "sd-listen:*", name="b") + section(one, "sd-listen:web", name="c"), works=False)
    assert stage.visit(web_address) == (b"two", "end")

    service.reload(section(one, "sd-listen:*", name="all"))
    assert outcome(waiting, 5) == (b"one", "end")
    assert stage.visit(web_address) == (b"one", "end")
    service.reload(section(two, "accept-from-fd:3", "accept-from-fd:4", name="all"))
    assert stage.visit(web_address) == (b"two", "end")
    assert stage.visit(api_address) == (b"two", "end")


def test_descriptor_of_our_own_is_nobodys_to_name(stage):
    """A number that became ours after the start is refused, whatever it is now."""
    backend, address = stage.backend(speak_first(b"here")), free_address()
    service = Service(stage, section(backend, address))
    number = next(n for n, target in descriptors(service.proxy.pid).items() if n > 2 and target.startswith("socket:"))
    service.reload(section(backend, address) + section(backend, f"accept-from-fd:{number}", name="b"), works=False)
    assert service.proxy.grep(rf"sockfront.conf:\d+: .*descriptor {number}"), service.proxy.log
    assert stage.visit(address) == (b"here", "end")


# ---- those who wait ----


def test_third_descriptor_of_our_own_is_nobodys_to_name(stage):
    """Nor by its place: whoever listens there, or is connected, keeps it."""
    backend, other = stage.backend(echo), stage.backend()
    address = free_address()
    service = Service(stage, section(backend, address))
    more = section(other, "sd-listen", name="b", options="sd-accept-ignore-environment = yes")
    service.reload(section(backend, address) + more, works=False)
    assert service.proxy.grep("descriptor 3 was not open")
    for _ in range(10):
        with stage.connect(address) as client:
            round_trip(client)


def test_inherited_socket_that_cannot_be_taken_keeps_its_options(stage):
    backend, listener = stage.backend(echo), stage.listener()
    service = Service(stage, section(backend, "sd-listen"), inherited=[listener])
    options = "tcp-user-timeout = 5s\ntype-of-service = 16\ntcp-congestion = no-such"
    service.reload(section(backend, "sd-listen:*", options=options), works=False)
    assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0
    assert listener.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 0
    with stage.connect(address_of(listener)) as client:
        round_trip(client)


def test_backlog_of_a_listener_that_stays(stage):
    one, two, address = stage.backend(), stage.backend(), free_address()
    service = Service(stage, process("max-connections = 1") + section(one, address))
    client, connection = stage.live_pair(one, address)
    queued = [stage.connect(address) for _ in range(5)]
    for number, waiting in enumerate(queued):
        waiting.sendall(bytes([number]))
    for _ in range(3):
        service.reload(process("max-connections = 1") + section(two, address, name="b", options="tcp-nodelay = no"))
    client.close()
    connection.close()
    for number, waiting in enumerate(queued):
        connection = two.accept(5)
        assert read_exactly(connection, 1)[0] == number
        exchange(waiting, connection, seed=number, size=1000)
        waiting.close()
        connection.close()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_queue_of_a_removed_listener_is_served(stage, kind):
    backend, other = stage.backend(), free_address()
    address = free_address() if kind == "tcp" else stage.path("gone.sock")
    service = Service(stage, section(backend, address))
    proxy = service.proxy
    stage.file("sockfront.conf", section(backend, other, name="b"))
    proxy.signal(signal.SIGSTOP)
    wait_until(lambda: state(proxy.pid) == "T", "the proxy is stopped")
    clients = [stage.connect(address) for _ in range(40)]
    for number, client in enumerate(clients):
        client.sendall(bytes([number]))
    proxy.signal(signal.SIGHUP)
    proxy.signal(signal.SIGCONT)
    proxy.wait_log("reloaded ")
    proxy.before = None
    for _ in clients:
        connection = backend.accept(5)
        number = read_exactly(connection, 1)[0]
        exchange(clients[number], connection, seed=number, size=1000)
        connection.close()
        clients[number].close()
    assert refuses(address)


def test_path_that_was_removed_is_bound_again(stage):
    backend, path = stage.backend(speak_first(b"here")), stage.path("app.sock")
    text = section(backend, path)
    service = Service(stage, text)
    os.unlink(path)
    service.proxy.wait_log(f"warning: .*{re.escape(path)}.*removed")
    assert refuses(path)
    service.reload(text)
    assert stage.visit(path) == (b"here", "end")
    stage.listener(stage.path("other"))
    os.rename(stage.path("other"), path)
    wait_until(lambda: len(service.proxy.grep("warning: .*replaced")) == 2, "the second warning")
    service.reload(text, works=False)
    os.unlink(path)
    service.reload(text)
    assert stage.visit(path) == (b"here", "end")


# ---- the signal ----


@pytest.mark.parametrize("live", [False, True])
def test_without_a_file_it_terminates(stage, live):
    backend = stage.backend()
    proxy = stage.proxy("127.0.0.1:0", backend.address)
    if live:
        client, connection = stage.live_pair(backend, proxy.listening[0])
    proxy.signal(signal.SIGHUP)
    if live:
        assert is_silent(client, 0.3)
        exchange(client, connection, seed=1, size=1000)
        client.close()
        connection.close()
    assert proxy.wait(5) == 0


@pytest.mark.parametrize("with_file", [False, True])
def test_ignored_at_the_start_stays_ignored(stage, with_file):
    backend, address = stage.backend(speak_first(b"here")), free_address()
    file = stage.file("sockfront.conf", section(backend, address))
    words = ["-c", file] if with_file else [address, backend.address]
    proxy = stage.proxy(*words, prefix=["/usr/bin/nohup"])
    proxy.signal(signal.SIGHUP)
    time.sleep(0.3)
    assert stage.visit(address) == (b"here", "end")
    assert not proxy.grep("reload")


def test_many_signals_in_a_row(stage):
    """They are taken together, and what the file says at the last one counts."""
    one, two, address = stage.backend(speak_first(b"one")), stage.backend(speak_first(b"two")), free_address()
    service = Service(stage, section(one, address))
    for _ in range(500):
        service.proxy.signal(signal.SIGHUP)
    stage.file("sockfront.conf", section(two, address))
    service.proxy.signal(signal.SIGHUP)
    wait_until(lambda: stage.visit(address) == (b"two", "end"), "the last file is in force")


def test_the_manager_is_told(stage):
    manager = Manager(stage)
    backend, address = stage.backend(speak_first(b"here")), free_address()
    service = Service(stage, section(backend, address), environment=manager.environment)
    manager.wait("READY=1")
    for text in (section(backend, address, free_address()), "nonsense"):
        since, before = len(manager.messages), time.monotonic_ns() // 1000
        service.reload(text, works=text != "nonsense")
        reloading = manager.wait("RELOADING=1", since)
        ready = manager.wait("READY=1", since)
        assert before <= int(reloading.value("MONOTONIC_USEC")) <= time.monotonic_ns() // 1000
        assert manager.messages.index(reloading) < manager.messages.index(ready)


def test_during_a_drain_it_is_too_late(stage):
    backend, address = stage.backend(), free_address()
    service = Service(stage, section(backend, address))
    client, connection = stage.live_pair(backend, address)
    service.proxy.signal(signal.SIGTERM)
    service.proxy.wait_log("stopping")
    service.proxy.signal(signal.SIGHUP)
    service.proxy.wait_log("reload: too late")
    exchange(client, connection, seed=1, size=1000)
    client.close()
    connection.close()
    assert service.proxy.wait(5) == 0


def test_stop_during_a_reload(stage):
    """Whichever comes first: the process ends, and well."""
    backend, address = stage.backend(speak_first(b"here")), free_address()
    path = stage.path("app.sock")
    for delay in [number / 10_000 for number in range(20)]:
        service = Service(stage, section(backend, address, path), sockets=2)
        stage.file("sockfront.conf", section(backend, free_address(), path, address, name="b"))
        service.proxy.signal(signal.SIGHUP)
        time.sleep(delay)
        service.proxy.signal(signal.SIGTERM)
        assert service.proxy.wait(5) == 0
        assert not os.path.exists(path)


@pytest.mark.parametrize("answer", ["in time", "never"])
def test_stop_while_a_reload_waits_for_a_name(stage, answer):
    """What it has opened by then is closed if the name comes soon, and not waited for otherwise."""
    server, backend, address = NameServer(stage), stage.backend(echo), free_address()
    path = stage.path("new.sock")
    service = Service(stage, section(backend, address), handover=server.handover)
    server.holding = True
    service.write(section(backend, address, path, f"host.test:{free_port()}"))
    service.proxy.signal(signal.SIGHUP)
    wait_until(lambda: server.held and os.path.exists(path), "the path is bound, the name is looked up")
    with stage.connect(address) as client:
        round_trip(client)
    service.proxy.signal(signal.SIGTERM)
    service.proxy.wait_log("stopping")
    if answer == "in time":
        server.let_go()
        assert service.proxy.wait(10) == 0
        assert not os.path.exists(path)
    else:
        assert service.proxy.wait(20) == 0, "the resolver would wait for 30 s"


def test_clients_of_a_drain_beside_a_reload_that_hangs_are_refused(stage):
    """The listeners cannot be closed while the reload looks at them, and must not let anybody wait."""
    server, backend, address = NameServer(stage), stage.backend(), free_address()
    path = stage.path("old.sock")
    service = Service(stage, section(backend, address, path), sockets=2, handover=server.handover)
    client, connection = stage.live_pair(backend, address)
    server.holding = True
    service.write(section(backend, address, path, f"host.test:{free_port()}"))
    service.proxy.signal(signal.SIGHUP)
    wait_until(lambda: server.held, "the name is looked up")
    service.proxy.signal(signal.SIGTERM)
    service.proxy.wait_log("stopping")
    wait_until(lambda: refuses(address), "TCP clients are refused")
    assert not os.path.exists(path)
    exchange(client, connection, seed=stage.seed)
    server.let_go()
    client.close()
    connection.close()
    assert service.proxy.wait(10) == 0


def test_drain_holds_no_listener_once_the_reload_lets_go(stage):
    server, backend = NameServer(stage), stage.backend()
    address, path = free_address(), stage.path("app.sock")
    service = Service(stage, section(backend, address, path), sockets=2, handover=server.handover)
    client, connection = stage.live_pair(backend, address)
    numbers = listener_numbers(service.proxy.pid)
    server.holding = True
    service.write(section(backend, address, path, f"host.test:{free_port()}"))
    service.proxy.signal(signal.SIGHUP)
    wait_until(lambda: server.held, "the name is looked up")
    service.proxy.signal(signal.SIGTERM)
    service.proxy.wait_log("stopping")
    assert set(numbers) <= set(descriptors(service.proxy.pid)), "the reload looks at them"
    server.let_go()
    wait_until(lambda: not set(numbers) & set(descriptors(service.proxy.pid)), "they are closed")
    exchange(client, connection, seed=stage.seed)
    client.close()
    connection.close()
    assert service.proxy.wait(10) == 0


# ---- all together ----


@pytest.mark.parametrize("workers", [1, 3])
def test_a_hundred_reloads_under_load(stage, workers):
    """On TCP, a UNIX path, an abstract and an inherited socket, with a listener that comes and goes."""
    backends = [stage.backend(echo), stage.backend(echo)]
    inherited = stage.listener(backlog=1024)
    addresses = [free_address(), stage.path("app.sock"), stage.name("app"), address_of(inherited)]
    extra = stage.path("extra.sock")

    def text(number):
        listen = addresses[:3] + (["sd-listen:web"] if number % 3 else ["sd-listen"])
        options = f"tcp-keepalive = {5000 + number * 1000}:3:1000"
        rest = section(backends[0], extra, name="extra") if number % 2 else ""
        return section(backends[number % 2], *listen, options=options) + rest

    service = Service(stage, text(0), f"--workers={workers}", sockets=4, inherited=[inherited], names="web")
    before = service.proxy.before
    load = Load(addresses, stage.seed)
    for number in range(1, 101):
        if number % 10 == 5:
            service.reload("[proxy nonsense]\n", works=False)
        service.reload(text(number))
        load.check()
    load.stop()
    assert refuses(extra)
    service.reload(text(0))
    service.proxy.before = before
