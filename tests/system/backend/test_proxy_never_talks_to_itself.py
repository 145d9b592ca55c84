# SPDX-License-Identifier: MIT
"""A backend that is our own listener is refused, and a socket connected to itself is no backend."""

import subprocess
import sys

import pytest

from support.network import Network
from support.proc import free_port, wait_until
from support.proxy import SOCKFRONT, run
from support.stage import address_of, need
from support.streams import exchange, outcome


@pytest.mark.parametrize(
    "listen, backend",
    [
        ("127.0.0.1:{}", "127.0.0.1:{}"),
        ("*:{}", "127.0.0.1:{}"),
        (":{}", "127.0.0.1:{}"),
        ("localhost:{}", "127.0.0.1:{}"),
        ("[::ffff:0.0.0.0]:{}", "127.0.0.1:{}"),
        ("[::ffff:127.0.0.1]:{}", "127.0.0.1:{}"),
    ],
)
def test_own_listener(stage, listen, backend):
    port = free_port()
    proxy = stage.proxy(listen.format(port), backend.format(port), sockets=0)
    assert proxy.wait(5) in (1, 2), proxy.log
    assert backend.format(port) in proxy.log


def test_own_listener_by_name(stage):
    """Where only the resolver can tell, each client is turned away with the reason in the log."""
    port = free_port()
    proxy = stage.proxy("--access-log", f"127.0.0.1:{port}", f"localhost:{port}")
    assert stage.visit(proxy.listening[0], 15) == (b"", "reset")
    assert "listener of ours" in proxy.wait_log("reason=")[0]
    proxy.wait_released()
    assert len(proxy.grep("reason=")) == 1


def test_own_listener_of_another_proxy(stage):
    port = free_port()
    file = stage.file(
        "sockfront.conf",
        f"[proxy a]\nlisten=127.0.0.1:{port}\nbackend=127.0.0.1:9\n"
        f"[proxy b]\nlisten={stage.path('b')}\nbackend=127.0.0.1:{port}\n",
    )
    status, _, log = run("-c", file)
    assert status in (1, 2)
    assert f"127.0.0.1:{port}" in log


def test_own_inherited_listener(stage):
    listener = stage.listener()
    address = address_of(listener)
    proxy = stage.proxy(
        "accept-from-fd:%d" % listener.fileno(), address, sockets=0, pass_fds=[listener.fileno()]
    )
    assert proxy.wait(5) == 1, proxy.log
    assert address in proxy.log


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_self_connect(stage, host):
    """
    Connecting to a closed port of the ephemeral range may pick that very port as
    the source: the client would get its own bytes back.  Nor is the port held
    against the backend that is about to be started there.
    """
    ip, unshare = need("ip"), need("unshare")
    script = f'{ip} link set lo up && echo "40000 40003" > /proc/sys/net/ipv4/ip_local_port_range && exec "$@"'
    prefix = [unshare, "-n", "sh", "-c", script, "sh"]
    if subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("no network namespace may be made here (not root?)")
    proxy = stage.proxy("--connect-timeout=3s", stage.path("app.sock"), f"{host}:40000", prefix=prefix)
    clients = [stage.connect(proxy.listening[0]) for _ in range(3)]
    for client in clients:
        client.sendall(b"echo?")
    for client in clients:
        assert outcome(client, 20)[0] == b""
    enter = [need("nsenter"), "-t", str(proxy.pid), "-n", sys.executable, "-c"]
    bind = "import socket; s = socket.socket(); s.setsockopt(1, 2, 1); s.bind(('127.0.0.1', 40000)); s.listen()"
    subprocess.run([*enter, bind], check=True)


def test_every_ipv6_address_where_that_is_ipv6_alone():
    """[::] follows the system's bindv6only."""
    script = 'echo $1 > /proc/sys/net/ipv6/bindv6only && shift && exec "$@"'
    words = [need("unshare"), "-n", "sh", "-c", script, "sh"]
    if subprocess.run([*words, "1", "true"], capture_output=True).returncode:
        pytest.skip("no network namespace may be made here (not root?)")
    for alone, status in ("1", 0), ("0", 2):
        check = [*words, alone, SOCKFRONT, "--check", "[::]:8080", "127.0.0.1:8080"]
        assert subprocess.run(check, capture_output=True).returncode == status


@pytest.mark.parametrize(
    "options, listen, backend",
    [
        (["--tcp-only-v6"], "[::]:{}", "127.0.0.1"),
        ([], "0.0.0.0:{}", "::1"),
        ([], "127.0.0.2:{}", "127.0.0.1"),
    ],
)
def test_the_same_port_elsewhere_is_no_loop(stage, options, listen, backend):
    """An IPv6 front for a service that has the same port on IPv4, and the like."""
    service = stage.backend(host=backend)
    proxy = stage.proxy(*options, listen.format(service.port), service.address)
    client = stage.connect(proxy.listening[0].replace("[::]", "[::1]").replace("0.0.0.0", "127.0.0.1"))
    exchange(client, service.accept(), seed=stage.seed, size=10_000)


@pytest.mark.parametrize("listen", ["*:8000", "10.8.0.1:8000", "[::]:8000"])
def test_own_address_beyond_the_loopback(stage, listen):
    """Every address of this machine leads to a listener on all of them."""
    network = Network()
    network.ip("address", "add", "10.8.0.1/32", "dev", "lo")
    proxy = network.run(stage.proxy, "--access-log", listen, "10.8.0.1:8000", sockets=0)
    if listen.startswith("10."):
        assert proxy.wait(5) in (1, 2)
        return
    wait_until(lambda: proxy.listening or not proxy.alive(), "it has started, or refuses to")
    if not proxy.alive():
        proxy.wait()
        return
    received, _ = network.run(stage.visit, "10.8.0.1:8000")
    assert received == b""
    proxy.wait_log("reason=")
    proxy.assert_rests(1.0)
    assert len(proxy.grep("reason=")) <= 2, proxy.log
