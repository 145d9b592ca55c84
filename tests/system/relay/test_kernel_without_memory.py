# SPDX-License-Identifier: MIT
"""recv, send and splice that fail with ENOMEM or ENOBUFS are tried again, without haste and without a loss."""

import pytest

from support.faults import Faults
from support.streams import MB, Background, outcome, random_bytes, read_exactly, send_in_background

pytestmark = pytest.mark.plain_only("a sanitizer's library wants to be loaded first")


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("listen", ["tcp", "unix"])
def test_stream_goes_on(stage, data_path, direction, listen):
    faults = Faults(stage)
    proxy, client, connection = stage.pair("--access-log", *data_path, listen=stage.front(listen),
                                           environment=faults.environment)
    source, sink = (client, connection) if direction == "up" else (connection, client)
    data = random_bytes(stage.seed, 24 * MB)
    sender = send_in_background(source, data)
    received = read_exactly(sink, 4 * MB)
    for _ in range(3):
        faults.begin("starve")
        proxy.assert_rests(0.5)
        faults.end("starve")
        received += read_exactly(sink, 4 * MB)
    received += read_exactly(sink, len(data) - len(received))
    assert received == data
    sender.result()
    assert outcome(sink) == (b"", "end")
    sink.close()
    assert f"{direction}={len(data)} " in proxy.wait_log('reason="closed"')[0]


def test_reset_meanwhile_is_carried(stage, data_path):
    faults = Faults(stage)
    proxy, client, connection = stage.pair("--access-log", *data_path, environment=faults.environment)
    sender = Background(lambda: client.sendall(bytes(64 * MB)))
    read_exactly(connection, MB)
    faults.begin("starve")
    proxy.assert_rests(0.3)
    connection.close()  # with bytes unread: a reset
    faults.end("starve")
    with pytest.raises(ConnectionError):
        sender.result(20)
    proxy.wait_released()
