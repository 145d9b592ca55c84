# SPDX-License-Identifier: MIT
"""
What a connection and a request cost in system calls does not grow unseen.

The exchange is scripted so that nothing is left to chance: every step waits
for the one before to have come through.
"""

import collections
import os
import re
import signal
import time

import pytest

from support.backend import Backend
from support.proc import are_traced, kinds, wait_until
from support.proxy_protocol import read_header, v2
from support.stage import need
from support.streams import MB, Background, read_exactly

pytestmark = pytest.mark.plain_only("the sanitizers' own system calls would be counted")

REQUEST = b"x" * 64
PIECE = b"x" * 16384


def low_port_backend(stage):
    """
    Below the local port range, as most services are: only above it can a
    connection meet itself, and is checked for that with one call more.
    """
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        first = int(file.read().split()[0])
    for port in range(first - 1, 1024, -1):
        try:
            backend = Backend(port=port)
        except OSError:
            continue
        stage.backends.append(backend)
        return backend
    raise AssertionError("no port is free below the local port range")


class Trace:
    """strace of the running proxy; take() gives the calls since the last one."""

    def __init__(self, stage, pid):
        self.path = stage.path("trace")
        self.strace = stage.helper(need("strace"), "-f", "-qq", "-p", str(pid), "-o", self.path)
        wait_until(lambda: os.path.exists(self.path) and are_traced(pid), "strace is attached")
        self.seen = 0

    def calls(self):
        """Each once, where it begins: it is on two lines if another thread's came in between."""
        with open(self.path) as file:
            return re.findall(r"^\d+ +(\w+)\(", file.read(), re.M)

    def take(self):
        """Waits until the proxy rests in epoll_wait again."""
        wait_until(self.settled, "the proxy rests")
        calls = self.calls()
        taken, self.seen = calls[self.seen :], len(calls)
        return collections.Counter(taken)

    def settled(self):
        before = len(self.calls())
        time.sleep(0.15)
        return len(self.calls()) == before


@pytest.fixture(params=["tcp", "unix"])
def traced(request, stage):
    backend = low_port_backend(stage)
    proxy = stage.proxy(stage.front(request.param), backend.address)
    return backend, proxy, Trace(stage, proxy.pid)


def one_connection(stage, backend, proxy):
    """The client has sent its request by the time it is accepted, and leaves first."""
    client = stage.connect(proxy.listening[0])
    client.sendall(REQUEST)
    connection = backend.accept()
    read_exactly(connection, 64)
    connection.sendall(REQUEST)
    read_exactly(client, 64)
    client.close()
    assert connection.recv(1) == b""
    connection.close()
    proxy.wait_released()


def test_connection(stage, traced):
    """From accept to close: connect, one request, one reply, the client leaves."""
    backend, proxy, trace = traced
    one_connection(stage, backend, proxy)
    trace.take()
    one_connection(stage, backend, proxy)
    calls = trace.take()
    waits = calls.pop("epoll_wait")
    assert waits <= 6, "one for each event, one for a late request, one of another worker"
    for call, most in {
        "accept4": 2,
        "socket": 1,
        # on the backend: urgent bytes inline, no delay; a UNIX client inherits the former from nobody
        "setsockopt": 3 if proxy.listening[0].startswith("/") else 2,
        "connect": 1,
        "getpeername": 1,  # whether the handshake is over; another connect() could lose bytes
        "recvfrom": 5,  # a request that comes late, and both ends of stream
        "sendto": 2,
        "shutdown": 1,
        "epoll_ctl": 4,
        "close": 2,
    }.items():
        assert calls.pop(call) <= most, (call, calls)
    assert not calls, "calls that a connection did not need before"


def test_request(stage, traced):
    """On a warm connection: two reads, two writes and the waits."""
    backend, proxy, trace = traced
    client = stage.connect(proxy.listening[0])
    connection = backend.accept()
    for _ in range(2):
        client.sendall(REQUEST)
        read_exactly(connection, 64)
        connection.sendall(REQUEST)
        read_exactly(client, 64)
        calls = trace.take()
    assert calls == {"recvfrom": 2, "sendto": 2, "epoll_wait": 2}


def stream_once(stage, backend, proxy, size):
    client = stage.connect(proxy.listening[0])
    connection = backend.accept()
    sending = Background(client.sendall, bytes(size))
    read_exactly(connection, size)
    sending.result()
    client.close()
    assert connection.recv(1) == b""
    connection.close()
    proxy.wait_released()


def pieces_once(stage, backend, proxy, size, answer=b""):
    """No read ever finds more than a piece: as of a fast stream on an idle machine."""
    client = stage.connect(proxy.listening[0])
    connection = backend.accept()
    for _ in range(size // len(PIECE)):
        client.sendall(PIECE)
        read_exactly(connection, len(PIECE))
        connection.sendall(answer)
        read_exactly(client, len(answer))
    client.close()
    assert connection.recv(1) == b""
    connection.close()
    proxy.wait_released()


def calls_of_a_stream(stage, *options, size, stream=stream_once, **details):
    backend = low_port_backend(stage)
    proxy = stage.proxy(*options, "127.0.0.1:0", backend.address)
    before = kinds(proxy.pid)["other"]
    trace = Trace(stage, proxy.pid)
    stream(stage, backend, proxy, size, **details)
    calls = trace.take()
    assert kinds(proxy.pid)["other"] == before, "the timer is closed with the stream"
    trace.strace.kill()
    os.unlink(trace.path)
    return calls


COALESCING = ("timerfd_create", "timerfd_settime", "ioctl")


def test_coalescing_costs_long_streams_alone(stage):
    """One that is not long yet, and all of them where no byte may wait, have no call for it."""
    short = calls_of_a_stream(stage, size=2 * MB)
    never = calls_of_a_stream(stage, "--coalesce-time=0", size=100 * MB)
    assert not any(short[call] or never[call] for call in COALESCING)
    assert short["setsockopt"] == never["setsockopt"]


def test_long_stream_is_looked_after(stage):
    """One timer for all that coalesces, and the mark is set and taken back."""
    calls = calls_of_a_stream(stage, "--coalesce-time=100ms", size=300 * MB)
    assert calls["timerfd_create"] == 1
    assert calls["setsockopt"] >= 3


def test_long_stream_of_small_pieces_is_looked_after(stage):
    """Its pace counts, not what a read finds; an answer to each piece makes it a conversation."""
    stream = calls_of_a_stream(stage, "--coalesce-time=100ms", size=16 * MB, stream=pieces_once)
    assert stream["timerfd_create"] == 1
    assert stream["splice"] > 0
    conversation = calls_of_a_stream(
        stage, "--coalesce-time=100ms", size=16 * MB, stream=pieces_once, answer=b"!"
    )
    assert not any(conversation[call] for call in (*COALESCING, "splice"))


def calls_of_a_waiting_client(stage, options, said, expects_header=False):
    """Everything that the client has to say is there when it is accepted."""
    backend = low_port_backend(stage)
    proxy = stage.proxy(*options, "127.0.0.1:0", backend.address)
    trace = Trace(stage, proxy.pid)
    for _ in range(2):
        trace.take()
        os.kill(proxy.pid, signal.SIGSTOP)
        client = stage.connect(proxy.listening[0])
        client.sendall(said + REQUEST)
        os.kill(proxy.pid, signal.SIGCONT)
        connection = backend.accept()
        if expects_header:
            read_header(connection)
        read_exactly(connection, 64)
        calls = trace.take()
        client.close()
        assert connection.recv(1) == b""
        connection.close()
        proxy.wait_released()
    trace.strace.kill()
    os.unlink(trace.path)
    del calls["epoll_wait"], calls["restart_syscall"]
    return calls


def test_header_costs_a_peek_and_a_read(stage):
    """One that is sent costs the look at both addresses, and one write."""
    before = calls_of_a_waiting_client(stage, [], b"")
    accepted = calls_of_a_waiting_client(stage, ["--accept-proxy-protocol=any"], v2())
    sent = calls_of_a_waiting_client(stage, ["--send-proxy-protocol=v2"], b"", True)
    both = ["--accept-proxy-protocol=any", "--send-proxy-protocol=v2"]
    passed_on = calls_of_a_waiting_client(stage, both, v2(), True)
    assert accepted - before == {"recvfrom": 2}
    assert sent - before == {"getpeername": 1, "getsockname": 1, "sendto": 1}
    assert passed_on - before == {"recvfrom": 2, "sendto": 1}
