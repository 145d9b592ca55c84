# SPDX-License-Identifier: MIT
"""accept-proxy-protocol: clients of trusted proxies are who the header says; whatever is not one is reset and logged."""

import os
import re
import socket
import struct
import time

import pytest

from support.backend import echo
from support.configuration import process, section
from support.modes import MODES
from support.proc import wait_until
from support.proxy_protocol import (
    CRC32C, CREDENTIALS, LOCAL, NOOP, SIGNATURE, UNIQUE_ID, VSOCK, read_header, tlv, v1, v2,
)
from support.streams import MB, digest, exchange, is_silent, outcome, random_bytes, read_exactly, read_to_end, send_in_background

HEADERS = {
    "v1": v1(),
    "v1-ipv6": v1(("2001:db8::7", 1), ("2001:db8::99", 65535)),
    "v1-unknown": b"PROXY UNKNOWN\r\n",
    "v1-unknown-longest": b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n",
    "v2": v2(),
    "v2-ipv6": v2(("2001:db8::7", 1), ("2001:db8::99", 65535)),
    "v2-unix": v2("/client", "@server"),
    "v2-unspec": v2(None),
    "v2-local": v2(command=LOCAL),
    "v2-local-alone": SIGNATURE + struct.pack("!BBH", LOCAL, 0, 0),
    "v2-local-with-anything": SIGNATURE + struct.pack("!BBH", LOCAL, 0xFF, 500) + b"\r\nPROXY" + bytes(493),
    "v2-unspec-with-anything": SIGNATURE + struct.pack("!BBH", 0x21, 0, 5) + b"\xe0\0\xff\0\0",
    "v2-tlvs": v2(tlvs=tlv(0x01, b"h2") + tlv(NOOP, bytes(9)) + tlv(0x77, b"?")),
    "v2-checksum": v2(checksum=True),
    "v2-longest": v2(tlvs=tlv(0xEA, bytes(16384 - 28 - 3))),
}


def trusting(stage, *options, listen="127.0.0.1:0", handler=None, sources="any", **more):
    return stage.served(
        "--accept-proxy-protocol", sources, "--access-log", *options, listen=[listen], handler=handler, **more
    )


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("listen", ["tcp", "unix"])
def test_header_and_a_megabyte_in_one_piece(stage, name, listen, data_path):
    proxy, backend = trusting(stage, *data_path, listen=stage.front(listen))
    data = random_bytes(stage.seed, MB)
    client = stage.connect(proxy.listening[0])
    sending = send_in_background(client, HEADERS[name] + data)
    connection = backend.accept()
    assert digest(read_to_end(connection)) == digest(data)
    sending.result()
    connection.sendall(b"reply")
    connection.close()
    assert read_to_end(client) == b"reply"
    client.close()
    line, = proxy.wait_log("reason=")
    assert f" up={MB} down=5 " in line
    claimed = {"v1": "192.0.2.7:4711", "v2": "192.0.2.7:4711", "v2-unix": "/client"}.get(name)
    if name in ("v1-ipv6", "v2-ipv6"):
        claimed = "[2001:db8::7]:1"
    if claimed:
        assert f" client={claimed} " in line


@pytest.mark.parametrize("name", ["v1", "v2", "v2-checksum", "v1-unknown-longest", "v2-unix"])
@pytest.mark.parametrize("listen", ["tcp", "unix"])
def test_cut_at_every_byte(stage, name, listen):
    """One byte after the other, each in a segment of its own; and no backend before the last."""
    proxy, backend = trusting(stage, listen=stage.front(listen))
    client = stage.connect(proxy.listening[0])
    if listen == "tcp":
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in HEADERS[name]:
        client.sendall(bytes([byte]))
        time.sleep(0.001)
    client.sendall(b"hello")
    assert read_exactly(backend.accept(), 5) == b"hello"


def test_cut_in_two_at_every_byte(stage):
    proxy, backend = trusting(stage, handler=echo)
    for header in (v1(), v2(tlvs=tlv(UNIQUE_ID, b"id"))):
        clients = [stage.connect(proxy.listening[0]) for _ in range(len(header) + 1)]
        for at, client in enumerate(clients):
            client.sendall(header[:at])
        for at, client in enumerate(clients):
            client.sendall(header[at:] + b"hello")
        for client in clients:
            assert read_exactly(client, 5) == b"hello"
            client.close()


def test_backend_is_connected_once_the_client_is_known(stage):
    proxy, backend = trusting(stage)
    client = stage.connect(proxy.listening[0])
    client.sendall(v2()[:-1])
    with pytest.raises(TimeoutError):
        backend.accept(0.5)
    client.sendall(v2()[-1:])
    exchange(client, backend.accept(), seed=stage.seed, size=1000)


def test_two_headers_in_a_row(stage):
    """The second is the client's own."""
    proxy, backend = trusting(stage)
    client = stage.connect(proxy.listening[0])
    client.sendall(v2() + v1() + b"x")
    connection = backend.accept()
    assert read_exactly(connection, len(v1()) + 1) == v1() + b"x"


def test_server_that_speaks_first(stage):
    proxy, backend = trusting(stage)
    client = stage.connect(proxy.listening[0])
    client.sendall(v2())
    backend.accept().sendall(b"220 hello")
    assert read_exactly(client, 9) == b"220 hello"


def fixed(version_command, family, length):
    return SIGNATURE + bytes([version_command, family]) + struct.pack("!H", length)


BAD = {
    "http": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "'GET / HTTP/1.1"),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00", r"'\\x16\\x03"),
    "nul": (bytes(64), r"'\\x00"),
    "v1-lower-case": (b"proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n", "'proxy"),
    "v1-bad-address": (b"PROXY TCP4 1.2.3.400 1.2.3.4 1 1\r\n", "1.2.3.400"),
    "v1-bad-port": (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", "65536"),
    "v1-108-bytes": (b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n", "107"),
    "v1-without-cr": (b"PROXY UNKNOWN\n\n", "."),
    "v1-endless": (b"PROXY UNKNOWN " + b" " * 100_000, "107"),
    "v2-version-3": (fixed(0x31, 0x11, 12) + bytes(12), "version 3"),
    "v2-command-2": (fixed(0x22, 0x11, 12) + bytes(12), "command 2"),
    "v2-family-4": (fixed(0x21, 0x41, 12) + bytes(12), "0x41"),
    "v2-short-addresses": (fixed(0x21, 0x11, 11) + bytes(11), "11 bytes"),
    "v2-too-long": (fixed(0x21, 0x11, 0xFFFF), "too long"),
    "v2-half-a-tlv": (fixed(0x21, 0x11, 14) + bytes(14), "TLV"),
    "v2-bad-checksum": (v2(checksum=True)[:-1] + b"\xff", "checksum"),
    "v2-id-of-129-bytes": (v2(tlvs=tlv(UNIQUE_ID, bytes(129))), "129"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("listen", ["tcp", "unix"])
def test_what_is_no_header_is_reset_and_logged(stage, name, listen):
    data, said = BAD[name]
    proxy, backend = stage.served("--accept-proxy-protocol", "any", listen=[stage.front(listen)])
    client = stage.connect(proxy.listening[0])
    client.sendall(data)
    if listen == "tcp":
        assert outcome(client) == (b"", "reset")
    else:
        assert outcome(client)[0] == b""
    line, = proxy.wait_log("owed a PROXY protocol header")
    assert re.search(said, line), line
    proxy.wait_released()
    proxy.assert_rests(0.5, 0.1)
    with pytest.raises(TimeoutError):
        backend.accept(0.2)


@pytest.mark.parametrize("name", ["v1", "v2", "v2-unix"])
def test_client_that_ends_within_it(stage, name):
    proxy, backend = trusting(stage)
    header = HEADERS[name]
    for at in range(len(header)):
        client = stage.connect(proxy.listening[0])
        client.sendall(header[:at])
        client.shutdown(socket.SHUT_WR)
        assert outcome(client) == (b"", "reset")
    lines = proxy.wait_log("the client ended")
    wait_until(lambda: len(proxy.grep("the client ended")) == len(header), "a line each")
    assert " client=127.0.0.1:" in lines[0]
    with pytest.raises(TimeoutError):
        backend.accept(0.2)


@pytest.mark.parametrize("sent, said", [(b"", "nothing came within 0.5 s"), (v2()[:20], "20 bytes of it came within 0.5 s")])
def test_header_that_does_not_come_in_time(stage, sent, said):
    proxy, backend = trusting(stage, "--proxy-protocol-timeout", "500ms")
    client = stage.connect(proxy.listening[0])
    client.sendall(sent)
    assert outcome(client) == (b"", "reset")
    line, = proxy.wait_log("reason=")
    assert f'reason="owed a PROXY protocol header: {said}"' in line


def test_time_is_for_the_header_alone(stage):
    proxy, backend = trusting(stage, "--proxy-protocol-timeout", "300ms")
    client = stage.connect(proxy.listening[0])
    client.sendall(v1()[:10])
    client.sendall(v1()[10:])
    connection = backend.accept()
    assert is_silent(client, 1)
    exchange(client, connection, seed=stage.seed, size=1000)


def test_nothing_is_parsed_from_others(stage):
    proxy, backend = trusting(stage, sources="127.0.0.2")
    client = stage.connect(proxy.listening[0])
    client.sendall(v2() + b"x")
    connection = backend.accept()
    assert read_exactly(connection, len(v2()) + 1) == v2() + b"x"
    client.close()
    connection.close()
    assert " client=127.0.0.1:" in proxy.wait_log("reason=")[0]


# A key of a proxy cannot be given beside a file.
@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "configuration-file"])
def test_every_mode(stage, mode):
    backend = stage.backend(echo)  # the connection that has systemd's kind started brings no header
    proxy, addresses = MODES[mode](stage, backend, "--accept-proxy-protocol=any")
    for address in addresses:
        client = stage.connect(address)
        client.sendall(v2() + b"hello")
        assert read_exactly(client, 5) == b"hello"
        client.close()


def test_pipes_are_read_exactly(stage):
    for header in HEADERS.values():
        backend = stage.backend()
        proxy, request, reply = stage.proxy_over_pipes("--accept-proxy-protocol=any", "-", backend.address)
        data = random_bytes(stage.seed, 30_000)
        os.write(request, header + data)
        connection = backend.accept()
        os.close(request)
        assert read_to_end(connection) == data
        connection.close()
        assert proxy.wait() == 0
        os.close(reply)


def test_pipe_without_a_header(stage):
    backend = stage.backend()
    proxy, request, reply = stage.proxy_over_pipes("--accept-proxy-protocol=any", "-", backend.address)
    os.write(request, b"GET / HTTP/1.0\r\n\r\n")
    assert proxy.wait() == 1
    assert proxy.grep("owed a PROXY protocol header: 'GET")
    os.close(request)
    os.close(reply)


@pytest.mark.parametrize("name", HEADERS)
def test_files_are_read_exactly(stage, name):
    path, data = stage.path("request"), random_bytes(stage.seed, 100_000)
    with open(path, "wb") as file:
        file.write(HEADERS[name] + data)
    backend = stage.backend()
    with open(path, "rb") as stdin, open(stage.path("reply"), "wb") as stdout:
        proxy = stage.proxy("--accept-proxy-protocol=any", "-", backend.address, sockets=0, stdin=stdin, stdout=stdout)
        connection = backend.accept()
        assert read_to_end(connection) == data
        connection.close()
        assert proxy.wait() == 0


# ---- who the client is ----


def served(stage, proxy, header):
    client = stage.connect(proxy.listening[0])
    client.sendall(header + b"x")
    try:
        return client.recv(1) == b"x"
    except ConnectionResetError:
        return False
    finally:
        client.close()


@pytest.mark.parametrize("rules, header, wanted", [
    ("--deny=192.0.2.0/24", v2(), False),
    ("--deny=192.0.2.0/24", v1(), False),
    ("--deny=192.0.2.0/24", v2(("198.51.100.1", 1)), True),
    ("--allow=192.0.2.7", v2(), True),
    ("--allow=192.0.2.7", v2(("::ffff:192.0.2.7", 1), ("::1", 1)), True),
    ("--allow=127.0.0.0/8", v2(), False),
    ("--allow=127.0.0.0/8", v2(("127.0.0.1", 1)), True),
    ("--deny=127.0.0.0/8", v2(), True),
    # What only the kernel can say is not believed of a header.
    ("--allow=loopback", v2(), True),
    ("--deny=loopback", v2(("192.0.2.1", 1)), False),
    ("--allow=unix", v2("/client", "/server"), False),
    ("--allow=uid:0", v2("/client", "/server", tlvs=tlv(CREDENTIALS, bytes(12))), False),
    ("--allow=gid:0", v2("/client", "/server", tlvs=tlv(CREDENTIALS, bytes(12))), False),
    ("--allow=vsock", v2(None, tlvs=tlv(VSOCK, struct.pack("!IIII", 2, 1, 3, 1))), False),
    # Nothing is said of the client: the connection's own addresses count.
    ("--allow=127.0.0.1", v2(command=LOCAL), True),
    ("--allow=192.0.2.7", v2(command=LOCAL), False),
    ("--allow=127.0.0.1", b"PROXY UNKNOWN\r\n", True),
    ("--allow=127.0.0.1", v2(None), True),
    # A UNIX client has no address.
    ("--allow=0.0.0.0/0", v2("/client", "/server"), False),
])
def test_access_is_decided_by_the_header(stage, rules, header, wanted):
    proxy, backend = trusting(stage, rules, "--accept-proxy-protocol-tlvs=any", handler=echo)
    assert served(stage, proxy, header) == wanted
    line, = proxy.wait_log("reason=")
    assert ("refused" in line) == (not wanted)
    assert len(backend.connections) == wanted


def test_loopback_is_what_the_kernel_says(stage):
    """A header that claims to be local, over a UNIX socket."""
    path = stage.path("app.sock")
    proxy, _ = trusting(stage, "--allow=loopback", listen=path, handler=echo)
    assert not served(stage, proxy, v2(("127.0.0.1", 1)))


def test_refused_by_the_header_without_an_access_log(stage):
    proxy, _ = stage.served("--accept-proxy-protocol=any", "--deny=192.0.2.7", handler=echo)
    assert not served(stage, proxy, v2())
    line, = proxy.wait_log("refused: deny 192.0.2.7")
    assert "client 192.0.2.7:4711 " in line


def test_who_owes_a_header_is_asked_about_nothing_before(stage):
    """The proxy itself need not be allowed, nor does it matter that it is."""
    proxy, _ = trusting(stage, "--deny=127.0.0.2", "--allow=192.0.2.7", handler=echo, sources="127.0.0.2")
    client = stage.keep(socket.socket())
    client.bind(("127.0.0.2", 0))
    client.settimeout(10)
    client.connect(("127.0.0.1", int(proxy.listening[0].rpartition(":")[2])))
    client.sendall(v2() + b"x")
    assert client.recv(1) == b"x"


# ---- what becomes of it ----


def passed_on(stage, header, *options, version="v2", sender=None):
    """The header that the backend gets for one that was accepted, and the access log's line."""
    proxy, backend = trusting(stage, "--send-proxy-protocol", version, *options)
    client = stage.connect(proxy.listening[0])
    client.sendall(header + b"x")
    connection = backend.accept()
    sent = read_header(connection)
    assert read_exactly(connection, 1) == b"x"
    client.close()
    connection.close()
    return sent, proxy.wait_log("reason=")[0]


def test_chain_passes_on_what_was_accepted(stage):
    tlvs = tlv(0x01, b"h2") + tlv(NOOP, bytes(40)) + tlv(0x02, b"example.org") + tlv(UNIQUE_ID, b"abc\0 \"") + tlv(0x77, b"")
    sent, line = passed_on(stage, v2(("2001:db8::7", 1), ("2001:db8::99", 2), tlvs, checksum=True))
    assert (sent.family, sent.source, sent.destination) == ("TCP6", ("2001:db8::7", 1), ("2001:db8::99", 2))
    assert [(kind, value) for kind, value in sent.tlvs if kind != CRC32C] == [
        (0x01, b"h2"), (0x02, b"example.org"), (UNIQUE_ID, b"abc\0 \""), (0x77, b"")]
    assert sent.tlvs[-1][0] == CRC32C, "made anew: see read_header()"
    assert line.startswith("sockfront: id=abc\\x00\\x20\\x22 proxy=") and " client=[2001:db8::7]:1 " in line, line


@pytest.mark.parametrize("header, version, raw", [
    (v1(), "v1", v1()),
    (v2(), "v1", v1()),
    (v2("/client", "/server"), "v1", b"PROXY UNKNOWN\r\n"),
    (v2(command=LOCAL), "v1", b"PROXY UNKNOWN\r\n"),
    (b"PROXY UNKNOWN\r\n", "v1", b"PROXY UNKNOWN\r\n"),
])
def test_chain_to_version_1(stage, header, version, raw):
    assert passed_on(stage, header, version=version)[0].raw == raw


@pytest.mark.parametrize("header, local, family, source", [
    (v1(), False, "TCP4", ("192.0.2.7", 4711)),
    (v2("/client", "/server"), False, "UNIX", b"/client"),
    (v2(None), False, "UNSPEC", None),
    (b"PROXY UNKNOWN\r\n", False, "UNSPEC", None),
    (v2(command=LOCAL), True, None, None),
])
def test_chain_to_version_2(stage, header, local, family, source):
    sent, _ = passed_on(stage, header)
    assert (sent.local, sent.family, sent.source) == (local, family, source)
    if not local:
        assert [kind for kind, _ in sent.tlvs] == [UNIQUE_ID]


@pytest.mark.parametrize("trusted, kinds", [
    ((), [UNIQUE_ID, 0xEA]),
    (("--accept-proxy-protocol-tlvs=127.0.0.2",), [UNIQUE_ID, 0xEA]),
    (("--accept-proxy-protocol-tlvs=loopback",), [UNIQUE_ID, CREDENTIALS, 0xEA, VSOCK]),
])
def test_whose_word_on_users_is_passed_on(stage, trusted, kinds):
    header = v2(tlvs=tlv(CREDENTIALS, bytes(12)) + tlv(0xEA, b"x") + tlv(VSOCK, bytes(16)))
    sent, _ = passed_on(stage, header, *trusted)
    assert [kind for kind, _ in sent.tlvs] == kinds


def test_credentials_of_the_proxy_are_not_the_clients(stage):
    path = stage.path("app.sock")
    proxy, backend = trusting(stage, "--send-proxy-protocol=v2", listen=path)
    stage.connect(path).sendall(v2())
    assert read_header(backend.accept()).values(CREDENTIALS) == []


def test_too_long_to_pass_on(stage):
    """What does not fit is dropped from the end, which is said."""
    last = tlv(0xEB, bytes(50)) + tlv(0xEC, b"")
    first = tlv(0xEA, bytes(16384 - 28 - 3 - len(last)))
    sent, _ = passed_on(stage, v2(tlvs=first + last))
    assert [kind for kind, _ in sent.tlvs] == [UNIQUE_ID, 0xEA]
    assert len(sent.raw) <= 16384
    assert any("2 TLV(s)" in line for line in stage.proxies[0].grep("were dropped from its end"))


# ---- places ----


def test_a_quarter_of_the_slots(stage):
    """Peers that owe a header leave the others to whoever comes with one, or owes none."""
    backend = stage.backend(echo)
    proxy = stage.proxy("-c", stage.file("a.conf", process("max-connections = 16") + section(
        backend, "127.0.0.1:0", options="accept-proxy-protocol = any\nproxy-protocol-timeout = 1min",
    ) + section(backend, "127.0.0.1:0", name="b")), sockets=2)
    owing = [stage.connect(proxy.listening[0]) for _ in range(14)]
    proxy.wait_log("3 clients owe a PROXY protocol header")
    wait_until(lambda: proxy.excess_sockets() == 3, "the proxy's own quarter")
    for _ in range(5):
        client = stage.connect(proxy.listening[1])
        client.sendall(b"hello")
        assert read_exactly(client, 5) == b"hello"
    owing[0].sendall(v2() + b"x")
    assert read_exactly(owing[0], 1) == b"x"
    for client in owing[1:4]:
        client.close()
    owing[4].sendall(v2() + b"y")
    assert read_exactly(owing[4], 1) == b"y", "there is room for others"


@pytest.mark.parametrize("workers", ["1", "3"])
def test_places_come_back(stage, workers):
    """However a peer stops owing: read, refused, reset, over time."""
    proxy, _ = stage.served("--accept-proxy-protocol=any", "--deny=192.0.2.8", "--max-connections=4",
                            "--proxy-protocol-timeout=200ms", "--workers", workers, handler=echo)
    for _ in range(3):
        assert served(stage, proxy, v2())
        assert not served(stage, proxy, v2(("192.0.2.8", 1)))
        assert not served(stage, proxy, b"no header at all")
        assert outcome(stage.connect(proxy.listening[0])) == (b"", "reset")
        stage.connect(proxy.listening[0]).close()
    assert served(stage, proxy, v2())


def test_untrusted_clients_leave_their_place_at_once(stage):
    proxy, _ = stage.served("--accept-proxy-protocol=127.0.0.2", "--max-connections=8", handler=echo)
    clients = [stage.connect(proxy.listening[0]) for _ in range(8)]
    for client in clients:
        client.sendall(b"x")
        assert read_exactly(client, 1) == b"x"


# ---- the rest ----


@pytest.mark.parametrize("listen, sources, warned", [
    ("127.0.0.1:0", "any", False), ("*:0", "any", True), ("*:0", "10.0.0.0/8", False), ("*:0", "0.0.0.0/0", True),
    ("unix", "any", False),
])
def test_trust_in_everybody_is_warned_of(stage, listen, sources, warned):
    proxy, _ = stage.served("--accept-proxy-protocol", sources, listen=[stage.path("a.sock") if listen == "unix" else listen])
    assert bool(proxy.grep("warning: .*may claim to be anybody")) == warned, proxy.log


def test_reload_is_for_new_connections(stage):
    backend = stage.backend()
    path = stage.file("a.conf", section(backend, "127.0.0.1:0"))
    proxy = stage.proxy("-c", path)
    stage.file("a.conf", section(backend, "127.0.0.1:0", options="accept-proxy-protocol = loopback"))
    before, connection = stage.live_pair(backend, proxy.listening[0])
    assert "reloaded" in proxy.reload()
    client = stage.connect(proxy.listening[0])
    client.sendall(v2() + b"x")
    assert read_exactly(backend.accept(), 1) == b"x"
    exchange(before, connection, seed=stage.seed, size=1000)


def test_drain_does_not_wait_long_for_a_header(stage):
    proxy, _ = stage.served("--accept-proxy-protocol=any", "--proxy-protocol-timeout=1h", "--drain-timeout=1min")
    client = stage.connect(proxy.listening[0])
    wait_until(lambda: proxy.excess_sockets() == 1, "it is accepted")
    proxy.signal(15)
    assert outcome(client) == (b"", "reset")
    assert proxy.wait(20) == 0
    assert proxy.grep("nothing came within 5 s")


def test_silent_peers_cost_no_processor_time(stage):
    proxy, _ = stage.served("--accept-proxy-protocol=any", "--proxy-protocol-timeout=1min")
    for sent in (b"", b"P", v2()[:17]):
        stage.connect(proxy.listening[0]).sendall(sent)
    wait_until(lambda: proxy.excess_sockets() == 3, "all are there")
    proxy.assert_rests(1, 0.1)
