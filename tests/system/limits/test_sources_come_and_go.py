# SPDX-License-Identifier: MIT
"""Hundreds of thousands of sources, one after the other: the table of sources fills, and memory is flat from then on."""

import ipaddress
import os
import signal
import socket

import pytest

from support.backend import LocalBackend
from support.proc import in_a_process, resident, wait_process
from support.proxy import SANITIZE

TABLE = 65536  # sources that are told apart
CLIENTS = 4  # processes, each with so many connections at once:
AT_ONCE = 16
EACH = 4000 if SANITIZE else 17000  # sources of a client in a round
ROUNDS = 3


def header(number):
    """Another source for each number: a host of IPv4, or a network of IPv6."""
    if number % 2:
        return f"PROXY TCP4 {ipaddress.IPv4Address(0x0A000000 + number)} 192.0.2.1 1 1\r\n".encode()
    return f"PROXY TCP6 {ipaddress.IPv6Address(0x20010DB8 << 96 | number << 64)} 2001:db8::1 1 1\r\n".encode()


def hang_up_on_everybody(listener):
    while True:
        listener.accept()[0].close()


def come_and_go(path, first):
    """Each of the sources once: it connects, says who it is, and is let in."""
    for number in range(first, first + EACH, AT_ONCE):
        clients = []
        for i in range(number, min(number + AT_ONCE, first + EACH)):
            clients.append(socket.socket(socket.AF_UNIX))
            clients[-1].settimeout(30)
            clients[-1].connect(path)
            clients[-1].send(header(i))
        for client in clients:
            assert client.recv(1) == b"", "the end of a backend that hangs up"
            client.close()


def round_of_sources(path, number):
    first = [(number * CLIENTS + client) * EACH for client in range(CLIENTS)]
    for pid in [in_a_process(come_and_go, path, at) for at in first]:
        assert wait_process(pid) == 0


@pytest.fixture
def backend(stage):
    """One that costs little: a process that accepts and closes."""
    stage.backends.append(LocalBackend(stage.path("backend.sock")))
    pid = in_a_process(hang_up_on_everybody, stage.backends[-1].listener)
    yield stage.backends[-1]
    os.kill(pid, signal.SIGKILL)
    wait_process(pid)


def test_memory_is_flat(stage, backend):
    proxy = stage.proxy(
        "--accept-proxy-protocol=any", "--max-connections-per-source=1", "--connection-rate-per-source=1000/s",
        stage.path("app.sock"), backend.address,
    )  # fmt: skip
    memory = []
    for number in range(ROUNDS):
        round_of_sources(proxy.listening[0], number)
        proxy.wait_released()
        memory.append(resident(proxy.pid))
    assert not proxy.grep("refused"), "each is a source of its own"
    if not SANITIZE:
        assert CLIENTS * EACH > TABLE, "the first round has filled the table"
        assert memory[-1] - memory[0] < 500_000, memory
