# SPDX-License-Identifier: MIT
"""READY=1 comes when clients can connect, STOPPING=1 when the end begins; a deaf manager delays nobody."""

import signal
import socket

import pytest

from support.streams import exchange, is_silent, read_exactly


def manager(stage, kind):
    """A NOTIFY_SOCKET: the socket and the variable's value."""
    sock = stage.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    name = stage.path("notify") if kind == "path" else stage.name("notify")
    sock.bind(name if kind == "path" else "\0" + name[1:])
    sock.settimeout(10)
    return sock, {"NOTIFY_SOCKET": name}


def told(sock, word):
    """Reads messages until one has that line."""
    while True:
        lines = sock.recv(8192).decode().splitlines()
        if word in lines:
            return lines


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_ready_and_stopping(stage, kind):
    sock, environment = manager(stage, kind)
    backend = stage.backend()
    path = stage.path("app.sock")
    proxy = stage.proxy(path, backend.address, sockets=0, environment=environment)
    told(sock, "READY=1")
    client = stage.connect(path)
    connection = backend.accept()
    exchange(client, connection, seed=stage.seed)
    client.close()
    connection.close()

    client = stage.connect(path)
    connection = backend.accept()
    proxy.signal(signal.SIGTERM)
    told(sock, "STOPPING=1")
    assert is_silent(client, 0.3), "STOPPING=1 begins the drain, it does not cut"
    client.close()
    connection.close()
    assert proxy.wait() == 0


def test_not_ready_when_it_cannot_start(stage):
    sock, environment = manager(stage, "path")
    stage.file("app.sock", "in the way")
    proxy = stage.proxy(stage.path("app.sock"), "127.0.0.1:9", sockets=0, environment=environment)
    assert proxy.wait() == 1
    sock.settimeout(0.2)
    try:
        while True:
            assert b"READY=1" not in sock.recv(8192)
    except TimeoutError:
        pass


def test_manager_that_does_not_read(stage):
    """Its socket is full: connections are served all the same."""
    sock, environment = manager(stage, "path")
    backend = stage.backend()
    path = stage.path("app.sock")
    proxy = stage.proxy(path, backend.address, environment=environment)
    filler = stage.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    filler.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            filler.sendto(b"X=1", environment["NOTIFY_SOCKET"])
    for number in range(50):
        client = stage.connect(path)
        connection = backend.accept(5)
        client.sendall(b"x")
        assert read_exactly(connection, 1) == b"x"
    assert sock
    stage.close_sockets()
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(10) == 0


@pytest.mark.parametrize("value", ["/no/such/socket", "", "nonsense"])
def test_no_manager(stage, value):
    """A NOTIFY_SOCKET that leads nowhere is no reason not to serve."""
    backend = stage.backend()
    proxy = stage.proxy("127.0.0.1:0", backend.address, environment={"NOTIFY_SOCKET": value})
    exchange(stage.connect(proxy.listening[0]), backend.accept(), seed=1, size=1000)
