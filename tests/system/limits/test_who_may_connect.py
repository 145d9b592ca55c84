# SPDX-License-Identifier: MIT
"""allow and deny: whoever is refused is reset before a backend is touched, and costs no slot."""

import os
import socket
import struct
import subprocess
import time

import pytest

from support.backend import echo
from support.configuration import process, section
from support.proc import wait_until
from support.proxy_protocol import CREDENTIALS, LOCAL, VSOCK, tlv, v2
from support.streams import exchange


def outcome_of(stage, address, source=None):
    """"served" once the backend has it, "reset" or "closed"."""
    family = socket.AF_UNIX if address.startswith("/") else socket.AF_INET
    client = stage.keep(socket.socket(family))
    client.settimeout(10)
    if source:
        client.bind((source, 0))
    try:
        client.connect(address if family == socket.AF_UNIX else ("127.0.0.1", int(address.rsplit(":")[-1])))
        client.sendall(b"x")
        return "served" if client.recv(1) == b"x" else "closed"
    except (ConnectionResetError, BrokenPipeError):
        return "reset"
    finally:
        client.close()


@pytest.mark.parametrize("options, source, wanted", [
    (["--deny", "127.0.0.2"], "127.0.0.2", "reset"),
    (["--deny", "127.0.0.2"], "127.0.0.3", "served"),
    (["--allow", "127.0.0.2"], "127.0.0.3", "reset"),
    (["--allow", "127.0.0.2", "--allow", "127.0.0.3"], "127.0.0.3", "served"),
    (["--deny", "127.0.0.2", "--allow", "127.0.0.0/8"], "127.0.0.2", "reset"),
    (["--allow", "127.0.0.0/8", "--deny", "127.0.0.2"], "127.0.0.2", "served"),
    (["--allow", "unix loopback"], "127.0.0.2", "served"),
    (["--allow", "unix"], "127.0.0.2", "reset"),
])
def test_the_first_rule_decides(stage, options, source, wanted):
    proxy, backend = stage.served(*options, "--access-log", handler=echo)
    assert outcome_of(stage, proxy.listening[0], source) == wanted
    line, = proxy.wait_log("client=")
    assert ("refused" in line) == (wanted == "reset") and f"client={source}" in line


def test_a_socket_for_ipv6_and_ipv4(stage):
    """IPv4 clients of it are IPv4 clients."""
    proxy, backend = stage.served("--allow", "127.0.0.2", listen=["*:0"], handler=echo)
    assert outcome_of(stage, proxy.listening[0], "127.0.0.2") == "served"
    assert outcome_of(stage, proxy.listening[0], "127.0.0.3") == "reset"


def as_user(uid, groups, path):
    script = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.settimeout(10)\n"
              "try:\n s.sendall(b'x'); print('served' if s.recv(1) else 'closed')\n"
              "except OSError: print('closed')")
    done = subprocess.run(["/usr/bin/python3", "-c", script, path], user=uid, group=uid, extra_groups=groups,
                          capture_output=True, text=True, timeout=30)
    return done.stdout.strip()


@pytest.mark.parametrize("rule, uid, groups, wanted", [
    ("uid:4321", 4321, [], "served"), ("uid:4321", 4322, [], "closed"),
    ("gid:77", 4321, [77], "served"), ("gid:77", 4321, [78], "closed"), ("gid:4321", 4321, [], "served"),
])
def test_users_and_groups(stage, rule, uid, groups, wanted):
    if os.geteuid() != 0:
        pytest.skip("only root may become somebody else")
    os.chmod(stage.directory, 0o755)
    proxy, _ = stage.served("--allow", rule, "--unix-listen-chmod", "everybody", listen=[stage.path("a.sock")],
                            handler=echo)
    assert as_user(uid, groups, stage.path("a.sock")) == wanted


def test_it_costs_neither_backend_nor_slot(stage):
    proxy, backend = stage.served("--deny", "127.0.0.2", "--max-connections", "1")
    for _ in range(20):
        assert outcome_of(stage, proxy.listening[0], "127.0.0.2") == "reset"
    client, connection = stage.live_pair(backend, proxy.listening[0])
    exchange(client, connection, seed=stage.seed, size=1000)
    with pytest.raises(TimeoutError):
        backend.accept(0.3)


def test_many_are_refused_in_few_lines(stage):
    proxy, _ = stage.served("--deny", "any")
    for _ in range(500):
        assert outcome_of(stage, proxy.listening[0]) == "reset"
    lines = proxy.grep("refused: deny any")
    assert 1 <= len(lines) <= 20
    wait_until(lambda: outcome_of(stage, proxy.listening[0]) and "more were refused" in proxy.log, "they are counted")


def test_a_reload_reads_the_file_again(stage):
    sources = stage.file("sources", "127.0.0.2\n")
    backend = stage.backend(echo)
    proxy = stage.proxy("-c", stage.file("a.conf", section(backend, "127.0.0.1:0", options=f"allow = file:{sources}")))
    assert outcome_of(stage, proxy.listening[0], "127.0.0.2") == "served"
    assert outcome_of(stage, proxy.listening[0], "127.0.0.3") == "reset"
    stage.file("sources", "127.0.0.3  # and nobody else\n")
    proxy.reload()
    assert outcome_of(stage, proxy.listening[0], "127.0.0.2") == "reset"
    assert outcome_of(stage, proxy.listening[0], "127.0.0.3") == "served"
    stage.file("sources", "127.0.0.3/24\n")
    assert "failed" in proxy.reload()
    assert proxy.grep(f"a.conf:4: allow: {sources}:1: .*write 127.0.0.0/24")
    assert outcome_of(stage, proxy.listening[0], "127.0.0.3") == "served"


def test_ten_thousand_prefixes(stage):
    """The first that matches decides, also before, behind and among so many."""
    many = [f"{10 + i // 65536}.{i // 256 % 256}.{i % 256}.0/24" for i in range(10_000)]
    many[5000:5000] = ["127.0.0.4", "127.0.1.0/24", "127.0.0.0/16"]
    denied = stage.file("denied", "\n".join(many))
    proxy, _ = stage.served("--allow=127.0.0.3", f"--deny=file:{denied}", "--allow=127.0.0.0/8", handler=echo)
    wanted = {
        "127.0.0.2": "reset", "127.0.0.3": "served", "127.0.0.4": "reset", "127.0.1.1": "reset", "127.1.0.1": "served",
    }  # fmt: skip
    assert {source: outcome_of(stage, proxy.listening[0], source) for source in wanted} == wanted


def test_max_connections_of_one_proxy_leaves_others_alone(stage):
    one, other = stage.backend(), stage.backend()
    proxy = stage.proxy("-c", stage.file(
        "a.conf", process("max-connections = 100")
        + section(one, "127.0.0.1:0", name="one", options="max-connections = 2")
        + section(other, "127.0.0.1:0", name="other")), sockets=2)
    pairs = [stage.live_pair(one, proxy.listening[0]) for _ in range(2)]
    waiting = stage.connect(proxy.listening[0])
    waiting.sendall(b"y")
    with pytest.raises(TimeoutError):
        one.accept(0.5)
    for _ in range(5):
        stage.live_pair(other, proxy.listening[1])
    assert proxy.grep(r"\[proxy one\]: its max-connections is reached, with 2 up")
    for end in pairs[0]:
        end.close()
    assert one.accept(5).recv(1) == b"y"


def test_rate_of_a_proxy(stage):
    """Nobody is refused: those past it wait, and other proxies are not held up."""
    one, other = stage.backend(echo), stage.backend(echo)
    proxy = stage.proxy("-c", stage.file(
        "a.conf", section(one, "127.0.0.1:0", name="one", options="connection-rate = 20/s 5")
        + section(other, "127.0.0.1:0", name="other")), sockets=2)
    began = time.monotonic()
    for _ in range(25):
        assert outcome_of(stage, proxy.listening[0]) == "served"
    assert time.monotonic() - began > 0.9, "20 of them had to wait for 1 s in all"
    waiting = [stage.connect(proxy.listening[0]) for _ in range(20)]
    for _ in range(25):
        assert outcome_of(stage, proxy.listening[1]) == "served"
    for client in waiting:
        client.close()
    proxy.assert_rests()


def test_connections_of_one_source(stage):
    """One at its limit leaves others untouched, and gets its room back."""
    proxy, backend = stage.served("--max-connections-per-source", "2", "--access-log")

    def pair(source):
        client = stage.keep(socket.socket())
        client.bind((source, 0))
        client.connect(("127.0.0.1", int(proxy.listening[0].rsplit(":")[-1])))
        client.sendall(b"x")
        connection = backend.accept()
        assert connection.recv(1) == b"x"
        return client, connection

    first, second = pair("127.0.0.2"), pair("127.0.0.2")
    assert outcome_of(stage, proxy.listening[0], "127.0.0.2") == "reset"
    line, = proxy.wait_log("refused")
    assert "127.0.0.2 has max-connections-per-source (2)" in line
    others = [pair("127.0.0.3"), pair("127.0.0.3")]
    for end in first:
        end.close()
    proxy.wait_log('reason="closed"')
    again = pair("127.0.0.2")
    stage.close_sockets_of([second, again, *others])


def test_rate_of_one_source(stage):
    proxy, _ = stage.served("--connection-rate-per-source", "1/min 3", "--source-prefix", "24 64", handler=echo)
    outcomes = [outcome_of(stage, proxy.listening[0], f"127.0.1.{i}") for i in range(1, 6)]
    assert outcomes == ["served"] * 3 + ["reset"] * 2
    proxy.wait_log("127.0.1.0/24 is past connection-rate-per-source")
    assert outcome_of(stage, proxy.listening[0], "127.0.2.1") == "served"


def test_users_are_sources_of_unix_sockets(stage):
    proxy, backend = stage.served("--max-connections-per-source", "1", listen=[stage.path("a.sock")])
    pair = stage.live_pair(backend, proxy.listening[0])
    assert outcome_of(stage, proxy.listening[0]) in ("closed", "reset")
    proxy.wait_log(f"refused: uid:{os.geteuid()} has")
    stage.close_sockets_of([pair])


def of_user(uid):
    return v2("/client", "/server", tlvs=tlv(CREDENTIALS, struct.pack("!III", 1, uid, 1)))


def of_context(cid):
    return v2(None, tlvs=tlv(VSOCK, struct.pack("!IIII", cid, 1, 3, 1)))


@pytest.mark.parametrize("middle", ["tcp", "unix"])
@pytest.mark.parametrize("believed, first, second, source", [
    (True, of_user(7), of_user(7), "uid:7"),
    (True, of_user(7), of_user(8), None),
    (False, of_user(7), of_user(7), None),
    (True, v2("/client", "/server"), v2("/client", "/server"), None),
    (True, v2("/client", "/server", tlvs=tlv(CREDENTIALS, b"?")), of_user(7), None),
    (True, of_context(5), of_context(5), "vsock:5"),
    (True, of_context(5), of_context(6), None),
    (False, of_context(5), of_context(5), None),
    (False, v2(("192.0.2.7", 1), tlvs=tlv(CREDENTIALS, bytes(12))), v2(("192.0.2.7", 2)), "192.0.2.7"),
    (True, v2(None), v2(command=LOCAL), {"tcp": "127.0.0.1", "unix": f"uid:{os.geteuid()}"}),
])
def test_source_is_the_client_of_a_header(stage, middle, believed, first, second, source):
    """A user or a context by a believed TLV alone; without one, nobody; the sender where nothing is told."""
    if isinstance(source, dict):
        source = source[middle]
    proxy, backend = stage.served(
        "--accept-proxy-protocol=any", *(["--accept-proxy-protocol-tlvs=any"] if believed else []),
        "--max-connections-per-source=1", listen=[stage.front(middle)])  # fmt: skip
    clients = [stage.connect(proxy.listening[0])]
    clients[0].sendall(first)
    backend.accept()
    clients.append(stage.connect(proxy.listening[0]))
    clients[1].sendall(second)
    if source:
        proxy.wait_log(f"refused: {source} has max-connections-per-source")
        assert len(backend.connections) == 1
    else:
        backend.accept()


@pytest.mark.parametrize("middle", ["tcp", "unix"])
def test_users_behind_another_proxy(stage, middle):
    """Each is within the limit, whatever the two proxies have between them."""
    if os.geteuid() != 0:
        pytest.skip("only root may become somebody else")
    os.chmod(stage.directory, 0o755)
    sources = "loopback unix"
    second, _ = stage.served(
        "--accept-proxy-protocol", sources, "--accept-proxy-protocol-tlvs", sources,
        "--max-connections-per-source=1", listen=[stage.front(middle)], handler=echo)  # fmt: skip
    first = stage.proxy("--send-proxy-protocol=v2", "--unix-listen-chmod=everybody", stage.path("a.sock"),
                        second.listening[0])
    client = stage.connect(first.listening[0])
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    assert outcome_of(stage, first.listening[0]) in ("closed", "reset")
    assert as_user(4321, [], first.listening[0]) == "served"


def test_counts_go_over_a_reload(stage):
    backend = stage.backend()
    text = section(backend, "127.0.0.1:0", options="max-connections-per-source = 2")
    proxy = stage.proxy("-c", stage.file("a.conf", text))
    pairs = [stage.live_pair(backend, proxy.listening[0]) for _ in range(2)]
    proxy.reload()
    assert outcome_of(stage, proxy.listening[0]) == "reset"
    stage.file("a.conf", text.replace("= 2", "= 3"))
    proxy.reload()
    pairs.append(stage.live_pair(backend, proxy.listening[0]))
    assert outcome_of(stage, proxy.listening[0]) == "reset"
    stage.close_sockets_of(pairs)
