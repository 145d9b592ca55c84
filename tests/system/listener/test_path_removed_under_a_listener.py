# SPDX-License-Identifier: MIT
"""Whoever removes the socket's path stops new clients from finding it, and nothing else."""

import os

import pytest

from support.streams import exchange, read_exactly


@pytest.mark.parametrize("how", ["unlink", "rename", "replace"])
def test_connections_go_on(stage, how):
    backend, path = stage.backend(), stage.path("app.sock")
    proxy = stage.proxy(path, "127.0.0.1:0", backend.address, sockets=2)
    live = stage.connect(path)
    connection = backend.accept()
    queued = stage.connect(path)
    if how == "rename":
        os.rename(path, stage.path("elsewhere"))
    else:
        os.unlink(path)
    if how == "replace":
        stage.file("app.sock", "not ours")
    with pytest.raises((FileNotFoundError, ConnectionRefusedError)):
        stage.connect(path)
    live.sendall(b"still")
    assert read_exactly(connection, 5) == b"still"
    exchange(live, connection, seed=stage.seed, size=10_000)
    exchange(queued, backend.accept(), seed=stage.seed, size=10_000)
    other = stage.connect(next(address for address in proxy.listening if address != path))
    exchange(other, backend.accept(), seed=stage.seed, size=10_000)
    if how == "rename":
        exchange(stage.connect(stage.path("elsewhere")), backend.accept(), seed=stage.seed, size=10_000)
    proxy.assert_rests(0.3)
