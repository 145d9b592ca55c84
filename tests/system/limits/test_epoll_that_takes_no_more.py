# SPDX-License-Identifier: MIT
"""While epoll takes no further descriptor, clients wait, lose nothing, and are served afterwards."""

import pytest

from support.backend import Deaf, echo
from support.faults import Faults
from support.proc import limit_descriptors, lowest_free, wait_until
from support.streams import exchange, read_exactly

pytestmark = pytest.mark.plain_only("a sanitizer's library must be the first one loaded")


@pytest.fixture
def faults(stage):
    return Faults(stage)


def test_listener(stage, faults):
    """One that cannot be polled is looked at now and then, and polled as soon as that can be."""
    backend = stage.backend()
    proxy = stage.proxy("127.0.0.1:0", backend.address, environment=faults.environment)
    limit_descriptors(proxy.pid, lowest_free(proxy.pid))
    clients = [stage.connect(proxy.listening[0])]
    proxy.wait_log("accepting pauses.*open files")
    faults.begin("watch")
    limit_descriptors(proxy.pid, 1024)
    proxy.wait_log("accepting pauses.*memory")
    clients += [stage.connect(proxy.listening[0]) for _ in range(3)]
    connections = [backend.accept(5) for _ in clients]
    proxy.assert_rests(1.0)
    faults.end("watch")
    for client, connection in zip(clients, connections):
        exchange(client, connection, seed=stage.seed)
    stage.close_sockets()
    assert len(proxy.lines) < 20, proxy.log


def test_backend(stage, faults):
    """A connection that cannot be waited for is tried again."""
    silent = Deaf(stage)
    proxy = stage.proxy("--connect-timeout=60s", stage.path("a"), silent.address, environment=faults.environment)
    client = stage.connect(stage.path("a"))
    wait_until(lambda: proxy.excess_sockets() == 2, "the backend is being connected")
    faults.begin("watch")
    late = stage.connect(stage.path("a"))
    wait_until(lambda: proxy.excess_sockets() == 3, "the client is accepted")
    proxy.assert_rests(1.0)
    faults.end("watch")
    silent.serve(echo)
    for sock in (client, late):
        sock.sendall(b"hello")
        assert read_exactly(sock, 5) == b"hello"
    stage.close_sockets()


def test_reason(stage, faults):
    proxy = stage.proxy(
        "--access-log", "--connect-retry=no", "127.0.0.1:0", Deaf(stage).address, environment=faults.environment
    )
    faults.begin("watch")
    assert stage.visit(proxy.listening[0]) == (b"", "reset")
    assert "memory" in proxy.wait_log("reason=")[0]
    faults.end("watch")
