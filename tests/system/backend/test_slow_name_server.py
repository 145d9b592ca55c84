# SPDX-License-Identifier: MIT
"""A name server that is slow or silent: the last good answer is used after a second, and nobody else waits."""

import pytest

from support.faults import Faults
from support.names import NameServer
from support.proc import wait_until
from support.streams import exchange, outcome, reset


@pytest.fixture
def server(stage):
    return NameServer(stage)


@pytest.fixture
def handover(server):
    """Options that make it the one source of names."""
    return server.handover


@pytest.mark.plain_only("a sanitizer's library must be the first one loaded")
def test_last_good_answer_after_a_second(stage, server, handover):
    backend, faults = stage.backend(), Faults(stage)
    proxy = stage.proxy(
        "127.0.0.1:0", f"service.test:{backend.port}", handover=handover, environment=faults.environment
    )
    exchange(stage.connect(proxy.listening[0]), backend.accept(), seed=1, size=1000)
    server.holding = True
    faults.begin("later")  # the answer is stale
    clients = [stage.connect(proxy.listening[0]) for _ in range(3)]
    for number, client in enumerate(clients):
        client.sendall(bytes([number]))
    connections = [backend.accept(15) for _ in clients]  # the resolver itself would wait for 30 s
    assert server.held
    for connection in connections:
        exchange(clients[connection.recv(1)[0]], connection, seed=stage.seed, size=1000)
    server.let_go()


def test_without_an_older_answer(stage, server, handover):
    """The client is held until connect-timeout; that of another backend is not."""
    server.holding = True
    backend = stage.backend()
    file = stage.file(
        "sockfront.conf",
        f"[proxy a]\nlisten={stage.path('a')}\nbackend=service.test:{backend.port}\nconnect-timeout=2s\n"
        f"[proxy b]\nlisten={stage.path('b')}\nbackend={backend.address}\n",
    )
    proxy = stage.proxy("--access-log", "-c", file, handover=handover, sockets=2)
    waiting = stage.connect(stage.path("a"))
    exchange(stage.connect(stage.path("b")), backend.accept(), seed=1, size=1000)
    assert outcome(waiting) == (b"", "end")
    assert server.held
    assert proxy.wait_log('reason="connect failed: the name does not resolve at the moment"')
    server.let_go()


def test_answer_that_comes_late(stage, server, handover):
    """The first client of all waits longer than a second: there is no older answer."""
    server.holding = True
    backend = stage.backend()
    proxy = stage.proxy("--connect-timeout=60s", "127.0.0.1:0", f"service.test:{backend.port}", handover=handover)
    client = stage.connect(proxy.listening[0])
    proxy.assert_rests(1.5)
    assert server.held
    server.let_go()
    exchange(client, backend.accept(), seed=stage.seed, size=1000)


def test_client_that_leaves_before_the_answer(stage, server, handover):
    """Its attempt ends with it; the answer that comes then is the next client's."""
    server.holding = True
    backend = stage.backend()
    proxy = stage.proxy(
        "--access-log", "--connect-timeout=60s", "127.0.0.1:0", f"service.test:{backend.port}", handover=handover
    )
    quitter = stage.connect(proxy.listening[0])
    wait_until(lambda: server.held, "the name is looked up")
    reset(quitter)
    proxy.wait_log('reason="client')
    patient = stage.connect(proxy.listening[0])
    wait_until(lambda: proxy.excess_sockets() >= 1, "the next one is accepted")
    server.let_go()
    exchange(patient, backend.accept(), seed=stage.seed, size=1000)
