# SPDX-License-Identifier: MIT
"""Connections to a backend come from the addresses that backend-source names, or from the client's own."""

import collections
import socket

import pytest

from support.backend import Backend
from support.names import Hosts
from support.network import Network
from support.proxy import run
from support.proxy_protocol import v1
from support.stage import need
from support.streams import exchange, is_silent, reset

PORTS = 20
WITHOUT = ("--bounding-set=-net_admin,-net_raw", "--inh-caps=-net_admin,-net_raw", "--ambient-caps=-all")


def write(network, name, value):
    def inside():
        with open(f"/proc/sys/net/{name}", "w") as file:
            file.write(value)

    network.run(inside)


def reached(service, client):
    """Who the backend says that the client is, over a connection that works."""
    connection = service.accept()
    source = connection.getpeername()[0]
    exchange(client, connection, seed=1, size=1000)
    return source


@pytest.fixture
def few_ports():
    network = Network()
    write(network, "ipv4/ip_local_port_range", f"40000 {40000 + PORTS - 1}")
    return network


@pytest.mark.parametrize("options", [[], ["--workers=2"]])
def test_ports_add_up(stage, few_ports, options):
    """Twenty for each of four addresses; the next client waits for a port."""
    sources = [f"127.0.0.{number}" for number in range(2, 6)]
    service = few_ports.run(Backend, host="127.0.0.1", port=7000)
    stage.backends.append(service)
    path = stage.path("app.sock")
    proxy = few_ports.run(
        stage.proxy, *options, "--backend-source", " ".join(sources), path, "127.0.0.1:7000")
    clients, seen = [], collections.Counter()
    for _ in range(len(sources) * PORTS):
        clients.append(stage.connect(path))
        seen[service.accept().getpeername()[0]] += 1
    assert seen == {source: PORTS for source in sources}
    late = stage.connect(path)
    proxy.wait_log("Cannot assign requested address")
    assert is_silent(late, 0.3)
    reset(clients[7])
    assert reached(service, late) in sources


def test_without_it_one_address_is_all(stage, few_ports):
    service = few_ports.run(Backend, host="127.0.0.1", port=7000)
    stage.backends.append(service)
    path = stage.path("app.sock")
    proxy = few_ports.run(stage.proxy, path, "127.0.0.1:7000")
    for _ in range(PORTS):
        stage.connect(path)
        assert service.accept().getpeername()[0] == "127.0.0.1"
    stage.connect(path)
    proxy.wait_log("Cannot assign requested address")


@pytest.mark.parametrize("source, host", [("127.0.0.9", "127.0.0.1"), ("::1", "::1")])
def test_each_family(stage, source, host):
    service = stage.backend(host=host)
    path = stage.path("app.sock")
    stage.proxy("--backend-source", source, path, service.address)
    assert reached(service, stage.connect(path)) == source


def test_address_of_the_name_that_has_a_family_to_come_from(stage):
    """localhost may be ::1 first; there is an address of IPv4 alone."""
    service = stage.backend()
    path = stage.path("app.sock")
    stage.proxy("--backend-source=127.0.0.9", path, service.address.replace("127.0.0.1", "localhost"))
    assert reached(service, stage.connect(path)) == "127.0.0.9"


def test_address_that_this_machine_does_not_have(stage):
    """It is said with its name, the others serve, and it may come later."""
    service = stage.backend()
    path = stage.path("app.sock")
    proxy = stage.proxy("--backend-source=192.0.2.55 127.0.0.9", path, service.address)
    for _ in range(4):
        assert reached(service, stage.connect(path)) == "127.0.0.9"
    proxy.wait_log("backend-source: no connection can come from 192.0.2.55:0: Cannot assign requested address")


@pytest.mark.parametrize("options, backend, said", [
    (["--backend-source=10.0.0.1"], "/run/b.sock", 'backend-source: "/run/b.sock" is no TCP address'),
    (["--backend-source=10.0.0.1"], "[::1]:80", "has an IPv6 address, and none of these has"),
    (["--backend-source=::1"], "127.0.0.1:80", "has an IPv4 address, and none of these has"),
    (["--backend-source=10.0.0.1:80"], "127.0.0.1:80", "without a port"),
    (["--backend-source=client", "--backend-source=::1"], "127.0.0.1:80", '"client" cannot be combined'),
    (["--backend-source=client 10.0.0.1"], "127.0.0.1:80", '"client" cannot be combined'),
])
def test_what_cannot_be(options, backend, said):
    status, _, log = run(*options, "127.0.0.1:0", backend)
    assert status == 2 and said in log, log


# ---- the client's own address ----


class Path:
    """A client's network, the proxy's in the middle, and a backend's whose way out is through the proxy's."""

    def __init__(self):
        self.client, self.middle, self.far = Network(), Network(), Network()
        self.middle.wire(self.client, "10.7.1.1", "10.7.1.2")
        back, _ = self.middle.wire(self.far, "10.7.2.1", "10.7.2.2")
        self.far.ip("route", "add", "default", "via", "10.7.2.1")
        self.middle.ip("route", "add", "198.51.100.0/24", "via", "10.7.2.2")
        # What comes back for a client's address is ours.
        self.middle.ip("rule", "add", "iif", back, "lookup", "100")
        self.middle.ip("route", "add", "local", "default", "dev", "lo", "table", "100")

    def serve(self, stage):
        service = self.far.run(Backend, host="10.7.2.2", port=7000)
        stage.backends.append(service)
        return service

    def connect(self, stage):
        return stage.keep(self.client.run(socket.create_connection, ("10.7.1.1", 7001), 10))


@pytest.fixture
def way():
    return Path()


@pytest.mark.parametrize("backend", ["10.7.2.2:7000", "far.example:7000"])
def test_client(stage, way, backend):
    """A name is looked up first: the address is kept meanwhile."""
    service = way.serve(stage)
    handover = Hosts(stage, "10.7.2.2 far.example\n").handover
    way.middle.run(stage.proxy, "--backend-source=client", "10.7.1.1:7001", backend, handover=handover)
    for _ in range(3):
        assert reached(service, way.connect(stage)) == "10.7.1.2"


@pytest.mark.parametrize("options", [[], ["--access-log"]])
def test_client_of_whom_a_header_tells(stage, way, options):
    service = way.serve(stage)
    way.middle.run(
        stage.proxy, *options, "--accept-proxy-protocol=10.7.1.0/24", "--backend-source=client", "10.7.1.1:7001",
        "10.7.2.2:7000")
    client = way.connect(stage)
    client.sendall(v1(("203.0.113.9", 4711), ("10.7.1.1", 7001)))
    assert reached(service, client) == "203.0.113.9"


def test_client_without_an_address_to_come_from(stage, way):
    """A UNIX socket's, or one of this machine's loopback: the system chooses."""
    service = way.serve(stage)
    path = stage.path("app.sock")
    proxy = way.middle.run(
        stage.proxy, "--backend-source=client", path, "127.0.0.1:7001", "10.7.2.2:7000", sockets=2)
    assert reached(service, stage.connect(path)) == "10.7.2.1"
    client = stage.keep(way.middle.run(socket.create_connection, ("127.0.0.1", 7001), 10))
    assert reached(service, client) == "10.7.2.1"
    assert not proxy.grep("warning"), proxy.log


def test_without_the_capability(stage):
    """One clear message: a start ends with it, a reload goes on with what there was."""
    file = stage.path("sockfront.conf")
    text = f"[proxy a]\nlisten = {stage.path('app.sock')}\nbackend = 127.0.0.1:9\n"
    said = r":1: \[proxy a\]: backend-source = client needs the capability CAP_NET_ADMIN; .*AmbientCapabilities="
    stage.file("sockfront.conf", text)
    proxy = stage.proxy("-c", file, prefix=[need("setpriv"), *WITHOUT])
    stage.file("sockfront.conf", text + "backend-source = client\n")
    assert "reload failed" in proxy.reload()
    assert len(proxy.grep(said)) == 1
    assert proxy.alive()
    proxy.finish()
    refused = stage.proxy("-c", file, prefix=[need("setpriv"), *WITHOUT], sockets=0)
    assert refused.wait() == 1
    assert len(refused.grep(said)) == 1 and len(refused.lines) <= 2, refused.log
    refused.ended_as_expected = True
