# SPDX-License-Identifier: MIT
"""A server in threads of the test, as the backend of a proxy."""

import os
import socket
import threading

from support.streams import Background, read_exactly, read_to_end


def echo(connection):
    connection.settimeout(60)
    while data := connection.recv(1 << 16):
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def named(name):
    """Says who it is, then echoes."""

    def handler(connection):
        try:
            connection.sendall(name.encode())
            echo(connection)
        except OSError:
            pass  # a probe has not waited for that

    return handler


def servers(stage, n):
    """Named a, b, c, ..."""
    return [stage.backend(named(chr(ord("a") + number))) for number in range(n)]


def sink(connection):
    read_to_end(connection, 60)


def reply_after_end(reply):
    """Reads to the client's end, then answers."""

    def handler(connection):
        read_to_end(connection, 60)
        connection.sendall(reply)

    return handler


def speak_first(text):
    """Sends, ends its own side, then reads what the client still says."""

    def handler(connection):
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        read_to_end(connection, 60)

    return handler


def hang_up(sock):
    """Closes a socket also under a thread that is blocked on it."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    sock.close()


class Backend:
    """
    Without a handler, connections wait for accept(); with one, each connection
    gets a thread that runs it and closes.
    """

    def __init__(self, handler=None, host="127.0.0.1", port=0, backlog=4096):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.socket(family)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port))
        self.listener.listen(backlog)
        self.host, self.port = host, self.listener.getsockname()[1]
        self._start(handler)

    def _start(self, handler):
        self.handler = handler
        self.connections = []
        self.errors = []
        self.closing = False
        self.test_is_over = False  # what a client leaves behind that just goes is no error then
        if handler:
            threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def accept(self, within=10):
        self.listener.settimeout(within)
        connection, _ = self.listener.accept()
        connection.settimeout(within)
        self.connections.append(connection)
        self._begin(connection)
        return connection

    def _begin(self, connection):
        """What comes before the client's first byte."""

    def stop_listening(self):
        hang_up(self.listener)

    def hang_up(self):
        """Ends every connection, whatever its handler is doing."""
        if not self.closing and not self.handler:
            threading.Thread(target=self._turn_away, daemon=True).start()
        self.closing = True
        for connection in list(self.connections):
            hang_up(connection)

    def _turn_away(self):
        """Connections that the test did not take end too."""
        try:
            self.listener.settimeout(None)
            while True:
                self.listener.accept()[0].close()
        except OSError:
            pass

    def close(self):
        self.stop_listening()
        self.hang_up()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        try:
            with connection:
                self._begin(connection)
                self.handler(connection)
        except Exception as error:
            if not self.closing and not self.test_is_over:
                self.errors.append(error)


class LocalBackend(Backend):
    """The same on a UNIX path or an abstract name."""

    def __init__(self, address, handler=None, backlog=4096):
        self.where = address
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(b"\0" + os.fsencode(address[1:]) if address.startswith("@") else os.fsencode(address))
        self.listener.listen(backlog)
        self._start(handler)

    @property
    def address(self):
        return self.where


class MachineBackend(LocalBackend):
    """
    A server in a virtual machine, seen from the host: the UNIX socket of Firecracker and of Cloud
    Hypervisor, which puts a connection through to a port.
    """

    PORT = 5252

    @property
    def address(self):
        return f"vsock-mux:{self.where}:{self.PORT}"

    def _begin(self, connection):
        asked = b""
        while not asked.endswith(b"\n"):
            asked += read_exactly(connection, 1)
        assert asked == b"CONNECT %d\n" % self.PORT, asked
        connection.sendall(b"OK 1073741824\n")


class Reserved:
    """A port that refuses connections until open() is called."""

    def __init__(self, stage, host="127.0.0.1", port=0):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = stage.keep(socket.socket(family))
        self.socket.bind((host, port))
        self.port = self.socket.getsockname()[1]
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def open(self):
        self.socket.listen(128)

    def accept(self, stage, within=10):
        self.socket.settimeout(within)
        connection = stage.keep(self.socket.accept()[0])
        connection.settimeout(within)
        return connection


class Deaf:
    """A port whose backlog is full: connecting to it gets no answer."""

    def __init__(self, stage, host="127.0.0.1", port=0):
        self.stage = stage
        self.socket = stage.keep(socket.socket())
        self.socket.bind((host, port))
        self.socket.listen(0)
        self.port = self.socket.getsockname()[1]
        self.address = f"{host}:{self.port}"
        for _ in range(8):
            filler = stage.keep(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(self.socket.getsockname())
        probe = stage.keep(socket.socket())
        probe.settimeout(0.3)
        try:
            probe.connect(self.socket.getsockname())
        except TimeoutError:
            return
        raise AssertionError("the kernel still takes connections past a backlog of 0")

    def serve(self, handler):
        """Answers after all, also those that filled the backlog."""
        # Those that filled it try again in the same instant. With a backlog of 0 the kernel then
        # drops the last step of a handshake that its client has for done, and forgets it soon: such
        # a client, which speaks second, would wait for ever.
        self.socket.listen(128)

        def accept():
            while True:
                try:
                    connection = self.stage.keep(self.socket.accept()[0])
                except OSError:
                    return
                Background(handler, connection)

        Background(accept)
