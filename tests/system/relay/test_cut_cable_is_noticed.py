# SPDX-License-Identifier: MIT
"""
Peers that vanish without a word: keepalive and the user timeouts end the
connection, and the other side is told by a reset.
"""

import pytest

from support.backend import Backend
from support.network import Network
from support.streams import is_silent, outcome, read_exactly

FRONT, CLIENT = "10.6.0.1", "10.6.0.2"
REAR, BACKEND = "10.6.1.1", "10.6.1.2"

IDLE = {
    "client": "--tcp-keepalive=1000:1:1000",
    "backend": "--backend-tcp-keepalive=1000:1:1000",
}
SENDING = {
    "client": "--tcp-user-timeout=1s",
    "backend": "--backend-tcp-user-timeout=1s",
}


class Cables:
    """A proxy with a network of its own between that of its clients and that of its backend."""

    def __init__(self, stage, option):
        self.front, self.middle, self.rear = Network(), Network(), Network()
        _, client = self.middle.wire(self.front, FRONT, CLIENT)
        _, backend = self.middle.wire(self.rear, REAR, BACKEND)
        self.ends = {"client": (self.front, client), "backend": (self.rear, backend)}
        stage.backends.append(self.rear.run(Backend, host=BACKEND))
        self.proxy = self.middle.run(
            stage.proxy, "--access-log", option, f"{FRONT}:0", stage.backends[-1].address
        )
        self.client = self.front.run(stage.connect, self.proxy.listening[0])
        self.connection = stage.backends[-1].accept()
        self.client.sendall(b"ping")
        assert read_exactly(self.connection, 4) == b"ping"

    def cut(self, side):
        network, name = self.ends[side]
        network.ip("link", "set", name, "down")


@pytest.mark.parametrize("side", ["client", "backend"])
def test_idle(stage, side):
    """Nobody sends: keepalive asks."""
    cables = Cables(stage, IDLE[side])
    other = cables.connection if side == "client" else cables.client
    cables.cut(side)
    assert outcome(other) == (b"", "reset")
    assert cables.proxy.wait_log(f'reason="{side} timed out')
    cables.proxy.wait_released()


@pytest.mark.parametrize("side", ["client", "backend"])
def test_sending(stage, side):
    """Bytes that nobody acknowledges."""
    cables = Cables(stage, SENDING[side])
    other = cables.connection if side == "client" else cables.client
    cables.cut(side)
    other.sendall(b"into the void")
    assert outcome(other) == (b"", "reset")
    assert cables.proxy.wait_log(f'reason="{side} timed out')
    cables.proxy.wait_released()


def test_mended_in_time(stage):
    """A break shorter than the timeout costs nothing but time."""
    cables = Cables(stage, "--tcp-user-timeout=60s")
    cables.cut("client")
    cables.connection.sendall(b"pong")
    assert is_silent(cables.client, 0.5)
    network, name = cables.ends["client"]
    network.ip("link", "set", name, "up")
    assert read_exactly(cables.client, 4) == b"pong"
