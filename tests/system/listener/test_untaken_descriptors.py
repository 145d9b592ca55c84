# SPDX-License-Identifier: MIT
"""What the log advises about inherited sockets that no proxy has is done, and serves their clients."""

import re
import socket

import pytest

from support.stage import address_of
from support.streams import exchange


def datagram():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock


def packets():
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.bind("")
    sock.listen()
    return sock


def start(stage, backend, sockets, names, words):
    proxy = stage.handed(sockets, *words, backend.address, names=names)
    proxy.settle()
    return proxy, proxy.grep(r"warning: inherited descriptor")


LISTENING = [
    # names, words, what is advised for descriptor 4
    ("a:b", ["sd-listen:a"], ["sd-listen:b"]),
    ("a:b", ["sd-listen"], ["sd-listen:b"]),
    ("web:web", ["sd-listen"], ["accept-from-fd:4", "sd-listen:web"]),
    ("web:web", ["accept-from-fd:3"], ["accept-from-fd:4", "sd-listen:web"]),
    (None, ["sd-listen"], ["accept-from-fd:4"]),
    ("web", ["sd-listen"], ["accept-from-fd:4"]),
    ("a:*", ["sd-listen:a"], ["accept-from-fd:4"]),
    ("a:", ["sd-listen:a"], ["accept-from-fd:4"]),
]


@pytest.mark.parametrize("names, words, advised", LISTENING)
def test_listening_socket(stage, names, words, advised):
    backend, listeners = stage.backend(), [stage.listener(), stage.listener()]
    proxy, warnings = start(stage, backend, listeners, names, words)
    assert len(warnings) == 1 and "descriptor 4 " in warnings[0], proxy.log
    advice = warnings[0].partition("will hang; ")[2]
    assert re.findall(r"(?:sd-listen|accept-from-fd):[^ ,]+", advice) == advised
    for part, address in zip(advice.split(" or "), advised):
        proxy.finish(released=False)
        waiting = stage.connect(address_of(listeners[1]))
        more = [address] if "in place of what has descriptor 3" in part else [*words, address]
        proxy, warnings = start(stage, backend, listeners, names, more)
        assert not warnings
        proxy.before = None
        exchange(waiting, backend.accept(), seed=1, size=1000)
        exchange(*stage.live_pair(backend, address_of(listeners[0])), seed=2, size=1000)
        stage.close_sockets_of([stage.sockets])


@pytest.mark.parametrize("make, what", [(datagram, "a datagram socket"), (packets, "a socket of packets")])
def test_two_listening_sockets_and_another_of_one_name(stage, make, what):
    """sd-listen:NAME would take all three, and fail."""
    backend, listeners = stage.backend(), [stage.listener(), stage.listener()]
    other = stage.keep(make())
    proxy, warnings = start(stage, backend, [*listeners, other], "web:web:web", ["sd-listen"])
    assert len(warnings) == 2, proxy.log
    assert f"sd-listen:web would take descriptor 5, too, which is {what}" in warnings[0]
    assert f"descriptor 5 (name \"web\") is {what}" in warnings[1] and "leave it out" in warnings[1]
    proxy.finish()

    proxy, warnings = start(stage, backend, [*listeners, other], "web:web:web", ["sd-listen", "accept-from-fd:4"])
    assert len(warnings) == 1 and "descriptor 5 " in warnings[0]
    exchange(*stage.live_pair(backend, address_of(listeners[1])), seed=1, size=1000)
    stage.close_sockets_of([stage.sockets])
    proxy.before = None
    proxy.finish()

    proxy, warnings = start(stage, backend, listeners, "web:web", ["sd-listen:web"])
    assert not warnings
    exchange(*stage.live_pair(backend, address_of(listeners[1])), seed=2, size=1000)


def test_connection_that_nobody_has(stage):
    backend, listener = stage.backend(), stage.listener()
    ours, theirs = map(stage.keep, socket.socketpair())
    proxy, warnings = start(stage, backend, [listener, theirs], "web:connection", ["sd-listen"])
    assert len(warnings) == 1 and "sd-listen:connection as well" in warnings[0]
    proxy.finish()
    proxy, warnings = start(stage, backend, [listener, theirs], "web:connection", ["sd-listen", "sd-listen:connection"])
    assert not warnings
    exchange(ours, backend.accept(), seed=1, size=1000)
    proxy.before = None


def test_nothing_is_said_of_what_is_taken(stage):
    proxy, warnings = start(stage, stage.backend(), [stage.listener(), stage.listener()], "a:b", ["sd-listen:*"])
    assert not warnings
