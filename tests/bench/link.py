# SPDX-License-Identifier: MIT
"""A wire with a rate, between the bench's network and another one.

Each end sends through a token
bucket (tc tbf), or through netem where there is a delay or a loss.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass

import sandbox

NETWORK, NEAR, FAR = "10.9.9.0/24", "10.9.9.1", "10.9.9.2"

# As long as a sender that is ahead may wait: a switch has about as much.
QUEUE = "20ms"


@dataclass(frozen=True)
class Shape:
    """What the wire is like; the same both ways."""

    rate: str  # tc's words: a whole number with kbit, mbit or gbit
    delay: str = ""
    loss: str = ""

    @property
    def bits(self):
        """A second."""
        return int(self.rate[:-4]) * {"k": 1000, "m": 1000**2, "g": 1000**3}[self.rate[-4]]

    def qdisc(self):
        if self.delay or self.loss:
            words = ["netem", "rate", self.rate, "limit", "20000"]
            words += ["delay", self.delay] if self.delay else []
            return words + (["loss", self.loss] if self.loss else [])
        # A millisecond's worth, since a bucket that is smaller than a packet cuts it up.
        burst = max(16384, self.bits // 8000)
        return ["tbf", "rate", self.rate, "burst", str(burst), "latency", QUEUE]


class NoLink(Exception):
    """There can be none here, and why."""


def call(*command, **how):
    result = subprocess.run(command, text=True, capture_output=True, check=False, **how)
    if result.returncode != 0:
        raise NoLink(f"{' '.join(command)}: {result.stderr.strip()}")


class Link:
    """The far network lives as long as this does."""

    def __init__(self):
        for program in "ip", "tc":
            if not shutil.which(program):
                raise NoLink(f"{program} is not installed")
        self.far = sandbox.new_network()
        self.shape = None
        there = f"/proc/self/fd/{self.far}"
        call("ip", "link", "add", "near", "type", "veth", "peer", "far", "netns", there, pass_fds=[self.far])
        call("ip", "address", "add", f"{NEAR}/24", "dev", "near")
        call("ip", "link", "set", "near", "up")
        self.call_far("ip", "address", "add", f"{FAR}/24", "dev", "far")
        self.call_far("ip", "link", "set", "far", "up")
        # Where cubic is not the default, a namespace may not make it so; a route may name it.
        call("ip", "route", "replace", NETWORK, "dev", "near", "src", NEAR, "congctl", "cubic")
        self.call_far("ip", "route", "replace", NETWORK, "dev", "far", "src", FAR, "congctl", "cubic")

    def call_far(self, *command):
        call(*command, preexec_fn=lambda: sandbox.enter(self.far))

    def take(self, shape):
        """The wire is like that from now on."""
        if shape == self.shape:
            return
        self.shape = None
        call("tc", "qdisc", "replace", "dev", "near", "root", *shape.qdisc())
        self.call_far("tc", "qdisc", "replace", "dev", "far", "root", *shape.qdisc())
        self.shape = shape

    def close(self):
        os.close(self.far)
