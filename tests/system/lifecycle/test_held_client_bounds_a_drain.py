# SPDX-License-Identifier: MIT
"""
A process that is about to end holds no client for a backend that may never come: a restart
of both would wait for itself.
"""

import signal
import time

import pytest

from support.proc import wait_until
from support.streams import outcome


@pytest.mark.parametrize("how", ["stop", "upgrade"])
def test_held_clients_are_let_go(stage, how):
    """After 5 s, not after --drain-timeout or --connect-timeout; said, with a reset, and counted."""
    gone = stage.backend()
    gone.stop_listening()
    proxy = stage.proxy("--access-log", "--connect-timeout=1h", "--drain-timeout=1h", "127.0.0.1:0", gone.address)
    clients = [stage.connect(proxy.listening[0]) for _ in range(3)]
    proxy.wait_log("does not answer|refuse")
    began = time.monotonic()
    if how == "stop":
        proxy.signal(signal.SIGTERM)
    else:
        proxy.upgrade()
    for client in clients:
        assert outcome(client, 60)[1] == "reset"
    assert time.monotonic() - began > 4
    reason = 'reason="no connection within 5 s while the process drains"'
    wait_until(lambda: len(proxy.grep(reason)) == 3, "each has its line")
    if how == "stop":
        assert proxy.wait(60) == 0
        proxy.wait_log("cut 3 connection")
    proxy.wait_log("backend .*: no connection within 5 s while the process drains")


def test_backend_that_comes_meanwhile_serves(stage):
    late = stage.backend()
    late.stop_listening()
    proxy = stage.proxy("--connect-timeout=1h", "127.0.0.1:0", late.address)
    client = stage.connect(proxy.listening[0])
    client.sendall(b"request")
    proxy.wait_log("does not answer|refuse")
    proxy.signal(signal.SIGTERM)
    time.sleep(2)
    backend = stage.backend(port=late.port)
    connection = backend.accept()
    assert connection.recv(7) == b"request"
    time.sleep(4)  # longer than a client is held
    connection.sendall(b"answer")
    connection.close()
    assert outcome(client) == (b"answer", "end")
    client.close()
    assert proxy.wait(20) == 0
