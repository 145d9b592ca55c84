# SPDX-License-Identifier: MIT
"""
A reset on one side becomes a reset on the other, after the bytes that came
before it: what is not a row of test_relay_cases.py.
"""

import socket
import time

import pytest

from support.proc import wait_until
from support.streams import MB, outcome, random_bytes, reset, unacknowledged

def fill(sock, data):
    """Sends as much of it as finds room; returns how much."""
    sock.setblocking(False)
    sent, last = 0, time.monotonic()
    while time.monotonic() - last < 0.3 and sent < len(data):
        try:
            sent += sock.send(data[sent : sent + MB])
            last = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    return sent


@pytest.mark.parametrize("reader", ["silent", "held back"])
@pytest.mark.parametrize("direction", ["client", "backend"])
def test_reader_behind(stage, direction, reader, data_path):
    """What the proxy had taken before the reset reaches a reader that starts only then, whatever that has sent."""
    _, client, connection = stage.pair(*data_path)
    breaker, other = (client, connection) if direction == "client" else (connection, client)
    data = random_bytes(stage.seed, 64 * MB)
    if reader == "held back":
        fill(other, bytes(64 * MB))
    sent = fill(breaker, data)
    taken = sent - unacknowledged(breaker)
    assert taken > 100_000
    reset(breaker)
    received, end = outcome(other)
    assert end == "reset"
    assert len(received) >= taken
    assert received == data[: len(received)]


def test_inetd_backend_reset(stage):
    """Under inetd the one client sees its connection end, and the process does."""
    proxy, ours, connection = stage.inetd_pair()
    connection.sendall(b"some")
    wait_until(lambda: ours.recv(4, socket.MSG_PEEK) == b"some", "the bytes are there")
    reset(connection)
    assert outcome(ours, 5) == (b"some", "end")
    assert proxy.wait() in (0, 1)


def test_backend_that_turns_clients_away(stage):
    """Its words come through, however soon after the handshake it resets."""

    def refuse(connection):
        connection.sendall(b"-ERR busy\r\n")
        reset(connection)

    backend = stage.backend(refuse)
    proxy = stage.proxy(stage.path("app.sock"), backend.address)
    for _ in range(400):
        assert stage.visit(proxy.listening[0]) == (b"-ERR busy\r\n", "end")
