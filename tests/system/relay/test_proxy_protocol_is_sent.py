# SPDX-License-Identifier: MIT
"""send-proxy-protocol: the backend learns who the client is, before that says a word, and by no byte of the client's."""

import os
import re
import socket
import struct

import pytest

from support.backend import Reserved
from support.configuration import section
from support.modes import need_ipv6
from support.proxy_protocol import CREDENTIALS, UNIQUE_ID, name_of, read_header
from support.streams import MB, digest, exchange, outcome, random_bytes, read_exactly, read_to_end, reset, send_in_background

VERSIONS = ["v1", "v2"]


def started(stage, version, *options, listen="127.0.0.1:0"):
    backend = stage.backend()
    proxy = stage.proxy("--send-proxy-protocol", version, "--access-log", *options, listen, backend.address)
    return proxy, backend


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:0", "*:0"])
def test_tcp_client(stage, version, listen, data_path):
    if "[" in listen:
        need_ipv6()
    proxy, backend = started(stage, version, *data_path, listen=listen)
    client = stage.connect(proxy.listening[0])
    connection = backend.accept()
    header = read_header(connection)
    assert (header.version, header.family) == (int(version[1]), "TCP6" if "[" in listen else "TCP4")
    assert header.source == client.getsockname()[:2] and header.destination == client.getpeername()[:2]
    exchange(client, connection, seed=stage.seed)
    line, = proxy.wait_log("reason=")
    assert " up=300000 " in line, "the header is not the client's"


def test_no_header_unless_asked(stage):
    proxy, backend = started(stage, "no")
    client = stage.connect(proxy.listening[0])
    client.sendall(b"first")
    assert read_exactly(backend.accept(), 5) == b"first"


@pytest.mark.parametrize("version", VERSIONS)
def test_silent_client(stage, version):
    """Servers that speak first know whom they greet."""
    proxy, backend = started(stage, version)
    client = stage.connect(proxy.listening[0])
    connection = backend.accept()
    assert read_header(connection).source == client.getsockname()
    connection.sendall(b"220 hello")
    assert read_exactly(client, 9) == b"220 hello"
    client.close()
    assert read_to_end(connection) == b""


@pytest.mark.parametrize("version", VERSIONS)
def test_client_that_has_ended_already(stage, version):
    proxy, backend = started(stage, version)
    client = stage.connect(proxy.listening[0])
    client.sendall(b"request")
    client.shutdown(socket.SHUT_WR)
    connection = backend.accept()
    read_header(connection)
    assert read_to_end(connection) == b"request"


@pytest.mark.parametrize("listen", ["unix", "abstract"])
def test_unix_client(stage, listen):
    address = stage.path("app.sock") if listen == "unix" else stage.name("app")
    proxy, backend = started(stage, "v2", listen=address)
    client = stage.connect(address)
    header = read_header(backend.accept())
    bound = os.fsencode(address) if listen == "unix" else b"\0" + os.fsencode(address[1:])
    assert (header.family, header.source, header.destination) == ("UNIX", b"", bound)
    assert header.values(CREDENTIALS) == [struct.pack("!III", os.getpid(), os.getuid(), os.getgid())]
    client.close()


def test_unix_client_in_version_1(stage):
    address = stage.path("app.sock")
    proxy, backend = started(stage, "v1", listen=address)
    stage.connect(address)
    assert read_header(backend.accept()).raw == b"PROXY UNKNOWN\r\n"


def test_inherited_connection_and_inetd(stage):
    for word, inetd in (("sd-listen", False), ("-", True)):
        backend = stage.backend()
        _, address = stage.activate_each("--send-proxy-protocol=v2", word, backend.address, inetd=inetd)
        client = stage.connect(address)
        connection = backend.accept()
        assert read_header(connection).source == client.getsockname()
        exchange(client, connection, seed=stage.seed, size=1000)


def test_pipes(stage):
    backend = stage.backend()
    proxy, request, reply = stage.proxy_over_pipes("--send-proxy-protocol=v2", "-", backend.address)
    connection = backend.accept()
    header = read_header(connection)
    assert (header.family, header.values(CREDENTIALS)) == ("UNSPEC", []) and header.values(UNIQUE_ID)
    os.write(request, b"through")
    assert read_exactly(connection, 7) == b"through"
    os.close(request)
    connection.close()
    os.close(reply)
    assert proxy.wait() == 0


def test_plain_files(stage):
    request = stage.file("request", "x" * 200_000)
    backend = stage.backend()
    with open(request, "rb") as stdin, open(stage.path("reply"), "wb") as stdout:
        proxy = stage.proxy("--send-proxy-protocol=v1", "-", backend.address, sockets=0, stdin=stdin, stdout=stdout)
        connection = backend.accept()
        assert read_header(connection).raw == b"PROXY UNKNOWN\r\n"
        assert read_to_end(connection) == b"x" * 200_000
        connection.sendall(b"done")
        connection.close()
        assert proxy.wait() == 0
    assert open(stage.path("reply"), "rb").read() == b"done"


def test_id_is_the_one_of_the_access_log(stage):
    proxy, backend = started(stage, "v2")
    ids = []
    for _ in range(20):
        client = stage.connect(proxy.listening[0])
        connection = backend.accept()
        ids += read_header(connection).values(UNIQUE_ID)
        client.close()
        connection.close()
    assert len(set(ids)) == 20
    proxy.wait_released()
    proxy.wait_log("reason=")
    logged = [re.search(r"id=(\S+) ", line)[1].encode() for line in proxy.grep("reason=")]
    assert sorted(logged) == sorted(ids)


@pytest.mark.parametrize("version", VERSIONS)
def test_backend_that_is_late(stage, version):
    """Once, whatever was tried before."""
    port = Reserved(stage)
    proxy = stage.proxy("--send-proxy-protocol", version, "127.0.0.1:0", port.address)
    client = stage.connect(proxy.listening[0])
    client.sendall(b"early")
    port.open()
    connection = port.accept(stage)
    assert read_header(connection).source == client.getsockname()
    assert read_exactly(connection, 5) == b"early"


def test_client_that_leaves_by_a_reset_is_not_counted(stage):
    """What a reset throws away was header, too."""
    proxy, backend = started(stage, "v2")
    client = stage.connect(proxy.listening[0])
    connection = backend.accept()
    reset(client)
    read_header(connection)
    assert outcome(connection) == (b"", "reset")
    line, = proxy.wait_log("client reset")
    assert " up=0 down=0 " in line


@pytest.mark.parametrize("version", VERSIONS)
def test_bulk_begins_after_it(stage, version, data_path):
    proxy, backend = started(stage, version, *data_path)
    client = stage.connect(proxy.listening[0])
    data = random_bytes(stage.seed, 20 * MB)
    sending = send_in_background(client, data)
    connection = backend.accept()
    read_header(connection)
    assert digest(read_to_end(connection)) == digest(data)
    sending.result()


def test_reload_is_for_new_connections(stage):
    backend = stage.backend()
    file = stage.file("a.conf", section(backend, "127.0.0.1:0"))
    proxy = stage.proxy("-c", file)
    before, connection = stage.live_pair(backend, proxy.listening[0])
    stage.file("a.conf", section(backend, "127.0.0.1:0", options="send-proxy-protocol = v1"))
    assert "reloaded" in proxy.reload()
    client = stage.connect(proxy.listening[0])
    assert read_header(backend.accept()).source == name_of(client)
    exchange(before, connection, seed=stage.seed, size=1000)
