# SPDX-License-Identifier: MIT
"""A log that nobody reads stops nobody; each of its lines is written, or counted as lost, once."""

import errno
import fcntl
import os
import pty
import re
import select
import signal
import socket
import time
import tty

import pytest

from support.proc import listening_sockets, wait_until
from support.stage import need
from support.streams import exchange

CONNECTIONS = 800  # several times what any of them takes, and what is kept


def terminal(stage):
    reading, writing = pty.openpty()
    tty.setraw(writing)
    return reading, writing


def full_pipe(stage):
    reading, writing = os.pipe()
    fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 4096)
    return reading, writing


def stream_socket(stage):
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return ours.detach(), theirs.detach()


def read_all(reading, enough):
    """Until the lines are there and nothing more comes."""
    data, end = b"", time.monotonic() + 30
    while time.monotonic() < end:
        if select.select([reading], [], [], 0.5)[0]:
            more = read_some(reading)
            if not more:
                break
            data += more
        elif enough(data):
            break
    return data


def read_some(reading):
    """Nothing at the end, which a terminal tells with an error."""
    try:
        return os.read(reading, 65536)
    except OSError as error:
        assert error.errno == errno.EIO
        return b""


def connections_told(data):
    written = len(re.findall(rb" client=", data))
    return written, sum(map(int, re.findall(rb"(\d+) log line\(s\) were lost", data)))


@pytest.mark.parametrize("kind", [terminal, full_pipe, stream_socket])
def test_nobody_waits(stage, kind):
    backend, path = stage.backend(), stage.path("app.sock")
    reading, writing = kind(stage)
    proxy = stage.proxy("--access-log", path, backend.address, sockets=0, stderr=writing)
    os.close(writing)
    wait_until(lambda: listening_sockets(proxy.pid), "it has started")
    live = stage.live_pair(backend, path)
    for number in range(CONNECTIONS):
        client = stage.connect(path)
        exchange(client, backend.accept(5), seed=number, size=1)
        client.close()
    exchange(*live, seed=1, size=1000)
    proxy.assert_rests(0.5)
    ended = CONNECTIONS + 1
    data = read_all(reading, lambda data: sum(connections_told(data)) >= ended)
    written, lost = connections_told(data)
    assert lost > 0 and written + lost == ended, f"{written} written, {lost} lost"
    assert data.endswith(b"\n") and all(
        line.startswith(b"sockfront: ") for line in data.splitlines()
    ), "each line is whole"
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(10) == 0
    assert b"stopping" in read_all(reading, lambda data: b"stopping" in data)
    os.close(reading)


def test_reader_that_never_comes_does_not_stop_a_stop(stage):
    backend, path = stage.backend(), stage.path("app.sock")
    reading, writing = full_pipe(stage)
    proxy = stage.proxy("--access-log", "--log-level=debug", path, backend.address, sockets=0, stderr=writing)
    os.close(writing)
    wait_until(lambda: listening_sockets(proxy.pid), "it has started")
    for number in range(CONNECTIONS):
        client = stage.connect(path)
        exchange(client, backend.accept(5), seed=number, size=1)
        client.close()
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(10) == 0
    os.close(reading)


def without_null(closed):
    """Runs what follows where there is no /dev/null, with those descriptors closed."""
    script = f'mount -t tmpfs none /dev && exec "$@" {closed}'
    return [need("unshare"), "-m", "sh", "-c", script, "sh"]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_socket_becomes_the_log(stage, closed):
    """Where a client's socket would get the number of stderr, it does not start at all."""
    backend, path = stage.backend(), stage.path("app.sock")
    proxy = stage.proxy(path, backend.address, sockets=0, prefix=without_null(closed))
    assert proxy.wait(10) == 1
    assert not os.path.exists(path)
    if "2>" not in closed:
        assert proxy.grep("/dev/null cannot be opened"), proxy.log


def test_without_null_where_nothing_is_closed(stage):
    backend, path = stage.backend(), stage.path("app.sock")
    proxy = stage.proxy(path, backend.address, prefix=without_null(""))
    exchange(*stage.live_pair(backend, path), seed=1, size=1000)
    assert proxy.alive()
