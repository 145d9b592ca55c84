# SPDX-License-Identifier: MIT
"""STATUS= on change and seldom, more time while connections finish, and nobody waits for a manager that is deaf."""

import re
import signal
import socket
import time

import pytest

from support.backend import echo
from support.manager import Manager, fill
from support.proc import wait_until
from support.streams import exchange, outcome


def statuses(manager, since=0):
    return [m.value("STATUS") for m in manager.messages[since:] if m.value("STATUS") is not None]


def test_on_change_and_at_most_every_five_seconds(stage):
    manager = Manager(stage)
    backend = stage.backend(echo)
    proxy = stage.proxy("--workers=3", "127.0.0.1:0", backend.address, environment=manager.environment)
    wait_until(lambda: statuses(manager), "the first status")
    assert re.match(r"0 connection", statuses(manager)[0]), statuses(manager)
    kept = stage.connect(proxy.listening[0])
    until = time.monotonic() + 5.2
    while time.monotonic() < until:
        stage.round_trip(proxy.listening[0])
        time.sleep(0.02)
    wait_until(lambda: re.match(r"1 connection", statuses(manager)[-1]), "the one that stays is told of", 6)
    times = [m.time for m in manager.messages if m.value("STATUS") is not None]
    assert all(b - a > 4.5 for a, b in zip(times, times[1:])), times
    assert kept.fileno() >= 0


def test_nothing_without_a_change(stage):
    manager = Manager(stage)
    proxy = stage.proxy("127.0.0.1:0", stage.backend().address, environment=manager.environment)
    wait_until(lambda: statuses(manager), "the first status")
    assert proxy.wakeups_during(6) < 5
    assert len(statuses(manager)) == 1


def test_more_time_while_connections_finish(stage):
    manager = Manager(stage)
    backend = stage.backend()
    proxy = stage.proxy("--drain-timeout=1h", "127.0.0.1:0", backend.address, environment=manager.environment)
    pairs = [stage.live_pair(backend, proxy.listening[0]) for _ in range(2)]
    proxy.signal(signal.SIGTERM)
    manager.wait("STOPPING=1")
    wait_until(lambda: "stopping: 2 connection(s) left" in statuses(manager), "how many are left")
    stage.close_sockets_of(pairs[:1])
    wait_until(lambda: "stopping: 1 connection(s) left" in statuses(manager), "one has ended", 7)
    extended = [m for m in manager.messages if m.value("EXTEND_TIMEOUT_USEC")]
    assert len(extended) >= 2
    for earlier, later in zip(extended, extended[1:]):
        assert later.time - earlier.time < int(earlier.value("EXTEND_TIMEOUT_USEC")) / 1e6
    exchange(*pairs[1], seed=1, size=1000)
    stage.close_sockets_of(pairs[1:])
    assert proxy.wait(5) == 0


def test_a_reload_that_failed(stage):
    """When and why, until one succeeds; whatever was the first thing wrong."""
    manager, backend, path = Manager(stage), stage.backend(), stage.path("app.sock")
    text = f"[proxy a]\nlisten = {path}\nbackend = {backend.address}\n"
    file = stage.file("sockfront.conf", text)
    proxy = stage.proxy("-c", file, environment=manager.environment)
    wait_until(lambda: statuses(manager), "the first status")
    for wrong, why in (
        ("lisen = x\nbalance = y\n", rf"{re.escape(file)}:4: .*lisen.*"),
        ("listen = /proc/no/such\n", r".*/proc/no/such.*"),
    ):
        stage.file("sockfront.conf", text + wrong)
        assert "reload failed" in proxy.reload()
        told = rf"0 connection\(s\), 1 proxy; the reload at \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d failed: {why}"
        wait_until(lambda told=told: re.fullmatch(told, statuses(manager)[-1]), f"{told}: {statuses(manager)}", 10)
    stage.file("sockfront.conf", text)
    assert "reloaded" in proxy.reload()
    wait_until(lambda: statuses(manager)[-1] == "0 connection(s), 1 proxy", "it is forgotten", 10)


@pytest.fixture
def deaf(stage):
    """A manager whose socket is full from the beginning; nobody reads it."""
    address = stage.path("deaf")
    sock = stage.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    sock.bind(address)
    fill(stage.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)), address)
    return {"NOTIFY_SOCKET": address}


@pytest.mark.parametrize("store", [{}, {"FDSTORE": "10"}])
def test_deaf_manager_delays_nobody(stage, deaf, store):
    backend = stage.backend(echo)
    address = stage.path("app.sock")
    file = stage.file("sockfront.conf", f"[proxy a]\nlisten = {address}\nbackend = {backend.address}\n")
    proxy = stage.proxy("-c", file, environment={**deaf, **store, "WATCHDOG_USEC": "20000"})
    for number in range(100):
        stage.round_trip(address)
        if number % 20 == 0:
            proxy.before = None
            assert "reloaded" in proxy.reload()
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(10) == 0


def test_deaf_manager_and_a_cut(stage, deaf):
    backend = stage.backend()
    proxy = stage.proxy("--drain-timeout=300ms", "127.0.0.1:0", backend.address, environment=deaf)
    client, connection = stage.live_pair(backend, proxy.listening[0])
    began = time.monotonic()
    proxy.signal(signal.SIGTERM)
    assert outcome(connection, 5) == (b"", "reset") == outcome(client, 5)
    assert proxy.wait(5) == 0
    assert time.monotonic() - began < 3


def test_deaf_manager_and_an_upgrade(stage, deaf):
    """It is waited for as long as it may not know whose process is whose, and no longer; clients never wait."""
    backend = stage.backend(echo)
    proxy = stage.proxy("127.0.0.1:0", backend.address, environment=deaf)
    proxy.before = None  # a socket that the manager does not read is one of them
    proxy.signal(signal.SIGUSR2)
    proxy.wait_log("takes over")
    for _ in range(100):
        stage.round_trip(proxy.listening[0])
    proxy.followed(proxy.wait_log("takes over")[0])
    proxy.wait_log("does not read what it is told", 8)
    proxy.wait_replaced()
    stage.round_trip(proxy.listening[0])
