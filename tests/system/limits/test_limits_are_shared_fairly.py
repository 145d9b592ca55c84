# SPDX-License-Identifier: MIT
"""At max-connections no listener waits for the crowd at another, and no proxy for the clients of another."""

import contextlib
import selectors

import pytest

from support.configuration import process, section
from support.proc import wait_until
from support.streams import exchange, is_silent, read_exactly

CROWD = 60


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("slots", [1, 2])
def test_one_client_beside_a_crowd(stage, count, slots):
    order = []

    def serve(connection):
        with contextlib.suppress(ConnectionResetError):  # the holders of the slots say nothing
            letter = connection.recv(1)
            order.append(letter)
            connection.sendall(letter)
            connection.recv(1)

    backend = stage.backend(serve)
    paths = [stage.path(f"s{number}") for number in range(count)]
    proxy = stage.proxy("--max-connections", str(slots), *paths, backend.address, sockets=count)
    holders = [stage.connect(paths[0]) for _ in range(slots)]
    wait_until(lambda: proxy.excess_sockets() == 2 * slots, "every slot is taken")
    clients = [stage.connect(paths[0]) for _ in range(CROWD)] + [stage.connect(path) for path in paths[1:]]
    for number, client in enumerate(clients):
        client.sendall(b"c" if number < CROWD else b"q")
    for holder in holders:
        holder.close()
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(10)
            assert ready, f"{len(order)} were served:\n{proxy.log}"
            for key, _ in ready:
                selector.unregister(key.fileobj)
                key.fileobj.close()
    served = [letter for letter in order if letter]
    assert served[: 3 * count + slots].count(b"q") == count - 1, served


def config(stage, slots, one, other, *listen):
    text = process(f"max-connections = {slots}") + section(one, listen[0], name="one")
    return stage.file("sockfront.conf", text + section(other, listen[1], name="other"))


def test_last_eighth_is_for_the_others(stage):
    """A backend that hangs takes its own proxy's clients with it, and no others."""
    one, other = stage.backend(), stage.backend()
    paths = [stage.path("one"), stage.path("other")]
    proxy = stage.proxy("-c", config(stage, 16, one, other, *paths), sockets=2)
    clients = [stage.connect(paths[0]) for _ in range(20)]
    held = [one.accept() for _ in range(14)]
    proxy.wait_log(r"\[proxy one\] has 14 connections, as many as leave")
    proxy.assert_rests(0.5)
    for seed in range(5):
        pair = stage.connect(paths[1]), other.accept(5)
        exchange(*pair, seed=seed, size=1000)
        stage.close_sockets_of([pair])
    assert is_silent(clients[-1], 0.1)
    # A connection that ends is the turn of one who waits.
    clients[0].close()
    held[0].close()
    clients[14].sendall(b"x")
    assert read_exactly(one.accept(5), 1) == b"x"


def test_connections_from_before_a_reload_count(stage):
    one, other = stage.backend(), stage.backend()
    paths = [stage.path("one"), stage.path("other")]
    proxy = stage.proxy("-c", config(stage, 8, one, other, *paths), sockets=2)
    for _ in range(9):
        stage.connect(paths[0])
    for _ in range(7):
        one.accept()
    assert "reloaded" in proxy.reload()
    pair = stage.connect(paths[1]), other.accept(5)
    exchange(*pair, seed=1, size=1000)
    with pytest.raises(TimeoutError):
        one.accept(0.5)


def test_log_names_who_has_the_most(stage):
    one, other = stage.backend(), stage.backend()
    paths = [stage.path("one"), stage.path("other")]
    proxy = stage.proxy("-c", config(stage, 8, one, other, *paths), sockets=2)
    for path in [paths[0]] * 6 + [paths[1]] * 3:
        stage.connect(path)
    proxy.wait_log(r"max-connections is reached, with 8 up, of which \[proxy one\] has [56]")
