# SPDX-License-Identifier: MIT
"""A drain with clients in the queue, for the tests of one worker and of several."""

import signal

from support.proc import state, wait_until
from support.streams import exchange, read_exactly


def serve_queue_of_a_drain(stage, backend, proxy, count, size):
    """Has the kernel take clients while the proxy is stopped, sends SIGTERM, and serves them all."""
    proxy.signal(signal.SIGSTOP)
    wait_until(lambda: state(proxy.pid) == "T", "the proxy is stopped")
    clients = [stage.connect(proxy.listening[0]) for _ in range(count)]
    for number, client in enumerate(clients):
        client.sendall(bytes([number]))
    proxy.signal(signal.SIGTERM)
    proxy.signal(signal.SIGCONT)
    for _ in clients:
        connection = backend.accept(5)
        number = read_exactly(connection, 1)[0]
        exchange(clients[number], connection, seed=number, size=size)
        connection.close()
        clients[number].close()
    assert proxy.wait(5) == 0
