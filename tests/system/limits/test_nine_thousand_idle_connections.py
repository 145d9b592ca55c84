# SPDX-License-Identifier: MIT
"""Thousands of idle connections cost two descriptors and half a KiB each, no CPU, and leave nothing behind."""

import resource

import pytest

from support.proc import resident, wait_until
from support.proxy import SANITIZE
from support.streams import read_exactly

WANTED = 9000


def open_connections(stage, proxy, backend, count):
    """One by one: the backend is this process, and its queue is short."""
    clients, connections = [], []
    for _ in range(count):
        clients.append(stage.connect(proxy.listening[0]))
        connections.append(backend.accept())
    return clients, connections


def talk(client, connection):
    client.sendall(b"ping")
    assert read_exactly(connection, 4) == b"ping"
    connection.sendall(b"pong")
    assert read_exactly(client, 4) == b"pong"


@pytest.mark.parametrize("listen", ["tcp", "unix"])
def test_idle(stage, listen):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    count = min(WANTED, (limit - 1500) // 2)
    if count < 1000:
        pytest.skip(f"the hard limit of descriptors is {limit}")
    backend = stage.backend()
    proxy = stage.proxy(stage.front(listen), backend.address)
    before = resident(proxy.pid)
    clients, connections = open_connections(stage, proxy, backend, count)
    assert proxy.excess_sockets() == 2 * count
    used = resident(proxy.pid) - before
    if not SANITIZE:
        assert used <= 512 * count, f"{used / count:.0f} bytes a connection"
    proxy.assert_rests(1.0, limit=0.05)
    for index in range(0, count, 500):
        talk(clients[index], connections[index])
    for sock in clients + connections:
        sock.close()
    proxy.wait_released(60)
    if SANITIZE:
        return
    # libevent keeps its table of descriptors: some 30 bytes for each number that was in use.
    wait_until(lambda: resident(proxy.pid) - before <= 0.35 * used, "the memory is given back", 10)
    open_connections(stage, proxy, backend, count)
    again = resident(proxy.pid) - before
    assert again <= 1.1 * used, f"{again / count:.0f} bytes a connection the second time, {used / count:.0f} the first"
