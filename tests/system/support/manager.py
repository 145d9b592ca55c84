# SPDX-License-Identifier: MIT
"""A service manager of the test's own: what a process tells it, and the descriptors that it keeps for one."""

import array
import contextlib
import os
import socket
import struct
import threading
import time

from support.proc import wait_until


class Message:
    def __init__(self, pid, text):
        self.time = time.monotonic()
        self.pid = pid
        self.lines = text.decode().splitlines()

    def value(self, name):
        """What stands behind NAME=, or None."""
        return next((line.partition("=")[2] for line in self.lines if line.startswith(name + "=")), None)


def fill(filler, address):
    """Sends to a socket until it takes no more."""
    filler.setblocking(False)
    try:
        while True:
            filler.sendto(b"X=1", address)
    except BlockingIOError:
        pass


class Manager:
    """Its NOTIFY_SOCKET is read by a thread.  The stage closes it."""

    def __init__(self, stage):
        self.address = stage.path("notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(self.address)
        self.environment = {"NOTIFY_SOCKET": self.address}
        self.messages = []
        self.reading = threading.Lock()
        self.store = []  # (name, socket), in the order in which they came
        self.most = 1000  # of those; what does not fit is closed
        threading.Thread(target=self._read, daemon=True).start()
        stage.managers.append(self)

    def close(self):
        self.socket.close()
        for _, sock in self.store:
            sock.close()

    def _read(self):
        while True:
            try:
                text, parts, _, _ = self.socket.recvmsg(8192, 4096)
            except OSError:
                return
            pid, descriptors = 0, array.array("i")
            for level, kind, data in parts:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                    pid = struct.unpack("iII", data)[0]
                elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    descriptors.frombytes(data)
            with self.reading:
                message = Message(pid, text)
            self._keep(message, [socket.socket(fileno=number) for number in descriptors])
            self.messages.append(message)

    def _keep(self, message, sockets):
        """As systemd does: what it has already is not kept twice, names are removed as a whole."""
        name = message.value("FDNAME")
        if message.value("FDSTORE") == "1":
            for sock in sockets:
                inode = os.fstat(sock.fileno()).st_ino
                is_kept = any(os.fstat(kept.fileno()).st_ino == inode for _, kept in self.store)
                if is_kept or len(self.store) >= self.most:
                    sock.close()
                else:
                    self.store.append((name, sock))
        elif message.value("FDSTOREREMOVE") == "1":
            for kept in [kept for kept in self.store if kept[0] == name]:
                self.store.remove(kept)
                kept[1].close()

    @contextlib.contextmanager
    def deaf(self):
        """It reads nothing meanwhile, and its socket is full."""
        with self.reading, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
            fill(filler, self.address)
            time.sleep(0.05)  # for the one that is taken out and waits
            fill(filler, self.address)
            yield

    def said(self, line, since=0, pid=None):
        """The messages that have that line, from the @since-th message on."""
        return [m for m in self.messages[since:] if line in m.lines and pid in (None, m.pid)]

    def wait(self, line, since=0, within=10):
        return wait_until(
            lambda: self.said(line, since),
            f"the manager hears {line!r}; it has heard {[m.lines for m in self.messages[since:]]}",
            within,
        )[0]
