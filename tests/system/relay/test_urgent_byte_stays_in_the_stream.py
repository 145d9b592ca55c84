# SPDX-License-Identifier: MIT
"""An urgent byte goes through in its place, without its mark: what is not a row of test_relay_cases.py."""

import socket

import pytest

from support.stage import address_of
from support.streams import read_exactly

@pytest.mark.parametrize("take", ["sd-listen", "accept-from-fd:3"])
def test_from_a_client_that_came_before_us(stage, take, data_path):
    """Whose connection is what started the service: its socket is older than any option of ours."""
    backend, listener = stage.backend(), stage.listener()
    clients = [stage.connect(address_of(listener)) for _ in range(3)]
    clients[0].sendall(b"before")
    stage.handed([listener], *data_path, take, backend.address).before = None  # they are there already
    for client in clients:
        connection = backend.accept()
        if client is clients[0]:
            assert read_exactly(connection, 6) == b"before"
        client.send(b"!", socket.MSG_OOB)
        client.sendall(b"after")
        assert read_exactly(connection, 6) == b"!after"
