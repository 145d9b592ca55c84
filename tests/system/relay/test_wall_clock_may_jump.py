# SPDX-License-Identifier: MIT
"""Timers do not look at the wall clock: it may be years off, and change with every look."""

import re
import signal
import time

import pytest

from support.backend import Reserved
from support.faults import Faults
from support.streams import exchange, is_silent, outcome

pytestmark = pytest.mark.plain_only("a sanitizer's library must be the first one loaded")


@pytest.fixture
def proxy_with(stage):
    """A function that starts a proxy for which the clock is jumping already."""
    faults = Faults(stage)
    faults.begin("clock")
    return lambda *arguments: stage.proxy("--access-log", *arguments, environment=faults.environment)


def test_idle_timeout(stage, proxy_with):
    backend = stage.backend()
    proxy = proxy_with("--idle-timeout=1500ms", "127.0.0.1:0", backend.address)
    client = stage.connect(proxy.listening[0])
    connection = backend.accept()
    assert is_silent(client, 0.7)
    exchange(client, connection, seed=stage.seed, size=1000)
    client = stage.connect(proxy.listening[0])
    backend.accept()
    began = time.monotonic()
    assert outcome(client) == (b"", "reset")
    assert time.monotonic() - began > 1
    line = proxy.wait_log('reason="idle')[0]
    assert float(re.search(r"duration=(\d+\.\d+)", line)[1]) < 60


def test_retries(stage, proxy_with):
    port = Reserved(stage)
    proxy = proxy_with("--connect-timeout=20s", stage.path("app.sock"), port.address)
    client = stage.connect(proxy.listening[0])
    assert is_silent(client, 0.7)
    proxy.assert_rests(0.5)
    port.open()
    exchange(client, port.accept(stage), seed=stage.seed, size=1000)


def test_connect_timeout(stage, proxy_with):
    proxy = proxy_with("--connect-timeout=1s", stage.path("app.sock"), Reserved(stage).address)
    began = time.monotonic()
    assert outcome(stage.connect(proxy.listening[0])) == (b"", "end")
    assert time.monotonic() - began > 0.7


def test_drain_timeout(stage, proxy_with):
    backend = stage.backend()
    proxy = proxy_with("--drain-timeout=1s", stage.path("app.sock"), backend.address)
    client = stage.connect(proxy.listening[0])
    connection = backend.accept()
    began = time.monotonic()
    proxy.signal(signal.SIGTERM)
    assert is_silent(client, 0.3)
    assert outcome(connection) == (b"", "reset")
    assert time.monotonic() - began > 0.7
    assert proxy.wait(5) == 0
