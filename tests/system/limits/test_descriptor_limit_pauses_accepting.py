# SPDX-License-Identifier: MIT
"""Out of descriptors, accepting pauses quietly and resumes by itself; live connections are untouched."""

import resource
import time

import pytest

from support.backend import echo
from support.proc import limit_descriptors, lowest_free
from support.streams import outcome, read_exactly, round_trip


def with_live_clients(stage, listen):
    proxy, _ = stage.served(listen=[listen], handler=echo)
    live = [stage.connect(proxy.listening[0]) for _ in range(3)]
    for client in live:
        round_trip(client)
    return proxy, live


def assert_quiet(proxy, live, seconds=3.0):
    lines = len(proxy.lines)
    proxy.assert_rests(seconds)
    assert len(proxy.lines) - lines < 2 * seconds, proxy.log
    for client in live:
        round_trip(client)


@pytest.fixture(params=["tcp", "unix"])
def listen(request, stage):
    return stage.front(request.param)


def test_limit_raised_again(stage, listen):
    proxy, live = with_live_clients(stage, listen)
    limit_descriptors(proxy.pid, lowest_free(proxy.pid))
    waiting = [stage.connect(proxy.listening[0]) for _ in range(5)]
    for client in waiting:
        client.sendall(b"queued")
    assert_quiet(proxy, live)
    limit_descriptors(proxy.pid, 1024)
    for client in waiting:
        assert read_exactly(client, 6, 10) == b"queued"


def test_connections_close(stage, listen):
    """What a connection gives back serves the next in the queue."""
    proxy, live = with_live_clients(stage, listen)
    limit_descriptors(proxy.pid, lowest_free(proxy.pid))
    waiting = [stage.connect(proxy.listening[0]) for _ in range(3)]
    for client in waiting:
        client.sendall(b"queued")
    assert_quiet(proxy, live, 1.5)
    while live:
        live.pop().close()
    for client in waiting:
        assert read_exactly(client, 6, 10) == b"queued"
        client.close()
    limit_descriptors(proxy.pid, 1024)


def test_room_for_half_a_connection(stage, listen):
    """One descriptor is left: enough to accept, not enough for the backend."""
    proxy, live = with_live_clients(stage, listen)
    limit_descriptors(proxy.pid, lowest_free(proxy.pid) + 1)
    for _ in range(5):
        stage.connect(proxy.listening[0])
    assert_quiet(proxy, live)
    limit_descriptors(proxy.pid, 1024)
    late = stage.connect(proxy.listening[0])
    round_trip(late)


def test_bulk_without_room_for_a_pipe(stage):
    """No descriptors for a pipe: bulk goes on by copying."""
    proxy, live = with_live_clients(stage, "127.0.0.1:0")
    limit_descriptors(proxy.pid, lowest_free(proxy.pid))
    for _ in range(64):
        round_trip(live[0], bytes(65536))
    live[0].close()
    time.sleep(0.1)
    limit_descriptors(proxy.pid, 1024)


def test_started_with_few(stage, listen):
    """A low limit from the start: as many as fit are served, nobody is dropped."""
    backend = stage.backend(echo)
    hard = 40
    proxy = stage.proxy(
        listen, backend.address, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    )
    clients = [stage.connect(proxy.listening[0]) for _ in range(60)]
    for client in clients:
        client.sendall(b"queued")
    proxy.assert_rests(1.5)
    for client in clients:
        assert read_exactly(client, 6, 20) == b"queued"
        client.shutdown(1)
        assert outcome(client) == (b"", "end")
        client.close()
