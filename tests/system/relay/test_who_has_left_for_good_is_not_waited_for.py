# SPDX-License-Identifier: MIT
"""
A client that is not there any more, and a backend that does not care: what the client
sent is delivered, and the backend is reset.  Who has only ended its sending is waited for.
"""

import os
import socket
import subprocess
import time

import pytest

from support.proc import accepted_option, descriptors, wait_until
from support.streams import MB, Background, outcome, random_bytes, read_exactly

@pytest.mark.parametrize("size", [0, 5, 3 * MB])
def test_unix_client_that_has_closed(stage, size, data_path):
    """Fire and forget: every byte and the end of stream arrive, however late they are read."""
    proxy, client, connection = stage.pair("--access-log", *data_path, listen=stage.path("a"))
    data = random_bytes(stage.seed, size)
    client.sendall(data[: size // 2])
    sender = Background(lambda: (client.sendall(data[size // 2 :]), client.close()))
    time.sleep(1.5 if size == 3 * MB else 0)  # nobody reads, longer than a reset would wait
    assert read_exactly(connection, size) == data
    assert connection.recv(1) == b""
    sender.result()
    proxy.wait_log('reason="client gone"')
    wait_until(lambda: is_reset(connection), "the backend is reset")


def is_reset(connection):
    try:
        connection.sendall(b"x")
    except ConnectionError:
        return True
    return False


def test_half_closed_unix_client_is_waited_for(stage):
    proxy, client, connection = stage.pair(listen=stage.path("a"))
    client.sendall(b"request")
    client.shutdown(socket.SHUT_WR)
    assert outcome(connection) == (b"request", "end")
    time.sleep(2.5)
    connection.sendall(b"answer")
    connection.close()
    assert outcome(client) == (b"answer", "end")


def test_half_closed_unix_client_that_closes_later(stage):
    """Seen by an event: no byte has to fail first."""
    proxy, client, connection = stage.pair("--access-log", listen=stage.path("a"))
    client.shutdown(socket.SHUT_WR)
    assert outcome(connection) == (b"", "end")
    time.sleep(2)
    client.close()
    proxy.wait_log('reason="client gone"')


@pytest.mark.parametrize("sent", [b"", b"some"])
def test_pipes_without_anybody_behind_them(stage, sent):
    backend = stage.backend()
    proxy, request, reply = stage.proxy_over_pipes("-", backend.address)
    connection = backend.accept()
    os.write(request, sent)
    os.close(request)
    assert read_exactly(connection, len(sent)) == sent
    assert connection.recv(1) == b""
    time.sleep(1.5)
    assert proxy.alive(), "the answer is still waited for"
    os.close(reply)
    assert proxy.wait() == 0
    wait_until(lambda: is_reset(connection), "the backend is reset")


def test_pipes_are_left_while_the_backend_is_awaited(stage):
    gone = stage.backend()
    gone.close()
    proxy, request, reply = stage.proxy_over_pipes("--connect-timeout=1h", "-", gone.address)
    os.close(request)
    os.close(reply)
    proxy.wait()


def test_a_plain_file_takes_the_answer_whenever_it_comes(stage, tmp_path):
    backend = stage.backend()
    with open(tmp_path / "answer", "wb") as answer:
        proxy = stage.proxy("-", backend.address, sockets=0, stdin=subprocess.DEVNULL, stdout=answer)
        connection = backend.accept()
        assert connection.recv(1) == b""
        time.sleep(2)
        connection.sendall(b"late")
        connection.close()
        assert proxy.wait() == 0
    assert (tmp_path / "answer").read_bytes() == b"late"


def keepalive_of(proxy, client):
    """After how many idle seconds the proxy probes this client; None: never."""
    if not accepted_option(proxy.pid, client, socket.SO_KEEPALIVE):
        return None
    return accepted_option(proxy.pid, client, socket.TCP_KEEPIDLE, socket.IPPROTO_TCP)


@pytest.mark.parametrize("keepalive, before, probed", [
    ("no", None, 60), ("3600000:1:1000", 3600, 60), ("20000:3:5000", 20, 20)])
def test_half_closed_tcp_client_is_probed(stage, keepalive, before, probed):
    """Whatever tcp-keepalive says, but not less often than that; who is not half-closed is left alone."""
    proxy, client, connection = stage.pair(f"--tcp-keepalive={keepalive}")
    other = stage.connect(proxy.listening[0])
    wait_until(lambda: proxy.excess_sockets() == 4, "both are served")
    client.shutdown(socket.SHUT_WR)
    assert outcome(connection) == (b"", "end")
    wait_until(lambda: keepalive_of(proxy, client) == probed, "a probe is due within a minute")
    assert keepalive_of(proxy, other) == before


def test_nobody_is_left_behind(stage):
    backend = stage.backend(lambda connection: connection.sendall(b"hello") or time.sleep(60))
    proxy = stage.proxy(stage.path("a"), backend.address)
    before = len(descriptors(proxy.pid))
    for _ in range(50):
        client = stage.connect(stage.path("a"))
        assert read_exactly(client, 5) == b"hello"
        client.close()
    wait_until(lambda: len(descriptors(proxy.pid)) <= before, "every descriptor is closed")
