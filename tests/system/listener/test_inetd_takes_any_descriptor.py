# SPDX-License-Identifier: MIT
"""Under inetd stdin and stdout may be sockets, pipes, files, terminals or /dev/null; bytes are exact."""

import fcntl
import os
import resource
import pty
import signal
import socket
import subprocess
import tty

import pytest

from support.backend import Reserved
from support.proxy import run
from support.streams import Background, exchange, outcome, random_bytes, read_exactly, read_to_end, send_in_background

REQUEST = random_bytes("request", 300_000)
REPLY = random_bytes("reply", 400_000)


def answer(backend):
    """Takes the one connection, reads to its end, replies; gives what was read."""

    def serve():
        connection = backend.accept()
        received = read_to_end(connection)
        connection.sendall(REPLY)
        connection.close()
        return received

    return Background(serve)


def write_and_close(fd, data):
    with os.fdopen(fd, "wb", closefd=True) as file:
        file.write(data)


def read_and_close(fd):
    with os.fdopen(fd, "rb") as file:
        return file.read()


def is_nonblocking(fd):
    return bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK)


def test_socketpair(stage, data_path):
    backend = stage.backend()
    ours, theirs = map(stage.keep, socket.socketpair())
    proxy = stage.proxy(*data_path, "-", backend.address, sockets=0, stdin=theirs, stdout=theirs)
    exchange(ours, backend.accept(), seed=stage.seed)
    assert proxy.wait() == 0
    assert not is_nonblocking(theirs.fileno()), "O_NONBLOCK was left on a socket that is shared with us"


def test_two_sockets(stage, data_path):
    """stdin one socket, stdout another."""
    backend = stage.backend()
    request, stdin = map(stage.keep, socket.socketpair())
    stdout, reply = map(stage.keep, socket.socketpair())
    serving = answer(backend)
    proxy = stage.proxy(*data_path, "-", backend.address, sockets=0, stdin=stdin, stdout=stdout)
    stdin.close()
    stdout.close()
    send_in_background(request, REQUEST)
    assert read_to_end(reply) == REPLY
    assert serving.result() == REQUEST
    assert proxy.wait() == 0


def test_pipes(stage, data_path):
    backend = stage.backend()
    serving = answer(backend)
    stdin, request = os.pipe()
    reply, stdout = os.pipe()
    proxy = stage.proxy(*data_path, "inetd", backend.address, sockets=0, stdin=stdin, stdout=stdout)
    reading = Background(read_and_close, reply)
    os.close(stdout)
    Background(write_and_close, request, REQUEST).result()
    assert serving.result() == REQUEST
    assert reading.result() == REPLY
    assert proxy.wait() == 0
    assert not is_nonblocking(stdin), "O_NONBLOCK was set on a pipe that is shared with us"
    os.close(stdin)


def test_files(stage, data_path):
    """sockfront - BACKEND < request > response"""
    backend = stage.backend()
    serving = answer(backend)
    with open(stage.path("request"), "wb") as file:
        file.write(REQUEST)
    with open(stage.path("request"), "rb") as stdin, open(stage.path("response"), "wb") as stdout:
        proxy = stage.proxy(*data_path, "-", backend.address, sockets=0, stdin=stdin, stdout=stdout)
        assert serving.result() == REQUEST
        assert proxy.wait() == 0
    with open(stage.path("response"), "rb") as file:
        assert file.read() == REPLY


def test_appended_file(stage):
    """sockfront - BACKEND >> response, which splice() refuses."""
    backend = stage.backend()
    serving = answer(backend)
    with open(stage.path("response"), "wb") as file:
        file.write(b"what was there")
    with open(stage.path("response"), "ab") as stdout:
        proxy = stage.proxy("-", backend.address, sockets=0, stdout=stdout)
        assert serving.result() == b""
        assert proxy.wait() == 0
    with open(stage.path("response"), "rb") as file:
        assert file.read() == b"what was there" + REPLY


def test_file_in_pipe_out(stage, data_path):
    backend = stage.backend()
    serving = answer(backend)
    with open(stage.path("request"), "wb") as file:
        file.write(REQUEST)
    reply, stdout = os.pipe()
    with open(stage.path("request"), "rb") as stdin:
        proxy = stage.proxy(*data_path, "stdio", backend.address, sockets=0, stdin=stdin, stdout=stdout)
    os.close(stdout)
    assert read_and_close(reply) == REPLY
    assert serving.result() == REQUEST
    assert proxy.wait() == 0


def test_pipe_in_file_out(stage, data_path):
    backend = stage.backend()
    serving = answer(backend)
    stdin, request = os.pipe()
    with open(stage.path("response"), "wb") as stdout:
        proxy = stage.proxy(*data_path, "-", backend.address, sockets=0, stdin=stdin, stdout=stdout)
    os.close(stdin)
    write_and_close(request, REQUEST)
    assert serving.result() == REQUEST
    assert proxy.wait() == 0
    with open(stage.path("response"), "rb") as file:
        assert file.read() == REPLY


def test_null_in(stage, data_path):
    """/dev/null as stdin is a request of no bytes."""
    backend = stage.backend()
    serving = answer(backend)
    reply, stdout = os.pipe()
    proxy = stage.proxy(*data_path, "-", backend.address, sockets=0, stdin=subprocess.DEVNULL, stdout=stdout)
    os.close(stdout)
    assert read_and_close(reply) == REPLY
    assert serving.result() == b""
    assert proxy.wait() == 0


def test_null_out(stage, data_path):
    backend = stage.backend()
    serving = answer(backend)
    stdin, request = os.pipe()
    proxy = stage.proxy(*data_path, "-", backend.address, sockets=0, stdin=stdin, stdout=subprocess.DEVNULL)
    os.close(stdin)
    write_and_close(request, REQUEST)
    assert serving.result() == REQUEST
    assert proxy.wait() == 0


def test_null_both(stage):
    backend = stage.backend()
    serving = answer(backend)
    proxy = stage.proxy("-", backend.address, sockets=0)
    assert serving.result() == b""
    assert proxy.wait() == 0


def test_terminal(stage, data_path):
    """With a terminal, which has no end of its own, the process ends once the backend has ended."""
    backend = stage.backend()
    master, slave = pty.openpty()
    tty.setraw(slave)

    def serve():
        connection = backend.accept()
        received = read_exactly(connection, 100_000)
        connection.sendall(REPLY[:100_000])
        connection.close()
        return received

    def read_master(size):
        parts = []
        while size:
            part = os.read(master, size)
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def write_master(data):
        while data:
            data = data[os.write(master, data) :]

    serving = Background(serve)
    proxy = stage.proxy(*data_path, "-", backend.address, sockets=0, stdin=slave, stdout=slave)
    reading = Background(read_master, 100_000)
    Background(write_master, REQUEST[:100_000]).result()
    assert serving.result() == REQUEST[:100_000]
    assert reading.result() == REPLY[:100_000]
    assert proxy.wait() == 0
    assert not is_nonblocking(slave), "O_NONBLOCK was left on the terminal"
    os.close(slave)
    os.close(master)


def test_idle_stdin_costs_nothing(stage):
    """A pipe on which nothing comes, and one that nobody reads."""
    backend = stage.backend()
    stdin, request = os.pipe()
    reply, stdout = os.pipe()
    proxy = stage.proxy("-", backend.address, sockets=0, stdin=stdin, stdout=stdout)
    os.close(stdin)
    os.close(stdout)
    connection = backend.accept()
    sending = send_in_background(connection, REPLY)
    proxy.assert_rests()
    assert Background(read_and_close, reply).result() == REPLY
    sending.result()
    proxy.assert_rests(1.0)
    os.close(request)
    assert read_to_end(connection) == b""
    assert proxy.wait() == 0


@pytest.mark.parametrize("end", ["socket", "pipes"])
def test_backend_out_of_reach(stage, end):
    """The exit status is 1, and no word of ours goes to the client."""
    port = Reserved(stage)
    if end == "socket":
        ours, theirs = map(stage.keep, socket.socketpair())
        status, _, log = run("--connect-retry=no", "-", port.address, stdin=theirs)
        theirs.close()
        assert outcome(ours) == (b"", "end")
    else:
        status, stdout, log = run("--connect-retry=no", "-", port.address)
        assert stdout == ""
    assert status == 1
    assert port.address in log


def test_reader_of_stdout_gone(stage, data_path):
    """`sockfront - B | head -c 1`: EPIPE, not death by SIGPIPE."""
    backend = stage.backend()
    proxy, request, reply = stage.proxy_over_pipes(*data_path, "-", backend.address)
    connection = backend.accept()
    os.close(reply)

    def talk():
        try:
            for _ in range(100):
                connection.sendall(bytes(1 << 16))
        except ConnectionError:
            pass
        connection.close()

    Background(talk).result()
    os.close(request)
    assert proxy.wait() in (0, 1)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_end_is_nothing_to_talk_about(stage, number):
    """ssh, for one, ends its ProxyCommand with a signal, and shows what that says."""
    backend = stage.backend()
    proxy, request, reply = stage.proxy_over_pipes("-", backend.address)
    connection = backend.accept()
    os.write(request, b"x")
    assert read_exactly(connection, 1) == b"x"
    proxy.signal(number)
    connection.close()
    os.close(request)
    assert proxy.wait() == 0
    assert proxy.log == ""
    os.close(reply)


def test_stdout_that_takes_no_more(stage):
    """A file that may not grow further is neither the backend's fault nor the client's."""
    backend, (stdin, request) = stage.backend(), os.pipe()
    with open(stage.path("reply"), "wb") as reply:
        proxy = stage.proxy(
            "--access-log", "-", backend.address, sockets=0, stdin=stdin, stdout=reply,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)),
        )  # fmt: skip
    os.close(stdin)
    connection = backend.accept()
    connection.sendall(bytes(100_000))
    assert outcome(connection)[1] == "reset"
    assert proxy.wait() == 1
    assert proxy.grep('reason="no space left for what the backend sent"')
    assert os.path.getsize(stage.path("reply")) == 5000
    os.close(request)
