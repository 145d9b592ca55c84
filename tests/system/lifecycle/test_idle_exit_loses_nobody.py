# SPDX-License-Identifier: MIT
"""exit-idle-time: the process ends once nobody has been there for so long; the next one serves whoever comes then."""

import os
import random
import select
import shutil
import signal
import socket
import threading
import time

import pytest

from support.backend import Reserved, echo
from support.configuration import process, section
from support.manager import Manager
from support.proxy import SANITIZE, SOCKFRONT, Proxy
from support.stage import address_of, endpoint
from support.streams import exchange, is_silent, read_exactly, reset, round_trip


def idle_proxy(stage, backend, idle, *options, **more):
    listener = stage.listener()
    proxy = stage.handed([listener], f"--exit-idle-time={idle}", *options, "sd-listen", backend.address, **more)
    return proxy, address_of(listener)


def ended_after(proxy, within=10):
    began = time.monotonic()
    assert proxy.wait(within) == 0
    return time.monotonic() - began


def test_armed_from_the_start(stage):
    manager = Manager(stage)
    proxy, _ = idle_proxy(stage, stage.backend(), "700ms", environment=manager.environment)
    assert 0.3 < ended_after(proxy) < 3
    assert proxy.grep("no connection for exit-idle-time")
    manager.wait("STOPPING=1")


@pytest.mark.parametrize("workers", [1, 3])
def test_not_while_a_connection_is_up(stage, workers):
    """And from the end of the last one, the time runs again in full."""
    backend = stage.backend()
    proxy, address = idle_proxy(stage, backend, "600ms", f"--workers={workers}")
    first = stage.live_pair(backend, address)
    second = stage.live_pair(backend, address)
    assert is_silent(first[0], 0.9) and proxy.alive()
    stage.close_sockets_of([first])
    assert is_silent(second[0], 0.9) and proxy.alive()
    exchange(*second, seed=1, size=1000)
    stage.close_sockets_of([second])
    assert 0.4 < ended_after(proxy) < 3


def test_every_connection_restarts_it(stage):
    backend = stage.backend(echo)
    proxy, address = idle_proxy(stage, backend, "600ms")
    for _ in range(5):
        with stage.connect(address) as client:
            round_trip(client)
        time.sleep(0.3)
    assert proxy.alive()
    assert 0.1 < ended_after(proxy) < 3


def test_a_reload_changes_it(stage):
    backend, listener = stage.backend(), stage.listener()

    def text(idle):
        return process(f"exit-idle-time = {idle}") + section(backend, "sd-listen")

    file = stage.file("sockfront.conf", text("1h"))
    proxy = stage.handed([listener], "-c", file)
    stage.file("sockfront.conf", text("300ms"))
    proxy.reload()
    stage.file("sockfront.conf", text("infinity"))
    proxy.reload()
    time.sleep(0.6)
    assert proxy.alive()
    stage.file("sockfront.conf", text("300ms"))
    proxy.reload()
    assert ended_after(proxy) < 3


def test_an_upgrade_in_the_making_is_finished_first(stage):
    """A process that waits for its successor is not idle; the successor is, in the end."""
    program = shutil.copy(SOCKFRONT, stage.path("sockfront"))
    proxy, address = idle_proxy(stage, stage.backend(), "500ms", program=program)
    os.unlink(program)
    stage.file("sockfront", f'#!/bin/sh\necho held $$ >&2; sleep 1; exec {SOCKFRONT} "$@"\n')
    os.chmod(program, 0o755)
    proxy.after_signal(signal.SIGUSR2, r"^held \d+")
    time.sleep(0.7)
    assert proxy.alive()
    proxy.followed(proxy.wait_log("takes over")[0])
    proxy.wait_replaced()
    assert ended_after(proxy) < 5


@pytest.mark.parametrize("idle, warned", [("2999ms", True), ("3s", False), ("infinity", False)])
def test_short_times_are_warned_of(stage, idle, warned):
    """Once it serves, which comes before the first client has gone."""
    backend = stage.backend()
    proxy, address = idle_proxy(stage, backend, idle)
    stage.connect(address).close()
    backend.accept().close()
    if warned:
        proxy.wait_log("warning: ")
    else:
        time.sleep(0.3)
    assert bool(proxy.grep("warning: .*exit-idle-time.*StartLimitIntervalSec=0")) is warned


class Supervisor:
    """Starts sockfront whenever it does not run and a client waits, as a .socket unit does."""

    def __init__(self, listener, *arguments):
        self.listener = listener
        self.arguments = arguments
        self.starts = 0
        self.problems = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        number = self.listener.fileno()
        # Not by handover.py: a shell is there sooner, and the race is run more often.
        command = ["/bin/bash", "-c", f'export LISTEN_PID=$$; exec "$@" 3<&{number}', "sh", SOCKFRONT]
        while not self.over.is_set():
            if not select.select([self.listener], [], [], 0.1)[0]:
                continue
            proxy = Proxy([*command, *self.arguments], pass_fds=[number], environment={"LISTEN_FDS": "1"})
            self.starts += 1
            while proxy.alive() and not self.over.is_set():
                time.sleep(0.0005)
            if self.over.is_set():
                proxy.signal(signal.SIGTERM)
            try:
                status = proxy.wait(10)
                # One that was only starting when the test was over knows no better.
                if status != 0 and not (self.over.is_set() and status == -signal.SIGTERM):
                    self.problems.append((status, proxy.log))
                proxy.assert_sane()
            except AssertionError as error:
                self.problems.append(error)
            finally:
                proxy.kill()

    def stop(self):
        self.over.set()
        self.thread.join(15)
        assert not self.thread.is_alive()
        assert not self.problems, self.problems


@pytest.mark.parametrize("kind, idle_ms", [("tcp", 1), ("tcp", 10), ("unix", 5)])
def test_clients_at_the_instant_of_the_end(stage, kind, idle_ms):
    """A thousand in all, who come when the time is just about over."""
    races = 30 if SANITIZE else 340
    backend = stage.backend(echo)
    listener = stage.listener() if kind == "tcp" else stage.listener(stage.path("app.sock"))
    address = address_of(listener) if kind == "tcp" else stage.path("app.sock")
    options = [f"--exit-idle-time={idle_ms}ms", "--log-level=error"]
    supervisor = Supervisor(listener, *options, "sd-listen", backend.address)
    rng = random.Random(stage.seed)
    family, where = endpoint(address)
    spread_ms, starts = 8 if SANITIZE else 1.5, 0
    every = 3 if SANITIZE else 10  # a slow program has to be met in fewer races
    deadline = time.monotonic() + 60
    number = -1
    try:
        # On a machine that is slow just now, as many more as the instant takes to be met.
        while (number := number + 1) < races or (
            supervisor.starts <= races / 20 and time.monotonic() < deadline
        ):
            with socket.socket(family) as client:
                client.settimeout(10)
                client.connect(where)
                client.sendall(b"%d" % number)
                assert read_exactly(client, len(b"%d" % number), 10) == b"%d" % number
                client.shutdown(socket.SHUT_WR)
                assert client.recv(1) == b""
            # Around the instant: the end of the connection is noticed a little later,
            # and on a busy machine later still.
            if number % every == every - 1:
                spread_ms *= 1.5 if supervisor.starts == starts else 1
                starts = supervisor.starts
            time.sleep(max(0, (idle_ms + rng.uniform(-0.5, spread_ms)) / 1000))
    finally:
        supervisor.stop()
    assert supervisor.starts > races / 20, f"it ended only {supervisor.starts} times: no race was run"


def test_clients_that_wait_for_a_dead_backend_do_not_keep_it(stage):
    """One after the other would: the process that a new start would mend, backend and all, never ended."""
    backend = stage.backend(echo)
    proxy, address = idle_proxy(stage, backend, "300ms", "--connect-timeout=1s", "--drain-timeout=10s")
    client = stage.connect(address)
    client.sendall(b"x")
    assert read_exactly(client, 1) == b"x"
    backend.close()
    client.close()
    deadline = time.monotonic() + 30
    while proxy.alive() and time.monotonic() < deadline:
        stage.connect(address).sendall(b"y")
        time.sleep(0.1)
    assert proxy.wait(1) == 0
    assert proxy.grep("no connection for exit-idle-time")


@pytest.mark.parametrize("patience", ["30s", "18446744073709551614ms"])
def test_clients_that_wait_for_a_late_backend_do(stage, patience):
    """Of any patience: added to exit-idle-time, the longest is not a short one."""
    backend = Reserved(stage)
    proxy, address = idle_proxy(stage, backend, "200ms", f"--connect-timeout={patience}")
    client = stage.connect(address)
    client.sendall(b"x")
    assert is_silent(client, 1.5) and proxy.alive()
    assert not proxy.grep("no connection for exit-idle-time")
    reset(client)
    # Not only when the backend would have been given up.
    assert proxy.wait(10) == 0
    assert proxy.grep("no connection for exit-idle-time")
