# SPDX-License-Identifier: MIT
"""Clients that come and go, each of whom must get its own bytes back."""

import random
import socket
import threading
import time

from support.streams import MB, read_exactly, read_to_end, send_in_background
from units import MANY


class Load:
    """A thread for each address, from here to stop(), which fails with what went wrong first."""

    def __init__(self, *addresses):
        self.served = [0] * len(addresses)
        self.errors = []
        self.ending = False
        self.threads = [threading.Thread(target=self._run, args=(number, *address), daemon=True)
                        for number, address in enumerate(addresses)]
        for thread in self.threads:
            thread.start()
        self.wait_more(2)

    def _run(self, number, family, address):
        rng = random.Random(number)
        while not self.ending:
            try:
                with socket.socket(family) as client:
                    client.settimeout(MANY)
                    client.connect(address)
                    data = rng.randbytes(rng.choice((1, 100, 30_000)))
                    client.sendall(data)
                    client.shutdown(socket.SHUT_WR)
                    assert read_to_end(client, MANY) == data, "other bytes came back"
            except Exception as error:
                self.errors.append(f"{address!r}, after {self.served[number]}: {error!r}")
                return
            self.served[number] += 1
            time.sleep(0.05)  # the machine has other things to do too

    def wait_more(self, count):
        """Until each address has served that many more clients, or failed."""
        wanted = [served + count for served in self.served]
        deadline = time.monotonic() + MANY
        while not self.errors and any(now < then for now, then in zip(self.served, wanted)):
            assert time.monotonic() < deadline, f"too slow: {self.served}, not {wanted}"
            time.sleep(0.05)
        assert not self.errors, self.errors

    def stop(self):
        self.ending = True
        for thread in self.threads:
            thread.join(MANY)
            assert not thread.is_alive(), "a client is neither served nor sent away"
        assert not self.errors, self.errors


class Transfer:
    """One long connection, of which a part has gone through when it is made."""

    def __init__(self, units, family, address, backend, size=6 * MB):
        self.data = random.Random(size).randbytes(size)
        self.client = units.keep(socket.socket(family))
        self.client.connect(address)
        self.connection = units.accept(backend)
        self.half = size // 2
        sending = send_in_background(self.client, self.data[:self.half], then_end=False)
        self.received = read_exactly(self.connection, self.half, MANY)
        sending.result()

    def end(self):
        """The rest, and an answer that comes only after the end."""
        sending = send_in_background(self.client, self.data[self.half:])
        assert self.received + read_to_end(self.connection, MANY) == self.data
        sending.result()
        self.connection.sendall(b"all of it")
        self.connection.close()
        assert read_to_end(self.client, MANY) == b"all of it"
        self.client.close()
