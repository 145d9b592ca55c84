# SPDX-License-Identifier: MIT
"""Options of the sockets are seen on the sockets themselves."""

import re
import signal
import socket
import subprocess
import time

import pytest

from support.modes import need_ipv6
from support.proc import accepted_option
from support.proxy import run
from support.stage import need
from support.streams import exchange


def ss(*arguments):
    done = subprocess.run([need("ss"), "-Hntemio", *arguments], capture_output=True, text=True)
    return done.stdout


def accepted(stage, *options):
    """ss's line for the proxy's end of an accepted connection."""
    backend = stage.backend()
    proxy = stage.proxy(*options, "127.0.0.1:0", backend.address)
    client = stage.connect(proxy.listening[0])
    backend.accept()
    port = proxy.listening[0].rpartition(":")[2]
    return ss(f"sport = :{port}", "and", "dport", "=", f":{client.getsockname()[1]}")


def towards_backend(stage, *options):
    backend = stage.backend()
    proxy = stage.proxy(*options, "127.0.0.1:0", backend.address)
    stage.connect(proxy.listening[0])
    connection = backend.accept()
    return ss(f"sport = :{connection.getpeername()[1]}", "and", "dport", "=", f":{backend.port}")


def test_keepalive_of_clients(stage):
    assert "timer:(keepalive" in accepted(stage, "--tcp-keepalive", "60000:3:10000")
    assert "keepalive" not in accepted(stage, "--tcp-keepalive", "no")
    assert "keepalive" not in accepted(stage)


def test_keepalive_of_backends(stage):
    assert "timer:(keepalive" in towards_backend(stage, "--backend-tcp-keepalive", "60000:3:10000")
    assert "keepalive" not in towards_backend(stage)


def test_buffer_sizes(stage):
    """skmem:(r.., rbRECV, t.., tbSEND, ...); the kernel doubles what is asked."""
    line = accepted(stage, "--recv-buffer-size", "64K", "--send-buffer-size", "32K")
    assert "rb131072" in line and "tb65536" in line, line


def test_reuse_port(stage):
    """Two processes share a port only if both say so."""
    backend = stage.backend()
    first = stage.proxy("--tcp-reuse-port", "127.0.0.1:0", backend.address)
    address = first.listening[0]
    stage.proxy("--tcp-reuse-port", address, backend.address)
    refused = stage.proxy(address, backend.address, sockets=0)
    assert refused.wait() == 1
    assert address in refused.log


def test_port_is_free_again_at_once(stage):
    """A restart does not wait for old connections in TIME_WAIT."""
    backend = stage.backend()
    first = stage.proxy("127.0.0.1:0", backend.address)
    address = first.listening[0]
    client = stage.connect(address)
    connection = backend.accept()
    connection.close()
    assert client.recv(1) == b""
    client.close()
    first.signal(signal.SIGTERM)
    assert first.wait() == 0
    stage.proxy(address, backend.address)
    exchange(stage.connect(address), backend.accept(), seed=1, size=1000)


@pytest.mark.parametrize("only", [True, False])
def test_only_v6(stage, only):
    need_ipv6()
    backend = stage.backend()
    proxy = stage.proxy(*(["--tcp-only-v6"] if only else []), "*:0", backend.address)
    port = proxy.listening[0].rpartition(":")[2]
    exchange(stage.connect(f"[::1]:{port}"), backend.accept(), seed=1, size=1000)
    if only:
        with pytest.raises(ConnectionRefusedError):
            stage.connect(f"127.0.0.1:{port}")
    else:
        exchange(stage.connect(f"127.0.0.1:{port}"), backend.accept(), seed=2, size=1000)


def test_small_writes_are_not_held_back(stage):
    """TCP_NODELAY on both sides by default: a ping-pong of single bytes does not stall at 40 ms a turn."""
    proxy, client, connection = stage.pair()
    for sock in (client, connection):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def seconds(turns):
        begin = time.monotonic()
        for _ in range(turns):
            for byte in (b"a", b"b"):
                client.sendall(byte)
                assert connection.recv(1) == byte
            connection.sendall(b"c")
            assert client.recv(1) == b"c"
        return time.monotonic() - begin

    assert seconds(200) < 5


def default_of(option):
    """What --help says of an option that is not given."""
    _, said, _ = run("--help")
    said = re.sub(r"\n {10,}", " ", said)  # what goes on in the next line
    return re.search(rf"^ +--{option}\b.*?\b(\S+) by default$", said, re.M)[1]


def test_defaults_are_as_the_help_says(stage):
    proxy, client, _ = stage.pair()
    port = int(proxy.listening[0].rpartition(":")[2])
    with open("/proc/sys/net/core/somaxconn") as file:
        most = int(file.read())
    backlog = ss("-l", f"sport = :{port}").split()[2]
    assert int(backlog) == min(int(default_of("tcp-listen-backlog")), most)

    nodelay = accepted_option(proxy.pid, client, socket.TCP_NODELAY, socket.IPPROTO_TCP)
    assert bool(nodelay) is {"yes": True, "no": False}[default_of("tcp-nodelay")]
