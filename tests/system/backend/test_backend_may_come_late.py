# SPDX-License-Identifier: MIT
"""Clients are held until the backend answers, until connect-timeout, or not at all if so configured."""

import os
import signal
import time

import pytest

from support.backend import Deaf, Reserved
from support.proc import wait_until
from support.stage import need
from support.streams import exchange, outcome


def listen_at(stage, kind):
    return stage.path("app.sock") if kind == "unix" else "127.0.0.1:0"


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_late_backend_is_served(stage, kind, data_path):
    port = Reserved(stage)
    proxy = stage.proxy(*data_path, listen_at(stage, kind), port.address)
    clients = [stage.connect(proxy.listening[0]) for _ in range(3)]
    time.sleep(1.5)
    port.open()
    for number, _ in enumerate(clients):
        clients[number].sendall(bytes([number]))
    for _ in clients:
        connection = port.accept(stage, 5)
        number = connection.recv(1)[0]
        exchange(clients[number], connection, seed=stage.seed)


def test_log_hears_of_it_once(stage):
    """That a backend cannot be reached, however many wait for it, and that it does again."""
    port = Reserved(stage)
    proxy = stage.proxy("127.0.0.1:0", port.address)
    clients = [stage.connect(proxy.listening[0]) for _ in range(5)]
    line = proxy.wait_log("cannot be reached")[0]
    assert "warning" in line and port.address in line and "refused" in line and "up to 10 s" in line
    time.sleep(0.5)
    assert not proxy.grep("backend .* answers$")
    port.open()
    for _ in clients:
        port.accept(stage, 5)
    proxy.wait_log("backend .* answers$")
    stage.connect(proxy.listening[0])
    port.accept(stage, 5)
    assert len(proxy.grep("cannot be reached")) == 1 == len(proxy.grep("backend .* answers$"))


@pytest.mark.parametrize("kind, end", [("tcp", "reset"), ("unix", "end")])
def test_no_retry_gives_up_at_once(stage, kind, end):
    port = Reserved(stage)
    proxy = stage.proxy("--connect-retry=no", "--connect-timeout=60s", "--access-log", listen_at(stage, kind), port.address)
    assert stage.visit(proxy.listening[0], 5) == (b"", end)
    proxy.wait_log('reason=".*(connect|refused)')
    proxy.wait_released()


@pytest.mark.parametrize("kind, end", [("tcp", "reset"), ("unix", "end")])
@pytest.mark.parametrize("backend", [Deaf, Reserved])
def test_timeout_is_an_abort(stage, kind, end, backend):
    port = backend(stage)
    proxy = stage.proxy("--connect-timeout", "1500ms", "--access-log", listen_at(stage, kind), port.address)
    client = stage.connect(proxy.listening[0])
    began = time.monotonic()
    assert outcome(client, 15) == (b"", end)
    assert time.monotonic() - began > 1
    proxy.wait_log('reason=".*connect')
    proxy.wait_released()


def test_other_clients_do_not_wait(stage):
    """One backend that is silent does not delay the clients of another."""
    silent, backend = Deaf(stage), stage.backend()
    file = stage.file(
        "sockfront.conf",
        f"[proxy a]\nlisten={stage.path('a')}\nbackend={silent.address}\n"
        f"[proxy b]\nlisten={stage.path('b')}\nbackend={backend.address}\n",
    )
    proxy = stage.proxy("-c", file, sockets=2)
    for _ in range(20):
        stage.connect(stage.path("a"))
    client = stage.connect(stage.path("b"))
    exchange(client, backend.accept(5), seed=stage.seed)
    proxy.assert_rests(1.0)


def test_backend_that_goes_and_comes_back(stage):
    backend = stage.backend()
    proxy = stage.proxy("127.0.0.1:0", backend.address)
    client = stage.connect(proxy.listening[0])
    exchange(client, backend.accept(), seed=1)
    backend.stop_listening()
    client = stage.connect(proxy.listening[0])
    time.sleep(0.5)
    again = stage.backend(port=backend.port)
    exchange(client, again.accept(5), seed=2)


@pytest.mark.plain_only("strace would see the sanitizer's calls as well")
def test_tries_become_fewer(stage):
    """From 10 ms between two to a second: ten in the first three seconds, more or less."""
    port = Reserved(stage)
    proxy = stage.proxy("127.0.0.1:0", port.address)
    log = stage.path("strace")
    strace = stage.helper(need("strace"), "-f", "-qq", "-e", "trace=connect", "-p", str(proxy.pid), "-o", log)
    wait_until(lambda: os.path.exists(log), "strace is there")
    time.sleep(0.5)
    stage.connect(proxy.listening[0])
    time.sleep(3)
    strace.signal(signal.SIGINT)
    strace.wait(10)
    with open(log) as file:
        tries = file.read().count(f"htons({port.port})")
    assert 6 <= tries <= 14
