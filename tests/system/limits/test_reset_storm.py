# SPDX-License-Identifier: MIT
"""Thousands who connect and reset at once: nobody else suffers, and nothing of them stays."""

import threading

import pytest

from support.backend import echo
from support.proc import resident, wait_until
from support.proxy import SANITIZE
from support.streams import read_exactly, reset

ROUNDS, EACH = 3, 2000


def storm(stage, proxy):
    for _ in range(EACH):
        try:
            reset(stage.connect(proxy.listening[0], 30))
        except ConnectionResetError:
            pass
        stage.sockets.pop()


@pytest.mark.parametrize("options", [[], ["--max-connections=20"]])
def test_storm(stage, options):
    backend = stage.backend(lambda connection: contained(connection))
    proxy = stage.proxy(*options, "127.0.0.1:0", backend.address)
    live = stage.connect(proxy.listening[0])
    memory = []
    for _ in range(ROUNDS):
        raging = threading.Thread(target=storm, args=(stage, proxy))
        raging.start()
        trips = 0
        while raging.is_alive() or trips == 0:
            live.sendall(b"are you there")
            assert read_exactly(live, 13) == b"are you there"
            trips += 1
        wait_until(lambda: proxy.excess_sockets() == 2, "the storm is over for the proxy too")
        memory.append(resident(proxy.pid))
    if not SANITIZE:
        assert memory[-1] - memory[0] < 300_000, memory
    backend.errors.clear()


def contained(connection):
    try:
        echo(connection)
    except OSError:
        pass
