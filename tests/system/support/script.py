# SPDX-License-Identifier: MIT
"""
What the two sides of one connection do, step by step, as rows of a table: see
relay/test_relay_cases.py.  A side is a thread with a socket; a step that does
not see what it must see fails with its number, its side and its own words.
"""

import errno
import functools
import socket
import threading
import time
from dataclasses import dataclass

import pytest

from support import streams
from support.proc import wait_until
from support.streams import MB, Background, is_silent, outcome, random_bytes, read_exactly, unacknowledged


@dataclass(frozen=True)
class Data:
    """So many random bytes, made when they are needed; the label tells one stream from another."""

    label: str
    size: int

    def __str__(self):
        return f"{self.label}, {self.size} bytes"


@functools.lru_cache(maxsize=8)
def content(data):
    return data if isinstance(data, bytes) else random_bytes(data.label, data.size)


def joined(parts):
    return b"".join(content(part) for part in parts)


def compare(received, expected):
    """Says where two long streams part, not what is in them."""
    if received != expected:
        at = next((i for i, (a, b) in enumerate(zip(received, expected)) if a != b), min(len(received), len(expected)))
        raise AssertionError(f"{len(received)} of {len(expected)} bytes, equal up to byte {at}")


class Side:
    """One end of the connection: its socket, and the steps that it takes."""

    def __init__(self, name, sock, steps, proxy, meeting):
        self.name, self.sock, self.steps = name, sock, steps
        self.proxy, self.meeting = proxy, meeting
        self.saying = None
        sock.settimeout(30)

    @property
    def is_unix(self):
        return self.sock.family == socket.AF_UNIX

    def run(self):
        for number, step in enumerate(self.steps, 1):
            try:
                step.take(self)
            except threading.BrokenBarrierError:
                raise AssertionError(f"the {self.name} waits at step {number} ({step.words}) for the other") from None
            except Exception as error:
                self.meeting.abort()
                raise AssertionError(f"the {self.name}, step {number} ({step.words}): {error!r}") from error


@dataclass(frozen=True)
class Step:
    words: str
    take: object


def step(words):
    """A function of a side, and of what the row says; the words are for whoever reads a failure."""

    def make(function):
        @functools.wraps(function)
        def called(*args, **options):
            shown = ", ".join([*map(str, args), *(f"{k}={v}" for k, v in options.items())])
            return Step(f"{words}: {shown}" if shown else words, lambda side: function(side, *args, **options))

        return called

    return make


# ---- what a side does ----


@step("says")
def say(side, *parts):
    for part in parts:
        side.sock.sendall(content(part))


@step("begins to say")
def begin_saying(side, *parts):
    """In the background; said() waits for its end."""
    side.saying = Background(side.sock.sendall, joined(parts))


@step("has said it")
def said(side):
    side.saying.result()


@step("says urgently")
def urgent(side, byte):
    """UNIX sockets have urgent bytes too, since Linux 5.15."""
    try:
        side.sock.send(byte, socket.MSG_OOB)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        pytest.skip("this kernel has no urgent bytes on UNIX sockets")


@step("is done sending")
def end(side):
    side.sock.shutdown(socket.SHUT_WR)


@step("closes")
def close(side):
    side.sock.close()


@step("resets")
def reset(side):
    """A UNIX socket only by leaving something unread, which the row has to see to."""
    streams.reset(side.sock)


@step("pauses")
def pause(_side, seconds):
    time.sleep(seconds)


@step("sends until it is held back")
def fill(side):
    side.sock.settimeout(1)
    try:
        while True:
            side.sock.send(bytes(MB))
    except TimeoutError:
        side.sock.settimeout(30)


@step("gives its receive buffer so many bytes")
def narrow(side, size):
    side.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


@step("meets the other")
def meet(side):
    side.meeting.wait(30)


# ---- what it must see ----


@step("sees")
def see(side, *parts, within=30):
    expected = joined(parts)
    compare(read_exactly(side.sock, len(expected), within), expected)


@step("sees to the end")
def see_all(side, *parts, how="end", after=0, within=30):
    """
    These bytes, and nothing more, and then an end, a reset, or how="abort": what
    a connection that is cut shows, a UNIX socket a plain end, since it knows no other.
    """
    began = time.monotonic()
    received, ended = outcome(side.sock, within)
    compare(received, joined(parts))
    expected = how if how != "abort" else "end" if side.is_unix else "reset"
    assert ended == expected, f"an {ended} where it should see a {how}"
    assert time.monotonic() - began >= after, f"after {time.monotonic() - began:.2f} s, not {after} s"


@step("is told while it sends")
def told(side, size=MB, every=0, within=30):
    """Goes on sending until the connection fails under it."""
    deadline = time.monotonic() + within
    try:
        while time.monotonic() < deadline:
            side.sock.send(bytes(size))
            time.sleep(every)
    except ConnectionError:
        return
    raise AssertionError("nothing has told it")


@step("hears nothing for")
def silence(side, seconds):
    assert is_silent(side.sock, seconds), "something came"
    side.sock.settimeout(30)


@step("has something to read, and leaves it")
def unread(side):
    wait_until(lambda: side.sock.recv(1, socket.MSG_PEEK), "a byte is there")


@step("has been read by the proxy")
def taken(side):
    wait_until(lambda: unacknowledged(side.sock) == 0, "the proxy has every byte")


@step("sees the proxy rest")
def rest(side, seconds=1.0):
    side.proxy.assert_rests(seconds)


@step("sees the proxy sleep")
def sleep(side, seconds=1.5):
    """No timer ticks; other than rest(), which bounds the time of the processor."""
    woken = side.proxy.wakeups_during(seconds)
    assert woken <= 2, f"it woke {woken} times in {seconds} s"


# ---- both sides at once ----


def play(proxy, sides):
    """Runs sides (name, socket, steps) at once, and fails with what came first."""
    meeting = threading.Barrier(len(sides))
    playing = [Background(Side(*side, proxy, meeting).run) for side in sides]
    problems = []
    for thread in playing:
        try:
            thread.result(120)
        except AssertionError as problem:
            problems.append(problem)
    # One that has only waited for the other says nothing of its own.
    problems.sort(key=lambda problem: "for the other" in str(problem))
    if problems:
        raise AssertionError(f"{problems[0]}\n{proxy.log}") from problems[0]
