# SPDX-License-Identifier: MIT
"""What one test puts up - proxies, backends, clients - and the order it is taken down in."""

import collections
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

from support.backend import Backend, LocalBackend, MachineBackend, hang_up
from support.proc import children, tcp_connections, wait_until
from support.proxy import HANDOVER, SOCKFRONT, Proxy
from support.streams import outcome, read_exactly, round_trip


def need(program):
    """Path of a program, or a skip that says what is missing."""
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin:/sbin:/bin")
    if not path:
        pytest.skip(f"{program} is not installed")
    if program == "unshare" and subprocess.run([path, "-m", "true"], capture_output=True).returncode:
        pytest.skip("only root may have namespaces of its own")
    return path


def endpoint(address):
    """Text of an address as sockfront prints it -> (family, what connect() takes)."""
    if isinstance(address, bytes) or address.startswith(("/", ".")):
        return socket.AF_UNIX, os.fsencode(address)
    if address.startswith("@"):
        return socket.AF_UNIX, b"\0" + os.fsencode(address[1:])
    host, _, port = address.rpartition(":")
    if host in ("*", ""):
        host = "127.0.0.1"
    if host.startswith("["):
        return socket.AF_INET6, (host[1:-1], int(port))
    return socket.AF_INET, (host, int(port))


def address_of(sock):
    """Of a TCP socket of the test's own, as sockfront prints it."""
    return "%s:%d" % sock.getsockname()[:2]


def refuses(address):
    """Whether nobody listens there."""
    family, where = endpoint(address)
    with socket.socket(family) as sock:
        return sock.connect_ex(where) != 0


class Stage:
    def __init__(self, seed):
        self.seed = seed
        self.directory = tempfile.mkdtemp(prefix="sf-")  # short: a UNIX path has 107 bytes
        self.proxies, self.helpers, self.backends = [], [], []
        self.sockets, self.listeners, self.managers = [], [], []
        self.name_servers = []  # which answer until the last proxy has ended

    def path(self, name):
        return os.path.join(self.directory, name)

    def file(self, name, text):
        path = self.path(name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def name(self, word):
        """An abstract name that no other test has."""
        return f"@{os.path.basename(self.directory)}-{word}"

    def front(self, kind):
        """Where a proxy may listen, "tcp" or "unix"."""
        return {"tcp": "127.0.0.1:0", "unix": self.path("app.sock")}[kind]

    def backend(self, handler=None, **options):
        self.backends.append(Backend(handler, **options))
        return self.backends[-1]

    def backend_of_kind(self, kind, handler=None):
        """A backend that is reached by "tcp", "unix", "abstract" or "vsock-mux"."""
        if kind == "tcp":
            return self.backend(handler)
        where = self.name("backend") if kind == "abstract" else self.path("backend.sock")
        self.backends.append((MachineBackend if kind == "vsock-mux" else LocalBackend)(where, handler))
        return self.backends[-1]

    def keep(self, sock):
        """Closes a socket before the proxies are stopped."""
        self.sockets.append(sock)
        return sock

    def connect(self, address, within=10, receive_buffer=None):
        family, where = endpoint(address)
        sock = self.keep(socket.socket(family))
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(within)
        sock.connect(where)
        return sock

    def connect_from(self, source, address, within=10):
        """By TCP over IPv4, from that address of this machine."""
        sock = self.keep(socket.socket())
        sock.settimeout(within)
        sock.bind((source, 0))
        sock.connect(endpoint(address)[1])
        return sock

    def visit(self, address, within=30):
        """How a connection ends by itself, which may be as early as in connect()."""
        try:
            return outcome(self.connect(address), within)
        except ConnectionResetError:
            return b"", "reset"

    def round_trip(self, address, within=10):
        """A client that comes to a backend that echoes, and goes."""
        with self.connect(address, within) as client:
            round_trip(client, within=within)

    def ask(self, address, within=30):
        """Which backend, see named(), serves a client that comes and goes."""
        client = self.connect(address, within)
        name = read_exactly(client, 1, within).decode()
        self.sockets.remove(client)
        client.close()
        return name

    def shares(self, address, n):
        """How many of so many clients, one after the other, each backend gets."""
        return collections.Counter(self.ask(address) for _ in range(n))

    def listener(self, address="127.0.0.1:0", backlog=128):
        """A listening socket of the test's own, to hand over."""
        family, where = endpoint(address)
        sock = socket.socket(family)
        sock.bind(where)
        sock.listen(backlog)
        self.listeners.append(sock)
        return sock

    def proxy(self, *arguments, sockets=1, handover=(), prefix=(), program=SOCKFRONT, **options):
        """
        Starts sockfront and waits for its listening lines (sockets=0: does not
        wait), by way of handover.py or of another program if asked.
        """
        if handover:
            prefix = [*HANDOVER, *handover]
        proxy = Proxy([*prefix, program, *arguments], **options)
        self.proxies.append(proxy)
        if sockets:
            proxy.wait_listening(sockets)
            proxy.settle()
        return proxy

    def served(self, *options, listen=("127.0.0.1:0",), handler=None, **more):
        """A proxy with one backend: the two of them."""
        backend = self.backend(handler)
        return self.proxy(*options, *listen, backend.address, sockets=len(listen), **more), backend

    def pair(self, *options, listen="127.0.0.1:0", **more):
        """The proxy of served(), a client of it, and that client's connection at the backend."""
        proxy, backend = self.served(*options, listen=[listen], **more)
        client = self.connect(proxy.listening[0])
        return proxy, client, backend.accept()

    def inetd_pair(self, *options, **more):
        """The same with the one client of inetd, over a socket pair."""
        backend = self.backend()
        client, theirs = map(self.keep, socket.socketpair())
        proxy = self.proxy(*options, "-", backend.address, sockets=0, stdin=theirs, stdout=theirs, **more)
        theirs.close()
        return proxy, client, backend.accept()

    def live_pair(self, backend, address):
        """A client and its connection at the backend, through which a byte has come."""
        client = self.connect(address)
        connection = backend.accept()
        client.sendall(b"x")
        assert read_exactly(connection, 1) == b"x"
        return client, connection

    def handed(self, sockets, *arguments, names=None, listening=1, extra=(), **options):
        """sockfront with these sockets as descriptors 3, 4, ... and LISTEN_FDS saying so."""
        numbers = [sock.fileno() for sock in sockets]
        handover = [word for i, number in enumerate(numbers) for word in ("--move", f"{number}:{3 + i}")]
        handover += ["--listen", str(len(numbers))]
        if names:
            handover += ["--names", names]
        return self.proxy(*arguments, sockets=listening, handover=[*handover, *extra], pass_fds=numbers, **options)

    def proxy_over_pipes(self, *arguments):
        """The proxy with a pipe for stdin and one for stdout, and our ends of them."""
        stdin, request = os.pipe()
        reply, stdout = os.pipe()
        proxy = self.proxy(*arguments, sockets=0, stdin=stdin, stdout=stdout)
        os.close(stdin)
        os.close(stdout)
        return proxy, request, reply

    def helper(self, *command, **options):
        """Another program that is killed in the end, whatever its exit status."""
        helper = Proxy(command, **options)
        self.helpers.append(helper)
        return helper

    def _activate(self, keep, listen, words):
        program = need("systemd-socket-activate")
        passed = [word for name in os.environ if name.endswith("SAN_OPTIONS") for word in ("-E", name)]
        rng = random.Random(os.urandom(8))
        for _ in range(50):
            # It takes no port 0; below the ephemeral range nothing else binds by chance.
            addresses = [f"127.0.0.1:{rng.randrange(10000, 32000)}" if a == "tcp" else a for a in listen]
            flags = [word for address in addresses for word in ("-l", address)]
            process = Proxy([program, *passed, *flags, *words])
            wait_until(
                lambda: len(process.grep("^Listening on")) == len(listen) or not process.alive(),
                "systemd-socket-activate binds",
            )
            if process.alive():
                keep.append(process)
                return process, addresses
            process.reader.join(5)
            assert process.grep("in use"), process.log
        raise AssertionError("no free port found")

    def activate(self, backend, *arguments, listen=("tcp",), names=None, sockets=None):
        """
        sockfront under systemd-socket-activate.  That starts it at the first
        connection, so one is made and ended before the test's own.
        """
        words = [f"--fdname={names}"] if names else []
        proxy, addresses = self._activate(self.proxies, listen, [*words, "--", SOCKFRONT, *arguments])
        probe = self.connect(addresses[0])
        proxy.wait_listening(len(listen) if sockets is None else sockets)
        if not backend.handler:
            backend.accept().close()
        probe.close()
        wait_until(lambda: not tcp_connections(proxy.pid), "the first connection is gone")
        proxy.settle()
        return proxy, addresses

    def activate_each(self, *arguments, inetd=False, listen="tcp"):
        """systemd-socket-activate -a: a new sockfront for every connection, which gets nothing else."""
        words = ["-a", *(["--inetd"] if inetd else []), "--", SOCKFRONT, *arguments]
        process, addresses = self._activate(self.helpers, [listen], words)
        process.wait_released = lambda within=10: wait_until(
            lambda: not children(process.pid), f"every process of a connection ended:\n{process.log}", within
        )
        return process, addresses[0]

    def close_sockets_of(self, pairs):
        for pair in pairs:
            for sock in pair:
                hang_up(sock)

    def close_sockets(self):
        """Ends every connection; a listener that was handed over goes on for whoever has it."""
        for sock in self.sockets:
            hang_up(sock)
        for listener in self.listeners:
            listener.close()
        for backend in self.backends:
            backend.hang_up()

    def tear_down(self, failed):
        for backend in self.backends:
            backend.test_is_over = True
        self.close_sockets()
        problems = []
        for proxy in self.proxies:
            try:
                if failed:
                    proxy.kill()
                else:
                    proxy.finish()
            except AssertionError as error:
                problems.append(error)
        for helper in self.helpers:
            if helper.alive():
                helper.signal(signal.SIGTERM)
                try:
                    helper.wait(10)
                except AssertionError:
                    pass
            helper.kill()
            helper.reader.join(2)
            helper.assert_sane()
        for backend in self.backends:
            backend.close()
        for each in self.managers + self.name_servers:
            each.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        if problems:
            raise problems[0]
        errors = [error for backend in self.backends for error in backend.errors]
        if errors and not failed:
            raise AssertionError(f"the backend saw {errors[0]!r}")
