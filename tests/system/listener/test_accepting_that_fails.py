# SPDX-License-Identifier: MIT
"""A listener from which nobody may accept, or that another process bends, holds up nobody else."""

import fcntl
import os
import signal
import time

import pytest

from support.faults import Faults
from support.stage import address_of
from support.streams import exchange, is_silent, read_exactly


@pytest.mark.plain_only("a sanitizer's library must be the first one loaded")
def test_forbidden(stage):
    faults, backend = Faults(stage), stage.backend()
    forbidden, other = stage.path("forbidden"), stage.path("other")
    faults.begin("accept")
    proxy = stage.proxy(forbidden, other, backend.address, sockets=2, environment=faults.environment)
    waiting = stage.connect(forbidden)
    waiting.sendall(b"w")
    proxy.wait_log("forbidden: accepting is forbidden")
    started = time.monotonic()
    proxy.assert_rests(2, 0.1)
    said = len(proxy.grep("accepting is forbidden"))
    assert said <= time.monotonic() - started + 3, "at most a line a second"
    for seed in range(5):
        exchange(*stage.live_pair(backend, other), seed=seed, size=1000)
    assert is_silent(waiting, 0.1)
    faults.end("accept")
    connection = backend.accept(5)
    assert connection.recv(1) == b"w"
    exchange(waiting, connection, seed=9, size=1000)
    proxy.before = None


def test_made_blocking_by_another(stage):
    """Its flags are shared by all who have it; where the queue is empty, accept() would wait."""
    backend, listener = stage.backend(), stage.listener()
    path = stage.path("app.sock")
    proxy = stage.handed([listener], "sd-listen", path, backend.address, listening=2)
    flags = fcntl.fcntl(listener, fcntl.F_GETFL)
    live = stage.live_pair(backend, path)
    for number in range(50):
        fcntl.fcntl(listener, fcntl.F_SETFL, flags & ~os.O_NONBLOCK)
        pair = stage.live_pair(backend, address_of(listener))
        stage.close_sockets_of([pair])
        # Several at once: the last turn finds nobody.
        pairs = [stage.live_pair(backend, address_of(listener)) for _ in range(number % 4)]
        stage.close_sockets_of(pairs)
    exchange(*live, seed=1, size=1000)
    fcntl.fcntl(listener, fcntl.F_SETFL, flags & ~os.O_NONBLOCK)
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(10) == 0, "it looks into the queue once more, which is empty"


@pytest.mark.plain_only("a sanitizer's library must be the first one loaded")
def test_made_blocking_at_the_last_moment(stage):
    """Between each look at the flags and the accept() that follows it."""
    faults, backend, listener = Faults(stage), stage.backend(), stage.listener()
    path = stage.path("app.sock")
    faults.begin("bend")
    proxy = stage.handed([listener], "--workers=1", "sd-listen", path, backend.address, listening=2,
                         environment=faults.environment)
    live = stage.live_pair(backend, path)
    for _ in range(40):  # from the ninth on, two clients are asked for at once
        pair = stage.live_pair(backend, address_of(listener))
        live[0].sendall(b"x")
        assert read_exactly(live[1], 1) == b"x"
        stage.close_sockets_of([pair])
    proxy.signal(signal.SIGTERM)
    stage.close_sockets_of([live])
    assert proxy.wait(10) == 0
