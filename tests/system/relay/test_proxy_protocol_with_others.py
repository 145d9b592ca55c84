# SPDX-License-Identifier: MIT
"""Chains of proxies, HAProxy and nginx among them, end with the first client's address."""

import os
import re
import struct

import pytest

from support.proc import free_port
from support.proxy_protocol import CREDENTIALS, UNIQUE_ID, read_header, v2
from support.servers import haproxy, listening
from support.stage import need
from support.streams import exchange, read_to_end


def nginx(stage):
    """A web server that answers with the client's address by the header that it wants."""
    program = need("nginx")
    port = free_port()
    as_root = "user root;" if os.geteuid() == 0 else ""
    file = stage.file("nginx.conf", f"""\
{as_root}
daemon off;
pid {stage.path('nginx.pid')};
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {stage.path('a')};
    proxy_temp_path {stage.path('b')};
    fastcgi_temp_path {stage.path('c')};
    uwsgi_temp_path {stage.path('d')};
    scgi_temp_path {stage.path('e')};
    server {{
        listen 127.0.0.1:{port} proxy_protocol;
        return 200 "$proxy_protocol_addr:$proxy_protocol_port to $proxy_protocol_server_addr:$proxy_protocol_server_port\\n";
    }}
}}
""")
    server = stage.helper(program, "-p", stage.directory, "-c", file)
    return listening(server, port)


def text(sock_name):
    return "%s:%d" % sock_name


def get(stage, address, first=b""):
    """What nginx answers, and the client's own address."""
    client = stage.connect(address)
    client.sendall(first + b"GET / HTTP/1.0\r\n\r\n")
    answer = read_to_end(client)
    return answer.rpartition(b"\r\n\r\n")[2].decode().strip(), client


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_nginx_behind(stage, version):
    proxy = stage.proxy("--send-proxy-protocol", version, "127.0.0.1:0", nginx(stage))
    for _ in range(3):
        answer, client = get(stage, proxy.listening[0])
        assert answer == f"{text(client.getsockname())} to {proxy.listening[0]}"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_nginx_behind_is_told_of_ipv6(stage, version):
    proxy = stage.proxy("--send-proxy-protocol", version, "--accept-proxy-protocol=any", "127.0.0.1:0", nginx(stage))
    answer, _ = get(stage, proxy.listening[0], v2(("2001:db8::7", 1), ("2001:db8::99", 2)))
    assert answer == "2001:db8::7:1 to 2001:db8::99:2"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_haproxy_behind(stage, version):
    """It takes what we send and sends on what it took."""
    backend = stage.backend()
    proxy = stage.proxy("--send-proxy-protocol", version, "127.0.0.1:0",
                        haproxy(stage, "accept-proxy", f"{backend.address} send-proxy-v2"))
    client = stage.connect(proxy.listening[0])
    connection = backend.accept()
    header = read_header(connection)
    assert (header.source, header.destination) == (client.getsockname(), client.getpeername())
    exchange(client, connection, seed=stage.seed)


FRONTS = {
    "v1": "send-proxy",
    "v2": "send-proxy-v2",
    "v2-options": "send-proxy-v2 proxy-v2-options unique-id,crc32c,authority",
}


@pytest.mark.parametrize("how", FRONTS)
def test_haproxy_in_front(stage, how):
    proxy, backend = stage.served("--accept-proxy-protocol=loopback", "--access-log", "--send-proxy-protocol=v2")
    address = haproxy(stage, "", f"{proxy.listening[0]} {FRONTS[how]}", "unique-id-format conn-%pid-%rt")
    client = stage.connect(address)
    connection = backend.accept()
    header = read_header(connection)
    assert header.source == client.getsockname() and header.destination == client.getpeername()
    exchange(client, connection, seed=stage.seed)
    client.close()
    line, = proxy.wait_log("reason=")
    assert f" client={text(header.source)} " in line
    assert f"id={header.values(UNIQUE_ID)[0].decode()} " in line
    if how == "v2-options":
        assert re.search(r"id=conn-\d+-\d+ ", line)


def test_haproxy_that_checks_whether_we_are_there(stage):
    """Its checks begin with LOCAL, are sent on as that, and are nobody's connection."""
    backend = stage.backend()
    proxy = stage.proxy("--accept-proxy-protocol=loopback", "--send-proxy-protocol=v2", "127.0.0.1:0", backend.address)
    haproxy(stage, "", f"{proxy.listening[0]} check inter 100ms send-proxy-v2")
    for _ in range(3):
        assert read_header(backend.accept()).local


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("middle", ["tcp", "unix"])
def test_chain(stage, version, middle):
    """sockfront -> sockfront -> HAProxy -> backend; each of them sees the first client."""
    backend = stage.backend()
    last = haproxy(stage, "accept-proxy", f"{backend.address} send-proxy-v2")
    second = stage.proxy("--accept-proxy-protocol", "loopback unix", "--send-proxy-protocol", version, "--access-log",
                         stage.front(middle), last)
    first = stage.proxy("--send-proxy-protocol", version, "--access-log", "127.0.0.1:0", second.listening[0])
    client = stage.connect(first.listening[0])
    name = client.getsockname()
    connections = [backend.accept()]
    header = read_header(connections[0])
    assert (header.source, header.destination) == (name, client.getpeername())
    exchange(client, connections[0], seed=stage.seed)
    client.close()
    lines = [proxy.wait_log(f"client={text(name)} ")[0] for proxy in (first, second)]
    ids = [re.search(r"id=(\S+) ", line)[1] for line in lines]
    assert (ids[0] == ids[1]) == (version == "v2"), "version 1 tells no id"


def test_chain_of_unix_clients(stage):
    """Who runs the first client is known behind the second proxy, which trusts the first in that."""
    backend = stage.backend()
    second = stage.proxy("--accept-proxy-protocol=loopback", "--accept-proxy-protocol-tlvs=loopback",
                         "--send-proxy-protocol=v2", "127.0.0.1:0", backend.address)
    first = stage.proxy("--send-proxy-protocol=v2", stage.path("app.sock"), second.listening[0])
    stage.connect(first.listening[0])
    header = read_header(backend.accept())
    assert (header.family, header.destination) == ("UNIX", os.fsencode(stage.path("app.sock")))
    assert header.values(CREDENTIALS) == [struct.pack("!III", os.getpid(), os.getuid(), os.getgid())]
