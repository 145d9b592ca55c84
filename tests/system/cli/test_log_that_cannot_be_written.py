# SPDX-License-Identifier: MIT
"""Wherever the log and stdout go, and whether they can: connections are served all the same."""

import os
import re
import resource

import pytest

from support.disk import fill, small_disk
from support.proc import listening_sockets, wait_until
from support.streams import exchange


def serve_some(stage, backend, path, count=5):
    for number in range(count):
        client = stage.connect(path)
        exchange(client, backend.accept(5), seed=number, size=1000)
        client.close()


def logging_elsewhere(stage, **options):
    backend, path = stage.backend(), stage.path("app.sock")
    proxy = stage.proxy("--access-log", path, backend.address, sockets=0, **options)
    wait_until(lambda: listening_sockets(proxy.pid), "it has started")
    return proxy, backend, path


def test_full_device(stage):
    with open("/dev/full", "w") as full:
        proxy, backend, path = logging_elsewhere(stage, stderr=full)
    serve_some(stage, backend, path)
    proxy.assert_rests(0.5)


def test_full_disk(stage):
    """As soon as there is room again, the log says how many lines it has lost, exactly, each time."""
    directory, prefix = small_disk(stage, "128k", 'exec "$@" 2>>"$0/log"')
    proxy, backend, path = logging_elsewhere(stage, prefix=prefix)
    log = f"/proc/{proxy.pid}/root{directory}/log"
    wait_until(lambda: says_listening(log), "its first lines are written")
    n = 0
    for _ in range(4):
        fill(f"{log}.filler")
        serve_some(stage, backend, path, 60)
        assert whole(log) < n + 60
        os.unlink(f"{log}.filler")
        serve_some(stage, backend, path)
        n += 65
        wait_until(lambda: whole(log) + lost(log) == n, f"each of {n} is written or counted: {whole(log)}, {lost(log)}")


def says_listening(log):
    with open(log, "rb") as file:
        return b"listening on" in file.read()


def whole(log):
    """Lines of the access log; one that was written in part is one that was lost."""
    return sum(b" id=" in line and line.endswith(b'reason="closed"') for line in lines(log))


def lost(log):
    """What is told in a whole line."""
    told = [re.search(rb"warning: (\d+) log line\(s\) were lost: .* for them$", line) for line in lines(log)]
    return sum(int(match[1]) for match in told if match)


def lines(path):
    with open(path, "rb") as file:
        return file.read().split(b"\n")


def test_file_that_may_not_grow(stage):
    """RLIMIT_FSIZE by itself ends whoever writes past it."""
    with open(stage.path("log"), "wb") as log:
        proxy, backend, path = logging_elsewhere(
            stage, stderr=log, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
        )
    serve_some(stage, backend, path)
    assert os.path.getsize(stage.path("log")) == 200
    proxy.assert_rests(0.5)


def test_reader_that_is_gone(stage):
    """SIGPIPE, and then EPIPE for each line."""
    reading, writing = os.pipe()
    proxy, backend, path = logging_elsewhere(stage, stderr=writing)
    os.close(writing)
    os.close(reading)
    serve_some(stage, backend, path)
    proxy.assert_rests(0.5)


@pytest.mark.parametrize("closed", [[0], [1], [0, 1], [0, 1, 2]])
def test_closed_from_the_start(stage, closed):
    """No socket takes the number of a standard descriptor, where something might be written to it."""
    redirections = " ".join(f"{number}>&-" for number in closed)
    proxy, backend, path = logging_elsewhere(stage, prefix=["sh", "-c", f'exec "$@" {redirections}', "sh"])
    serve_some(stage, backend, path)
    for number in closed:
        assert os.readlink(f"/proc/{proxy.pid}/fd/{number}") == "/dev/null"
