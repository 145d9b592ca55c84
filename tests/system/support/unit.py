# SPDX-License-Identifier: MIT
"""A .service unit with a store of descriptors, as systemd runs it."""

import os
import signal

from support.manager import Manager


class Unit:
    """What systemd does for a unit with FileDescriptorStoreMax=@most: the .socket unit's first, then what it keeps."""

    def __init__(self, stage, text, sockets=(), names=(), most=10, **popen):
        self.stage, self.sockets, self.names = stage, list(sockets), list(names)
        self.manager = Manager(stage)
        self.popen = popen
        self.keep(most)
        self.file = stage.file("sockfront.conf", text)

    def start(self, listening=0):
        since = len(self.manager.messages)
        passed = self.sockets + [sock for _, sock in self.manager.store]
        names = ":".join(self.names + [name for name, _ in self.manager.store])
        options = {"environment": {**self.manager.environment, "FDSTORE": str(self.manager.most)}, **self.popen}
        if passed:
            self.proxy = self.stage.handed(passed, "-c", self.file, names=names, listening=listening, **options)
        else:
            self.proxy = self.stage.proxy("-c", self.file, sockets=listening, **options)
        self.proxy.before = None  # clients may have been waiting
        if listening:
            self.ready(since)
        return self.proxy

    def keep(self, most):
        """FileDescriptorStoreMax= from now on."""
        self.manager.most = most

    def ready(self, since=0):
        """What is stored is stored before that."""
        self.manager.wait("READY=1", since)

    def stop(self):
        self.stage.close_sockets_of([self.stage.sockets])
        self.proxy.signal(signal.SIGTERM)
        assert self.proxy.wait(5) == 0

    def write(self, text):
        self.stage.file("sockfront.conf", text)

    def kept(self):
        return {os.fstat(sock.fileno()).st_ino for _, sock in self.manager.store}
