# SPDX-License-Identifier: MIT
"""Whoever passed a listening socket finds it as it was, at every end of the last process that has it."""

import os
import signal
import socket

import pytest

from support.configuration import process, section
from support.proc import wait_until
from support.stage import address_of
from support.streams import exchange, read_exactly

OPTIONS = "tcp-defer-accept = 30s\ntcp-keepalive = 5000:3:5000\ntcp-user-timeout = 20s\ntype-of-service = 16\n"
TCP_USER_TIMEOUT = 18


def state(sock):
    tcp = socket.IPPROTO_TCP
    return {
        "defer": sock.getsockopt(tcp, socket.TCP_DEFER_ACCEPT),
        "keepalive": sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        "idle": sock.getsockopt(tcp, socket.TCP_KEEPIDLE),
        "user timeout": sock.getsockopt(tcp, TCP_USER_TIMEOUT),
        "tos": sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS),
        "nodelay": sock.getsockopt(tcp, socket.TCP_NODELAY),
        "oob inline": sock.getsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE),
        "blocking": os.get_blocking(sock.fileno()),
    }


def started(stage, text, listener, **options):
    return stage.handed([listener], "-c", stage.file("sockfront.conf", text), **options)


def serves(stage, backend, listener):
    """With tcp-defer-accept, a client is accepted once it has sent something."""
    client = stage.connect(address_of(listener))
    client.sendall(b"x")
    connection = backend.accept()
    assert read_exactly(connection, 1) == b"x"
    exchange(client, connection, seed=1, size=1000)
    stage.close_sockets_of([(client, connection)])


def stopped(proxy):
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0


def test_a_stop(stage):
    listener = stage.listener()
    before = state(listener)
    proxy = started(stage, section(stage.backend(), "sd-listen", options=OPTIONS), listener)
    changed = state(listener)
    assert not [name for name in before if name not in ("nodelay", "oob inline") and changed[name] == before[name]]
    stopped(proxy)
    assert state(listener) == before


@pytest.mark.parametrize("words", [["sd-listen"], ["accept-from-fd:3"]])
def test_the_last_process_of_several_upgrades(stage, words):
    """It was set by the first, and is given back by the third; none in between takes it from the next."""
    backend, listener = stage.backend(), stage.listener()
    before = state(listener)
    proxy = started(stage, section(backend, *words, options=OPTIONS), listener)
    changed = state(listener)
    for _ in range(2):
        proxy.upgrade()
        proxy.wait_replaced()
        assert state(listener) == changed
        serves(stage, backend, listener)
    stopped(proxy)
    assert state(listener) == before


def test_a_descriptor_that_no_line_names_for_a_while(stage):
    """A reload without its line gives it back, and a later one takes it again."""
    backend, listener, own = stage.backend(), stage.listener(), stage.name("app")
    before = state(listener)
    text = section(backend, own, name="own")
    proxy = started(stage, text + section(backend, "accept-from-fd:3", options=OPTIONS), listener, listening=2)
    assert state(listener) != before
    stage.file("sockfront.conf", text)
    assert "1 removed" in proxy.reload()
    assert state(listener) == before
    proxy.upgrade()
    proxy.wait_replaced()
    assert state(listener) == before
    stage.file("sockfront.conf", text + section(backend, "accept-from-fd:3", options=OPTIONS))
    assert "1 added" in proxy.reload()
    assert state(listener) != before
    serves(stage, backend, listener)
    proxy.before = None
    stopped(proxy)
    assert state(listener) == before


def test_an_idle_exit(stage):
    listener = stage.listener()
    before = state(listener)
    text = process("exit-idle-time = 500ms") + section(stage.backend(), "sd-listen", options=OPTIONS)
    proxy = started(stage, text, listener)
    assert proxy.wait() == 0
    assert state(listener) == before


def test_an_upgrade_that_is_called_off(stage):
    """The old process goes on with what it has set, and gives back what was there before."""
    listener = stage.listener()
    before = state(listener)
    text = section(stage.backend(), "sd-listen", options=OPTIONS)
    proxy = started(stage, text, listener)
    changed = state(listener)
    stage.file("sockfront.conf", text + "nonsense = yes\n")
    assert "this one goes on" in proxy.after_signal(signal.SIGUSR2, "goes on|takes over")
    wait_until(lambda: state(listener) == changed, "nothing has changed")
    stopped(proxy)
    assert state(listener) == before
