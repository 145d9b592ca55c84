# SPDX-License-Identifier: MIT
"""A network that is still coming up: no route and no answer are tried again until there is one."""

import socket

import pytest

from support.backend import Backend
from support.network import Network
from support.proc import wait_until
from support.streams import exchange

BACKEND = "10.7.7.7"


@pytest.fixture
def network():
    return Network()


def proxy_inside(stage, network, *options):
    return network.run(
        stage.proxy, "--access-log", "--connect-timeout=60s", *options, stage.path("app.sock"), f"{BACKEND}:80"
    )


def appear(stage, network):
    """The address comes up, and the backend with it."""
    network.ip("address", "add", f"{BACKEND}/32", "dev", "lo")
    backend = network.run(Backend, host=BACKEND, port=80)
    stage.backends.append(backend)
    return backend


def serve_late(stage, network, proxy):
    client = stage.connect(proxy.listening[0])
    client.sendall(b"early")
    wait_until(lambda: proxy.excess_sockets() >= 1, "the client is accepted")
    proxy.assert_rests(1.0)
    backend = appear(stage, network)
    connection = backend.accept()
    assert connection.recv(5, socket.MSG_WAITALL) == b"early"
    exchange(client, connection, seed=stage.seed, size=10_000)


@pytest.mark.parametrize("route", ["unreachable", "none"])
def test_no_route(stage, network, route):
    """EHOSTUNREACH and ENETUNREACH."""
    if route == "unreachable":
        network.ip("route", "add", "unreachable", f"{BACKEND}/32")
    serve_late(stage, network, proxy_inside(stage, network))


def silence(network):
    """Packets leave and nobody takes them: no ARP that would fail and say EHOSTUNREACH."""
    name, _ = network.wire(Network(), "10.7.7.1", "10.7.7.2")
    network.ip("neighbour", "add", BACKEND, "lladdr", "02:00:00:00:00:77", "dev", name, "nud", "permanent")


def test_no_answer(stage, network):
    """ETIMEDOUT, which a user timeout brings about sooner than the kernel's own retries."""
    silence(network)
    serve_late(stage, network, proxy_inside(stage, network, "--backend-tcp-user-timeout=300ms"))


def test_reason_of_no_answer(stage, network):
    silence(network)
    proxy = proxy_inside(stage, network, "--backend-tcp-user-timeout=300ms", "--connect-retry=no")
    assert stage.visit(proxy.listening[0]) == (b"", "end")
    assert "timed out" in proxy.wait_log("reason=")[0]


@pytest.mark.parametrize("kind, word", [("unreachable", "No route"), ("prohibit", "Permission")])
def test_reason(stage, network, kind, word):
    """Without retries, or where trying again is of no use, the reason is in the log."""
    network.ip("route", "add", kind, f"{BACKEND}/32")
    proxy = proxy_inside(stage, network, *(["--connect-retry=no"] if kind == "unreachable" else []))
    assert stage.visit(proxy.listening[0]) == (b"", "end")
    assert word in proxy.wait_log("reason=")[0]
