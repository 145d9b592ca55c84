# SPDX-License-Identifier: MIT
"""A reader that stops reading is held by the kernel's buffers: no CPU, no delay for others, no byte lost."""

import hashlib
import socket
import threading
import time

import pytest

from support.streams import MB, Background, exchange, random_bytes, read_exactly, read_to_end


def paced(sock, stop):
    """Tiny segments, about a thousand a second, until told to stop; gives their hash."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(60)
    hash_ = hashlib.sha256()
    number = 0
    while not stop.is_set():
        segment = b"%-100d" % number
        sock.sendall(segment)
        hash_.update(segment)
        number += 1
        time.sleep(0.001)
    sock.shutdown(socket.SHUT_WR)
    return hash_.hexdigest()


@pytest.mark.parametrize("stuck", ["client", "backend"])
def test_paced_segments(stage, stuck, data_path):
    backend = stage.backend()
    proxy = stage.proxy(*data_path, "--send-buffer-size", "16K", "127.0.0.1:0", backend.address)
    client = stage.connect(proxy.listening[0], receive_buffer=4096)
    if stuck == "backend":
        backend.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.close()
        backend.accept().close()
        client = stage.connect(proxy.listening[0])
    connection = backend.accept()
    reader, writer = (client, connection) if stuck == "client" else (connection, client)

    bulk = Background(writer.sendall, bytes(3 * MB))
    read_exactly(reader, 3 * MB)
    bulk.result()

    stop = threading.Event()
    pacing = Background(paced, writer, stop)
    time.sleep(1.5)
    proxy.assert_rests(2.5, limit=0.6)

    other = stage.connect(proxy.listening[0])
    exchange(other, backend.accept(5), seed=stage.seed)

    stop.set()
    received = read_to_end(reader)
    assert hashlib.sha256(received).hexdigest() == pacing.result()


@pytest.mark.parametrize("listen", ["tcp", "unix"])
def test_bulk_to_a_stuck_reader(stage, listen, data_path):
    backend = stage.backend()
    address = stage.front(listen)
    proxy = stage.proxy(*data_path, address, backend.address)
    data = random_bytes(stage.seed, 32 * MB)
    client = stage.connect(proxy.listening[0])
    sending = Background(lambda: (backend.accept().sendall(data), backend.connections[0].shutdown(socket.SHUT_WR)))
    time.sleep(0.5)
    proxy.assert_rests()

    other = stage.connect(proxy.listening[0])
    exchange(other, backend.accept(5), seed=stage.seed, size=3 * MB)

    assert read_to_end(client) == data
    sending.result()


def test_stuck_reader_of_a_long_stream(stage):
    """One that stops after megabytes is not looked after time and again either."""
    proxy, client, connection = stage.pair()
    sending = Background(connection.sendall, bytes(100 * MB))
    read_exactly(client, 40 * MB)
    time.sleep(1.5)
    assert proxy.wakeups_during(2) <= 4
    read_exactly(client, 60 * MB)
    sending.result()
