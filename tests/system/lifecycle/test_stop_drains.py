# SPDX-License-Identifier: MIT
"""SIGTERM and SIGINT: the queue is served, live connections end, a deadline or a second signal cuts; exit 0."""

import signal
import time

import pytest

from support.backend import Reserved
from support.drain import serve_queue_of_a_drain
from support.proc import listening_sockets, wait_until
from support.stage import address_of
from support.streams import exchange, is_silent, outcome

SIGNALS = [signal.SIGTERM, signal.SIGINT]


@pytest.fixture(params=["tcp", "unix"])
def listen(request, stage):
    return stage.front(request.param)


def assert_refuses(stage, proxy):
    wait_until(lambda: not listening_sockets(proxy.pid), "the listener is closed")
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        stage.connect(proxy.listening[0])


@pytest.mark.parametrize("number", SIGNALS)
def test_nothing_to_wait_for(stage, listen, number):
    proxy, _ = stage.served("--access-log", listen=[listen])
    proxy.signal(number)
    assert proxy.wait(5) == 0
    assert not proxy.grep("cut ")


@pytest.mark.parametrize("number", SIGNALS)
def test_live_connections_finish(stage, listen, number):
    proxy, backend = stage.served("--access-log", "--drain-timeout", "60s", listen=[listen])
    client, connection = stage.live_pair(backend, proxy.listening[0])
    proxy.signal(number)
    assert_refuses(stage, proxy)
    assert is_silent(client, 0.5)
    proxy.assert_rests(1.0)
    exchange(client, connection, seed=stage.seed, size=2_000_000)
    client.close()
    connection.close()
    assert proxy.wait(5) == 0
    assert not proxy.grep("cut ")


def test_queued_clients_are_served(stage, listen):
    """Clients whom the kernel took before the signal are not lost with the listener."""
    proxy, backend = stage.served("--access-log", listen=[listen])
    serve_queue_of_a_drain(stage, backend, proxy, 20, 10_000)


@pytest.mark.parametrize("number", SIGNALS)
def test_deadline_cuts(stage, listen, number):
    proxy, backend = stage.served("--access-log", "--drain-timeout", "1s", listen=[listen])
    pairs = [stage.live_pair(backend, proxy.listening[0]) for _ in range(2)]
    proxy.signal(number)
    for client, connection in pairs:
        assert outcome(client, 10) == (b"", "reset" if listen.startswith("127") else "end")
        assert outcome(connection, 10) == (b"", "reset")
    assert proxy.wait(5) == 0
    assert proxy.grep(r"cut 2 connection"), proxy.log
    assert len(proxy.grep('reason="cut')) == 2, proxy.log


@pytest.mark.parametrize("first, second", [(a, b) for a in SIGNALS for b in SIGNALS])
def test_second_signal_cuts(stage, listen, first, second):
    proxy, backend = stage.served("--access-log", "--drain-timeout", "infinity", listen=[listen])
    client, connection = stage.live_pair(backend, proxy.listening[0])
    proxy.signal(first)
    assert_refuses(stage, proxy)
    assert is_silent(client, 0.3)
    proxy.signal(second)
    assert outcome(connection, 5) == (b"", "reset")
    assert outcome(client, 5) == (b"", "reset" if listen.startswith("127") else "end")
    assert proxy.wait(5) == 0
    assert proxy.grep(r"cut 1 connection")


def test_shortest_timeout_cuts_at_once(stage, listen):
    proxy, backend = stage.served("--access-log", "--drain-timeout", "1ms", listen=[listen])
    client, connection = stage.live_pair(backend, proxy.listening[0])
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(5) == 0
    assert outcome(connection, 5) == (b"", "reset")


def test_cut_reaches_a_stuck_reader(stage, listen):
    """A connection that is full of bytes nobody reads does not hold the end up."""
    proxy, backend = stage.served("--access-log", "--drain-timeout", "500ms", listen=[listen])
    _, connection = stage.live_pair(backend, proxy.listening[0])
    connection.setblocking(False)
    try:
        while True:
            connection.send(bytes(1 << 20))
    except BlockingIOError:
        pass
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(8) == 0


def test_waiting_for_the_backend_is_a_connection(stage, listen):
    """A client whose backend comes only during the drain is served."""
    port = Reserved(stage)
    proxy = stage.proxy("--connect-timeout=30s", listen, port.address)
    client = stage.connect(proxy.listening[0])
    wait_until(lambda: proxy.excess_sockets() >= 1, "the client is accepted")
    proxy.signal(signal.SIGTERM)
    assert_refuses(stage, proxy)
    time.sleep(0.5)
    port.open()
    connection = port.accept(stage, 5)
    exchange(client, connection, seed=stage.seed, size=1000)
    assert proxy.wait(5) == 0


def test_within_max_connections(stage, listen):
    """The drain takes nobody past max-connections and ends when those it has are done."""
    proxy, backend = stage.served("--access-log", "--max-connections", "1", listen=[listen])
    client, connection = stage.live_pair(backend, proxy.listening[0])
    queued = stage.connect(proxy.listening[0])
    proxy.signal(signal.SIGTERM)
    time.sleep(0.3)
    assert is_silent(client, 0.2)
    client.close()
    connection.close()
    try:
        backend.accept(1).close()
    except TimeoutError:
        pass
    queued.close()
    assert proxy.wait(5) == 0


def test_inetd_stops_too(stage):
    proxy, ours, connection = stage.inetd_pair("--drain-timeout=1s")
    proxy.signal(signal.SIGTERM)
    assert outcome(connection, 5) == (b"", "reset")
    assert outcome(ours, 5) == (b"", "end")
    assert proxy.wait(5) == 0


def test_inherited_listener_keeps_its_queue(stage):
    """A listener that others hold too is not shut for them."""
    backend = stage.backend()
    listener = stage.listener()
    number = listener.fileno()
    proxy = stage.proxy(f"accept-from-fd:{number}", backend.address, pass_fds=[number])
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(5) == 0
    late = stage.connect(address_of(listener))
    listener.settimeout(5)
    connection = stage.keep(listener.accept()[0])
    late.sendall(b"x")
    assert connection.recv(1) == b"x"
    assert is_silent(late, 0.1)


def test_signals_to_the_very_end(stage):
    """None of them ends the process by itself: what was drained is exit status 0."""
    backend = stage.backend()
    for _ in range(30):
        proxy = stage.proxy("127.0.0.1:0", backend.address)
        while proxy.alive():
            proxy.signal(signal.SIGTERM)
        assert proxy.wait() == 0, proxy.log
