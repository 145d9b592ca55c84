# SPDX-License-Identifier: MIT
"""connection-rate and connection-rate-per-source let in as many as they say over 10 seconds, within 5 %."""

import socket
import threading
import time

from support.configuration import section
from support.proxy import SANITIZE

SECONDS = 10
TOLERANCE = 0.05


def hang_up_at_once(connection):
    """As the backend: whoever comes to an end without a reset was let in."""


class Asking:
    """Clients that connect, each again once its last connection is over, and what became of them."""

    def __init__(self, address, source="127.0.0.1", clients=6, pause=0.0):
        self.where = ("127.0.0.1", int(address.rpartition(":")[2]))
        self.source, self.pause = source, pause
        self.asked, self.let_in, self.errors = [], [], []
        self.began = time.monotonic()
        self.threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        try:
            while time.monotonic() < self.began + SECONDS:
                self._ask()
                time.sleep(self.pause)
        except Exception as error:
            self.errors.append(error)

    def _ask(self):
        self.asked.append(time.monotonic())
        try:
            with socket.create_connection(self.where, 30, (self.source, 0)) as client:
                assert client.recv(1) == b""
                self.let_in.append(time.monotonic())
        except ConnectionResetError:
            pass

    def over(self):
        for thread in self.threads:
            thread.join(30)
        assert not self.errors, self.errors
        self.asked.sort()
        self.let_in.sort()

    def asking_for(self, seconds):
        """How long it has asked in all, where a pause counts for so many seconds at most: then the bucket is full."""
        ends = [*self.asked, self.let_in[-1]]
        return sum(min(later - earlier, seconds) for earlier, later in zip(ends, ends[1:]))

    def check(self, rate, burst, asking_for):
        """The burst is let in at once, then everybody at the rate."""
        elapsed = self.let_in[-1] - self.began
        after_burst = len(self.let_in) - burst
        what = f"{len(self.let_in)} of {len(self.asked)} in {elapsed:.2f} s by {rate}/s {burst}"
        assert after_burst <= rate * elapsed * (1 + TOLERANCE), what
        assert after_burst >= rate * asking_for * (1 - TOLERANCE), what


# A sanitized program is too slow for clients that have to wait at the highest one.
RATES = [(20, 10), (100, 50), *([] if SANITIZE else [(300, 150)])]


def test_of_a_proxy(stage):
    """Each at its own pace; clients wait, and nobody is refused."""
    text = "".join(
        section(stage.backend(hang_up_at_once), "127.0.0.1:0", name=f"at{rate}", options=f"connection-rate = {rate}/s {burst}")
        for rate, burst in RATES
    )
    proxy = stage.proxy("-c", stage.file("a.conf", text), sockets=len(RATES))
    askers = [Asking(address) for address in proxy.listening]
    for asker, (rate, burst) in zip(askers, RATES):
        asker.over()
        assert len(asker.let_in) == len(asker.asked)
        # Somebody waits all the time.
        asker.check(rate, burst, asker.let_in[-1] - asker.began)


def test_of_a_source(stage):
    """Each has its own rate, however often it asks; what is past it is refused."""
    rate, burst = 50, 25
    proxy, _ = stage.served("--connection-rate-per-source", f"{rate}/s {burst}", handler=hang_up_at_once)
    askers = [Asking(proxy.listening[0], f"127.0.0.{i}", clients=2, pause=0.004) for i in (2, 3, 4)]
    for asker in askers:
        asker.over()
        assert len(asker.asked) > 1.5 * len(asker.let_in), "it has asked for more"
        asker.check(rate, burst, asker.asking_for(burst / rate))
