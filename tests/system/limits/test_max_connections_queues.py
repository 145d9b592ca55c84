# SPDX-License-Identifier: MIT
"""Past max-connections clients wait in the kernel's backlog: nobody is accepted and dropped."""

import pytest

from support.proc import holds_for, wait_until
from support.streams import exchange, is_silent, read_exactly, reset


def test_the_rest_waits_its_turn(stage):
    proxy, backend = stage.served("--max-connections=2")
    clients = [stage.connect(proxy.listening[0]) for _ in range(5)]
    for number, client in enumerate(clients):
        client.sendall(bytes([number]))
    connections = [backend.accept() for _ in range(2)]
    assert sorted(read_exactly(connection, 1)[0] for connection in connections) == [0, 1]
    with pytest.raises(TimeoutError):
        backend.accept(0.7)
    proxy.assert_rests()
    assert all(is_silent(client, 0.05) for client in clients)
    assert proxy.excess_sockets() == 4
    assert len(proxy.grep("max-connections is reached, with 2 up")) == 1

    for number, client in enumerate(clients[:3]):
        client.close()
        connections[number].close()
        following = backend.accept(5)
        assert read_exactly(following, 1)[0] == number + 2
        connections.append(following)
        assert proxy.excess_sockets() <= 4
    exchange(clients[3], connections[3], seed=3)
    exchange(clients[4], connections[4], seed=4)
    assert len(proxy.grep("max-connections")) == 1, "once in a while is enough"


def test_counts_over_all_listeners(stage):
    """The limit is the process's: TCP and UNIX clients share it, and a freed slot wakes any listener."""
    proxy, backend = stage.served("--max-connections=2", listen=["127.0.0.1:0", stage.path("app.sock")])
    tcp = next(a for a in proxy.listening if not a.startswith("/"))
    first, second = stage.connect(tcp), stage.connect(stage.path("app.sock"))
    held = [backend.accept(), backend.accept()]
    waiting_tcp, waiting_unix = stage.connect(tcp), stage.connect(stage.path("app.sock"))
    with pytest.raises(TimeoutError):
        backend.accept(0.7)
    first.close()
    second.close()
    for connection in held:
        connection.close()
    backend.accept(5)
    backend.accept(5)
    assert is_silent(waiting_tcp, 0.05) and is_silent(waiting_unix, 0.05)


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_those_that_leave_the_queue_take_no_slot_for_long(stage, leave):
    proxy, backend = stage.served("--max-connections=1")
    first = stage.connect(proxy.listening[0])
    held = backend.accept()
    quitters = [stage.connect(proxy.listening[0]) for _ in range(3)]
    patient = stage.connect(proxy.listening[0])
    patient.sendall(b"p")
    for quitter in quitters:
        reset(quitter) if leave == "reset" else quitter.close()
    first.close()
    held.close()

    def served():
        connection = backend.accept(5)
        try:
            return connection.recv(1) == b"p"
        except ConnectionResetError:
            return False
        finally:
            connection.close()

    wait_until(served, "the one that stayed is served")


def test_slots_come_back(stage):
    """Many times as many connections as slots, one after another and through failures."""
    proxy, backend = stage.served("--max-connections=3")
    for turn in range(30):
        client = stage.connect(proxy.listening[0])
        connection = backend.accept(5)
        if turn % 3 == 0:
            reset(client)
        elif turn % 3 == 1:
            reset(connection)
        else:
            exchange(client, connection, seed=turn, size=1000)
        client.close()
        connection.close()
    proxy.wait_released()
    clients = [stage.connect(proxy.listening[0]) for _ in range(3)]
    for _ in clients:
        backend.accept(5)
    holds_for(lambda: proxy.excess_sockets() == 6, "three connections at once", 0.3)
