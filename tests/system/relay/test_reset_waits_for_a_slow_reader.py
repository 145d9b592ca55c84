# SPDX-License-Identifier: MIT
"""
One side has sent all it had and resets; the other reads slowly: it gets every byte that
was taken, however long that lasts, and the log counts what was delivered.
"""

import re
import socket
import time

import pytest

from support.proc import wait_until
from support.streams import random_bytes, reset, unacknowledged


def read_slowly(sock, rate):
    """Everything up to the end, at so many bytes a second; and how it ended."""
    received, began = bytearray(), time.monotonic()
    sock.settimeout(30)
    try:
        while data := sock.recv(8192):
            received += data
            time.sleep(max(0, began + len(received) / rate - time.monotonic()))
    except ConnectionResetError:
        return bytes(received), "reset"
    return bytes(received), "end"


@pytest.mark.parametrize("size, rate", [(3_000_000, 600_000), (300_000, 100_000)])
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("how", ["reset", "unread"])
def test_reader_gets_everything(stage, data_path, direction, how, size, rate):
    backend = stage.backend()
    backend.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    proxy = stage.proxy("--access-log", *data_path, "127.0.0.1:0", backend.address)
    client = stage.connect(proxy.listening[0], receive_buffer=65536)
    connection = backend.accept()
    breaker, reader = (client, connection) if direction == "up" else (connection, client)
    data = random_bytes(stage.seed, size)
    if how == "unread":  # close() is a reset then
        reader.sendall(b"which nobody reads")
        time.sleep(0.2)
    breaker.sendall(data)
    wait_until(lambda: unacknowledged(breaker) == 0, "the proxy's kernel has every byte", 20)
    breaker.close() if how == "unread" else reset(breaker)
    assert read_slowly(reader, rate) == (data, "reset")
    assert f"{direction}={size} " in proxy.wait_log("reason=")[0]


@pytest.mark.parametrize("direction", ["up", "down"])
def test_who_reads_nothing_is_not_waited_for(stage, data_path, direction):
    """What the log counts is what the reader's kernel had by then."""
    backend = stage.backend()
    proxy = stage.proxy("--access-log", *data_path, "127.0.0.1:0", backend.address)
    client = stage.connect(proxy.listening[0], receive_buffer=65536)
    connection = backend.accept()
    breaker, reader = (client, connection) if direction == "up" else (connection, client)
    breaker.setblocking(False)
    wait_until(lambda: is_full(breaker), "nothing more is taken", 30)
    reset(breaker)
    line = proxy.wait_log("reason=", 20)[0]
    proxy.wait_released()
    received, end = read_slowly(reader, 1 << 40)
    assert end == "reset"
    assert int(re.search(rf"{direction}=(\d+)", line)[1]) == len(received)


def is_full(sock):
    try:
        for _ in range(100):
            sock.send(bytes(65536))
    except BlockingIOError:
        time.sleep(0.2)
        try:
            sock.send(bytes(65536))
        except BlockingIOError:
            return True
    return False
