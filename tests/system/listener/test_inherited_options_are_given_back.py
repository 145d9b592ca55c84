# SPDX-License-Identifier: MIT
"""What an inherited socket was like before us, it is like after us, however we end."""

import os
import signal
import socket

import pytest

from support.proc import wait_until

OPTIONS = ["--tcp-defer-accept", "3s", "--tcp-keepalive", "60000:3:5000", "--tcp-user-timeout", "7s",
           "--type-of-service", "16"]
FILE_OPTIONS = "tcp-defer-accept = 3s\ntcp-keepalive = 60000:3:5000\ntcp-user-timeout = 7s\ntype-of-service = 16\n"
ASKED = {
    "defer": (socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT),
    "keepalive": (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "keepidle": (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    "user_timeout": (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
    "tos": (socket.IPPROTO_IP, socket.IP_TOS),
    "nodelay": (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    "oobinline": (socket.SOL_SOCKET, socket.SO_OOBINLINE),
}


def state_of(listener):
    found = {name: listener.getsockopt(*which) for name, which in ASKED.items()}
    found["blocking"] = os.get_blocking(listener.fileno())
    return found


@pytest.fixture
def listener(stage):
    listener = stage.listener()
    os.set_blocking(listener.fileno(), True)
    return listener


@pytest.mark.parametrize("end", ["stop", "idle exit"])
def test_at_the_end(stage, listener, end):
    before = state_of(listener)
    more = ["--exit-idle-time", "500ms"] if end == "idle exit" else []
    proxy = stage.handed([listener], *OPTIONS, *more, "sd-listen", stage.backend().address)
    assert state_of(listener) != before
    if end == "stop":
        proxy.signal(signal.SIGTERM)
    assert proxy.wait(10) == 0
    assert state_of(listener) == before


def test_by_a_reload_without_the_line(stage, listener):
    before = state_of(listener)
    head = f"[proxy own]\nlisten = 127.0.0.1:0\nbackend = {stage.backend().address}\n"
    file = stage.file("a.conf", head + f"[proxy web]\nlisten = sd-listen\nbackend = 127.0.0.1:9\n{FILE_OPTIONS}")
    proxy = stage.handed([listener], "-c", file, listening=2)
    assert state_of(listener) != before
    stage.file("a.conf", head)
    proxy.reload()
    proxy.settle()
    wait_until(lambda: state_of(listener) == before, "the options are as they were")
