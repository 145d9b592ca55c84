# SPDX-License-Identifier: MIT
"""
Listening on vsock, over the loopback transport (CID 1): bytes, half-closes and
ends through both data paths, whoever opened the socket.
"""

import errno
import json
import re
import signal
import socket
import struct
import time

from support.backend import Reserved, sink
from support.proc import kinds, wait_until
from support.proxy import run
from support.proxy_protocol import CREDENTIALS, VSOCK, read_header, v2
from support.streams import (exchange, is_silent, outcome, random_bytes, read_exactly, read_to_end, reset,
                     send_in_background)

LOCAL = 1
SPLICE, COPY = (), ("--pipe-size=0",)


def connect(units, port):
    client = units.keep(socket.socket(socket.AF_VSOCK))
    client.connect((LOCAL, port))
    return client


def pair(units, port, *options, cid="any"):
    """A proxy on a vsock port, and both ends of one connection through it."""
    backend = units.backend()
    proxy = units.proxy("--access-log", *options, f"vsock:{cid}:{port}", backend.address)
    client = connect(units, port)
    return proxy, client, units.accept(backend)


def test_exact_both_ways_at_once(units):
    for port, path in ((5001, SPLICE), (5002, COPY)):
        _, client, connection = pair(units, port, *path)
        exchange(client, connection, seed=port, size=4_000_000)


def test_exact_in_one_direction(units):
    """8 MiB up, then 8 MiB down; the reply starts only when the request has ended."""
    for port, path in ((5003, SPLICE), (5004, COPY)):
        proxy, client, connection = pair(units, port, *path)
        for sender, receiver, seed in ((client, connection, 1), (connection, client, 2)):
            data = random_bytes(seed, 8 << 20)
            sending = send_in_background(sender, data)
            assert read_to_end(receiver, 60) == data
            sending.result()
        proxy.wait_log('up=8388608 down=8388608 .*reason="closed"')


def test_bulk_is_spliced_unless_it_is_to_be_copied(units):
    """A pipe is held while bytes are in flight that the backend does not read."""
    for port, path, pipes in ((5005, SPLICE, True), (5006, COPY, False)):
        proxy, client, connection = pair(units, port, *path)
        data = random_bytes(port, 12 << 20)
        sending = send_in_background(client, data)
        if pipes:
            wait_until(lambda: kinds(proxy.pid)["pipe"] > proxy.before["pipe"], "a pipe is borrowed")
        else:
            time.sleep(1)
            assert kinds(proxy.pid)["pipe"] == proxy.before["pipe"]
        assert read_to_end(connection, 60) == data
        sending.result()


def test_half_close_of_the_client_first(units):
    for port, path in ((5007, SPLICE), (5008, COPY)):
        _, client, connection = pair(units, port, *path)
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(connection) == b"question"
        assert is_silent(client, 0.5)
        connection.sendall(b"answer" * 50_000)
        connection.close()
        assert read_to_end(client) == b"answer" * 50_000


def test_half_close_of_the_backend_first(units):
    for port, path in ((5009, SPLICE), (5010, COPY)):
        _, client, connection = pair(units, port, *path)
        connection.sendall(b"greeting")
        connection.shutdown(socket.SHUT_WR)
        assert read_to_end(client) == b"greeting"
        assert is_silent(connection, 0.5)
        client.sendall(b"word" * 50_000)
        client.close()
        assert read_to_end(connection) == b"word" * 50_000


def test_access_log_names_the_cid(units):
    proxy, client, connection = pair(units, 5011)
    port = client.getsockname()[1]
    exchange(client, connection, size=1000)
    client.close()
    connection.close()
    line = proxy.wait_log("reason=")[0]
    assert f"client=vsock:{LOCAL}:{port} listener=vsock:any:5011 " in line, line


def test_addresses_as_they_are_printed(units):
    for typed, printed in (("vsock:any:5012", "vsock:any:5012"), ("vsock::5013", "vsock:any:5013"),
                           ("VSOCK:local:5014", "vsock:1:5014"), ("vsock:1:5015", "vsock:1:5015")):
        backend = units.backend()
        proxy = units.proxy(typed, backend.address)
        assert proxy.listening == [printed]
        exchange(connect(units, int(typed.rpartition(":")[2])), units.accept(backend), size=1000)


def test_port_0_is_a_free_port(units):
    backend = units.backend()
    proxy = units.proxy("vsock:local:0", backend.address)
    port = int(re.fullmatch(r"vsock:1:(\d+)", proxy.listening[0])[1])
    assert port > 0
    exchange(connect(units, port), units.accept(backend), size=1000)


def test_what_the_system_refuses(units):
    units.proxy("vsock:any:5016", "127.0.0.1:9")
    for address, user, words in (
            ("vsock:any:5016", None, "that port is taken already"),
            ("vsock:77:5017", None, "this machine does not have that CID"),
            ("vsock:any:17", 65534, "ports below 1024 need root or CAP_NET_BIND_SERVICE")):
        status, _, said = run(address, "127.0.0.1:9", user=user)
        assert (status, words in said, address in said) == (1, True, True), said


def test_all_or_none(units):
    """A TCP port is not left behind when the vsock address beside it cannot be bound."""
    units.proxy("vsock:any:5018", "127.0.0.1:9")
    assert run("127.0.0.1:5018", "vsock:any:5018", "127.0.0.1:9")[0] == 1
    units.proxy("127.0.0.1:5018", "127.0.0.1:9")


def test_other_kinds_beside_it(units):
    backend = units.backend()
    units.proxy("vsock:any:5019", "127.0.0.1:5019", "@vm-5019", backend.address, listening=3)
    tcp, unix = units.keep(socket.socket()), units.keep(socket.socket(socket.AF_UNIX))
    tcp.connect(("127.0.0.1", 5019))
    exchange(tcp, units.accept(backend), seed=1)
    unix.connect("\0vm-5019")
    exchange(unix, units.accept(backend), seed=2)
    exchange(connect(units, 5019), units.accept(backend), seed=3)


def test_backend_that_is_not_there(units):
    """The client's connection is accepted, and ends: there is no reset on vsock."""
    port = Reserved(units)
    proxy = units.proxy("--access-log", "--connect-retry=no", "vsock:any:5020", port.address)
    assert outcome(connect(units, 5020)) == (b"", "end")
    assert "connect failed" in proxy.wait_log("reason=")[0]


def test_backend_that_comes_late(units):
    port = Reserved(units)
    units.proxy("vsock:any:5021", port.address)
    client = connect(units, 5021)
    client.sendall(b"early")
    time.sleep(0.5)
    port.open()
    connection = port.accept(units, 10)
    assert read_exactly(connection, 5) == b"early"
    exchange(client, connection)


def test_reset_by_the_backend(units):
    """What came before it arrives; the client sees a plain end, and the log says what it was."""
    for port, path in ((5022, SPLICE), (5023, COPY)):
        proxy, client, connection = pair(units, port, *path)
        connection.sendall(b"half an ans")
        assert read_exactly(client, 11) == b"half an ans"
        reset(connection)
        assert outcome(client) == (b"", "end")
        proxy.wait_log('reason="backend reset"')


def test_client_that_leaves_in_the_middle(units):
    """The backend learns of it, and every descriptor is free again."""
    for port, path in ((5024, SPLICE), (5025, COPY)):
        proxy, client, connection = pair(units, port, *path)
        sending = send_in_background(connection, bytes(8 << 20), then_end=False)
        read_exactly(client, 1 << 20)
        client.close()
        try:
            sending.result(20)
        except OSError as error:
            assert error.errno in (errno.EPIPE, errno.ECONNRESET)
        outcome(connection)
        connection.close()
        proxy.wait_released()


def test_stuck_reader_costs_nothing(units):
    for port, path in ((5026, SPLICE), (5027, COPY)):
        proxy, client, connection = pair(units, port, *path)
        connection.setblocking(False)
        wait_until(lambda: filled(connection), "nothing more fits", every=0.2)
        proxy.assert_rests(1.0)
        client.close()


def filled(sock):
    try:
        while True:
            sock.send(bytes(1 << 16))
    except BlockingIOError:
        return True


def room(units, port, *options):
    """How much a client can send while its bytes wait in the kernel for the backend."""
    backend = Reserved(units)
    units.proxy("--connect-timeout=60s", *options, f"vsock:any:{port}", backend.address)
    client = units.keep(socket.socket(socket.AF_VSOCK))
    # Kernels hold a sender to the smaller of both sides' buffers: the client has a large one.
    for option in (socket.SO_VM_SOCKETS_BUFFER_MAX_SIZE, socket.SO_VM_SOCKETS_BUFFER_SIZE):
        client.setsockopt(socket.AF_VSOCK, option, 2 << 20)
    client.connect((LOCAL, port))
    client.setblocking(False)
    sent = 0
    try:
        while True:
            sent += client.send(bytes(4096))
    except BlockingIOError:
        pass
    backend.open()
    connection = backend.accept(units)
    assert read_exactly(connection, sent) == bytes(sent)
    client.close()
    connection.close()
    return sent


def test_receive_buffer_is_what_was_asked_for(units):
    rooms = [room(units, 5028), room(units, 5029, "--recv-buffer-size=64K"),
             room(units, 5030, "--recv-buffer-size=1M")]
    assert rooms == [256 << 10, 64 << 10, 1 << 20]


def test_options_that_mean_nothing_here(units):
    backend = units.backend()
    proxy = units.proxy("--unix-listen-chmod=group", "--tcp-keepalive=60000", "--tcp-reuse-port",
                        "vsock:any:5031", backend.address)
    for option in ("unix-listen-chmod", "tcp-keepalive", "tcp-reuse-port"):
        assert proxy.grep(f"warning: .*{option}.*vsock:any:5031|warning: .*vsock:any:5031.*{option}"), (
            f"{option}:\n{proxy.log}")
    exchange(connect(units, 5031), units.accept(backend))


def test_backlog_holds_clients_at_max_connections(units):
    backend = units.backend()
    units.proxy("--max-connections=1", "vsock:any:5032", backend.address)
    first = connect(units, 5032)
    connection = units.accept(backend)
    second = connect(units, 5032)
    second.sendall(b"patience")
    assert is_silent(second, 0.5)
    exchange(first, connection)
    first.close()
    connection.close()
    connection = units.accept(backend)
    assert read_exactly(connection, 8) == b"patience"
    exchange(second, connection)


def test_backlog_is_as_long_as_it_was_asked_to_be(units):
    """At max-connections the kernel queues that many, and refuses the next."""
    backend = units.backend(sink)
    units.proxy("--max-connections=1", "--tcp-listen-backlog=2", "vsock:any:5033", backend.address)
    connect(units, 5033)
    wait_until(lambda: backend.connections, "the first is served")
    connected = 0
    try:
        for _ in range(10):
            connect(units, 5033)
            connected += 1
    except ConnectionResetError:
        pass
    assert 2 <= connected <= 3


def test_many_at_once(units):
    """Sixty connections, each with a hash of its own."""
    backend = units.backend()
    proxy = units.proxy("--access-log", "vsock:any:5034", backend.address)
    pairs = []
    for number in range(60):
        client = connect(units, 5034)
        client.sendall(bytes([number]))
        pairs.append(client)
    for _ in range(60):
        connection = units.accept(backend)
        client = pairs[read_exactly(connection, 1)[0]]
        exchange(client, connection, seed=connection.fileno(), size=20_000)
        client.close()
        connection.close()
    proxy.wait_released()
    line = rf'client=vsock:{LOCAL}:\d+ .*reason="closed"'
    wait_until(lambda: len(proxy.grep(line)) == 60, "sixty lines in the log")


def test_drain_lets_a_transfer_end(units):
    proxy, client, connection = pair(units, 5035)
    client.sendall(b"begun")
    assert read_exactly(connection, 5) == b"begun"
    proxy.signal(signal.SIGTERM)
    proxy.wait_log("stopping")
    wait_until(lambda: refused(5035), "nobody else is taken")
    exchange(client, connection, size=2_000_000)
    client.close()
    connection.close()
    assert proxy.wait(10) == 0
    assert not proxy.grep("cut ")


def refused(port):
    with socket.socket(socket.AF_VSOCK) as client:
        try:
            client.connect((LOCAL, port))
        except ConnectionResetError:
            return True
    return False


def test_header_tells_the_vsock_client(units):
    """Through a second proxy, which trusts the first one's word on it, and to which it has no address."""
    backend = units.backend()
    units.proxy("--accept-proxy-protocol=vsock", "--accept-proxy-protocol-tlvs=vsock:1", "--send-proxy-protocol=v2",
                "vsock:any:5052", backend.address)
    units.proxy("--send-proxy-protocol=v2", "vsock:any:5050", "vsock:local:5052")
    client = connect(units, 5050)
    connection = units.accept(backend)
    header = read_header(connection)
    assert (header.family, header.values(CREDENTIALS)) == ("UNSPEC", [])
    assert header.values(VSOCK) == [struct.pack("!IIII", LOCAL, client.getsockname()[1], LOCAL, 5050)]
    exchange(client, connection, seed=1, size=100_000)


def test_header_over_vsock(units):
    """Read exactly, however it is cut; what it claims is no vsock client."""
    backend = units.backend()
    proxy = units.proxy("--accept-proxy-protocol=vsock:1", "--allow=192.0.2.7", "--access-log", "vsock:any:5051",
                        backend.address)
    client = connect(units, 5051)
    header = v2()
    client.sendall(header[:20])
    client.sendall(header[20:] + b"hello")
    connection = units.accept(backend)
    assert read_exactly(connection, 5) == b"hello"
    exchange(client, connection, seed=2, size=100_000)
    client.close()
    proxy.wait_log("client=192.0.2.7:4711 ")
    other = connect(units, 5051)
    other.sendall(v2(("192.0.2.8", 1)))
    assert outcome(other)[0] == b""
    proxy.wait_log("refused: no allow matches")


# ---- the status address ----


def status_is_shown(*arguments):
    status, shown, said = run("--status", *arguments)
    assert (status, said) == (0, ""), said
    assert shown.startswith("sockfront ") and ": healthy\n" in shown
    assert re.search(r"^  < vsock:any:5053 +1 ", shown, re.MULTILINE), shown


def test_status_is_asked_over_vsock(units):
    """By an address, by one for all CIDs, and by the file that has such a one."""
    backend = units.backend()
    proxy = units.proxy("--status-listen=vsock:any:5054", "--status-allow=vsock:1", "vsock:any:5053", backend.address)
    proxy.wait_log("status on vsock:any:5054")
    exchange(connect(units, 5053), units.accept(backend), size=1000)
    for address in ("vsock:1:5054", "vsock:local:5054", "vsock:any:5054"):
        status_is_shown(address)
    path = units.file("/run/vm-status.conf", "[status]\nlisten = vsock:any:5054\n"
                      f"[proxy a]\nlisten = 127.0.0.1:0\nbackend = {backend.address}\n")
    status_is_shown("-c", path)
    status, shown, _ = run("--status", "--json", "vsock:local:5054")
    (told,) = json.loads(shown)["proxies"]
    assert status == 0
    assert [(one["address"], one["accepted"]) for one in told["listeners"]] == [("vsock:any:5053", 1)]


def test_status_over_vsock_says_why_not(units):
    status, _, said = run("--status", "vsock:local:5055")
    assert status == 1 and "vsock:1:5055: cannot connect" in said, said
    proxy = units.proxy("--status-listen=vsock:any:5056", "--status-deny=vsock:1", "--status-allow=any",
                        "vsock:any:5057", "127.0.0.1:9")
    proxy.wait_log("status on vsock:any:5056")
    status, _, said = run("--status", "vsock:local:5056")
    assert status == 1 and "vsock:1:5056: cannot be asked" in said, said
    proxy.wait_log("status on vsock:any:5056: vsock:1:[0-9]+: refused")
