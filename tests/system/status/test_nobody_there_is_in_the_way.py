# SPDX-License-Identifier: MIT
"""Whatever those do who ask the status address: others get their turn, and the proxy does not notice."""

import select
import socket
import time

import pytest

from support.backend import echo
from support.configuration import section
from support.proc import kinds, resident, wait_until
from support.stage import endpoint
from support.status import ask, request, with_status
from support.streams import round_trip

MOST = 64


def started(stage, *listen, options=""):
    backend = stage.backend(echo)
    proxy, addresses = with_status(stage, section(backend, "127.0.0.1:0"), *(listen or ["127.0.0.1:0"]), options=options)
    return proxy, addresses[0]


def open_clients(stage, address, count, first=b""):
    """Those past the 64th wait in the queue."""
    clients = []
    for _ in range(count):
        client = stage.connect(address)
        client.setblocking(False)
        if first:
            client.send(first)
        clients.append(client)
    return clients


def wait_taken(proxy, count):
    wait_until(lambda: proxy.excess_sockets() >= count, f"{count} clients are accepted")


@pytest.mark.parametrize("first", [b"", b"GET /healthz HTTP/1.1\r\nHost: local", b"POST /healthz HTTP/1.1\r\n"
                                   b"Host: localhost\r\nContent-Length: 1000\r\n\r\nx"],
                         ids=["silent", "headers", "body"])
def test_one_that_never_finishes_asking(stage, first):
    """It is gone 5 s after it came, and no more than 64 are there at once."""
    proxy, address = started(stage)
    began = time.monotonic()
    clients = open_clients(stage, address, 100, first)
    wait_taken(proxy, MOST)
    assert proxy.excess_sockets() <= MOST + 1
    with stage.connect(proxy.listening[0]) as client:
        round_trip(client)
    assert ask(stage, address).code == 200
    assert time.monotonic() - began > 4, "it was its turn too early"
    for client in clients:
        assert select.select([client], [], [], 20)[0], "it is still there"
    stage.close_sockets()
    proxy.wait_released(20)


def test_one_that_asks_a_byte_at_a_time(stage):
    """The time is that of the whole request."""
    proxy, address = started(stage)
    client = stage.connect(address)
    began = time.monotonic()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        for byte in request("/" + "x" * 4000):
            client.send(bytes([byte]))
            time.sleep(0.05)
    assert time.monotonic() - began > 4


@pytest.mark.parametrize("data", [b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 20000, b"GET /" + b"x" * 20000,
                                  b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 4000,
                                  b"POST /healthz HTTP/1.1\r\nContent-Length: 20000\r\n\r\n",
                                  b"POST /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  + b"1000\r\n" + b"x" * 0x1000 + b"\r\n" + b"ffff\r\n" + b"x" * 20000],
                         ids=["header", "line", "headers", "body", "chunks"])
def test_large_requests(stage, data):
    """More than 16 KiB are not read to their end: it is told so, or cut off."""
    proxy, address = started(stage)
    client = stage.connect(address)
    try:
        client.sendall(data)
        got = client.recv(100)
    except (BrokenPipeError, ConnectionResetError):
        got = b""
    assert got == b"" or int(got.split(b" ")[1]) in (400, 413)
    assert ask(stage, address).code == 200


def test_large_but_not_too_large(stage):
    proxy, address = started(stage)
    assert ask(stage, address, "/healthz", "localhost", "X: " + "x" * 15000).code == 200


def pour(client, data):
    """As much as goes in; how much that was, and whether the other side has hung up."""
    sent = 0
    while True:
        try:
            sent += client.send(data)
        except BlockingIOError:
            return sent, False
        except (BrokenPipeError, ConnectionResetError):
            return sent, True


@pytest.mark.parametrize("first", [b"", request()], ids=["in a header", "behind a request"])
def test_memory_is_bounded(stage, first):
    """67 MB from each of 64 at once: nothing is kept of it."""
    proxy, address = started(stage)
    ask(stage, address)
    before = resident(proxy.pid)
    piece = (b"X: " + b"y" * 1000 + b"\r\n" if not first else request()) * 64
    clients = open_clients(stage, address, MOST, first or b"GET /healthz HTTP/1.1\r\n")
    total, left, most = {}, set(clients), before
    deadline = time.monotonic() + 60
    while left and time.monotonic() < deadline:
        for client in list(left):
            sent, over = pour(client, piece)
            total[client] = total.get(client, 0) + sent
            if over or total[client] > 67_000_000:
                left.remove(client)
        most = max(most, resident(proxy.pid))
    assert not left, "they were not ended"
    assert most - before < 16 << 20, f"{(most - before) >> 20} MiB more"


def test_a_hundred_of_every_kind(stage):
    """And the connections of the proxy go on as if there were none."""
    proxy, address = started(stage)
    through = stage.connect(proxy.listening[0])
    kinds_of_first = [b"", b"GET /", b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 9000, request() * 50]
    for i in range(100):
        open_clients(stage, address, 1, kinds_of_first[i % 4])
        round_trip(through)
    assert ask(stage, address).code == 200
    round_trip(through)
    stage.close_sockets()
    proxy.wait_released(20)


def test_descriptors_are_given_back(stage):
    proxy, address = started(stage)
    for _ in range(200):
        assert ask(stage, address).code == 200
    clients = open_clients(stage, address, MOST)
    wait_taken(proxy, MOST)
    for client in clients:
        client.close()
    proxy.wait_released()
    assert proxy.grep("status on") and len(kinds(proxy.pid)) > 1


def test_reset_in_masses(stage):
    proxy, address = started(stage)
    family, where = endpoint(address)
    for i in range(300):
        client = socket.socket(family)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.connect(where)
        if i % 2:
            client.send(request())
        client.close()
    assert ask(stage, address).code == 200
    proxy.wait_released()
