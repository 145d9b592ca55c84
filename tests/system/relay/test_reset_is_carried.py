# SPDX-License-Identifier: MIT
"""A reset on one side becomes a reset on the other, after the bytes that came before it."""

import fcntl
import socket
import struct
import termios
import time

import pytest

from support.proc import wait_until
from support.streams import MB, Background, outcome, random_bytes, read_to_end, reset, send_in_background

DIRECTIONS = ["client", "backend"]


def unacknowledged(sock):
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))[0]


def send_until_held_back(sock):
    sock.settimeout(1)
    with pytest.raises(TimeoutError):
        while True:
            sock.send(bytes(MB))


def pair(stage, data_path, direction, listen="127.0.0.1:0"):
    """(proxy, the side that will reset, the side that must see it)"""
    proxy, client, connection = stage.pair(*data_path, "--access-log", listen=listen)
    return (proxy, client, connection) if direction == "client" else (proxy, connection, client)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_at_once(stage, direction, data_path):
    proxy, breaker, other = pair(stage, data_path, direction)
    reset(breaker)
    assert outcome(other, 5) == (b"", "reset")
    proxy.wait_log('reason=".*reset')
    proxy.wait_released()


@pytest.mark.parametrize("size", [MB, 8 * MB])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_after_bytes(stage, direction, size, data_path):
    proxy, breaker, other = pair(stage, data_path, direction)
    data = random_bytes(stage.seed, size)
    reading = Background(outcome, other)
    breaker.sendall(data)
    wait_until(lambda: unacknowledged(breaker) == 0, "the proxy has every byte")
    reset(breaker)
    received, end = reading.result()
    assert received == data, f"{len(received)} of {size} bytes"
    assert end == "reset"
    proxy.wait_log(f'reason=".*{direction}.*reset')


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_reader_behind(stage, direction, data_path):
    """What the proxy had taken before the reset reaches a reader that starts only then."""
    _, breaker, other = pair(stage, data_path, direction)
    data = random_bytes(stage.seed, 64 * MB)
    breaker.setblocking(False)
    sent, last = 0, time.monotonic()
    while time.monotonic() - last < 0.3 and sent < len(data):
        try:
            sent += breaker.send(data[sent : sent + MB])
            last = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    taken = sent - unacknowledged(breaker)
    assert taken > 100_000
    reset(breaker)
    received, end = outcome(other)
    assert end == "reset"
    assert len(received) >= taken
    assert received == data[: len(received)]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_after_the_other_has_ended(stage, direction, data_path):
    """Half-closed one way, reset the other way."""
    _, breaker, other = pair(stage, data_path, direction)
    other.shutdown(socket.SHUT_WR)
    assert read_to_end(breaker) == b""
    breaker.sendall(b"some")
    wait_until(lambda: unacknowledged(breaker) == 0, "the proxy has every byte")
    reset(breaker)
    assert outcome(other) == (b"some", "reset")


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_reset_under_a_writer(stage, direction, data_path):
    """One side resets while the other is sending in bulk: the sender is told by a reset."""
    proxy, breaker, other = pair(stage, data_path, direction)
    sending = send_in_background(other, bytes(64 * MB))
    time.sleep(0.3)
    reset(breaker)
    with pytest.raises(ConnectionError):
        sending.result()
    proxy.wait_released()


def test_backend_reset_ends_a_unix_client(stage, data_path):
    """A UNIX client cannot be sent a reset: it gets the bytes and a plain end."""
    proxy, breaker, client = pair(stage, data_path, "backend", listen=stage.path("app.sock"))
    data = random_bytes(stage.seed, MB)
    reading = Background(outcome, client)
    breaker.sendall(data)
    wait_until(lambda: unacknowledged(breaker) == 0, "the proxy has every byte")
    reset(breaker)
    assert reading.result() == (data, "end")
    proxy.wait_log('reason=".*backend.*reset')


def test_unix_client_that_leaves_bytes_unread(stage, data_path):
    """Closing a UNIX socket with unread bytes is its reset: the backend sees a TCP one."""
    _, client, connection = pair(stage, data_path, "client", listen=stage.path("app.sock"))
    connection.sendall(b"never read")
    wait_until(lambda: client.recv(1, socket.MSG_PEEK), "the bytes are there")
    client.close()
    assert outcome(connection, 5) == (b"", "reset")


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


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_reader_that_pauses(stage, direction, data_path):
    """What is on its way is waited for, for up to a second without a byte."""
    proxy, breaker, other = pair(stage, data_path, direction)
    other.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    data = random_bytes(stage.seed, 300_000)
    breaker.sendall(data)
    wait_until(lambda: unacknowledged(breaker) == 0, "the proxy has every byte")
    reset(breaker)
    time.sleep(0.4)
    assert outcome(other) == (data, "reset")


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_reader_that_never_reads(stage, direction, data_path):
    """It is waited for no longer."""
    proxy, breaker, other = pair(stage, data_path, direction)
    send_until_held_back(breaker)
    reset(breaker)
    proxy.wait_log('reason=".*reset', 10)
    proxy.wait_released()


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_end_that_is_not_read(stage, direction, data_path):
    """A side that has ended, or that is held back, is watched all the same."""
    proxy, breaker, other = pair(stage, data_path, direction)
    breaker.shutdown(socket.SHUT_WR)
    assert read_to_end(other) == b""
    time.sleep(0.3)
    reset(breaker)
    proxy.wait_log('reason=".*(reset|gone)')
    with pytest.raises(ConnectionError):
        while True:
            other.send(b"x")

    proxy, breaker, other = pair(stage, data_path, direction)
    send_until_held_back(breaker)
    reset(breaker)
    wait_until(lambda: proxy.grep('reason=".*(reset|gone)'), "the reset is noticed")
