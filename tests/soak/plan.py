# SPDX-License-Identifier: MIT
"""
What one stream of the soak does, chosen from the seed; both sides follow the
same plan, which travels as the first bytes from the client to the backend.
"""

import json
import random
import struct
from dataclasses import asdict, dataclass

HEADER_SIZE = 512
GREETING = struct.Struct("!4sBxHQ")  # magic, server, its incarnation, number of the stream
MAGIC = b"SOAK"

# Bytes repeat after this many: a prime, so that no buffer's size divides it.
PERIOD = 4_194_319
LONGEST_READ = 1 << 18

ORDERS = ("together", "together", "together", "reply", "speak-first", "turns", "turns")
SIZES = ((0, 1), (1, 100), (100, 4096), (4096, 65536), (65536, 1 << 20), (1 << 20, 6 << 20), (6 << 20, 24 << 20))
SIZE_WEIGHTS = (4, 10, 16, 18, 22, 9, 1)


class Content:
    """The bytes that all streams are cut from: a stream is told by where it begins."""

    def __init__(self, seed):
        block = random.Random(f"{seed}/content").randbytes(PERIOD)
        self.bytes = block + block[:LONGEST_READ]

    def piece(self, at, size):
        at %= PERIOD
        return memoryview(self.bytes)[at : at + min(size, LONGEST_READ)]

    def first_difference(self, at, data):
        """Where data stops being what stands at that place; None if it never does."""
        at %= PERIOD
        if self.bytes.startswith(data, at):
            return None
        return next(i for i, byte in enumerate(data) if byte != self.bytes[at + i])


@dataclass
class Conduct:
    """How one side behaves.  It leaves - reset, close, vanish - after that many bytes sent and received."""

    seed: int
    act: str = "clean"
    after: int = 0
    pace: str = "fast"  # of its reading; "sip": little at a time, "stuck": not at all for a while
    stuck_at: int = 0
    stuck_s: float = 0.0
    urgent: int = -1  # this byte of what it sends goes as urgent data
    buffer: int = 0  # SO_RCVBUF


@dataclass
class Plan:
    number: int
    order: str
    turns: int
    up: int
    down: int
    up_at: int
    down_at: int
    client: Conduct
    server: Conduct
    mute: bool = False  # the client leaves without a word

    @property
    def is_clean(self):
        return self.client.act == self.server.act == "clean"

    def header(self):
        return json.dumps(asdict(self)).encode().ljust(HEADER_SIZE)


def parse_header(data):
    fields = json.loads(data)
    fields["client"], fields["server"] = Conduct(**fields["client"]), Conduct(**fields["server"])
    return Plan(**fields)


def _size(rng, small):
    low, high = rng.choices(SIZES[: 4 if small else None], SIZE_WEIGHTS[: 4 if small else None])[0]
    return rng.randrange(low, high)


def _conduct(rng, total, sends, receives, acts):
    conduct = Conduct(seed=rng.getrandbits(32))
    if rng.random() < 0.2:
        conduct.act = rng.choice(acts)
        conduct.after = rng.randrange(total + 1)
    conduct.pace = rng.choices(("fast", "sip", "stuck"), (12, 3, 2))[0]
    if conduct.pace == "stuck":
        conduct.stuck_at = rng.randrange(receives + 1)
        conduct.stuck_s = round(rng.uniform(0.5, 6), 2)
    if sends and rng.random() < 0.08:
        conduct.urgent = rng.randrange(sends)
    if rng.random() < 0.15:
        conduct.buffer = rng.choice((2304, 16384, 1 << 20))
    return conduct


def make(seed, number, small=False):
    rng = random.Random(f"{seed}/stream/{number}")
    up, down = _size(rng, small), _size(rng, small)
    plan = Plan(
        number=number,
        order=rng.choice(ORDERS),
        turns=rng.choice((2, 5, 20, 50)),
        up=up,
        down=down,
        up_at=rng.randrange(PERIOD),
        down_at=rng.randrange(PERIOD),
        client=_conduct(rng, up + down, up, down, ("reset", "close", "vanish")),
        server=_conduct(rng, up + down, down, up, ("reset", "close")),
    )
    plan.mute = plan.client.act != "clean" and rng.random() < 0.2
    return plan
