# SPDX-License-Identifier: MIT
"""Out of memory, new clients wait, live connections go on, and all are served once there is some."""

import re
import resource
import signal

import pytest

from support.backend import Reserved, echo
from support.proc import wait_until
from support.streams import MB, outcome, read_exactly

pytestmark = pytest.mark.plain_only("sanitizers need more addresses than any limit leaves")

CLIENTS = 1200


def in_use(pid):
    """Bytes of address space."""
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(r"^VmSize:\s*(\d+)", file.read(), re.M)[1]) * 1024


def limit_memory(pid, soft):
    resource.prlimit(pid, resource.RLIMIT_AS, (soft, resource.RLIM_INFINITY))


@pytest.mark.parametrize("workers", ["1", "3"])
def test_clients_wait(stage, workers):
    proxy, backend = stage.served("--access-log", "--workers", workers)
    live = stage.connect(proxy.listening[0])
    connection = backend.accept()
    limit_memory(proxy.pid, in_use(proxy.pid))
    clients = [stage.connect(proxy.listening[0]) for _ in range(CLIENTS)]
    proxy.wait_log("accepting pauses.*memory")
    live.sendall(bytes(MB // 4))
    assert read_exactly(connection, MB // 4) == bytes(MB // 4)
    connection.sendall(b"still here")
    assert read_exactly(live, 10) == b"still here"
    proxy.assert_rests(1.0, limit=0.5)
    assert len(proxy.lines) < 40, proxy.log
    limit_memory(proxy.pid, resource.RLIM_INFINITY)
    for number, client in enumerate(clients):
        client.sendall(number.to_bytes(2, "big"))
    seen = set()
    for _ in clients:
        connection = backend.accept(20)
        seen.add(int.from_bytes(read_exactly(connection, 2), "big"))
    assert len(seen) == CLIENTS
    stage.close_sockets()
    proxy.wait_released(30)


def test_end(stage):
    """A drain and its second signal need no memory; who is in the queue cannot be taken from it."""
    proxy, backend = stage.served("--access-log", "--workers=3")
    clients = [stage.connect(proxy.listening[0])]
    backend.accept()
    limit_memory(proxy.pid, in_use(proxy.pid))
    clients += [stage.connect(proxy.listening[0]) for _ in range(CLIENTS)]
    proxy.wait_log("accepting pauses.*memory")
    proxy.signal(signal.SIGTERM)
    proxy.wait_log("stopping")
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0
    assert proxy.grep("cut [0-9]+ connection")
    for client in clients:
        assert outcome(client) == (b"", "reset")


def test_none_is_lost_without_a_line(stage):
    """While the backend is awaited, each client needs memory of its own."""
    port = Reserved(stage)
    proxy = stage.proxy("--access-log", "--connect-timeout=60s", "127.0.0.1:0", port.address)
    limit_memory(proxy.pid, in_use(proxy.pid) + 200_000)
    clients = [stage.connect(proxy.listening[0]) for _ in range(CLIENTS)]
    proxy.wait_log("accepting pauses.*memory")
    proxy.assert_rests(1.0, limit=0.8)
    limit_memory(proxy.pid, resource.RLIM_INFINITY)
    port.socket.close()
    stage.backend(echo, port=port.port)
    lost = 0  # those for whom there was not even memory to wait for some
    for client in clients:
        try:
            client.sendall(b"x")
            lost += client.recv(1) != b"x"
        except ConnectionError:
            lost += 1
        client.close()
    assert lost < CLIENTS / 2
    wait_until(lambda: len(proxy.grep('reason="closed"')) == CLIENTS - lost, "a line for each that was served", 30)
    assert len(proxy.grep('reason="connect failed')) == lost, proxy.log
