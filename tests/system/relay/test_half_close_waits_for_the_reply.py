# SPDX-License-Identifier: MIT
"""When one side ends, the other may still reply, however late, in either order."""

import socket
import time

import pytest

from support.backend import speak_first
from support.modes import MODES
from support.streams import MB, Background, is_silent, random_bytes, read_exactly, read_to_end, send_in_background

KINDS = ["tcp-v4", "unix", "abstract", "inherited-connection", "inetd", "inetd-unix"]
SIZES = {"small": 1000, "bulk": 4 * MB}


def pair(stage, mode, data_path):
    backend = stage.backend()
    _, addresses = MODES[mode](stage, backend, *data_path)
    client = stage.connect(addresses[0])
    return client, backend.accept()


def one_after_the_other(first, second, size):
    """first talks and ends; second answers a second later."""
    question, answer = random_bytes("question", size), random_bytes("answer", size)
    sending = send_in_background(first, question)
    assert read_to_end(second) == question
    sending.result()
    time.sleep(1)
    sending = send_in_background(second, answer)
    assert read_to_end(first) == answer
    sending.result()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", KINDS)
def test_client_ends_first(stage, mode, size, data_path):
    client, connection = pair(stage, mode, data_path)
    one_after_the_other(client, connection, SIZES[size])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", KINDS)
def test_backend_ends_first(stage, mode, size, data_path):
    client, connection = pair(stage, mode, data_path)
    one_after_the_other(connection, client, SIZES[size])


@pytest.mark.parametrize("mode", KINDS)
def test_end_before_any_byte(stage, mode):
    """An end is carried at once, not with the next bytes."""
    client, connection = pair(stage, mode, [])
    connection.shutdown(socket.SHUT_WR)
    assert read_to_end(client, 5) == b""
    assert is_silent(connection, 0.5), "the other direction must stay open"
    client.sendall(b"still here")
    assert read_exactly(connection, 10) == b"still here"
    client.shutdown(socket.SHUT_WR)
    assert read_to_end(connection) == b""


@pytest.mark.parametrize("mode", ["tcp-v4", "unix"])
def test_server_speaks_and_closes_first(stage, mode, data_path):
    """A greeting from a server that is done arrives whole, and so does its end."""
    greeting = random_bytes(stage.seed, 4 * MB)
    backend = stage.backend(speak_first(greeting))
    _, addresses = MODES[mode](stage, backend, *data_path)
    client = stage.connect(addresses[0])
    assert read_to_end(client) == greeting
    client.shutdown(socket.SHUT_WR)


def test_end_does_not_overtake_a_slow_reader(stage, data_path):
    """Bytes that wait for a slow reader still come before the end."""
    backend = stage.backend()
    proxy = stage.proxy(*data_path, "127.0.0.1:0", backend.address)
    client = stage.connect(proxy.listening[0], receive_buffer=8192)
    connection = backend.accept()
    data = random_bytes(stage.seed, 6 * MB)
    sending = Background(connection.sendall, data)
    time.sleep(0.5)
    reading = Background(read_to_end, client)
    sending.result()
    connection.close()
    assert reading.result() == data
