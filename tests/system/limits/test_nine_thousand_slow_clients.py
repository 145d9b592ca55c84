# SPDX-License-Identifier: MIT
"""Thousands who send a byte now and then do not hold up one who has much to send."""

import resource
import select

import pytest

from support.streams import MB, Background, exchange

WANTED = 9000


def count_bytes(connections, expected):
    """Reads from all of them until so many bytes have come, each connection's in its own order."""
    received = {connection.fileno(): b"" for connection in connections}
    by_number = {connection.fileno(): connection for connection in connections}
    total = 0
    with select.epoll() as poller:
        for number in by_number:
            poller.register(number, select.EPOLLIN)
        while total < expected:
            ready = poller.poll(30)
            assert ready, f"{total} of {expected} bytes"
            for number, _ in ready:
                data = by_number[number].recv(100)
                assert data
                received[number] += data
                total += len(data)
    return list(received.values())


def test_one_fast_beside_them(stage):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    count = min(WANTED, (limit - 1500) // 2)
    if count < 1000:
        pytest.skip(f"the hard limit of descriptors is {limit}")
    backend = stage.backend()
    proxy = stage.proxy("127.0.0.1:0", backend.address)
    fast = stage.connect(proxy.listening[0])
    fast_connection = backend.accept()
    slow, connections = [], []
    for _ in range(count):
        slow.append(stage.connect(proxy.listening[0]))
        connections.append(backend.accept())
    counting = Background(count_bytes, connections, 3 * count)
    exchanging = Background(exchange, fast, fast_connection, stage.seed, 16 * MB)
    for turn in b"abc":
        for client in slow:
            client.send(bytes([turn]))
    exchanging.result()
    assert counting.result() == [b"abc"] * count
    for sock in slow + connections:
        sock.close()
    stage.close_sockets()
    proxy.wait_released(60)
