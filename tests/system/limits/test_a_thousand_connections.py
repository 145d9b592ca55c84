# SPDX-License-Identifier: MIT
"""A thousand connections at once go through TCP and through UNIX, each with its own bytes."""

import resource
import socket

import pytest

from support.streams import random_bytes, read_exactly, read_to_end

COUNT = 1000


@pytest.mark.parametrize("listen", ["tcp", "unix", "abstract"])
def test_thousand(stage, listen):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 3 * COUNT:
        pytest.skip(f"the limit of descriptors is below {3 * COUNT}")
    backend = stage.backend()
    address = {"tcp": "127.0.0.1:0", "unix": stage.path("app.sock"), "abstract": stage.name("app")}[listen]
    proxy = stage.proxy(address, backend.address)
    clients = []
    connections = {}
    for number in range(COUNT):
        clients.append(stage.connect(proxy.listening[0]))
        clients[-1].sendall(b"%08d" % number)
    for _ in range(COUNT):
        connection = backend.accept()
        connections[int(read_exactly(connection, 8))] = connection
    assert sorted(connections) == list(range(COUNT))
    assert proxy.excess_sockets() == 2 * COUNT

    data = random_bytes(stage.seed, 3000 + COUNT)
    for number, client in enumerate(clients):
        client.sendall(data[number : number + 3000])
        client.shutdown(socket.SHUT_WR)
    for number in range(COUNT):
        assert read_to_end(connections[number]) == data[number : number + 3000]
        connections[number].sendall(data[number : number + 2000])
        connections[number].close()
    for number, client in enumerate(clients):
        assert read_to_end(client) == data[number : number + 2000]
        client.close()
    proxy.wait_released()
