# SPDX-License-Identifier: MIT
"""With nothing to do no thread wakes up: no timer ticks, no CPU."""

import pytest

from support.backend import echo
from support.streams import MB, Background, read_exactly


@pytest.mark.parametrize("connections", [0, 20])
@pytest.mark.parametrize(
    "options", [[], ["--idle-timeout=1h", "--half-close-timeout=1h", "--access-log"], ["--max-connections=20"]]
)
def test_nothing_happens(stage, connections, options):
    backend = stage.backend(echo)
    proxy = stage.proxy(*options, "127.0.0.1:0", stage.path("app.sock"), backend.address, sockets=2)
    for number in range(connections):
        client = stage.connect(proxy.listening[number % 2])
        client.sendall(b"hello")
        assert read_exactly(client, 5) == b"hello"
    if connections:
        bulk = Background(client.sendall, bytes(4 * MB))
        read_exactly(client, 4 * MB)
        bulk.result()
    proxy.cpu_during(1.5)  # what a burst leaves to tidy up may be tidied up
    assert proxy.wakeups_during(2.5) == 0
    assert proxy.cpu_during(0.5) < 0.01
