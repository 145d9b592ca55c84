# SPDX-License-Identifier: MIT
"""
Long streams are moved in large pieces, and no last piece waits for more than a
moment: what is not a row of test_relay_cases.py.
"""

import signal

import pytest

from support.proc import wait_until
from support.streams import KB300, MB, Background, outcome, random_bytes, read_exactly, reset


@pytest.mark.parametrize("direction", ["up", "down"])
def test_reset_after_a_long_stream(stage, direction, data_path):
    _, client, connection = stage.pair(*data_path)
    source, sink = (client, connection) if direction == "up" else (connection, client)
    data = random_bytes(stage.seed, 30 * MB + 123)
    reading = Background(outcome, sink, 30)
    source.sendall(data)
    source.sendall(data[:KB300])
    reset(source)
    received, end = reading.result()
    assert end == "reset"
    # What was still on its way to the proxy when the reset was sent is the sender's own loss.
    whole = data + data[:KB300]
    assert whole.startswith(received)
    assert len(received) > 20 * MB


def test_slow_reader_of_a_long_stream(stage):
    """The stream stands still because nobody reads, not because bytes are missing."""
    proxy, client, connection = stage.pair()
    data = random_bytes(stage.seed, 60 * MB)
    sending = Background(client.sendall, data)
    received = read_exactly(connection, 30 * MB)
    proxy.assert_rests(1.0)
    received += read_exactly(connection, 30 * MB)
    sending.result()
    assert received == data


@pytest.mark.parametrize("time", ["0", "1ms", "1s"])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_last_piece_of_a_long_message_arrives(stage, time, direction):
    """Nothing follows until it has been answered, whatever the pace was before."""
    _, client, connection = stage.pair(f"--coalesce-time={time}")
    source, sink = (client, connection) if direction == "up" else (connection, client)
    for number, size in enumerate((9 * MB + 1, 40 * MB + 77, KB300, 12 * MB + 3)):
        data = random_bytes(stage.seed + number, size)
        sending = Background(source.sendall, data)
        assert read_exactly(sink, size) == data
        sending.result()
        sink.sendall(b"had it")
        assert read_exactly(source, 6) == b"had it"


def test_stop_in_the_middle(stage):
    """A drain lets a long stream end; a cut does not wait for it."""
    proxy, client, connection = stage.pair("--drain-timeout", "500ms")
    sending = Background(client.sendall, bytes(100 * MB))
    read_exactly(connection, 20 * MB)
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(5) == 0
    wait_until(lambda: not sending.is_alive(), "the sender is told")
