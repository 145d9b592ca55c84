# SPDX-License-Identifier: MIT
"""
A backend whose address leads to a listener of ours, in whatever way, costs each client one turn
and nobody else anything; one that only looks like it is served.
"""

import contextlib
import socket

import pytest

from support.backend import Backend
from support.names import Hosts
from support.network import Network
from support.proc import wait_until
from support.proxy import run
from support.streams import exchange, outcome

BACK = 'reason="our own connection came back"'


@pytest.fixture
def network():
    """10.7.7.1 is ours; what is added later is a second address of that interface."""
    network = Network()
    network.name, _ = network.wire(Network(), "10.7.7.1", "10.7.7.2")
    return network


def add(network, address):
    network.ip("address", "add", address, "dev", network.name)


def proxies(stage, network, backend, *options, handover=()):
    """One that may be its own backend, and another of the same process."""
    service = network.run(Backend, host="127.0.0.1", port=0)
    stage.backends.append(service)
    file = stage.file(
        "sockfront.conf",
        f"[proxy a]\nlisten = *:7000\nbackend = {backend}\nconnect-timeout = 60s\n"
        f"[proxy b]\nlisten = {stage.path('b')}\nbackend = {service.address}\n",
    )
    proxy = network.run(stage.proxy, "--access-log", *options, "-c", file, sockets=2, handover=handover)
    return proxy, service


def come(stage, network):
    client = stage.keep(network.run(socket.create_connection, ("10.7.7.1", 7000)))
    client.sendall(b"round and round")
    return client


def assert_one_turn(stage, network, proxy, service, clients=3):
    """Each client is reset after one turn, the log has both addresses, others are served."""
    for number in range(1, clients + 1):
        client = come(stage, network)
        exchange(stage.connect(stage.path("b")), service.accept(), seed=stage.seed, size=1000)
        assert outcome(client) == (b"", "reset")
        proxy.wait_released()
        wait_until(lambda n=number: len(proxy.grep(BACK)) >= n, "the log has this one too")
        assert len(proxy.grep(BACK)) == number
    assert "client=10.7.7." in proxy.grep(BACK)[0] and "*:7000" in proxy.grep(BACK)[0]
    said = proxy.grep("warning: backend .*: our own connection came back")
    assert said and "10.7.7.5:7000" in said[0] and "client 10.7.7." in said[0] and "*:7000" in said[0]


@pytest.mark.parametrize("workers", [1, 4])
def test_second_address(stage, network, workers):
    """From the start: the kernel would use another one as its source."""
    add(network, "10.7.7.5/24")
    proxy, service = proxies(stage, network, "10.7.7.5:7000", f"--workers={workers}")
    assert_one_turn(stage, network, proxy, service)


@pytest.mark.parametrize("workers", [1, 4])
def test_address_that_moves_here(stage, network, workers):
    """Clients that wait for it already, and those that come later."""
    proxy, service = proxies(stage, network, "10.7.7.5:7000", f"--workers={workers}")
    network.ip("route", "add", "unreachable", "10.7.7.5/32")
    waiting = come(stage, network)
    proxy.wait_log("cannot be reached")
    add(network, "10.7.7.5/32")
    assert outcome(waiting) == (b"", "reset")
    proxy.wait_released()
    proxy.wait_log(BACK)
    client = come(stage, network)
    assert outcome(client) == (b"", "reset")
    exchange(stage.connect(stage.path("b")), service.accept(), seed=stage.seed, size=1000)


def test_client_that_leaves(stage, network):
    """Nothing goes on without it."""
    add(network, "10.7.7.5/24")
    proxy, service = proxies(stage, network, "10.7.7.5:7000")
    for _ in range(20):
        come(stage, network).close()
    proxy.wait_released(20)
    proxy.assert_rests(1.0)
    assert len(proxy.grep("reason=")) <= 40
    exchange(stage.connect(stage.path("b")), service.accept(), seed=stage.seed, size=1000)


def test_literal_address_of_this_machine_is_refused(network):
    """At the start already, as one of the loopback is."""
    status, _, log = network.run(run, "*:7000", "10.7.7.1:7000")
    assert status in (1, 2)
    assert "10.7.7.1:7000" in log and "our own listener" in log


def test_the_same_port_of_another_machine(stage):
    """Clients of the proxy's own machine too, whatever ports they have."""
    here, there = Network(), Network()
    here.wire(there, "10.7.7.1", "10.7.7.2")
    backend = there.run(Backend, host="10.7.7.2", port=7000)
    stage.backends.append(backend)
    proxy = here.run(stage.proxy, "--access-log", "--workers=2", "*:7000", "10.7.7.2:7000")
    for turn in range(50):
        client = stage.keep(here.run(socket.create_connection, ("10.7.7.1", 7000)))
        exchange(client, backend.accept(), seed=turn, size=1000)
    proxy.wait_released()
    assert not proxy.grep("came back")


@pytest.mark.parametrize("bound, name", [("127.0.0.1", None), ("0.0.0.0", None), ("127.0.0.1", "localhost")])
def test_the_same_address_in_another_namespace(stage, bound, name):
    """The listener was opened elsewhere and passed in: its clients' ports may be those of our own."""
    outside, inside = Network(), Network()
    listener = outside.run(stage.listener, f"{bound}:0")
    port = listener.getsockname()[1]
    backend = inside.run(Backend, host="127.0.0.1", port=port)
    stage.backends.append(backend)
    proxy = inside.run(
        stage.proxy,
        "accept-from-fd:%d" % listener.fileno(),
        f"{name or '127.0.0.1'}:{port}",
        pass_fds=[listener.fileno()],
    )
    for turn in range(20):
        client = stage.keep(outside.run(socket.create_connection, ("127.0.0.1", port)))
        exchange(client, backend.accept(), seed=turn, size=1000)
    proxy.wait_released()
    assert not proxy.grep("came back|our own")


def test_name_that_leads_here_later(stage, network):
    """What the resolver's answer shows is known before a connection is made."""
    hosts = Hosts(stage, "10.7.7.1 here.test\n")
    proxy, service = proxies(stage, network, "here.test:7000", handover=hosts.handover)
    with contextlib.suppress(ConnectionResetError):  # it is turned away at once
        come(stage, network)
    assert "listener of ours" in proxy.wait_log("reason=")[0]
    exchange(stage.connect(stage.path("b")), service.accept(), seed=stage.seed, size=1000)
