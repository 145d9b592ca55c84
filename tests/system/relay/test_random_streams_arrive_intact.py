# SPDX-License-Identifier: MIT
"""Random bytes in random pieces with random pauses, several streams at once, arrive intact in every mode."""

import os
import random

import pytest

from support.modes import MODES
from support.streams import MB, Background, flow, sip

STREAMS = 4


def both_ways(client, connection, seed):
    """Starts a stream in each direction; gives the threads and what they carry."""
    for sock in (client, connection):
        sock.settimeout(60)
    size = random.Random(f"{seed} size").randrange(1, 4 * MB)
    return [
        (f"{direction} seed {seed}", Background(flow, source, f"{seed} {direction}", size), Background(sip, sink, seed))
        for direction, source, sink in (("up", client, connection), ("down", connection, client))
    ]


@pytest.mark.parametrize("mode", MODES)
def test_streams(stage, mode, data_path):
    backend = stage.backend()
    proxy, addresses = MODES[mode](stage, backend, *data_path)
    running = []
    for number in range(STREAMS):
        client = stage.connect(addresses[number % len(addresses)])
        running += both_ways(client, backend.accept(), f"{stage.seed}-{number}")
    for name, flowing, sipping in running:
        assert sipping.result() == flowing.result(), name
    stage.close_sockets()
    proxy.wait_released()


def test_stdin_and_stdout_pipes(stage, data_path):
    """The same through inetd over two pipes."""
    backend = stage.backend()
    proxy, request, reply = stage.proxy_over_pipes(*data_path, "-", backend.address)
    connection = backend.accept()
    connection.settimeout(60)
    seed = f"{stage.seed}-pipes"
    ways = [
        (Background(flow, PipeEnd(request), f"{seed}-up", 3 * MB), Background(sip, connection, seed)),
        (Background(flow, connection, f"{seed}-down", 3 * MB), Background(sip, PipeEnd(reply), seed)),
    ]
    for flowing, sipping in ways:
        assert sipping.result() == flowing.result(), seed
    os.close(reply)
    assert proxy.wait() == 0


class PipeEnd:
    """An end of a pipe with the calls of a socket that the streams use."""

    def __init__(self, fd):
        self.fd = fd

    def sendall(self, data):
        while data:
            data = data[os.write(self.fd, data) :]

    def shutdown(self, _how):
        os.close(self.fd)

    def recv(self, size):
        return os.read(self.fd, size)
