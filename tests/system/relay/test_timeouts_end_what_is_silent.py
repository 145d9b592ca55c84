# SPDX-License-Identifier: MIT
"""idle-timeout and half-close-timeout abort what is silent, and only that: what is not a row of test_relay_cases.py."""

import socket
import time

import pytest

from support.streams import exchange, outcome, random_bytes


def test_inetd_idle_timeout(stage):
    proxy, ours, connection = stage.inetd_pair("--idle-timeout=1s")
    assert outcome(connection, 10) == (b"", "reset")
    assert outcome(ours, 5) == (b"", "end")
    assert proxy.wait(5) in (0, 1)


def test_half_closed_connection_may_take_its_time(stage):
    """The answer trickles for longer than the half-close timeout, which is counted since the last byte."""
    proxy, client, connection = stage.pair("--access-log", "--half-close-timeout=2s")
    client.shutdown(socket.SHUT_WR)
    assert outcome(connection) == (b"", "end")
    for _ in range(12):
        connection.sendall(b"drip")
        time.sleep(0.3)
    assert outcome(client) == (12 * b"drip", "reset")
    line = proxy.wait_log('reason="half-close timeout')[0]
    assert "down=48 " in line


def test_answer_on_its_way_keeps_a_half_closed_connection_alive(stage, data_path):
    """The kernel still delivers what we have nothing left to do for."""
    backend = stage.backend()
    proxy = stage.proxy("--access-log", "--half-close-timeout=1s", *data_path, "127.0.0.1:0", backend.address)
    client = stage.connect(proxy.listening[0], receive_buffer=65536)
    connection = backend.accept()
    client.shutdown(socket.SHUT_WR)
    data = random_bytes(stage.seed, 2_000_000)
    connection.sendall(data)
    received = b""
    while len(received) < len(data):
        received += client.recv(65536)
        time.sleep(0.1)
    assert received == data


@pytest.mark.parametrize("moves", ["bytes", "nothing"])
def test_connection_timeout_bounds_the_whole_life(stage, moves):
    """Whatever moves: both sides are reset."""
    proxy, client, connection = stage.pair("--access-log", "--connection-timeout=2s", listen="127.0.0.1:0")
    began = time.monotonic()
    if moves == "bytes":
        with pytest.raises(ConnectionError):
            while time.monotonic() - began < 20:
                connection.sendall(b"drip")
                time.sleep(0.1)
    else:
        assert outcome(connection)[1] == "reset"
    received, end = outcome(client)
    assert end == "reset" and (moves == "nothing" or len(received) >= 4)
    assert time.monotonic() - began > 1.5
    proxy.wait_log('reason="connection timeout"')


def test_connection_timeout_ends_the_wait_for_a_backend(stage):
    """Its life begins when it is accepted."""
    gone = stage.backend()
    gone.close()
    proxy = stage.proxy("--access-log", "--connection-timeout=1s", "--connect-timeout=1h", "127.0.0.1:0",
                        gone.address)
    assert outcome(stage.connect(proxy.listening[0]))[1] == "reset"
    proxy.wait_log('reason="connection timeout"')


def test_backend_that_never_answers(stage):
    """Those who wait for it are told in the end, and delay nobody else meanwhile."""
    silent, backend = stage.backend(), stage.backend()
    file = stage.file(
        "sockfront.conf",
        f"[proxy a]\nlisten={stage.path('a')}\nbackend={silent.address}\nidle-timeout=2s\n"
        f"[proxy b]\nlisten={stage.path('b')}\nbackend={backend.address}\n",
    )
    proxy = stage.proxy("--access-log", "-c", file, sockets=2)
    waiting = [stage.connect(stage.path("a")) for _ in range(50)]
    for client in waiting:
        client.sendall(b"a question")
        silent.accept()
    exchange(stage.connect(stage.path("b")), backend.accept(), seed=stage.seed)
    for client in waiting:
        assert outcome(client) == (b"", "end")
    assert len(proxy.wait_log('reason="idle timeout')) <= 50
    proxy.assert_rests(0.3)


def test_bytes_on_their_way_keep_it_alive(stage, data_path):
    """A reader that takes its time is not idle, though we have nothing left to do for it."""
    backend = stage.backend()
    proxy = stage.proxy("--access-log", "--idle-timeout", "1s", *data_path, "127.0.0.1:0", backend.address)
    client = stage.connect(proxy.listening[0], receive_buffer=65536)
    connection = backend.accept()
    data = random_bytes(stage.seed, 2_000_000)
    connection.sendall(data)
    received = b""
    while len(received) < len(data):
        received += client.recv(65536)
        time.sleep(0.1)
    assert received == data
    assert outcome(client, 10) == (b"", "reset")
    proxy.wait_log('reason="idle timeout')
