# SPDX-License-Identifier: MIT
"""
Several servers behind one proxy: each gets its share, none that is down gets a client, and no
client is lost as long as one of them answers in time.
"""

import collections
import ctypes
import re
import signal
import socket
import struct
import threading
import time

import pytest

from support.backend import Deaf, LocalBackend, Reserved, named, servers
from support.proc import wait_asleep, wait_until
from support.streams import Background, outcome, read_exactly, reset, round_trip


def kill(stage, server):
    """Nobody listens there any more, and no other test gets the port until this is closed."""
    server.close()
    held = stage.keep(socket.socket())
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((server.host, server.port))
    return held


def proxy_of(stage, lines, *options, listen=("127.0.0.1:0",), **more):
    words = [f"--backend={line}" for line in lines]
    return stage.proxy(*options, *words, *listen, sockets=len(listen), **more)


def keep(stage, address):
    client = stage.connect(address)
    return client, read_exactly(client, 1).decode()


# ---- shares ----


def configuration(stage, lines, *keys):
    text = "".join(f"backend = {line}\n" for line in lines) + "".join(f"{key}\n" for key in keys)
    return stage.file("sockfront.conf", f"[proxy a]\nlisten = {stage.path('front')}\n{text}")


@pytest.mark.parametrize("weights", [(1, 2, 3), (1, 1, 1)])
@pytest.mark.parametrize("policy, spread", [("round-robin", 0.005), ("random", 0.03), ("least-connections", 0.03)])
def test_shares_are_as_the_weights(stage, policy, spread, weights):
    """Of 10,000 connections each server has what it should; those policies that look at the load, within 3 %."""
    lines = [f"{server.address} weight={weight}" for weight, server in zip(weights, servers(stage, 3))]
    proxy = proxy_of(stage, lines, f"--balance={policy}", "--workers=2")
    seen, failed = storm(stage, proxy.listening[0], 10000)
    assert not failed
    for weight, name in zip(weights, "abc"):
        assert abs(seen[name] / 10000 - weight / sum(weights)) <= spread, seen


def test_first(stage):
    proxy = proxy_of(stage, [server.address for server in servers(stage, 3)], "--balance=first")
    assert {stage.ask(proxy.listening[0]) for _ in range(20)} == {"a"}


def test_least_connections_is_the_default(stage):
    proxy = proxy_of(stage, [server.address for server in servers(stage, 3)])
    seen = collections.Counter(keep(stage, proxy.listening[0])[1] for _ in range(30))
    assert seen == {"a": 10, "b": 10, "c": 10}


def test_slow_server_gets_few(stage):
    """It keeps its clients for ever; the others let them go at once."""
    a, b = servers(stage, 2)
    slow = stage.backend(lambda connection: (connection.sendall(b"s"), connection.recv(1)))
    proxy = proxy_of(stage, [slow.address, a.address, b.address])
    kept = []
    seen = collections.Counter()
    for _ in range(300):
        client, name = keep(stage, proxy.listening[0])
        seen[name] += 1
        if name == "s":
            kept.append(client)
        else:
            client.close()
            stage.sockets.remove(client)
    assert seen["s"] < 60, seen


def server_of(stage, address, number):
    """Who serves the client number such-and-such, which always has the same address."""
    host, _, port = address.rpartition(":")
    client = stage.keep(socket.socket())
    client.bind((f"127.0.1.{number}", 0))
    client.settimeout(10)
    client.connect((host, int(port)))
    name = read_exactly(client, 1).decode()
    stage.sockets.remove(client)
    client.close()
    return name


def test_source(stage):
    """A client's address has its server; one that leaves moves no others."""
    three = servers(stage, 3)
    proxy = proxy_of(stage, [server.address for server in three], "--balance=source")
    before = {number: server_of(stage, proxy.listening[0], number) for number in range(1, 61)}
    assert set(before.values()) == {"a", "b", "c"}
    assert {number: server_of(stage, proxy.listening[0], number) for number in before} == before
    three[1].close()
    for _ in range(4):  # three failures take it down
        server_of(stage, proxy.listening[0], next(number for number in before if before[number] == "b"))
    after = {number: server_of(stage, proxy.listening[0], number) for number in before}
    assert all(after[number] == before[number] for number in before if before[number] != "b")
    assert "b" not in after.values()


def test_source_when_a_server_comes(stage):
    """It takes its share, and nobody else moves."""
    addresses = [server.address for server in servers(stage, 4)]
    words = "[proxy a]\nlisten = 127.0.0.1:0\nbalance = source\n"
    lines = [f"backend = {address}\n" for address in addresses]
    file = stage.file("sockfront.conf", words + "".join(lines[:3]))
    proxy = stage.proxy("-c", file)
    before = {number: server_of(stage, proxy.listening[0], number) for number in range(1, 201)}
    stage.file("sockfront.conf", words + "".join(lines))
    proxy.reload()
    after = {number: server_of(stage, proxy.listening[0], number) for number in before}
    moved = [number for number in before if after[number] != before[number]]
    assert {after[number] for number in moved} == {"d"}
    assert 25 <= len(moved) <= 75, "a quarter of 200, more or less"


# ---- health ----


def storm(stage, address, n, threads=8):
    """Clients that come one after the other in several threads; how many of them were served by whom."""
    seen, failed = collections.Counter(), []
    left = iter(range(n))
    lock = threading.Lock()
    host, _, port = address.rpartition(":")

    def visit():
        while True:
            with lock:
                if next(left, None) is None:
                    return
            try:
                with socket.create_connection((host, int(port)), 30) as client:
                    client.settimeout(30)
                    seen[read_exactly(client, 1).decode()] += 1
                    client.sendall(b"x")
                    read_exactly(client, 1)
            except (OSError, AssertionError) as error:
                failed.append(error)

    running = [Background(visit) for _ in range(threads)]
    for one in running:
        one.result(120)
    return seen, failed


class Knocks:
    """Counts the attempts to connect to a port of this network namespace: the SYNs on its loopback."""

    OUTGOING = 4  # PACKET_OUTGOING: each is seen coming as well

    def __init__(self, stage, port):
        self.socket = stage.keep(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))  # nothing before the filter
        words = (
            (0x30, 0, 0, 23),  # protocol
            (0x15, 0, 7, socket.IPPROTO_TCP),
            (0xB1, 0, 0, 14),  # x = length of the IPv4 header
            (0x48, 0, 0, 16),  # destination port
            (0x15, 0, 4, port),
            (0x50, 0, 0, 27),  # flags
            (0x54, 0, 0, 0x12),
            (0x15, 0, 1, 0x02),  # SYN without ACK
            (0x06, 0, 0, 64),
            (0x06, 0, 0, 0),
        )
        program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *word) for word in words))
        filtered = struct.pack("HL", len(words), ctypes.addressof(program))
        self.socket.setsockopt(socket.SOL_SOCKET, 26, filtered)  # SO_ATTACH_FILTER
        self.socket.bind(("lo", 0x0800))
        self.socket.setblocking(False)

    def count(self):
        """Since the last time."""
        n = 0
        try:
            while True:
                n += self.socket.recvfrom(64)[1][2] != self.OUTGOING
        except BlockingIOError:
            return n


@pytest.mark.parametrize("workers", [1, 4])
def test_one_of_three_is_killed_under_load(stage, workers):
    """No client that is accepted afterwards sees it; while it is down only probes go there."""
    three = servers(stage, 3)
    port = three[1].port
    proxy = proxy_of(stage, [server.address for server in three], f"--workers={workers}")
    storm(stage, proxy.listening[0], 300)
    kill(stage, three[1])
    seen, failed = storm(stage, proxy.listening[0], 5000)
    proxy.wait_log(f"backend {re.escape(three[1].address)} is down .*: clients go to the others")
    knocks = Knocks(stage, port)
    began = time.monotonic()
    more, failed_later = storm(stage, proxy.listening[0], 5000)
    took = time.monotonic() - began
    assert not failed and not failed_later, (failed + failed_later)[:3]
    assert set(seen) | set(more) == {"a", "c"}
    assert 1 <= knocks.count() <= 2 + took / 2, "a probe every two seconds"


def test_server_comes_back(stage):
    """It has clients again within two seconds, as long as some come."""
    two = servers(stage, 2)
    port = two[0].port
    proxy = proxy_of(stage, [server.address for server in two], "--balance=first")
    killed = kill(stage, two[0])
    for _ in range(50):
        assert stage.ask(proxy.listening[0]) == "b"
        time.sleep(0.1)
    killed.close()
    back = stage.backend(named("a"), port=port)
    began = time.monotonic()
    while stage.ask(proxy.listening[0]) == "b":
        time.sleep(0.05)
        assert time.monotonic() - began < 3
    proxy.wait_log(f"backend {re.escape(back.address)} answers")


def test_only_probes_go_where_nobody_answers(stage):
    """
    A port that counts who comes: one a second at most, though there are hundreds of clients.  They come
    one after the other: of those who come at once, more may have been sent there before it is known.
    """
    (good,) = servers(stage, 1)
    bad = stage.backend(lambda connection: reset(connection))
    proxy = proxy_of(stage, [bad.address, good.address], "--balance=first", "--access-log")
    results = [stage.visit(proxy.listening[0]) for _ in range(3)]
    assert [how for _, how in results] == ["reset"] * 3
    proxy.wait_log(f"backend {re.escape(bad.address)} is down")
    bad_before = len(bad.connections)
    began = time.monotonic()
    seen, failed = storm(stage, proxy.listening[0], 300, threads=1)
    took = time.monotonic() - began
    # A probe that is accepted counts as an answer, and then three clients more may be reset.
    assert len(bad.connections) - bad_before <= 4 * (1 + took), (took, len(bad.connections))
    assert seen["a"] >= 300 - 3 * (1 + took)


def test_all_are_killed(stage):
    """Clients are held until one is back."""
    three = servers(stage, 3)
    port = three[0].port
    proxy = proxy_of(stage, [server.address for server in three], "--connect-timeout=60s")
    killed = [kill(stage, server) for server in three]
    clients = [stage.connect(proxy.listening[0], 60) for _ in range(500)]
    for client in clients:
        client.sendall(b"x")
    proxy.wait_log("cannot be reached")
    proxy.wait_log("is down .*: no other is up, so that all are tried")
    time.sleep(5)
    killed[0].close()
    stage.backend(named("a"), port=port)
    for client in clients:
        assert read_exactly(client, 2, 60) == b"ax"


def test_server_that_swallows_syns(stage):
    """It costs one client a head start, the others nothing."""
    deaf, (good,) = Deaf(stage), servers(stage, 1)
    proxy = proxy_of(stage, [deaf.address, good.address], "--balance=first")
    began = time.monotonic()
    assert stage.ask(proxy.listening[0]) == "a"
    first = time.monotonic()
    assert 0.25 <= first - began < 0.75
    proxy.wait_log(f"backend {re.escape(deaf.address)} is suspect")
    later = time.monotonic()
    assert {stage.ask(proxy.listening[0]) for _ in range(50)} == {"a"}
    assert time.monotonic() - later < 50 * 0.1
    assert len(proxy.grep("is suspect")) == 1


def test_suspect_while_the_other_is_full(stage):
    """Whoever met the silent one takes the first room that the other has."""
    deaf, (good,) = Deaf(stage), servers(stage, 1)
    lines = [f"{good.address} max=1 weight=2", deaf.address]
    proxy = proxy_of(stage, lines, "--balance=first", "--connect-timeout=60s")
    first, _ = keep(stage, proxy.listening[0])
    waiting = stage.connect(proxy.listening[0])
    proxy.wait_log(f"backend {re.escape(deaf.address)} is suspect")
    first.close()
    assert read_exactly(waiting, 1) == b"a"


def test_garbage_takes_no_server_down(stage):
    """What a client is reset for is its own affair."""

    def strict(connection):
        connection.recv(1)
        reset(connection)

    one, two = stage.backend(strict), stage.backend(strict)
    proxy = proxy_of(stage, [one.address, two.address])
    for _ in range(1000):
        client = stage.connect(proxy.listening[0])
        client.sendall(b"garbage")
        outcome(client)
        client.close()
        stage.sockets.remove(client)
    assert not proxy.grep("is down|is suspect")
    assert min(len(one.connections), len(two.connections)) > 400


def test_backup(stage):
    """It serves while every other one is down, and no longer."""
    main, backup = servers(stage, 2)
    port = main.port
    proxy = proxy_of(stage, [f"{backup.address} backup", main.address])
    assert stage.ask(proxy.listening[0]) == "a"
    main.close()
    assert stage.ask(proxy.listening[0]) == "b"
    stage.backend(named("a"), port=port)
    wait_until(lambda: stage.ask(proxy.listening[0]) == "a", "new clients go back", 20)
    assert {stage.ask(proxy.listening[0]) for _ in range(10)} == {"a"}


def test_servers_of_several_kinds(stage):
    tcp = stage.backend(named("t"))
    local = [LocalBackend(stage.path("u"), named("u")), LocalBackend(stage.name("n"), named("n"))]
    stage.backends += local
    proxy = proxy_of(stage, [tcp.address, *(one.address for one in local)], "--access-log")
    seen = []
    for _ in range(3):
        client, name = keep(stage, proxy.listening[0])
        round_trip(client, b"y" * 10000)
        seen.append(name)
    assert sorted(seen) == ["n", "t", "u"]
    stage.close_sockets()
    wait_until(lambda: len(proxy.grep("reason=")) == 3, "three lines")
    for address in (tcp.address, stage.path("u"), local[1].address):
        assert len(proxy.grep(f"backend={re.escape(address)} ")) == 1, proxy.log


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_probes_say_who_they_are(stage, version):
    (good,) = servers(stage, 1)
    port = Reserved(stage)
    proxy = proxy_of(stage, [port.address, good.address], "--balance=first", f"--send-proxy-protocol={version}")
    for _ in range(3):
        stage.ask(proxy.listening[0])
    proxy.wait_log("is down")
    port.open()
    probe = port.accept(stage, 20)
    received, how = outcome(probe)
    assert how == "end"
    assert received == (b"PROXY UNKNOWN\r\n" if version == "v1" else b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("n", [1, 2])
def test_down_action_closes(stage, n, workers):
    """Connections of a server that is down are reset, even if it keeps its side open; no others are."""
    some = servers(stage, n)
    options = ["--balance=first", "--down-action=close", "--access-log", "--connect-timeout=1s", f"--workers={workers}"]
    proxy = proxy_of(stage, [server.address for server in some], *options)
    hanging = [keep(stage, proxy.listening[0])[0] for _ in range(2 * workers)]
    some[0].stop_listening()
    for _ in range(3):
        stage.visit(proxy.listening[0]) if n == 1 else stage.ask(proxy.listening[0])
    proxy.wait_log(f"backend {re.escape(some[0].address)} is down .*its connections are closed")
    for client in hanging:
        assert outcome(client) == (b"", "reset")
    proxy.wait_log('reason="the backend is down"')
    if n > 1:
        client, name = keep(stage, proxy.listening[0])
        assert name == "b"
        round_trip(client)


def test_down_action_is_none(stage):
    (server,) = servers(stage, 1)
    proxy = proxy_of(stage, [server.address], "--connect-timeout=1s")
    client, _ = keep(stage, proxy.listening[0])
    server.stop_listening()
    for _ in range(4):
        stage.visit(proxy.listening[0])
    round_trip(client)


# ---- room ----


def wait_in_queue(proxy, excess):
    """The last client has been accepted, and its worker has put it behind those who came before it."""
    wait_until(lambda: proxy.excess_sockets() == excess, "it was accepted")
    wait_asleep(proxy.pid)


def test_max(stage):
    """Clients past it wait, in the order in which they came."""
    two = servers(stage, 2)
    proxy = proxy_of(stage, [f"{server.address} max=2" for server in two], "--connect-timeout=60s")
    served = [keep(stage, proxy.listening[0]) for _ in range(4)]
    assert sorted(name for _, name in served) == ["a", "a", "b", "b"]
    waiting = []
    for number in range(5):
        client = stage.connect(proxy.listening[0])
        client.sendall(b"%d" % number)
        waiting.append(client)
        wait_in_queue(proxy, 9 + number)
    assert all(len(server.connections) == 2 for server in two)
    for number, client in enumerate(waiting):
        served[number % 4][0].close() if number < 4 else waiting[0].close()
        assert read_exactly(client, 2)[1:] == b"%d" % number
        for other in waiting[number + 1 :]:
            other.setblocking(False)
            with pytest.raises(BlockingIOError):
                other.recv(1)
            other.setblocking(True)


def test_max_of_one_server_and_a_client_that_gives_up(stage):
    (server,) = servers(stage, 1)
    proxy = proxy_of(stage, [f"{server.address} max=1"], "--access-log", listen=[stage.path("front")])
    first, _ = keep(stage, stage.path("front"))
    second, third = stage.connect(stage.path("front")), stage.connect(stage.path("front"))
    wait_in_queue(proxy, 4)
    second.close()
    proxy.wait_log("client left while the backend was awaited")
    first.close()
    assert read_exactly(third, 1) == b"a"


def test_no_room_in_time(stage):
    (server,) = servers(stage, 1)
    proxy = proxy_of(stage, [f"{server.address} max=1"], "--access-log", "--connect-timeout=1s")
    keep(stage, proxy.listening[0])
    assert stage.visit(proxy.listening[0]) == (b"", "reset")
    proxy.wait_log('reason="every server is full"')


def test_drain_with_clients_in_the_queue(stage):
    """Whoever waits for room when the process is asked to stop is served if that comes in time, and else let go."""
    (server,) = servers(stage, 1)
    proxy = proxy_of(stage, [f"{server.address} max=1"], "--connect-timeout=60s", "--workers=2")
    first, _ = keep(stage, proxy.listening[0])
    second = stage.connect(proxy.listening[0])
    wait_in_queue(proxy, 3)
    third = stage.connect(proxy.listening[0])
    wait_in_queue(proxy, 4)
    proxy.signal(signal.SIGTERM)
    first.close()
    assert read_exactly(second, 1) == b"a"
    round_trip(second)
    assert outcome(third) == (b"", "reset")
    second.close()
    assert proxy.wait(10) == 0


# ---- reload ----


def test_reload_keeps_what_is_known(stage):
    """Of servers whose line is unchanged: that one is down, and how many connections another has."""
    good, other = servers(stage, 2)
    dead = Reserved(stage)
    lines = [dead.address, f"{good.address} max=2"]
    file = configuration(stage, lines, "balance = first", "connect-timeout = 60s")
    proxy = stage.proxy("-c", file)
    front = stage.path("front")
    first, _ = keep(stage, front)
    second, _ = keep(stage, front)
    waiting = stage.connect(front, 60)
    waiting.sendall(b"x")
    proxy.wait_log("is down")
    said = len(proxy.grep("is down"))
    configuration(stage, [*reversed(lines), f"{other.address} backup"], "balance = first", "connect-timeout = 60s")
    proxy.reload()
    later = stage.connect(front, 60)
    later.sendall(b"y")
    time.sleep(0.3)
    assert len(good.connections) == 2, "it has as many as it may"
    assert len(proxy.grep("is down")) == said
    first.close()
    assert read_exactly(waiting, 2) == b"ax"
    second.close()
    assert read_exactly(later, 2) == b"ay"
    dead.open()
    proxy.wait_log(f"backend {re.escape(dead.address)} answers", 20)


def test_reload_without_a_server(stage):
    """Connections to it live on; nobody new goes there, and nobody probes it."""
    good, gone = servers(stage, 2)
    file = configuration(stage, [gone.address, good.address], "balance = first")
    proxy = stage.proxy("-c", file)
    front = stage.path("front")
    client, name = keep(stage, front)
    assert name == "b"
    configuration(stage, [good.address], "balance = first")
    proxy.reload()
    assert stage.ask(front) == "a"
    round_trip(client)


# ---- one server ----


def test_one_server_is_never_probed(stage):
    """Its clients have nowhere else to go, and find out by themselves."""
    port = Reserved(stage)
    proxy = stage.proxy("--connect-timeout=1s", "127.0.0.1:0", port.address)
    for _ in range(4):
        assert stage.visit(proxy.listening[0]) == (b"", "reset")
    proxy.assert_rests(1.5)
    assert not proxy.grep("is down")
