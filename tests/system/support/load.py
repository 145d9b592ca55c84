# SPDX-License-Identifier: MIT
"""Clients that come all the time, while something happens to the proxy: none of them may notice."""

import random
import socket
import threading
import time

from support.stage import endpoint
from support.streams import read_exactly


class Load:
    """
    For each address, clients that come one after the other, say something, read
    it back and leave, and one that stays and does so all the time.
    """

    def __init__(self, addresses, seed, visitors=2, size=3000, pause=0.002):
        self.served = dict.fromkeys(addresses, 0)
        self.errors = []
        self.over = threading.Event()
        self.size, self.pause = size, pause
        self.threads = []
        for address in addresses:
            for number in range(visitors):
                self._begin(self._visit, address, random.Random(f"{seed} {address} {number}"))
            self._begin(self._stay, address, random.Random(f"{seed} {address}"))

    def _begin(self, what, *args):
        def guarded():
            try:
                what(*args)
            except Exception as error:
                self.errors.append((args[0], repr(error)))

        self.threads.append(threading.Thread(target=guarded, daemon=True))
        self.threads[-1].start()

    def _connect(self, address):
        family, where = endpoint(address)
        sock = socket.socket(family)
        sock.settimeout(20)
        sock.connect(where)
        return sock

    def _echoed(self, sock, data):
        sock.sendall(data)
        back = read_exactly(sock, len(data), 20)
        assert back == data, "the echo is not what was said"

    def _visit(self, address, rng):
        while not self.over.is_set():
            with self._connect(address) as sock:
                self._echoed(sock, rng.randbytes(rng.randrange(1, self.size)))
                sock.shutdown(socket.SHUT_WR)
                assert sock.recv(1) == b"", "something behind the echo"
            self.served[address] += 1
            time.sleep(self.pause)

    def _stay(self, address, rng):
        while not self.over.is_set():
            with self._connect(address) as sock:
                for _ in range(200):
                    self._echoed(sock, rng.randbytes(rng.choice((1, 5000, 100_000))))
                    if self.over.is_set():
                        break
                    time.sleep(self.pause)
                sock.shutdown(socket.SHUT_WR)
                assert sock.recv(1) == b"", "something behind the echo"

    def check(self):
        assert not self.errors, self.errors

    def stop(self, at_least=20):
        """Ends it; every client was served, and there were clients at every address."""
        self.over.set()
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive(), "a client is still waiting"
        self.check()
        assert min(self.served.values()) >= at_least, self.served
