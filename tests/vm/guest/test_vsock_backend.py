# SPDX-License-Identifier: MIT
"""
Backends on vsock, over the loopback transport (CID 1): bytes, half-closes and ends through
both data paths, from TCP, from a UNIX socket and from vsock itself.
"""

import os
import socket

from support.proxy import run
from support.streams import (
    MB, exchange, is_silent, outcome, read_exactly, read_to_end, reset, send_in_background)

LOCAL = 1
SPLICE, COPY = (), ("--pipe-size=0",)


def server(units, port):
    listener = units.keep(socket.socket(socket.AF_VSOCK))
    listener.bind((socket.VMADDR_CID_ANY, port))
    listener.listen(64)
    listener.settimeout(30)
    return listener


def accept(units, listener):
    connection = units.keep(listener.accept()[0])
    connection.settimeout(30)
    return connection


def fronts(port):
    """What to listen on, and how to connect to it."""
    path = f"/run/vm-{port}.sock"
    return ((f"127.0.0.1:{port}", socket.AF_INET, ("127.0.0.1", port)),
            (path, socket.AF_UNIX, path),
            (f"@vm-{port}", socket.AF_UNIX, f"\0vm-{port}"),
            (f"vsock:any:{port}", socket.AF_VSOCK, (LOCAL, port)))


def pairs(units, port, *options):
    """From each kind of listener: the proxy, the client, and the connection at the backend."""
    for number, (listen, family, where) in enumerate(fronts(port)):
        listener = server(units, port + 100 + number)
        proxy = units.proxy("--access-log", *options, listen, f"vsock:local:{port + 100 + number}")
        client = units.keep(socket.socket(family))
        client.settimeout(30)
        client.connect(where)
        yield proxy, client, accept(units, listener)


def test_exact_both_ways_at_once(units):
    for port, path in ((5201, SPLICE), (5206, COPY)):
        for proxy, client, connection in pairs(units, port, *path):
            exchange(client, connection, seed=port, size=3 * MB)
            assert " backend=vsock:1:" in proxy.wait_log("reason=")[0]


def test_half_close_of_the_backend_first(units):
    for port, path in ((5211, SPLICE), (5216, COPY)):
        for _, client, connection in pairs(units, port, *path):
            connection.sendall(b"greeting")
            connection.shutdown(socket.SHUT_WR)
            assert read_to_end(client) == b"greeting"
            assert is_silent(connection, 0.3)
            client.sendall(b"word" * 50_000)
            client.shutdown(socket.SHUT_WR)
            assert read_to_end(connection) == b"word" * 50_000


def test_reset_by_the_client(units):
    """What came before it arrives; vsock knows no reset, and the log says what it was."""
    for port, path in ((5221, SPLICE), (5226, COPY)):
        proxy, client, connection = next(pairs(units, port, *path))
        data = os.urandom(3 * MB)
        sent = send_in_background(client, data, then_end=False)
        assert read_exactly(connection, len(data)) == data
        sent.result()
        reset(client)
        assert outcome(connection)[0] == b""
        proxy.wait_log('reason="client reset"')


def test_port_on_which_nobody_listens_yet(units):
    """It refuses with what is a reset elsewhere, and is tried again."""
    proxy = units.proxy("127.0.0.1:5231", "vsock:local:5331")
    client = units.keep(socket.create_connection(("127.0.0.1", 5231)))
    client.sendall(b"early")
    assert "Connection refused" in proxy.wait_log("cannot be reached")[0]
    connection = accept(units, server(units, 5331))
    assert read_exactly(connection, 5) == b"early"
    exchange(client, connection)


def test_refusal_without_another_try(units):
    proxy = units.proxy("--access-log", "--connect-retry=no", "127.0.0.1:5232", "vsock:local:5332")
    assert outcome(units.keep(socket.create_connection(("127.0.0.1", 5232)))) == (b"", "reset")
    proxy.wait_log('reason="connect failed: Connection refused"')


def test_machine_that_is_not_there(units):
    proxy = units.proxy("--access-log", "--connect-timeout=1s", "127.0.0.1:5233", "vsock:77:5333")
    assert outcome(units.keep(socket.create_connection(("127.0.0.1", 5233)))) == (b"", "reset")
    proxy.wait_log("reason=\"connect ")


def test_own_listener(units):
    for backend in ("vsock:local:5234", "vsock:1:5234"):
        status, _, said = run("vsock:any:5234", backend)
        assert status == 2 and "our own listener" in said, said


def test_two_proxies_behind_each_other(units):
    """The second one's listener is not the first one's own."""
    listener = server(units, 5335)
    units.proxy("vsock:any:5236", "vsock:local:5335")
    units.proxy("127.0.0.1:5235", "vsock:local:5236")
    client = units.keep(socket.create_connection(("127.0.0.1", 5235)))
    client.sendall(b"x")
    connection = accept(units, listener)
    assert read_exactly(connection, 1) == b"x"
    exchange(client, connection)
