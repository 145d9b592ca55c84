# SPDX-License-Identifier: MIT
"""A client that goes away, or ends, while the backend is awaited costs no CPU and is let go."""

import socket
import time

import pytest

from support.backend import Deaf, Reserved
from support.proc import wait_until
from support.streams import outcome, random_bytes, read_to_end, reset

BACKENDS = {"refusing": Reserved, "silent": Deaf}


@pytest.fixture(params=BACKENDS)
def port(request, stage):
    return BACKENDS[request.param](stage)


def waiting_client(stage, port, listen, timeout):
    """A client that is connected to the proxy, which in turn is still after its backend."""
    proxy = stage.proxy("--access-log", "--connect-timeout", timeout, listen, port.address)
    client = stage.connect(proxy.listening[0])
    wait_until(lambda: proxy.excess_sockets() >= 1, "the client is accepted")
    return proxy, client


@pytest.mark.parametrize("early", [b"", b"early bytes"])
def test_tcp_reset(stage, port, early):
    """A reset is noticed at once, with and without bytes that nobody has read."""
    proxy, client = waiting_client(stage, port, "127.0.0.1:0", "60s")
    client.sendall(early)
    time.sleep(0.2)
    reset(client)
    proxy.wait_released(5)
    proxy.assert_rests()
    assert proxy.wait_log("reason=")


@pytest.mark.parametrize("early", [b"", b"early bytes"])
def test_tcp_end(stage, port, early):
    """An end may be a half-close: the backend is tried until the timeout, without spinning."""
    proxy, client = waiting_client(stage, port, "127.0.0.1:0", "3s")
    client.sendall(early)
    client.close()
    proxy.assert_rests()
    proxy.wait_released()


@pytest.mark.parametrize("early", [b"", b"early bytes"])
@pytest.mark.parametrize("listen", ["path", "abstract"])
def test_unix_close(stage, port, listen, early):
    address = stage.path("app.sock") if listen == "path" else stage.name("app")
    proxy, client = waiting_client(stage, port, address, "4s" if early else "60s")
    client.sendall(early)
    client.close()
    proxy.assert_rests()
    proxy.wait_released()  # at once, unless there is something that the backend may still want


@pytest.mark.parametrize("listen", ["tcp", "path"])
def test_half_close_is_kept_for_the_backend(stage, listen):
    """Early bytes and an early end reach a backend that comes later."""
    port = Reserved(stage)
    address = stage.path("app.sock") if listen == "path" else "127.0.0.1:0"
    proxy, client = waiting_client(stage, port, address, "30s")
    question = random_bytes(stage.seed, 50_000)
    client.sendall(question)
    client.shutdown(socket.SHUT_WR)
    proxy.assert_rests()
    port.open()
    connection = port.accept(stage)
    assert read_to_end(connection) == question
    connection.sendall(b"answer")
    connection.close()
    assert read_to_end(client) == b"answer"


def test_flood_of_early_bytes_waits_in_the_kernel(stage, port):
    """A client that sends all it can while nobody answers is held back by backpressure alone."""
    proxy, client = waiting_client(stage, port, "127.0.0.1:0", "4s")
    client.settimeout(0.5)
    sent = 0
    with pytest.raises(TimeoutError):
        while sent < 512 << 20:
            sent += client.send(bytes(1 << 20))
    proxy.assert_rests()
    assert outcome(client)[1] == "reset"
    proxy.wait_released()
