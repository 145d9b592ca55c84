# SPDX-License-Identifier: MIT
"""Whatever signal somebody sends by habit or mistake: the process drains, or goes on and says why."""

import os
import signal

import pytest

from support.proc import wait_until
from support.streams import exchange

DRAIN = ["SIGQUIT", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR", "SIGXCPU"]


@pytest.mark.parametrize("name", DRAIN)
def test_signals_that_would_end_the_process_drain_it(stage, name):
    path = stage.path("app.sock")
    proxy, backend = stage.served("--access-log", listen=[path])
    client, connection = stage.live_pair(backend, proxy.listening[0])
    proxy.signal(getattr(signal, name))
    proxy.wait_log("waiting for 1 connection")
    wait_until(lambda: not os.path.exists(path), "the path is removed")
    exchange(client, connection, seed=stage.seed, size=100_000)
    client.close()
    connection.close()
    assert proxy.wait(5) == 0


def test_the_signal_for_log_files_is_ignored_and_said(stage):
    """People send it to nginx and HAProxy."""
    proxy, backend = stage.served(listen=[stage.front("tcp")])
    client, connection = stage.live_pair(backend, proxy.listening[0])
    proxy.signal(signal.SIGUSR1)
    proxy.wait_log("SIGUSR1")
    exchange(client, connection, seed=stage.seed, size=100_000)
    stage.live_pair(backend, proxy.listening[0])
