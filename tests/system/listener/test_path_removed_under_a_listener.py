# SPDX-License-Identifier: MIT
"""Whoever removes the socket's path stops new clients from finding it, and nothing else."""

import os
import signal

import pytest

from support.names import NameServer
from support.proc import free_port, wait_until
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
    proxy.wait_log(f"warning: {path}: the path was removed or replaced")
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


def test_before_it_is_watched(stage):
    """A path that goes while other listeners are still being opened is noticed, too."""
    server, backend, path = NameServer(stage), stage.backend(), stage.path("app.sock")
    server.holding = True
    proxy = stage.proxy(
        path, f"host.test:{free_port()}", backend.address, sockets=0, handover=server.handover
    )
    wait_until(lambda: server.held and os.path.exists(path), "the path is bound, a name is looked up")
    os.unlink(path)
    server.let_go()
    proxy.wait_listening(2)
    proxy.wait_log(f"warning: {path}: the path was removed or replaced")


def test_directory_that_is_moved(stage):
    """What is removed at the end is our own path, wherever its directory is by then, and no stranger's."""
    here, there = stage.path("here"), stage.path("there")
    os.mkdir(here)
    proxy, backend = stage.served(listen=[f"{here}/app.sock"])
    os.rename(here, there)
    os.mkdir(here)
    stranger = stage.listener(f"{here}/app.sock")
    exchange(stage.connect(f"{there}/app.sock"), backend.accept(), seed=stage.seed, size=1000)
    stage.close_sockets_of([stage.sockets])
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0
    assert os.listdir(there) == []
    stage.connect(f"{here}/app.sock")
    stranger.accept()[0].close()
