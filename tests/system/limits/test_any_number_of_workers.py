# SPDX-License-Identifier: MIT
"""Several workers serve every kind of listener, share one limit, and stop together."""

import signal

import pytest

from support.backend import echo
from support.drain import serve_queue_of_a_drain
from support.modes import MODES
from support.proc import of_each_thread, threads, wait_until
from support.proxy import RUNTIME_THREADS
from support.streams import exchange, is_silent, outcome, read_exactly


@pytest.fixture(params=["2", "5"])
def workers(request):
    return ["--workers", request.param]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode(stage, mode):
    backend = stage.backend()
    proxy, addresses = MODES[mode](stage, backend, "--workers", "3")
    for number in range(12):
        client = stage.connect(addresses[number % len(addresses)])
        exchange(client, backend.accept(), seed=f"{stage.seed}-{number}", size=100_000)
    stage.close_sockets()
    proxy.wait_released()


def test_a_thread_each(stage):
    proxy = stage.proxy("--workers", "3", "127.0.0.1:0", "127.0.0.1:9")
    assert len(threads(proxy.pid)) == 4 + RUNTIME_THREADS
    assert proxy.restless_threads(1.5) == RUNTIME_THREADS


def test_lasting_connections_are_spread(stage, workers):
    """No worker idles while another has them all."""
    backend = stage.backend(echo)
    proxy = stage.proxy(*workers, stage.path("app.sock"), backend.address)
    clients = [stage.connect(proxy.listening[0]) for _ in range(60)]
    for _ in range(50):
        for client in clients:
            client.sendall(b"ping")
        for client in clients:
            assert read_exactly(client, 4) == b"ping"
    used = sorted(int(text.split()[0]) for text in of_each_thread(proxy.pid, "schedstat").values())
    assert used[-2] > 2_000_000, f"one worker did it all: {used} ns"


def nobody_comes(backend, seconds):
    try:
        backend.accept(seconds)
    except TimeoutError:
        return True
    return False


def test_one_limit_for_all(stage, workers):
    """max-connections counts over all workers, and a slot that one frees serves another's client."""
    backend = stage.backend()
    proxy = stage.proxy(*workers, "--max-connections", "3", "127.0.0.1:0", backend.address)
    clients = [stage.connect(proxy.listening[0]) for _ in range(9)]
    for number, client in enumerate(clients):
        client.sendall(bytes([number]))
    served = [backend.accept() for _ in range(3)]
    assert nobody_comes(backend, 0.5)
    for _ in range(6):
        connection = served.pop(0)
        number = read_exactly(connection, 1)[0]
        connection.close()
        assert outcome(clients[number], 5) == (b"", "end")
        clients[number].close()
        served.append(backend.accept(5))
    assert nobody_comes(backend, 0.2)


def test_drain(stage, workers):
    backend = stage.backend()
    proxy = stage.proxy(*workers, "127.0.0.1:0", backend.address)
    pairs = []
    for _ in range(12):
        client = stage.connect(proxy.listening[0])
        pairs.append((client, backend.accept()))
    proxy.signal(signal.SIGTERM)
    wait_until(lambda: proxy.grep("stopping"), "the drain begins")
    for client, connection in pairs:
        exchange(client, connection, seed=stage.seed, size=10_000)
        client.close()
        connection.close()
    assert proxy.wait(5) == 0


def test_cut(stage, workers):
    backend = stage.backend()
    proxy = stage.proxy(*workers, "--drain-timeout", "300ms", "127.0.0.1:0", backend.address)
    clients = [stage.connect(proxy.listening[0]) for _ in range(12)]
    for _ in clients:
        backend.accept()
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(5) == 0
    assert proxy.grep(r"cut 12 connection")
    for client in clients:
        assert outcome(client, 5) == (b"", "reset")


def test_one_connection_under_inetd(stage, workers):
    proxy, ours, connection = stage.inetd_pair(*workers)
    assert is_silent(ours, 0.2)
    exchange(ours, connection, seed=stage.seed)
    assert proxy.wait() == 0


def test_queued_clients_of_a_drain(stage, workers):
    """Those that the kernel took before the signal are served, whichever worker they go to."""
    backend = stage.backend()
    proxy = stage.proxy(*workers, stage.path("app.sock"), backend.address)
    serve_queue_of_a_drain(stage, backend, proxy, 60, 1000)
