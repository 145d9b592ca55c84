# SPDX-License-Identifier: MIT
"""No address of a backend that is silent keeps a client from one that answers."""

import socket

import pytest

from support.backend import Backend, Deaf
from support.names import Hosts
from support.network import Network
from support.proc import free_port, wait_until
from support.streams import exchange


@pytest.mark.parametrize("timeout", ["60s", "infinity"])
def test_silent_first_address(stage, timeout):
    """It had a share of connect-timeout once: with infinity the client would wait for ever."""
    silent = Deaf(stage)
    backend = stage.backend(host="127.0.0.2", port=silent.port)
    hosts = Hosts(stage, "127.0.0.1 two.test\n127.0.0.2 two.test\n")
    proxy = stage.proxy(
        f"--connect-timeout={timeout}", "127.0.0.1:0", f"two.test:{silent.port}", handover=hosts.handover
    )
    for turn in range(3):
        client = stage.connect(proxy.listening[0])
        connection = backend.accept(10)
        wait_until(lambda: proxy.excess_sockets() == 2, "the handshake that lost is closed")
        exchange(client, connection, seed=turn, size=1000)
        proxy.wait_released()


def test_one_that_answers_late_after_all(stage):
    """All are waited for: the first one to answer is not the last one tried."""
    late = Deaf(stage)
    Deaf(stage, host="127.0.0.2", port=late.port)
    hosts = Hosts(stage, "127.0.0.1 two.test\n127.0.0.2 two.test\n")
    proxy = stage.proxy("--connect-timeout=60s", "127.0.0.1:0", f"two.test:{late.port}", handover=hosts.handover)
    client = stage.connect(proxy.listening[0])
    wait_until(lambda: proxy.excess_sockets() == 3, "both are being tried")
    late.serve(lambda connection: connection.sendall(b"here"))
    client.settimeout(60)
    assert client.recv(4, socket.MSG_WAITALL) == b"here"
    wait_until(lambda: proxy.excess_sockets() <= 2, "the other handshake is closed")


def test_hundred_addresses(stage):
    """All but the last refuse, which no pause comes between."""
    port = free_port()
    backend = stage.backend(host="127.1.0.100", port=port)
    hosts = Hosts(stage, "".join(f"127.1.0.{i} many.test\n" for i in range(1, 101)))
    proxy = stage.proxy("--connect-retry=no", "127.0.0.1:0", f"many.test:{port}", handover=hosts.handover)
    exchange(stage.connect(proxy.listening[0]), backend.accept(10), seed=stage.seed, size=1000)


class LinkLocal:
    """A backend behind a wire that can be cut and laid anew; the interface keeps its name."""

    def __init__(self, stage):
        self.stage, self.here, self.there = stage, Network(), None
        self.lay()

    def lay(self):
        self.there = Network()
        name, far = self.here.wire(self.there, "10.7.7.1", "10.7.7.2")
        self.there.ip("-6", "address", "add", "fe80::7/64", "dev", far, "nodad")
        if name != "wire":
            self.here.ip("link", "set", name, "down")
            self.here.ip("link", "set", name, "name", "wire")
            self.here.ip("link", "set", "wire", "up")
        self.here.ip("-6", "address", "add", "fe80::1/64", "dev", "wire", "nodad")
        self.backend = self.there.run(Backend, host="::", port=80)
        self.stage.backends.append(self.backend)
        return self.backend

    def cut(self):
        self.here.ip("link", "delete", "wire")


def test_interface_made_anew(stage):
    """It has another number then: a new client is served, and one that came in between."""
    wire = LinkLocal(stage)
    proxy = wire.here.run(
        stage.proxy, "--connect-timeout=60s", stage.path("app.sock"), "[fe80::7%wire]:80"
    )
    exchange(stage.connect(proxy.listening[0]), wire.backend.accept(10), seed=1, size=1000)
    wire.cut()
    client = stage.connect(proxy.listening[0])
    proxy.wait_log("cannot be reached")
    backend = wire.lay()
    exchange(client, backend.accept(30), seed=2, size=1000)
    exchange(stage.connect(proxy.listening[0]), backend.accept(10), seed=3, size=1000)
