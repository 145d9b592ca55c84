# SPDX-License-Identifier: MIT
"""100,000 clients that are refused within a minute: no backend connection, no slot, no memory, and a log that can be read."""

import re
import socket
import time

import pytest

from support.backend import echo
from support.proc import in_a_process, resident, wait_process, wait_until
from support.proxy import SANITIZE
from support.streams import round_trip

CLIENTS = 4
EACH = 2500 if SANITIZE else 6250  # of a client in a round
ROUNDS = 4

# 127.0.0.2 is refused, and nobody else.
REFUSING = {"rule": ["--deny=127.0.0.2"], "source": ["--max-connections-per-source=1"]}


def come(port, number):
    for _ in range(number):
        with socket.socket() as client:
            client.settimeout(30)
            try:
                client.bind(("127.0.0.2", 0))
                client.connect(("127.0.0.1", port))
                assert client.recv(1) == b"", "it is not served"
                raise AssertionError("an end, not a reset")
            except ConnectionResetError:
                pass


def refused_by(line):
    """How many a line of the log tells of."""
    more = re.search(r"; (\d+) more were refused since the last line$", line)
    return 1 + (int(more[1]) if more else 0)


def let_in(stage, port, source):
    client = stage.keep(socket.create_connection(("127.0.0.1", port), 10, (source, 0)))
    round_trip(client)
    return client


@pytest.mark.parametrize("how", REFUSING)
def test_a_hundred_thousand_in_a_minute(stage, how):
    staying = ["127.0.0.1", *(["127.0.0.2"] if how == "source" else [])]
    proxy, backend = stage.served(*REFUSING[how], f"--max-connections={len(staying) + 1}", handler=echo)
    port = int(proxy.listening[0].rpartition(":")[2])
    live = [let_in(stage, port, source) for source in staying]
    memory, before, began = [], len(proxy.lines), time.monotonic()
    for _ in range(ROUNDS):
        pids = [in_a_process(come, port, EACH) for _ in range(CLIENTS)]
        let_in(stage, port, "127.0.0.3").close()  # into the one slot that is free
        for client in live:
            round_trip(client)
        for pid in pids:
            assert wait_process(pid) == 0
        memory.append(resident(proxy.pid))
    elapsed = time.monotonic() - began
    total = ROUNDS * CLIENTS * EACH
    if not SANITIZE:
        assert total * 60 >= 100_000 * elapsed, f"{total} in {elapsed:.0f} s"
        assert memory[-1] - memory[0] < 300_000, memory
    assert len(backend.connections) == len(live) + ROUNDS
    # One line a second, which counts those before it.
    assert 1 <= len(proxy.lines) - before <= elapsed + 3, proxy.log
    time.sleep(1.1)
    wait_process(in_a_process(come, port, 1))
    wait_until(lambda: sum(map(refused_by, proxy.grep("refused: "))) == total + 1, "each is in the log")
