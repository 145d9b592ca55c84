# SPDX-License-Identifier: MIT
"""
Examples out of the README and the manual pages, and running one as it stands: in a network and a
/run of its own, with a server at each backend of this machine.
"""

import os
import re
import shlex
import socket
import textwrap
from dataclasses import dataclass

from support.backend import Backend, LocalBackend, MachineBackend
from support.network import Network
from support.proxy import REPOSITORY, SOCKFRONT, Proxy
from support.stage import need
from support.status import ask
from support.streams import read_exactly

FILE = "example.conf"
OWN_PATHS = 'mount -t tmpfs none /run && for path; do mkdir -p "$(dirname "$path")"; done'


@dataclass(frozen=True)
class Example:
    page: str
    number: int  # from 1, among those of its page
    text: str
    title: str  # the last line before it

    def __str__(self):
        return f"{os.path.basename(self.page)}-{self.number}"

    @property
    def is_configuration(self):
        return bool(re.match(r"\[(sockfront|proxy .*|status)\]$", self.text, re.M))

    @property
    def is_of_a_section(self):
        """Some lines of one, without its header."""
        lines = self.text.splitlines()
        return all(re.match(r"[a-z-]+ = ", line) for line in lines) and "backend" in self.text

    def commands(self):
        """Those of sockfront: the words of each."""
        lines = self.text.replace("\\\n", " ").splitlines()
        found = [command_of(re.sub(r"^[$#] | +# .*$|^ExecStart=", "", line)) for line in lines]
        return [words for words in found if words]


def command_of(line):
    """The words of a line that runs sockfront, itself the first; None: it does not."""
    within = re.search(r"ProxyCommand='([^']*)'", line)
    if within:
        line = within[1].replace("%h", "127.0.0.1").replace("%p", "8080")
    line = re.sub(r"^\d+ stream tcp nowait \w+ (\S+) sockfront ", r"\1 ", line)
    line = re.sub(r"^systemd-socket-activate -l \d+ -- ", "", line)
    line = re.sub(r"^sudo ", "", line)
    words = shlex.split(line) if re.match(r"\S*sockfront ", line) else None
    return words[:words.index("<")] if words and "<" in words else words


def read(page):
    with open(os.path.join(REPOSITORY, page)) as file:
        return file.read()


def of_readme(page):
    """What is indented by four."""
    text = re.sub(r"^```.*?^```", "", read(page), flags=re.M | re.S)
    found = re.finditer(r"(?:^    .*\n|^\n(?=    ))+", text, re.M)
    return [Example(page, number, textwrap.dedent(each[0]).strip("\n") + "\n", text[:each.start()].split("\n")[-2])
            for number, each in enumerate(found, 1)]


def of_manual(page):
    """What is displayed as it is."""
    pattern = r"^\.Bd -literal.*\n((?:.*\n)*?)\.Ed$|^\.Dl (.*)$"
    text = read(page)
    found = re.finditer(pattern, text, re.M)
    plain = [(re.sub(r"\\(.)", lambda m: {"e": "\\", "&": ""}.get(m[1], m[1]), each[1] or each[2] + "\n"),
              text[:each.start()].rstrip("\n").split("\n")[-1]) for each in found]
    return [Example(page, number, text, title) for number, (text, title) in enumerate(plain, 1)]


def of_page(page):
    return of_readme(page) if page.endswith(".md") else of_manual(page)


def is_inherited(address):
    return address.startswith("sd-listen")


def is_private(address):
    """A vsock port is one for the whole machine, and its host is out of reach."""
    return not address.startswith("vsock:")


class Scene:
    """One example that runs."""

    def __init__(self, stage):
        self.stage = stage
        self.network = Network()
        self.proxy = None

    def start(self, words, listens, asked=()):
        """
        @words: of the command, without the program
        @asked: where [status] listens
        """
        paths = [path for path in (*listens, *asked) if path.startswith("/run/")]
        prefix = [need("unshare"), "-m", "sh", "-c", f'{OWN_PATHS} && exec {shlex.join([SOCKFRONT, *words])}', "sh"]
        self.proxy = self.network.run(self._proxy, [*prefix, *paths])
        self.stage.proxies.append(self.proxy)
        self.proxy.wait_listening(len(listens))

    def _proxy(self, command):
        return Proxy(command, cwd=self.stage.directory)

    def where(self, address):
        """A UNIX path, as it is reached from here."""
        if address.startswith("/"):
            return f"/proc/{self.proxy.pid}/root{address}"
        return os.path.join(self.stage.directory, address) if address.startswith(".") else address

    def serve(self, backend):
        """Whether that backend is of this machine; then it answers from here on."""
        address = backend.split()[0]
        machine = re.match(r"vsock-mux:(.*):(\d+)$", address)
        local = re.match(r"(127\.0\.0\.1|localhost):(\d+)$", address)
        if machine:
            self._make(Machine, machine[1], int(machine[2]))
        elif local:
            self.stage.backends.append(self.network.run(Backend, polite, port=int(local[2])))
        elif address[0] in "/.@":
            self._make(LocalBackend, address)
        return bool(machine or local or address[0] in "/.@")

    def _make(self, kind, address, *more):
        where = self.where(address)
        os.makedirs(os.path.dirname(where) or ".", exist_ok=True)
        self.stage.backends.append(self.network.run(kind, where, polite, *more))

    def visit(self, address):
        client = self.network.run(self.stage.connect, self.where(address), 30)
        answers(client)

    def ask(self, address):
        assert self.network.run(ask, self.stage, self.where(address)).code == 200


def polite(connection):
    """Knows what the examples of checks ask; all else comes back."""
    connection.settimeout(60)
    while data := connection.recv(1 << 16):
        connection.sendall(b"+PONG\r\n" if data == b"PING\r\n" else data)
    connection.shutdown(socket.SHUT_WR)


class Machine(MachineBackend):
    def __init__(self, where, handler, port):
        self.PORT = port
        super().__init__(where, handler)


def answers(client):
    client.settimeout(30)
    client.sendall(b"is there anybody?")
    assert read_exactly(client, 17) == b"is there anybody?"
