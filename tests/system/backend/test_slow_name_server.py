# SPDX-License-Identifier: MIT
"""A name server that is slow or silent: the last good answer is used after a second, and nobody else waits."""

import random
import socket
import struct
import subprocess
import threading

import pytest

from support.faults import Faults
from support.proxy import HANDOVER
from support.streams import exchange, outcome


class NameServer:
    """Says 127.0.0.1 for every name: at once, or when held questions are let go."""

    def __init__(self, stage):
        self.socket = stage.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.address = f"127.{random.randrange(1, 250)}.{random.randrange(250)}.53"
        self.holding = False
        self.held = []
        try:
            self.socket.bind((self.address, 53))
        except PermissionError:
            pytest.skip("port 53 may not be bound here (not root?)")
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                question, asker = self.socket.recvfrom(512)
            except OSError:
                return
            self.held.append((question, asker))
            if not self.holding:
                self.let_go()

    def let_go(self):
        while self.held:
            question, asker = self.held.pop()
            self.socket.sendto(reply(question), asker)


def reply(question):
    end = question.index(b"\0", 12) + 5
    record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 1, 4) + socket.inet_aton("127.0.0.1")
    if question[end - 4 : end - 2] != b"\0\1":  # not for an IPv4 address: there is none
        record = b""
    return question[:2] + struct.pack(">HHHHH", 0x8180, 1, bool(record), 0, 0) + question[12:end] + record


@pytest.fixture
def server(stage):
    return NameServer(stage)


@pytest.fixture
def handover(stage, server):
    """Options that make it the one source of names."""
    files = {
        "/etc/resolv.conf": f"nameserver {server.address}\noptions timeout:30 attempts:1\n",
        "/etc/nsswitch.conf": "hosts: dns\nservices: files\npasswd: files\ngroup: files\n",
    }
    options = []
    for path, text in files.items():
        options += ["--bind-over", f"{stage.file(path.rpartition('/')[2], text)}:{path}"]
    if subprocess.run([*HANDOVER, *options, "/bin/true"], capture_output=True).returncode:
        pytest.skip("no mount namespace may be made here (not root?)")
    return options


@pytest.mark.plain_only("a sanitizer's library must be the first one loaded")
def test_last_good_answer_after_a_second(stage, server, handover):
    backend, faults = stage.backend(), Faults(stage)
    proxy = stage.proxy(
        "127.0.0.1:0", f"service.test:{backend.port}", handover=handover, environment=faults.environment
    )
    exchange(stage.connect(proxy.listening[0]), backend.accept(), seed=1, size=1000)
    server.holding = True
    faults.begin("later")  # the answer is stale
    clients = [stage.connect(proxy.listening[0]) for _ in range(3)]
    for number, client in enumerate(clients):
        client.sendall(bytes([number]))
    connections = [backend.accept(15) for _ in clients]  # the resolver itself would wait for 30 s
    assert server.held
    for connection in connections:
        exchange(clients[connection.recv(1)[0]], connection, seed=stage.seed, size=1000)
    server.let_go()


def test_without_an_older_answer(stage, server, handover):
    """The client is held until connect-timeout; that of another backend is not."""
    server.holding = True
    backend = stage.backend()
    file = stage.file(
        "sockfront.conf",
        f"[proxy a]\nlisten={stage.path('a')}\nbackend=service.test:{backend.port}\nconnect-timeout=2s\n"
        f"[proxy b]\nlisten={stage.path('b')}\nbackend={backend.address}\n",
    )
    proxy = stage.proxy("--access-log", "-c", file, handover=handover, sockets=2)
    waiting = stage.connect(stage.path("a"))
    exchange(stage.connect(stage.path("b")), backend.accept(), seed=1, size=1000)
    assert outcome(waiting) == (b"", "end")
    assert server.held
    assert proxy.wait_log('reason="connect failed: the name does not resolve for now"')
    server.let_go()


def test_answer_that_comes_late(stage, server, handover):
    """The first client of all waits longer than a second: there is no older answer."""
    server.holding = True
    backend = stage.backend()
    proxy = stage.proxy("--connect-timeout=60s", "127.0.0.1:0", f"service.test:{backend.port}", handover=handover)
    client = stage.connect(proxy.listening[0])
    proxy.assert_rests(1.5)
    assert server.held
    server.let_go()
    exchange(client, backend.accept(), seed=stage.seed, size=1000)
