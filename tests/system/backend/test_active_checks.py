# SPDX-License-Identifier: MIT
"""
Checks of our own: a server that does not answer as it should gets no client, also where nobody
has come yet, and clients are held until one does.
"""

import re
import socket
import threading
import time

import pytest

from support.backend import Reserved, echo
from support.proc import wait_until
from support.proxy import run
from support.streams import Background, outcome, read_exactly, reset, round_trip


class Service:
    """Greets whoever says PING with PONG and its name, and then echoes; unless it is not ready."""

    def __init__(self, stage, name="a", port=0):
        self.ready = True
        self.how = reset
        self.checks = self.early = self.clients = 0
        self.asked = []
        self.under_way, self.most, self.lock = 0, 0, threading.Lock()
        self.name = name.encode()
        self.backend = stage.backend(self.serve, port=port)
        self.address = self.backend.address

    def serve(self, connection):
        if not self.ready:
            self.early += 1
            self.how(connection)
            return
        connection.settimeout(60)
        with self.lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        try:
            asked = connection.recv(6)
            self.asked.append(asked)
            if asked == b"PING\r\n":
                self.checks += 1
                connection.sendall(b"+PONG " + self.name)
                connection.recv(1)
            else:
                self.clients += 1
                connection.sendall(self.name)
                connection.sendall(asked)
                echo(connection)
        except OSError:
            pass  # a check does not wait for the rest
        finally:
            with self.lock:
                self.under_way -= 1


CHECK = ["--check-send=PING\\r\\n", "--check-expect=+PONG"]


def ask(stage, address, within=30):
    client = stage.connect(address, within)
    client.sendall(b"client")
    name = read_exactly(client, 7, within)[:1].decode()
    stage.sockets.remove(client)
    client.close()
    return name


def close(connection):
    connection.shutdown(socket.SHUT_RDWR)


def swallow(connection):
    connection.settimeout(10)
    connection.recv(100)
    reset(connection)


def linger(connection):
    """Neither answers nor ends."""
    connection.settimeout(60)
    connection.recv(100)
    try:
        connection.recv(100)
    except OSError:
        pass


# ---- readiness ----


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("how", [reset, close, swallow])
def test_backend_that_accepts_before_it_is_ready(stage, how, workers):
    """For 3 s it takes connections and ends them, as a container's port does: no client sees it."""
    service = Service(stage)
    service.ready, service.how = False, how
    proxy = stage.proxy(*CHECK, "--connect-timeout=60s", f"--workers={workers}", "127.0.0.1:0", service.address)
    threading.Timer(3, setattr, (service, "ready", True)).start()
    clients = [Background(ask, stage, proxy.listening[0]) for _ in range(50)]
    assert [client.result(60) for client in clients] == ["a"] * 50
    assert service.clients == 50
    assert 1 <= service.early < 30, "checks come at growing intervals"


def test_nothing_is_lost_meanwhile(stage):
    port = Reserved(stage)
    proxy = stage.proxy(*CHECK, "--connect-timeout=60s", "127.0.0.1:0", port.address)
    client = stage.connect(proxy.listening[0], 60)
    client.sendall(b"x" * 5000)
    client.shutdown(socket.SHUT_WR)
    proxy.wait_log("backend .* is down .*: clients wait until a check has passed")
    port.socket.close()
    Service(stage, port=port.port)
    assert outcome(client, 60) == (b"a" + b"x" * 5000, "end")
    proxy.wait_log(f"backend {re.escape(port.address)} answers")


def test_no_check_passes_in_time(stage):
    service = Service(stage)
    service.ready = False
    proxy = stage.proxy(*CHECK, "--connect-timeout=1s", "--access-log", "127.0.0.1:0", service.address)
    began = time.monotonic()
    assert stage.visit(proxy.listening[0]) == (b"", "reset")
    assert time.monotonic() - began >= 0.9
    proxy.wait_log('reason="no server has passed a check"')


@pytest.mark.parametrize("expected", ["+PONG", "*NG a", "\\x2bPO", "*\\x50"])
def test_expectations(stage, expected):
    service = Service(stage)
    proxy = stage.proxy("--check-send=PING\\r\\n", f"--check-expect={expected}", "127.0.0.1:0", service.address)
    assert ask(stage, proxy.listening[0]) == "a"


@pytest.mark.parametrize("expected", ["PONG", "*pong", "+PONG b"])
def test_expectations_that_are_not_met(stage, expected):
    service = Service(stage)
    options = ["--check-send=PING\\r\\n", f"--check-expect={expected}", "--connect-timeout=1s", "--check-timeout=300ms"]
    proxy = stage.proxy(*options, "127.0.0.1:0", service.address)
    assert stage.visit(proxy.listening[0]) == (b"", "reset")
    assert not service.clients


@pytest.mark.parametrize("patience", ["infinity", "18446744073709551s", "2s"])
def test_answer_in_pieces_and_within_4_kib(stage, patience):
    def slowly(connection):
        try:
            for _ in range(4):
                connection.sendall(b"." * 1000)
                time.sleep(0.05)
            connection.sendall(b"READY")
            echo(connection)
        except OSError:
            pass

    backend = stage.backend(slowly)
    options = ["--check-expect=*READY", f"--check-timeout={patience}", "--connect-timeout=5s"]
    proxy = stage.proxy(*options, "127.0.0.1:0", backend.address)
    assert read_exactly(stage.connect(proxy.listening[0]), 4005)[-5:] == b"READY"


def test_answer_past_4_kib(stage):
    def late(connection):
        try:
            connection.sendall(b"." * 4092 + b"READY")
            echo(connection)
        except OSError:
            pass

    backend = stage.backend(late)
    proxy = stage.proxy("--check-expect=*READY", "--connect-timeout=1s", "127.0.0.1:0", backend.address)
    assert stage.visit(proxy.listening[0]) == (b"", "reset")
    proxy.wait_log("is down .a check failed: its answer is not the one that is expected")


def test_slow_trickle_is_bounded(stage):
    """A byte now and then makes no check longer than check-timeout."""

    def trickle(connection):
        try:
            while True:
                connection.sendall(b".")
                time.sleep(0.1)
        except OSError:
            pass

    backend = stage.backend(trickle)
    options = ["--check-expect=*READY", "--check-timeout=300ms", "--connect-timeout=3s"]
    proxy = stage.proxy(*options, "127.0.0.1:0", backend.address)
    client = stage.connect(proxy.listening[0])
    proxy.wait_log("is down .a check failed: it does not answer in time")
    assert outcome(client) == (b"", "reset")


def test_server_that_is_restarted(stage):
    """It is known to be up no more from the first failure on: the next ones are held."""
    service = Service(stage)
    proxy = stage.proxy(*CHECK, "--connect-timeout=60s", "127.0.0.1:0", service.address)
    assert ask(stage, proxy.listening[0]) == "a"
    service.ready = False
    client = stage.connect(proxy.listening[0])
    assert outcome(client) == (b"", "reset")  # whoever finds out
    proxy.wait_log("is suspect .it resets connections at once")
    threading.Timer(1, setattr, (service, "ready", True)).start()
    clients = [Background(ask, stage, proxy.listening[0]) for _ in range(20)]
    assert [client.result(60) for client in clients] == ["a"] * 20


def test_restart_is_noticed_while_nobody_comes(stage):
    """With check-interval as well, nobody has to find out."""
    service = Service(stage)
    options = ["--check-interval=100ms", "--check-fall=1", "--connect-timeout=60s"]
    proxy = stage.proxy(*CHECK, *options, "127.0.0.1:0", service.address)
    assert ask(stage, proxy.listening[0]) == "a"
    service.ready = False
    proxy.wait_log("is down .a check failed")
    threading.Timer(1, setattr, (service, "ready", True)).start()
    assert ask(stage, proxy.listening[0]) == "a"


def test_one_of_two(stage):
    """The one that is not ready gets nobody; nobody waits for it."""
    good, bad = Service(stage, "g"), Service(stage, "b")
    bad.ready = False
    options = [*CHECK, "--balance=first", f"--backend={bad.address}", f"--backend={good.address}"]
    proxy = stage.proxy(*options, "127.0.0.1:0")
    assert {ask(stage, proxy.listening[0]) for _ in range(20)} == {"g"}
    bad.ready = True
    wait_until(lambda: ask(stage, proxy.listening[0]) == "b", "it is checked again", 20)


@pytest.mark.parametrize("kind", ["unix", "abstract", "vsock-mux"])
def test_other_kinds(stage, kind):
    backend = stage.backend_of_kind(kind, lambda connection: (connection.sendall(b"hello"), echo(connection)))
    proxy = stage.proxy("--check-expect=hell", "127.0.0.1:0", backend.address)
    client = stage.connect(proxy.listening[0])
    assert read_exactly(client, 5) == b"hello"
    round_trip(client)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_header_comes_first(stage, version):
    header = b"PROXY UNKNOWN\r\n" if version == "v1" else b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
    seen = []

    def serve(connection):
        connection.settimeout(10)
        seen.append(read_exactly(connection, len(header) + 6))
        connection.sendall(b"+PONG")

    backend = stage.backend(serve)
    stage.proxy(*CHECK, "--check-interval=1h", f"--send-proxy-protocol={version}", "127.0.0.1:0", backend.address)
    wait_until(lambda: seen, "a check comes")
    assert seen[0] == header + b"PING\r\n"


# ---- at intervals ----


def test_interval(stage):
    """They come although nobody else does, one at a time, and only as often as was said."""
    service = Service(stage)
    proxy = stage.proxy(*CHECK, "--check-interval=200ms", "127.0.0.1:0", service.address)
    wait_until(lambda: service.checks >= 2, "checks come")
    before, began = service.checks, time.monotonic()
    wait_until(lambda: service.checks >= before + 5, "checks go on")
    assert time.monotonic() - began > 0.7
    assert service.most == 1
    assert not proxy.grep("is down|is suspect")


def test_silent_server_has_one_check_at_a_time(stage):
    """A new one begins once the old one is over, however short the interval."""
    service = Service(stage)
    service.how, service.ready = linger, False
    options = ["--check-interval=20ms", "--check-timeout=400ms", "--check-fall=2"]
    proxy = stage.proxy(*CHECK, *options, "127.0.0.1:0", service.address)
    proxy.wait_log("is down .a check failed: it does not answer in time", 20)
    began, before = time.monotonic(), service.early
    wait_until(lambda: service.early >= before + 3, "checks go on", 20)
    assert time.monotonic() - began > 0.7
    assert proxy.excess_sockets() <= 1


def test_without_expectation_accepting_is_enough(stage):
    """And one alone that is down is tried all the same."""
    port = Reserved(stage)
    options = ["--check-interval=100ms", "--connect-timeout=60s"]
    proxy = stage.proxy(*options, "127.0.0.1:0", port.address)
    proxy.wait_log(f"backend {re.escape(port.address)} is down .a check failed: Connection refused")
    client = stage.connect(proxy.listening[0])
    port.socket.close()
    backend = stage.backend(echo, port=port.port)
    round_trip(client)
    proxy.wait_log(f"backend {re.escape(backend.address)} answers")


def test_rise_and_fall(stage):
    service = Service(stage)
    service.ready = False
    options = ["--check-interval=100ms", "--check-rise=4", "--check-fall=5", "--connect-timeout=60s"]
    proxy = stage.proxy(*CHECK, *options, "127.0.0.1:0", service.address)
    proxy.wait_log("is down")
    assert service.early >= 5
    service.ready = True
    client = Background(ask, stage, proxy.listening[0])
    proxy.wait_log("answers")
    assert service.checks >= 4
    assert client.result(30) == "a"


def test_down_action_of_one_that_only_checks_find_out(stage):
    """Its connections hang, and no client comes."""
    service = Service(stage)
    options = ["--check-interval=100ms", "--check-fall=1", "--down-action=close"]
    proxy = stage.proxy(*CHECK, *options, "127.0.0.1:0", service.address)
    client = stage.connect(proxy.listening[0])
    client.sendall(b"client")
    read_exactly(client, 7)
    service.ready = False
    assert outcome(client, 20) == (b"", "reset")
    proxy.wait_log("is down .*its connections are closed")


def test_without_a_key_there_is_no_check(stage):
    backend = stage.backend(echo)
    proxy = stage.proxy(*CHECK[:1], "--check-rise=2", "--check-fall=1", "127.0.0.1:0", backend.address)
    round_trip(stage.connect(proxy.listening[0]))
    proxy.assert_rests(1.5)
    assert len(backend.connections) == 1


def test_nobody_is_checked_before_a_client_comes(stage):
    """Without check-interval, that is: what starts on demand is left to do so."""
    service = Service(stage)
    proxy = stage.proxy(*CHECK, "127.0.0.1:0", service.address)
    proxy.assert_rests(1.5)
    assert not service.backend.connections
    assert ask(stage, proxy.listening[0]) == "a"
    wait_until(lambda: service.under_way == 0, "the client has left")
    proxy.assert_rests(1.5)
    assert len(service.backend.connections) == 2


# ---- reload ----


def configuration(stage, servers, *keys):
    lines = "".join(f"backend = {server}\n" for server in servers) + "".join(f"{key}\n" for key in keys)
    return stage.file("sockfront.conf", f"[proxy a]\nlisten = {stage.path('front')}\n{lines}")


KEYS = ["check-send = PING\\r\\n", "check-expect = +PONG", "connect-timeout = 60s"]


def test_reload_keeps_what_is_known(stage):
    """One that is known to be up is not asked again; who is held goes on waiting."""
    good, bad = Service(stage, "g"), Service(stage, "b")
    file = configuration(stage, [good.address], *KEYS)
    proxy = stage.proxy("-c", file)
    assert ask(stage, stage.path("front")) == "g"
    assert good.checks == 1
    bad.ready = False
    configuration(stage, [good.address, f"{bad.address} backup"], *KEYS)
    proxy.reload()
    assert ask(stage, stage.path("front")) == "g"
    assert good.checks == 1

    configuration(stage, [bad.address], *KEYS)
    proxy.reload()
    held = stage.connect(stage.path("front"), 60)
    held.sendall(b"client")
    wait_until(lambda: bad.early >= 2, "it is checked")
    configuration(stage, [bad.address], *KEYS, "idle-timeout = 1h")
    proxy.reload()
    early = bad.early
    wait_until(lambda: bad.early > early, "by the new generation, too", 20)
    bad.ready = True
    assert read_exactly(held, 7, 60) == b"bclient"


def test_reload_that_brings_and_takes_the_checks(stage):
    service = Service(stage)
    file = configuration(stage, [service.address])
    proxy = stage.proxy("-c", file)
    assert ask(stage, stage.path("front")) == "a"
    configuration(stage, [service.address], *KEYS, "check-interval = 100ms", "check-fall = 1")
    proxy.reload()
    wait_until(lambda: service.checks >= 2, "checks come")
    service.ready = False
    proxy.wait_log("is down")
    configuration(stage, [service.address])
    proxy.reload()
    service.ready = True
    assert ask(stage, stage.path("front")) == "a"
    checks = service.checks
    proxy.assert_rests(1)
    assert service.checks == checks


# ---- keys without effect ----

NO_EFFECT = "has no effect: nothing is checked without check-interval or check-expect"


def test_keys_without_effect(stage):
    """The log says so, with the line; --check does too, and finds the file valid."""
    service = Service(stage)
    file = configuration(stage, [service.address], "check-rise = 2", "check-send = PING")
    status, out, said = run("--check", "-c", file)
    assert status == 0 and "valid" in out
    assert [line.split(": ", 2)[2] for line in said.splitlines()] == [
        f"{file}:4: check-rise {NO_EFFECT}",
        f"{file}:5: check-send {NO_EFFECT}",
    ]
    proxy = stage.proxy("-c", file)
    assert len(proxy.grep(f"^<4>.*{NO_EFFECT}|warning: .*{NO_EFFECT}")) == 2
    configuration(stage, [service.address], "check-rise = 2", "check-interval = 1h")
    proxy.reload()
    configuration(stage, [service.address], "check-fall = 2")
    proxy.reload()
    proxy.wait_log(f"{re.escape(file)}:4: check-fall {NO_EFFECT}")
    assert len(proxy.grep(NO_EFFECT)) == 3


def test_keys_without_effect_on_the_command_line(stage):
    _, _, said = run("--check", "--check-fall=2", ":0", "127.0.0.1:1")
    assert said == f"sockfront: warning: check-fall {NO_EFFECT}\n"
