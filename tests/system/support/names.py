# SPDX-License-Identifier: MIT
"""Names as only one proxy sees them: a hosts file or a name server of the test's own."""

import random
import signal
import socket
import struct
import subprocess
import threading

import pytest

from support.backend import hang_up
from support.proc import wait_until
from support.proxy import HANDOVER
from support.stage import need

SWITCH = "hosts: {}\nservices: files\npasswd: files\ngroup: files\n"
NXDOMAIN, SERVFAIL = 3, 2
A, SRV = 1, 33


def wire(name):
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def name_of(question):
    labels, at = [], 12
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode())
        at += 1 + question[at]
    return ".".join(labels)


def shown(stage, files):
    """Options of handover.py that show these texts in the places of the system's files."""
    options = []
    for path, text in files.items():
        options += ["--bind-over", f"{stage.file(path.rpartition('/')[2], text)}:{path}"]
    if subprocess.run([*HANDOVER, *options, "/bin/true"], capture_output=True).returncode:
        pytest.skip("no mount namespace may be made here (not root?)")
    return options


class Hosts:
    """The one source of names, which may change at any time."""

    def __init__(self, stage, text=""):
        self.stage = stage
        files = {"/etc/hosts": text, "/etc/nsswitch.conf": SWITCH.format("files")}
        self.handover = shown(stage, files)

    def say(self, text):
        self.stage.file("hosts", text)


class NameServer:
    """
    Says 127.0.0.1 for every name, or what it is told to say: at once, or when held
    questions are let go.  A name is two questions, of which the second may come much later.
    """

    def __init__(self, stage):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stage.name_servers.append(self)
        self.address = f"127.{random.randrange(1, 250)}.{random.randrange(250)}.53"
        self.holding = False
        self.held = []
        self.lock = threading.Lock()
        self.failure = 0  # NXDOMAIN, SERVFAIL
        self.addresses = ["127.0.0.1"]
        self.hosts = {}  # names that have other addresses
        self.targets = []  # of every service: priority, weight, port, host
        self.ttl = 1  # of these
        self.asked = 0
        try:
            self.socket.bind((self.address, 53))
        except PermissionError:
            pytest.skip("port 53 may not be bound here (not root?)")
        self.handover = shown(
            stage,
            {
                "/etc/resolv.conf": f"nameserver {self.address}\noptions timeout:30 attempts:1\n",
                "/etc/nsswitch.conf": SWITCH.format("dns"),
            },
        )
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self):
        hang_up(self.socket)

    def serve(self):
        while True:
            try:
                question, asker = self.socket.recvfrom(512)
            except OSError:
                return
            if not question:  # the test is over
                return
            self.asked += 1
            with self.lock:
                self.held.append((question, asker))
            if not self.holding:
                self.answer()

    def answer(self):
        with self.lock:
            held, self.held = self.held, []
        for question, asker in held:
            self.socket.sendto(self.reply(question), asker)

    def let_go(self):
        """Answers what is held, and whatever comes from now on."""
        self.holding = False
        self.answer()

    def reply(self, question):
        end = question.index(b"\0", 12) + 5
        kind = struct.unpack(">H", question[end - 4 : end - 2])[0]
        records = []
        if not self.failure:
            records = [b"\xc0\x0c" + record for record in self.records(name_of(question), kind)]
        header = struct.pack(">HHHHH", 0x8180 | self.failure, 1, len(records), 0, 0)
        return question[:2] + header + question[12:end] + b"".join(records)

    def records(self, name, kind):
        """Of another kind there is none."""
        if kind == A:
            for address in self.hosts.get(name, self.addresses):
                yield struct.pack(">HHIH", A, 1, 1, 4) + socket.inet_aton(address)
        if kind == SRV:
            for priority, weight, port, target in self.targets:
                data = struct.pack(">HHH", priority, weight, port) + wire(target)
                yield struct.pack(">HHIH", SRV, 1, self.ttl, len(data)) + data


class Dnsmasq:
    """A name server that many run.  What it says of names below .test may change at any time."""

    def __init__(self, stage, text="", *options):
        self.stage = stage
        self.address = f"127.{random.randrange(1, 250)}.{random.randrange(250)}.53"
        self.process = stage.helper(
            need("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-poll",
            f"--addn-hosts={stage.file('names', text)}", "--local=/test/", "--bind-interfaces", "--user=root",
            f"--listen-address={self.address}", "--pid-file", "--log-facility=-", *options)
        wait_until(self.answers, f"dnsmasq answers:\n{self.process.log}")
        self.handover = shown(
            stage,
            {
                "/etc/resolv.conf": f"nameserver {self.address}\n",
                "/etc/nsswitch.conf": SWITCH.format("dns"),
            },
        )

    def answers(self):
        with socket.socket() as asker:
            return asker.connect_ex((self.address, 53)) == 0

    def say(self, text):
        self.stage.file("names", text)
        self.process.signal(signal.SIGHUP)
