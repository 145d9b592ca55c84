# SPDX-License-Identifier: MIT
"""A crowd at one listening address does not keep out the clients of another."""

import signal

from support.proc import state, wait_until
from support.streams import read_exactly

CROWD = 200


def test_crowd_and_one(stage):
    backend = stage.backend()
    paths = [stage.path("crowded"), stage.path("quiet")]
    proxy = stage.proxy(*paths, backend.address, sockets=2)
    for busy, quiet in (paths, paths[::-1]):
        proxy.signal(signal.SIGSTOP)
        wait_until(lambda: state(proxy.pid) == "T", "the proxy is stopped")
        for _ in range(CROWD):
            stage.connect(busy).sendall(b"c")
        stage.connect(quiet).sendall(b"q")
        proxy.signal(signal.SIGCONT)
        order = [read_exactly(backend.accept(), 1) for _ in range(CROWD + 1)]
        assert order.index(b"q") < CROWD / 2, f"served as number {order.index(b'q')}"
