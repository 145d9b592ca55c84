# SPDX-License-Identifier: MIT
"""With one worker the process has one thread, and others only for as long as there is something for them to do."""

import os
import signal

import pytest

from support.backend import echo
from support.configuration import process, section
from support.manager import Manager
from support.metrics import Events
from support.proc import wait_until
from support.stage import need
from support.status import ask, with_status
from support.streams import exchange, read_exactly


def test_after_whatever_it_was_asked(stage):
    """Clients, signals, a reload, the log, an upgrade; the manager is told, and pinged in time."""
    backend, where, manager = stage.backend(), stage.path("app.sock"), Manager(stage)
    file = stage.file("a.conf", process("access-log = yes") + section(backend, where))
    proxy = stage.proxy("-c", file, environment=manager.environment)
    proxy.wait_one_thread()
    exchange(*stage.live_pair(backend, where), seed=stage.seed, size=1000)
    assert "reloaded" in proxy.reload()
    proxy.wait_one_thread()
    proxy.signal(signal.SIGUSR1)
    proxy.wait_log("SIGUSR1")
    proxy.wait_one_thread()
    proxy.upgrade()
    exchange(*stage.live_pair(backend, where), seed=stage.seed, size=1000)
    proxy.wait_one_thread()
    stage.close_sockets()
    manager.wait("STATUS=0 connection(s), 1 proxy", within=20)
    proxy.wait_one_thread()


def blocked_signals(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(line.split()[1] for line in file if line.startswith("SigBlk"))


def test_an_upgrade_blocks_no_signal(stage):
    """It is started by a thread that has all of them blocked."""
    proxy = stage.proxy(stage.path("app.sock"), stage.backend(echo).address)
    before = blocked_signals(proxy.pid)
    assert blocked_signals(proxy.upgrade()) == before


def test_after_somebody_looked(stage):
    """Who watches the status has a thread as long as that; relaying goes on in the other."""
    backend = stage.backend(echo)
    proxy, (status,) = with_status(stage, section(backend, stage.path("front")), "127.0.0.1:0")
    client = stage.connect(stage.path("front"))
    proxy.wait_one_thread()
    watcher = Events(stage, status)
    for _ in range(3):
        watcher.wait("connections", lambda data: data["total"] == 1)
        client.sendall(b"x")
        assert read_exactly(client, 1) == b"x"
    watcher.sock.close()
    watcher.file.close()
    assert ask(stage, status, "/healthz").code == 200
    proxy.wait_one_thread()


@pytest.mark.plain_only("no leak can be looked for under strace")
def test_no_thread_is_to_be_had(stage):
    """Signals are heard all the same, and clients served."""
    backend = stage.backend(echo)
    proxy, (status,) = with_status(stage, section(backend, stage.path("front")), "127.0.0.1:0")
    proxy.wait_one_thread()
    calls = stage.path("calls")
    strace = [need("strace"), "-f", "-qq", "-o", calls, "-e", "trace=clone3", "-e", "inject=clone3:error=EAGAIN"]
    tracer = stage.helper(*strace, "-p", str(proxy.pid))
    with open(f"/proc/{proxy.pid}/status") as file:
        wait_until(lambda: file.seek(0) or "TracerPid:\t0" not in file.read(), "strace is attached")
    for _ in range(3):
        client = stage.connect(stage.path("front"))
        client.sendall(b"x")
        assert read_exactly(client, 1) == b"x"
        assert ask(stage, status, "/healthz").code == 200
    assert "no thread can be started" in proxy.reload()
    proxy.signal(signal.SIGUSR1)
    proxy.wait_log("SIGUSR1")
    assert os.path.getsize(calls) > 0
    tracer.kill()
    assert "reloaded" in proxy.reload()
    proxy.wait_one_thread()
