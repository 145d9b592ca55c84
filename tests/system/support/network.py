# SPDX-License-Identifier: MIT
"""Networks of a test's own: namespaces in which whatever is called runs, and a wire between two."""

import ctypes
import itertools
import os
import subprocess
import threading

import pytest

from support.stage import need
from support.streams import Background

CLONE_NEWNET = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
numbers = itertools.count()


def enter(descriptor):
    """Only the calling thread goes there, and what it starts."""
    if libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def make_namespace():
    """In a thread that ends: the descriptor keeps the namespace."""
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "a network namespace")
    return os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Network:
    """Sockets and programs of run() live here, whoever uses them later."""

    def __init__(self):
        try:
            self.descriptor = Background(make_namespace).result()
        except OSError as error:
            pytest.skip(f"{error.filename or error.strerror}: not possible here (not root?)")
        self.ip("link", "set", "lo", "up")
        self.neighbours = []

    def run(self, function, *arguments, **options):
        def inside():
            enter(self.descriptor)
            return function(*arguments, **options)

        return Background(inside).result()

    def ip(self, *words):
        self.run(subprocess.run, [need("ip"), *words], check=True)

    def wire(self, other, here, there):
        """A cable to another network; returns the names of its two ends."""
        self.neighbours.append(other)  # a cable goes with either of its networks
        number = next(numbers)
        ours, theirs = f"sf{number}a", f"sf{number}b"
        self.ip("link", "add", ours, "type", "veth", "peer", "name", theirs)
        self.ip("link", "set", theirs, "netns", f"/proc/{os.getpid()}/fd/{other.descriptor}")
        for network, name, address in (self, ours, here), (other, theirs, there):
            network.ip("address", "add", f"{address}/24", "dev", name)
            network.ip("link", "set", name, "up")
        return ours, theirs

    def __del__(self):
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)
