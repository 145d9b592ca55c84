# SPDX-License-Identifier: MIT
"""One side of a stream: sends and reads as its plan says, and compares every byte that arrives."""

import asyncio
import bisect
import os
import random
import socket

import plan as plans
from support.streams import reset

# Of its own will a side dawdles no longer than this; what takes longer is stuck.
DAWDLE_S = 4
TCP_REPAIR = 19

BROKEN = (ConnectionError, TimeoutError)


async def _ready(fd, add, remove):
    waiting = asyncio.get_running_loop().create_future()
    add(fd, lambda: waiting.done() or waiting.set_result(None))
    try:
        await waiting
    finally:
        remove(fd)


async def readable(fd):
    loop = asyncio.get_running_loop()
    await _ready(fd, loop.add_reader, loop.remove_reader)


async def writable(fd):
    loop = asyncio.get_running_loop()
    await _ready(fd, loop.add_writer, loop.remove_writer)


class SocketChannel:
    def __init__(self, sock):
        sock.setblocking(False)
        self.socket = sock
        self.is_tcp = sock.family != socket.AF_UNIX

    async def read(self, size):
        while True:
            try:
                return self.socket.recv(size)
            except BlockingIOError:
                await readable(self.socket.fileno())

    async def write(self, data, urgent=False):
        while True:
            try:
                return self.socket.send(data, socket.MSG_OOB if urgent and self.is_tcp else 0)
            except BlockingIOError:
                await writable(self.socket.fileno())

    def end_writing(self):
        self.socket.shutdown(socket.SHUT_WR)

    def leave(self, act):
        """Goes away before the end: with a reset, with a plain close(), or without telling anybody."""
        if act == "reset" and self.is_tcp:
            reset(self.socket)
            return
        if act == "vanish" and self.is_tcp:
            # A socket under repair is forgotten at close(), without a segment to the other side.
            self.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        self.socket.close()

    def close(self):
        self.socket.close()


class PipeChannel:
    """Two pipes, as a program has them that reads our answers on its stdin."""

    is_tcp = False

    def __init__(self, read_fd, write_fd):
        self.read_fd, self.write_fd = read_fd, write_fd
        os.set_blocking(read_fd, False)
        os.set_blocking(write_fd, False)

    async def read(self, size):
        while True:
            try:
                return os.read(self.read_fd, size)
            except BlockingIOError:
                await readable(self.read_fd)

    async def write(self, data, urgent=False):
        while True:
            try:
                return os.write(self.write_fd, data)
            except BlockingIOError:
                await writable(self.write_fd)

    def end_writing(self):
        os.close(self.write_fd)
        self.write_fd = -1

    def leave(self, act):
        self.close()

    def close(self):
        for fd in (self.read_fd, self.write_fd):
            if fd >= 0:
                os.close(fd)
        self.read_fd = self.write_fd = -1


class Leaving(Exception):
    """The plan says that this side goes now."""


def _thresholds(size, turns):
    return [size * i // turns for i in range(1, turns + 1)]


class Side:
    """
    @sends, @receives: (size, place in the content)

    Afterwards .sent and .received count bytes; .wrong is where the first wrong
    byte stood; .end is how the other side ended: "end", "reset", or None when
    this side left before.
    """

    def __init__(self, content, channel, plan, is_client):
        self.content, self.channel, self.plan, self.is_client = content, channel, plan, is_client
        up, down = (plan.up, plan.up_at), (plan.down, plan.down_at)
        (self.to_send, self.send_at), (self.to_receive, self.receive_at) = (up, down) if is_client else (down, up)
        self.conduct = plan.client if is_client else plan.server
        self.sent = self.received = 0
        self.wrong = self.end = None
        self.send_failed = False
        self.progress = asyncio.Event()
        self.turns_received = _thresholds(self.to_receive, plan.turns)
        self.rng = random.Random(self.conduct.seed)
        self.dawdled = 0.0

    # ---- what the plan allows ----

    def _speaks_second(self):
        """Whether it says and ends nothing before the other side has ended."""
        return self.plan.order == ("speak-first" if self.is_client else "reply")

    def _may_have_sent(self):
        if self.end:
            return self.to_send
        if self._speaks_second():
            return 0
        if self.plan.order != "turns":
            return self.to_send
        turn = bisect.bisect_right(self.turns_received, self.received) + self.is_client
        return self.to_send * min(turn, self.plan.turns) // self.plan.turns

    def _leave_if_due(self):
        if self.conduct.act != "clean" and self.sent + self.received >= self.conduct.after:
            raise Leaving

    async def _dawdle(self, seconds):
        if self.dawdled < DAWDLE_S:
            self.dawdled += seconds
            await asyncio.sleep(seconds)

    # ---- sending ----

    def _step(self):
        step = min(self.rng.choice((1, 17, 1448, 4096, 65536, 131072, 262144)), self._may_have_sent() - self.sent)
        if self.sent < self.conduct.urgent:
            step = min(step, self.conduct.urgent - self.sent)
        return 1 if self.sent == self.conduct.urgent else step

    async def _wait_until(self, condition):
        while not condition():
            self.progress.clear()
            await self.progress.wait()

    async def _send_all(self):
        self._leave_if_due()
        while self.sent < self.to_send:
            await self._wait_until(lambda: self.sent < self._may_have_sent())
            piece = self.content.piece(self.send_at + self.sent, self._step())
            self.sent += await self.channel.write(piece, urgent=self.sent == self.conduct.urgent)
            self._leave_if_due()
            await (self._dawdle(self.rng.random() * 0.03) if self.rng.random() < 0.05 else asyncio.sleep(0))

    async def _send(self):
        try:
            await self._send_all()
            if self._speaks_second():
                await self._wait_until(lambda: self.end)
            self.channel.end_writing()
        except OSError:
            self.send_failed = True

    # ---- receiving ----

    async def _pause_reading(self):
        conduct = self.conduct
        if conduct.pace == "stuck" and self.received >= conduct.stuck_at:
            conduct.pace = "fast"
            await asyncio.sleep(conduct.stuck_s)
        elif conduct.pace == "sip" and self.rng.random() < 0.2:
            await self._dawdle(self.rng.random() * 0.02)
        else:
            await asyncio.sleep(0)

    def _note(self, data):
        difference = self.content.first_difference(self.receive_at + self.received, data)
        self.received += len(data)
        if difference is not None and self.wrong is None:
            self.wrong = self.received - len(data) + difference
        elif self.received > self.to_receive and self.wrong is None:
            self.wrong = self.to_receive

    def _ended(self, how):
        # The kernel tells of a reset once, and whoever was sending may have been the one.
        self.end = "reset" if self.send_failed and self.received < self.to_receive else how
        self.progress.set()

    async def _receive(self):
        while True:
            await self._pause_reading()
            size = plans.LONGEST_READ
            if self.conduct.pace == "sip" and self.dawdled < DAWDLE_S:
                size = self.rng.choice((1, 100, 5000, 65536))
            try:
                data = await self.channel.read(size)
            except BROKEN:
                self._ended("reset")
                return
            if not data:
                self._ended("end")
                return
            self._note(data)
            self.progress.set()
            self._leave_if_due()

    # ---- both ----

    async def run(self):
        tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._receive())]
        try:
            await asyncio.gather(*tasks)
        except Leaving:
            await stop(tasks)
            self.channel.leave(self.conduct.act)
        finally:
            await stop(tasks)
            self.channel.close()


async def stop(tasks):
    """Cancels them, and waits until they have let go of what they were using."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
