# SPDX-License-Identifier: MIT
"""Past max-held clients wait in the kernel's backlog, until a server has answered those that are held."""

import pytest

from support.backend import Reserved, echo
from support.proc import holds_for, wait_until
from support.streams import read_exactly, round_trip


@pytest.mark.parametrize("workers", [1, 4])
def test_the_rest_waits_its_turn(stage, workers):
    port = Reserved(stage)
    proxy = stage.proxy("--max-held=3", "--connect-timeout=60s", f"--workers={workers}", "127.0.0.1:0", port.address)
    clients = [stage.connect(proxy.listening[0], 60) for _ in range(9)]
    for number, client in enumerate(clients):
        client.sendall(b"%d" % number)
    wait_until(lambda: proxy.excess_sockets() >= 3, "three are held")
    holds_for(lambda: proxy.excess_sockets() <= 6, "no more than three", 1)  # each may be in the middle of an attempt
    assert len(proxy.grep("its max-held is reached")) == 1
    port.open()
    connections = [port.accept(stage, 20) for _ in clients]
    assert {read_exactly(connection, 1) for connection in connections} == {b"%d" % number for number in range(9)}


def test_who_is_served_is_not_held(stage):
    proxy = stage.proxy("--max-held=1", "127.0.0.1:0", stage.backend(echo).address)
    for client in [stage.connect(proxy.listening[0]) for _ in range(30)]:
        round_trip(client)


def test_who_leaves_makes_room(stage):
    """A client that gives up is one fewer, and the next one is held instead of it."""
    proxy = stage.proxy(
        "--max-held=1", "--connect-timeout=60s", "--access-log", stage.path("front"), Reserved(stage).address
    )
    for _ in range(3):
        client = stage.connect(stage.path("front"))
        following = stage.connect(stage.path("front"))
        said = len(proxy.grep("client left while the backend was awaited"))
        client.close()
        wait_until(lambda n=said: len(proxy.grep("client left while")) == n + 1, "it has left")
        following.close()
        wait_until(lambda n=said: len(proxy.grep("client left while")) == n + 2, "so has the next one")


def test_full_server(stage):
    """Who waits for room is held, too; other proxies go on."""
    backend, other = stage.backend(echo), stage.backend(echo)
    file = stage.file(
        "sockfront.conf",
        f"""
        [proxy a]
        listen = {stage.path("a")}
        backend = {backend.address} max=1
        max-held = 2
        connect-timeout = 60s
        [proxy b]
        listen = {stage.path("b")}
        backend = {other.address}
        """,
    )
    proxy = stage.proxy("-c", file, sockets=2)
    clients = [stage.connect(stage.path("a")) for _ in range(5)]
    round_trip(clients[0])
    holds_for(lambda: proxy.excess_sockets() <= 2 * 3, "one is served, two are held", 0.5)
    round_trip(stage.connect(stage.path("b")))
    for client, following in zip(clients, clients[1:]):
        client.close()
        round_trip(following)
