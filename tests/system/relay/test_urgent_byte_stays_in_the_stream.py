# SPDX-License-Identifier: MIT
"""An urgent byte goes through in its place, without its mark, and stops nothing."""

import errno
import socket
import time

import pytest

from support.stage import address_of
from support.streams import MB, Background, digest, random_bytes, read_exactly, read_to_end

DIRECTIONS = ["to backend", "to client"]


def pair(stage, direction, data_path):
    proxy, client, connection = stage.pair(*data_path)
    return (proxy, client, connection) if direction == "to backend" else (proxy, connection, client)


@pytest.mark.parametrize("pause", [0, 0.3])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_in_the_middle(stage, direction, pause, data_path):
    proxy, sender, reader = pair(stage, direction, data_path)
    before, after = random_bytes("before", 6 * MB), random_bytes("after", 6 * MB)

    def send():
        sender.sendall(before)
        time.sleep(pause)
        sender.send(b"!", socket.MSG_OOB)
        time.sleep(pause)
        sender.sendall(after)
        sender.shutdown(socket.SHUT_WR)

    sending = Background(send)
    received = read_to_end(reader)
    sending.result()
    assert len(received) == 12 * MB + 1
    assert digest(received) == digest(before + b"!" + after)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_as_the_last_byte(stage, direction, data_path):
    _, sender, reader = pair(stage, direction, data_path)
    data = random_bytes(stage.seed, 4 * MB)

    def send():
        sender.sendall(data)
        sender.send(b"!", socket.MSG_OOB)
        sender.shutdown(socket.SHUT_WR)

    sending = Background(send)
    assert read_to_end(reader) == data + b"!"
    sending.result()


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_alone_and_often(stage, direction, data_path):
    """Urgent bytes on a connection that has been in bulk mode and went quiet; nothing spins."""
    proxy, sender, reader = pair(stage, direction, data_path)
    sending = Background(sender.sendall, bytes(4 * MB))
    assert read_exactly(reader, 4 * MB) == bytes(4 * MB)
    sending.result()
    for byte in (b"a", b"b", b"c"):
        sender.send(byte, socket.MSG_OOB)
        assert read_exactly(reader, 1, 5) == byte
    proxy.assert_rests(1.0)
    sender.sendall(b"plain")
    assert read_exactly(reader, 5, 5) == b"plain"
    sender.shutdown(socket.SHUT_WR)
    assert read_to_end(reader, 5) == b""


@pytest.mark.parametrize("size", [6, 8 * MB])
def test_from_a_unix_client(stage, size, data_path):
    """UNIX sockets have urgent bytes too, since Linux 5.15."""
    backend = stage.backend()
    proxy = stage.proxy(*data_path, stage.path("app.sock"), backend.address)
    client, data = stage.connect(proxy.listening[0]), random_bytes(stage.seed, size)
    connection = backend.accept()

    def send():
        client.sendall(data)
        client.send(b"!", socket.MSG_OOB)
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)

    sending = Background(send)
    received = read_to_end(connection)
    try:
        sending.result()
    except OSError as error:
        assert error.errno == errno.EOPNOTSUPP
        pytest.skip("this kernel has no urgent bytes on UNIX sockets")
    assert digest(received) == digest(data + b"!" + data)


@pytest.mark.parametrize("take", ["sd-listen", "accept-from-fd:3"])
def test_from_a_client_that_came_before_us(stage, take, data_path):
    """Whose connection is what started the service: its socket is older than any option of ours."""
    backend, listener = stage.backend(), stage.listener()
    clients = [stage.connect(address_of(listener)) for _ in range(3)]
    clients[0].sendall(b"before")
    stage.handed([listener], *data_path, take, backend.address).before = None  # they are there already
    for client in clients:
        connection = backend.accept()
        if client is clients[0]:
            assert read_exactly(connection, 6) == b"before"
        client.send(b"!", socket.MSG_OOB)
        client.sendall(b"after")
        assert read_exactly(connection, 6) == b"!after"
