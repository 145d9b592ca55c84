# SPDX-License-Identifier: MIT
"""An idle connection holds two descriptors and no pipe, whatever went through it before."""

import pytest

from support.backend import Reserved, echo
from support.proc import kinds, wait_until
from support.streams import MB, Background, read_exactly

COUNT = 50
KEPT_PIPES = 2 * 16  # descriptors that the pool may hold while there are connections


@pytest.mark.parametrize("listen", ["tcp", "unix"])
def test_after_small_traffic(stage, listen, data_path):
    backend = stage.backend(echo)
    proxy = stage.proxy(*data_path, stage.front(listen), backend.address)
    for _ in range(COUNT):
        client = stage.connect(proxy.listening[0])
        client.sendall(b"hello")
        assert read_exactly(client, 5) == b"hello"
    now = kinds(proxy.pid)
    assert now["socket"] == proxy.before["socket"] + 2 * COUNT
    assert now["pipe"] == proxy.before["pipe"]
    assert now["other"] == proxy.before["other"]


def test_after_bulk(stage):
    """Pipes go back to the pool, and the pool is small."""
    backend = stage.backend(echo)
    proxy = stage.proxy("127.0.0.1:0", backend.address)
    for _ in range(COUNT):
        client = stage.connect(proxy.listening[0])
        sending = Background(client.sendall, bytes(2 * MB))
        read_exactly(client, 2 * MB)
        sending.result()
    assert proxy.excess_sockets() == 2 * COUNT
    wait_until(
        lambda: kinds(proxy.pid)["pipe"] <= proxy.before["pipe"] + KEPT_PIPES,
        "pipes are fewer than connections",
    )
    assert kinds(proxy.pid)["other"] == proxy.before["other"]


def test_while_the_backend_is_awaited(stage):
    """A client in waiting holds no more."""
    port = Reserved(stage)
    proxy = stage.proxy("--connect-timeout=3s", "127.0.0.1:0", port.address)
    for _ in range(COUNT):
        stage.connect(proxy.listening[0])
    wait_until(lambda: proxy.excess_sockets() >= COUNT, "all are accepted")
    assert proxy.excess_sockets() <= 2 * COUNT
    assert kinds(proxy.pid)["pipe"] == proxy.before["pipe"]
