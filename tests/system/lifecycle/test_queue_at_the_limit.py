# SPDX-License-Identifier: MIT
"""Clients that are queued when their listener goes, at max-connections: served as room comes, or counted."""

import os
import signal
import time

import pytest

from support.configuration import process, section
from support.manager import Manager
from support.proc import free_address, wait_until
from support.stage import refuses
from support.streams import exchange, is_silent, outcome, read_exactly

QUEUED = 5


@pytest.fixture(params=["tcp", "unix"])
def kind(request):
    return request.param


def fill(stage, backend, address, slots=1):
    """Takes every slot and queues some clients, each of which has sent its number."""
    held = [stage.live_pair(backend, address) for _ in range(slots)]
    clients = [stage.connect(address) for _ in range(QUEUED)]
    for number, client in enumerate(clients):
        client.sendall(bytes([number]))
    return held, clients


def serve(stage, backend, clients):
    """One after the other, each as the one before leaves."""
    for number, client in enumerate(clients):
        connection = backend.accept(5)
        assert read_exactly(connection, 1)[0] == number
        exchange(client, connection, seed=number, size=1000)
        stage.close_sockets_of([(client, connection)])


def test_stop(stage, kind):
    backend = stage.backend()
    proxy = stage.proxy("--max-connections=1", "--drain-timeout=60s", stage.front(kind), backend.address)
    address = proxy.listening[0]
    held, clients = fill(stage, backend, address)
    proxy.signal(signal.SIGTERM)
    proxy.wait_log("waiting for 1 connection.* and for the clients that are queued")
    if kind == "tcp":
        late = stage.connect(address)
    else:
        wait_until(lambda: refuses(address), "nobody finds it any more")
    stage.close_sockets_of(held)
    serve(stage, backend, clients)
    assert proxy.wait(10) == 0
    if kind == "tcp":
        assert outcome(late, 5) == (b"", "reset"), "it came after the stop"
    assert not proxy.grep("cut |turned away"), proxy.log


def test_stop_whose_time_is_over(stage, kind):
    """What is left is counted: those in the queue that no connection made room for, too."""
    backend = stage.backend()
    proxy = stage.proxy("--max-connections=3", "--drain-timeout=400ms", stage.front(kind), backend.address)
    held, clients = fill(stage, backend, proxy.listening[0], slots=3)
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(10) == 0
    for client in clients:
        assert outcome(client, 5) == (b"", "reset")
    assert len(held) == 3 and proxy.grep("cut 3 connection")
    assert proxy.grep(rf"{QUEUED} client\(s\) in the queue were turned away"), proxy.log


def test_second_signal_does_not_wait(stage):
    backend = stage.backend()
    proxy = stage.proxy("--max-connections=1", "--drain-timeout=infinity", "127.0.0.1:0", backend.address)
    fill(stage, backend, proxy.listening[0])
    proxy.signal(signal.SIGTERM)
    proxy.wait_log("stopping: ")
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(10) == 0
    assert proxy.grep(r"client\(s\) in the queue were turned away"), proxy.log


def test_queue_without_a_connection_that_ends(stage):
    """They would be lost: they are let in past the limit, slowly."""
    backend = stage.backend()
    proxy = stage.proxy("--max-connections=1", "--drain-timeout=60s", "127.0.0.1:0", backend.address)
    held, clients = fill(stage, backend, proxy.listening[0])
    proxy.signal(signal.SIGTERM)
    pairs = []
    for number, client in enumerate(clients[:2]):
        connection = backend.accept(10)
        assert read_exactly(connection, 1)[0] == number
        pairs.append((client, connection))
    stage.close_sockets_of(held + pairs)
    for number in range(2, QUEUED):
        connection = backend.accept(10)
        assert read_exactly(connection, 1)[0] == number
        stage.close_sockets_of([(clients[number], connection)])
    assert proxy.wait(10) == 0


def test_manager_hears_of_a_stop_that_takes_long(stage):
    """It would end the process if it were not told that it still stops."""
    manager, backend = Manager(stage), stage.backend()
    words = ["--max-connections=1", "--drain-timeout=60s", "127.0.0.1:0", backend.address]
    proxy = stage.proxy(*words, environment=manager.environment)
    held, clients = fill(stage, backend, proxy.listening[0])
    proxy.signal(signal.SIGTERM)
    manager.wait("STOPPING=1")
    wait_until(lambda: [m for m in manager.messages if m.value("EXTEND_TIMEOUT_USEC")], "it asks for time")
    stage.close_sockets_of(held)
    serve(stage, backend, clients)
    assert proxy.wait(10) == 0


def start_two(stage, backend, kind, *lines):
    """A listener that stays and one that goes; the second is full."""
    stays, goes = stage.path("stays.sock"), stage.path("goes.sock")
    text = process("max-connections = 1", *lines) + section(backend, stays, name="stays")
    listen = goes if kind == "unix" else free_address()
    file = stage.file("sockfront.conf", text + section(backend, listen, name="goes"))
    proxy = stage.proxy("-c", file, sockets=2)
    goes = listen
    held, clients = fill(stage, backend, goes)
    stage.file("sockfront.conf", text)
    proxy.before = None
    return proxy, stays, goes, held, clients


def test_reload_without_the_line(stage, kind):
    backend = stage.backend()
    proxy, stays, goes, held, clients = start_two(stage, backend, kind)
    assert "1 kept, 0 added, 1 removed" in proxy.reload().replace("listener(s) ", "")
    assert kind == "tcp" or not os.path.exists(goes)
    waiting = stage.connect(stays)
    waiting.sendall(b"w")
    assert is_silent(waiting, 0.2)
    stage.close_sockets_of(held)
    seen = []
    while len(seen) < QUEUED + 1:
        connection = backend.accept(5)
        byte = read_exactly(connection, 1)
        client = waiting if byte == b"w" else clients[byte[0]]
        exchange(client, connection, seed=len(seen), size=1000)
        seen.append(byte)
        stage.close_sockets_of([(client, connection)])
    assert seen.index(b"w") <= 2, "its turn comes, too"
    wait_until(lambda: refuses(goes), "the listener is closed")
    exchange(*stage.live_pair(backend, stays), seed=9, size=1000)


def test_reload_without_the_line_has_a_deadline(stage, kind):
    backend = stage.backend()
    proxy, stays, goes, held, clients = start_two(stage, backend, kind, "drain-timeout = 500ms")
    proxy.reload()
    proxy.wait_log(rf"{QUEUED} client\(s\) in the queue were turned away")
    for client in clients:
        assert outcome(client, 5) == (b"", "reset")
    wait_until(lambda: refuses(goes), "the listener is closed")
    exchange(*held[0], seed=1, size=1000)
    stage.close_sockets_of(held)
    exchange(*stage.live_pair(backend, stays), seed=2, size=1000)


def test_line_that_comes_back(stage, kind):
    """A port is still bound: it is the same socket, queue and all.  A path is bound anew."""
    backend = stage.backend()
    proxy, stays, goes, held, clients = start_two(stage, backend, kind)
    text = open(stage.path("sockfront.conf")).read()
    proxy.reload()
    stage.file("sockfront.conf", text + section(backend, goes, name="goes"))
    kept, added = (2, 0) if kind == "tcp" else (1, 1)
    assert f"{kept} listener(s) kept, {added} added, 0 removed" in proxy.reload()
    later = stage.connect(goes)
    later.sendall(bytes([QUEUED]))
    clients.append(later)
    stage.close_sockets_of(held)
    for _ in clients:
        connection = backend.accept(5)
        number = read_exactly(connection, 1)[0]
        exchange(clients[number], connection, seed=number, size=1000)
        stage.close_sockets_of([(clients[number], connection)])
    exchange(*stage.live_pair(backend, goes), seed=1, size=1000)


def test_stop_while_a_dropped_listener_is_served(stage):
    backend = stage.backend()
    proxy, stays, goes, held, clients = start_two(stage, backend, "unix")
    proxy.reload()
    proxy.signal(signal.SIGTERM)
    proxy.wait_log("stopping: ")
    stage.close_sockets_of(held)
    serve(stage, backend, clients)
    assert proxy.wait(10) == 0
    assert not os.path.exists(goes) and not os.path.exists(stays)


def test_upgrade_does_not_wait_for_them(stage):
    """The queue of a listener that the new process has too is that one's; the other is served by the old one."""
    manager, backend = Manager(stage), stage.backend()
    stays, goes = stage.path("stays.sock"), stage.path("goes.sock")
    text = process("max-connections = 1", "drain-timeout = 60s") + section(backend, stays, name="stays")
    file = stage.file("sockfront.conf", text + section(backend, goes, name="goes"))
    proxy = stage.proxy("-c", file, sockets=2, environment=manager.environment)
    held, clients = fill(stage, backend, goes)
    stage.file("sockfront.conf", text)
    new = proxy.upgrade()
    wait_until(lambda: manager.said("READY=1", pid=new), "the new one is the service")
    exchange(*stage.live_pair(backend, stays), seed=1, size=1000)
    time.sleep(0.2)
    stage.close_sockets_of(held)
    serve(stage, backend, clients)
    proxy.wait_replaced()
    assert not os.path.exists(goes)
    proxy.before = None
