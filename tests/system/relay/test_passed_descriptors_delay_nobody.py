# SPDX-License-Identifier: MIT
"""
A UNIX client or backend that passes descriptors whose last close waits delays nobody: the kernel
refuses them, or, before Linux 6.16, they are closed in a thread of their own.
"""

import array
import signal
import socket
import struct
import time

import pytest

from support.backend import echo
from support.faults import Faults
from support.proc import descriptors, state, threads, wait_until
from support.proxy_protocol import v2
from support.status import ask, with_status
from support.streams import MB, outcome, random_bytes, read_exactly, round_trip

pytestmark = pytest.mark.plain_only("a sanitizer's library wants to be loaded first")

LINGER = 20


def lingering(stage):
    """A connection whose close waits: what it has sent is not read."""
    listener = stage.keep(socket.create_server(("127.0.0.1", 0)))
    sock = socket.create_connection(listener.getsockname())
    stage.keep(listener.accept()[0])
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, LINGER))
    sock.setblocking(False)
    try:
        while True:
            sock.send(bytes(1 << 16))
    except BlockingIOError:
        return sock


def pass_to(client, socks, data):
    """Passes them, and keeps none."""
    numbers = array.array("i", [sock.fileno() for sock in socks])
    client.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)])
    for sock in socks:
        sock.close()  # not the last time: the message holds it


def knows_passrights(sock):
    try:
        return sock.getsockopt(socket.SOL_SOCKET, 83) is not None
    except OSError:
        return False


@pytest.fixture
def old_kernel(stage):
    faults = Faults(stage)
    faults.begin("rights")
    return faults.environment


def test_nobody_waits(stage, old_kernel, data_path):
    backend = stage.backend(echo)
    proxy = stage.proxy(*data_path, stage.path("a"), "127.0.0.1:0", backend.address, sockets=2,
                        environment=old_kernel)
    innocent = stage.connect(proxy.listening[1])
    round_trip(innocent)
    before = len(descriptors(proxy.pid))
    began = time.monotonic()
    client = stage.connect(stage.path("a"))
    for _ in range(5):
        pass_to(client, [lingering(stage) for _ in range(3)], b"x")
        assert read_exactly(client, 1) == b"x"
        round_trip(innocent)
    client.close()
    for _ in range(3):
        round_trip(innocent)
    assert time.monotonic() - began < LINGER
    wait_until(lambda: len(descriptors(proxy.pid)) <= before, "all are closed", LINGER)


def test_what_nobody_has_read(stage, old_kernel):
    """Descriptors in the queue of a client that is held for its backend, and is then cut."""
    gone = stage.backend()
    gone.stop_listening()
    proxy = stage.proxy("--connect-timeout=1h", "--drain-timeout=0", stage.path("a"), gone.address,
                        environment=old_kernel)
    client = stage.connect(stage.path("a"))
    for _ in range(3):
        pass_to(client, [lingering(stage)], b"x")
    proxy.wait_log("trying again")
    began = time.monotonic()
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(3 * LINGER) == 0
    assert time.monotonic() - began < LINGER


@pytest.mark.parametrize("workers", [1, 2])
def test_client_that_may_not_connect(stage, old_kernel, workers):
    """It has sent them before it is accepted, and the thread that refuses it serves others."""
    backend = stage.backend(echo)
    proxy = stage.proxy("--deny=unix", f"--workers={workers}", stage.path("a"), "127.0.0.1:0", backend.address,
                        sockets=2, environment=old_kernel)
    innocent = stage.connect(proxy.listening[1])
    round_trip(innocent)
    began = time.monotonic()
    for _ in range(3):
        proxy.signal(signal.SIGSTOP)
        wait_until(lambda: state(proxy.pid) == "T", "the proxy is stopped")
        client = stage.connect(stage.path("a"))
        pass_to(client, [lingering(stage)], b"x")
        proxy.signal(signal.SIGCONT)
        assert outcome(client)[0] == b""
    round_trip(innocent, within=3 * LINGER)
    round_trip(stage.connect(proxy.listening[1]), within=3 * LINGER)
    assert time.monotonic() - began < LINGER


def test_header_of_the_proxy_protocol(stage, old_kernel):
    """The bytes that they come with are read before there is a backend."""
    backend = stage.backend(echo)
    proxy = stage.proxy("--accept-proxy-protocol=unix", "--workers=1", stage.path("a"), "127.0.0.1:0",
                        backend.address, sockets=2, environment=old_kernel)
    innocent = stage.connect(proxy.listening[1])
    round_trip(innocent)
    before = len(descriptors(proxy.pid))
    began = time.monotonic()
    for _ in range(3):
        client = stage.connect(stage.path("a"))
        pass_to(client, [lingering(stage)], v2())
        round_trip(client, within=3 * LINGER)
        round_trip(innocent, within=3 * LINGER)
        client.close()
    assert time.monotonic() - began < LINGER
    wait_until(lambda: len(descriptors(proxy.pid)) <= before, "all are closed", LINGER)


def test_client_that_may_not_ask(stage, old_kernel):
    """At the status address, whose requests the main thread reads."""
    proxy, (path, address) = with_status(stage, f"[proxy a]\nlisten = @{stage.path('a')}\nbackend = 127.0.0.1:9\n",
                                         stage.path("s"), "127.0.0.1:0", options="deny = unix",
                                         environment=old_kernel)
    began = time.monotonic()
    proxy.signal(signal.SIGSTOP)
    wait_until(lambda: state(proxy.pid) == "T", "the proxy is stopped")
    client = stage.connect(path)
    pass_to(client, [lingering(stage)], b"x")
    proxy.signal(signal.SIGCONT)
    assert outcome(client)[0] == b""
    assert ask(stage, address).code > 0
    assert time.monotonic() - began < LINGER


@pytest.mark.parametrize("is_old", [False, True], ids=["this-kernel", "old-kernel"])
def test_client_that_was_there_before(stage, is_old):
    """In the queue of a socket that we inherit: whoever made it has refused nothing."""
    faults = Faults(stage)
    if is_old:
        faults.begin("rights")
    backend = stage.backend(echo)
    path = stage.path("a")
    clients = []
    with stage.listener(path) as listener:
        for _ in range(3):
            clients.append(stage.connect(path))
            pass_to(clients[-1], [lingering(stage)], b"x")
        proxy = stage.handed([listener], "--workers=1", "sd-listen", "127.0.0.1:0", backend.address,
                             listening=2, environment=faults.environment)
    proxy.before = None  # taken with their connections
    began = time.monotonic()
    innocent = stage.connect(next(address for address in proxy.listening if address != path))
    round_trip(innocent, within=4 * LINGER)
    for client in clients:
        assert read_exactly(client, 1, 4 * LINGER) == b"x"
        client.close()
    round_trip(innocent, within=4 * LINGER)
    assert time.monotonic() - began < LINGER


def test_connection_that_was_there_before(stage):
    """One that is inherited as it is, next to others."""
    backend = stage.backend(echo)
    ours, theirs = socket.socketpair()
    pass_to(ours, [lingering(stage)], b"x")
    proxy = stage.handed([theirs], "--workers=1", "accept-from-fd:3", "127.0.0.1:0", backend.address,
                         listening=1)
    proxy.before = None  # taken with this connection
    theirs.close()
    began = time.monotonic()
    assert read_exactly(ours, 1, 2 * LINGER) == b"x"
    round_trip(stage.connect(proxy.listening[0]), within=2 * LINGER)
    ours.close()
    assert time.monotonic() - began < LINGER


def test_queue_that_is_turned_away(stage, old_kernel):
    backend = stage.backend()
    proxy = stage.proxy("--max-connections=1", "--drain-timeout=300ms", stage.path("a"),
                        backend.address, environment=old_kernel)
    stage.connect(stage.path("a")).sendall(b"x")
    backend.accept()
    for _ in range(2):
        pass_to(stage.connect(stage.path("a")), [lingering(stage)], b"x")
    began = time.monotonic()
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(3 * LINGER) == 0
    assert time.monotonic() - began < LINGER


def test_bytes_are_exact(stage, old_kernel, data_path):
    proxy, client, connection = stage.pair(*data_path, listen=stage.path("a"), environment=old_kernel)
    before = len(descriptors(proxy.pid))
    data = random_bytes(stage.seed, MB)
    for at in range(0, MB, 32768):
        pair = socket.socketpair()
        pass_to(client, pair, data[at : at + 1])
        client.sendall(data[at + 1 : at + 32768])
        assert read_exactly(connection, 32768) == data[at : at + 32768]
    wait_until(lambda: len(descriptors(proxy.pid)) <= before + 2, "they are closed")
    client.close()
    assert outcome(connection)[0] == b""


def test_this_kernel(stage):
    """Refused where it can be: the sender is told."""
    proxy, client, connection = stage.pair(listen=stage.path("a"))
    if not knows_passrights(client):
        pytest.skip("this kernel is older than Linux 6.16")
    with pytest.raises(PermissionError):
        client.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))])
    client.sendall(b"x")
    assert read_exactly(connection, 1) == b"x"


@pytest.mark.parametrize("is_old", [False, True], ids=["this-kernel", "old-kernel"])
def test_backend(stage, is_old):
    """It is no more to be trusted than a client; this kernel refuses what it passes."""
    faults = Faults(stage)
    if is_old:
        faults.begin("rights")
    listener = stage.listener(stage.path("b"))
    echoing = stage.backend(echo)
    proxy = stage.proxy("-c", stage.file("a.conf", f"""
[proxy a]
listen = 127.0.0.1:0
backend = {stage.path("b")}
[proxy b]
listen = 127.0.0.1:0
backend = {echoing.address}
"""), "--workers=1", sockets=2, environment=faults.environment)
    innocent = stage.connect(proxy.listening[1])
    round_trip(innocent)
    client = stage.connect(proxy.listening[0])
    connection = stage.keep(listener.accept()[0])
    if knows_passrights(connection) and not is_old:
        with pytest.raises(PermissionError):
            pass_to(connection, socket.socketpair(), b"x")
        return
    began = time.monotonic()
    for _ in range(3):
        pass_to(connection, [lingering(stage)], b"x")
        assert read_exactly(client, 1, 2 * LINGER) == b"x"
        round_trip(innocent, within=2 * LINGER)
    assert time.monotonic() - began < LINGER


def test_thread_is_there_only_for_them(stage, old_kernel):
    backend = stage.backend(echo)
    proxy = stage.proxy(stage.path("a"), backend.address, environment=old_kernel)
    client = stage.connect(stage.path("a"))
    round_trip(client)
    before = len(threads(proxy.pid))
    pass_to(client, socket.socketpair(), b"x")
    assert read_exactly(client, 1) == b"x"
    wait_until(lambda: len(threads(proxy.pid)) == before, "the thread has ended")
