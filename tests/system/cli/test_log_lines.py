# SPDX-License-Identifier: MIT
"""The log: what was bound, one line per connection if asked, priorities for the journal, nothing to the client."""

import os
import re
import socket
import subprocess
import sys
import time

import pytest

from support.backend import Reserved
from support.proc import listening_sockets, wait_until
from support.stage import need
from support.streams import exchange, outcome, read_to_end, reset

ACCESS = (
    r'id=[0-9a-f]{16} proxy="command line" client=(?P<client>\S+) listener=(?P<listener>\S+) '
    r'backend=(?P<backend>\S+) queue=(?P<queue>\d+\.\d{6}) connect=(?P<connect>\d+\.\d{6}) '
    r'up=(?P<up>\d+) down=(?P<down>\d+) duration=(?P<duration>\d+\.\d\d\d) reason="(?P<reason>[^"]*)"$'
)


def test_listening_lines(stage):
    proxy = stage.proxy("127.0.0.1:0", stage.path("app.sock"), "127.0.0.1:9", sockets=2)
    assert proxy.grep(r"^sockfront: listening on 127\.0\.0\.1:[1-9]\d*, backend 127\.0\.0\.1:9$")
    assert proxy.grep(rf"^sockfront: listening on {stage.path('app.sock')}, backend 127\.0\.0\.1:9$")


@pytest.mark.parametrize("listen", ["tcp", "unix"])
def test_access_line(stage, listen, data_path):
    backend = stage.backend()
    address = stage.front(listen)
    proxy = stage.proxy(*data_path, "--access-log", address, backend.address)
    client = stage.connect(proxy.listening[0])
    connection = backend.accept()
    name = client.getsockname()
    client.sendall(bytes(3_000_001))
    client.shutdown(socket.SHUT_WR)
    assert len(read_to_end(connection)) == 3_000_001
    connection.sendall(bytes(777))
    connection.close()
    assert len(read_to_end(client)) == 777
    client.close()

    line = re.search(ACCESS, proxy.wait_log("reason=")[0])
    assert line, proxy.log
    if listen == "tcp":
        assert line["client"] == "%s:%d" % name
    else:
        assert line["client"] == f'"unix(pid={os.getpid()},uid={os.getuid()},gid={os.getgid()})"'
    assert line["listener"] == proxy.listening[0]
    assert line["backend"] == backend.address
    assert (int(line["up"]), int(line["down"])) == (3_000_001, 777)
    assert 0 <= float(line["queue"]) + float(line["connect"]) <= float(line["duration"]) + 0.001 < 60
    assert line["reason"] == "closed"


def test_duration_is_exact(stage):
    """To the millisecond: not less than the time within which the connection was surely up, nor more."""
    backend = stage.backend()
    proxy = stage.proxy("--access-log", "127.0.0.1:0", backend.address)
    for number in range(1, 21):
        outer = time.monotonic()
        client = stage.connect(proxy.listening[0])
        connection = backend.accept()
        inner = time.monotonic()
        time.sleep(number / 1000)
        at_least = time.monotonic() - inner
        client.close()
        connection.close()
        wait_until(lambda: len(proxy.grep("reason=")) == number, "the line", every=0.0005)
        at_most = time.monotonic() - outer
        duration = float(re.search(ACCESS, proxy.grep("reason=")[-1])["duration"])
        # Both ends of it are cut to milliseconds.
        assert at_least - 0.001 <= duration <= at_most + 0.001


def test_unix_client_of_another_user(stage):
    """Whoever the client is, by the credentials that it connected with."""
    backend = stage.backend()
    proxy = stage.proxy("--access-log", stage.name("app"), backend.address)
    script = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(chr(0) + sys.argv[1][1:])"
    words = [need("setpriv"), "--reuid=4711", "--regid=4712", "--clear-groups", sys.executable, "-c", script]
    if os.getuid() != 0:
        pytest.skip("only root may become another user")
    client = subprocess.Popen([*words, proxy.listening[0]])
    backend.accept().close()
    assert client.wait(10) == 0
    assert f'client="unix(pid={client.pid},uid=4711,gid=4712)" ' in proxy.wait_log("reason=")[0]


def test_no_access_line_unless_asked(stage):
    backend = stage.backend()
    proxy = stage.proxy("127.0.0.1:0", backend.address)
    client = stage.connect(proxy.listening[0])
    exchange(client, backend.accept(), seed=1, size=1000)
    stage.close_sockets()
    proxy.wait_released()
    assert not proxy.grep("reason=")


def test_one_line_per_connection(stage):
    backend = stage.backend()
    proxy = stage.proxy("--access-log", "127.0.0.1:0", backend.address)
    for number in range(20):
        client = stage.connect(proxy.listening[0])
        connection = backend.accept()
        if number % 2:
            reset(client)
        client.close()
        connection.close()
    proxy.wait_released()
    wait_until(lambda: len(proxy.grep("reason=")) >= 20, "a line each")
    stage.close_sockets()
    assert len(proxy.grep("reason=")) == 20


def test_journal_priorities(stage):
    """With the journal behind stderr each line begins with <N>; errors are 3, warnings 4, news 6."""
    port = Reserved(stage)
    proxy = stage.proxy(
        "--connect-retry=no", "--unix-listen-chmod=group", "127.0.0.1:0", port.address, journal=True
    )
    assert proxy.grep(r"^<6>listening on ")
    assert proxy.grep(r"^<4>.*unix-listen-chmod"), "an option without effect is a warning"
    stage.visit(proxy.listening[0])
    proxy.wait_released()
    assert all(re.match(rb"<[3-7]>", line) for line in proxy.lines)
    assert not proxy.grep("sockfront: ")


def test_journal_that_is_not_stderr(stage):
    """JOURNAL_STREAM of a stream that stderr is not: plain lines."""
    proxy = stage.proxy("127.0.0.1:0", "127.0.0.1:9", environment={"JOURNAL_STREAM": "1:2"})
    assert proxy.grep("^sockfront: listening on")


def test_option_without_effect_is_warned_of(stage):
    """The warning names the option and the address."""
    proxy = stage.proxy("--unix-listen-chmod=group", "127.0.0.1:0", "127.0.0.1:9")
    assert proxy.grep(r"^sockfront: warning: .*unix-listen-chmod.*127\.0\.0\.1:") or proxy.grep(
        r"^sockfront: warning: .*127\.0\.0\.1:.*unix-listen-chmod"
    ), proxy.log


@pytest.mark.parametrize("level, shown", [("error", False), ("warning", False), ("info", True), ("debug", True)])
def test_log_level(stage, level, shown):
    path = stage.path("app.sock")
    proxy = stage.proxy(f"--log-level={level}", path, "127.0.0.1:9", sockets=1 if shown else 0)
    if not shown:
        wait_until(lambda: listening_sockets(proxy.pid), "it has started")
        assert not proxy.lines
        proxy.settle()


@pytest.mark.parametrize("arguments", [["--access-log", "--log-level=debug"], ["--connect-retry=no"]])
def test_stderr_that_is_the_client(stage, arguments):
    """inetd gives the connection as stderr too: not one byte of the log goes there."""
    ours, theirs = map(stage.keep, socket.socketpair())
    if "--connect-retry=no" in arguments:
        proxy = stage.proxy(*arguments, "-", Reserved(stage).address, sockets=0, stdin=theirs, stdout=theirs, stderr=theirs)
        theirs.close()
        assert outcome(ours) == (b"", "end")
        assert proxy.wait() == 1
        return
    backend = stage.backend()
    proxy = stage.proxy(*arguments, "-", backend.address, sockets=0, stdin=theirs, stdout=theirs, stderr=theirs)
    theirs.close()
    exchange(ours, backend.accept(), seed=stage.seed)
    assert proxy.wait() == 0


def test_name_that_would_break_a_line(stage):
    """Control characters of a path are escaped."""
    path = stage.path("new\nline\x1b[31m.sock")
    backend = stage.backend()
    proxy = stage.proxy(path, backend.address)
    exchange(stage.connect(path), backend.accept(), seed=1, size=1000)
    assert len(proxy.grep("listening on")) == 1
    assert not any(b"\x1b" in line for line in proxy.lines)


def test_log_that_nobody_reads(stage):
    """stderr is a full pipe: connections are served all the same."""
    reading, writing = os.pipe()
    backend = stage.backend()
    path = stage.path("app.sock")
    proxy = stage.proxy("--access-log", path, backend.address, sockets=0, stderr=writing)
    wait_until(lambda: listening_sockets(proxy.pid), "it has started")
    os.set_blocking(writing, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writing, bytes(65536))
    os.set_blocking(writing, True)
    os.close(writing)
    for number in range(5):
        client = stage.connect(path)
        exchange(client, backend.accept(5), seed=number, size=1000)
        client.close()
    proxy.settle()
    os.close(reading)
