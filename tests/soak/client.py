# SPDX-License-Identifier: MIT
"""The clients of the soak: each follows its plan, and afterwards both sides' accounts are compared."""

import asyncio
import os
import re
import socket
import subprocess
import time
from collections import Counter

import plan as plans
from support.proxy import SANITIZER, SOCKFRONT, clean_environment
from support.stage import endpoint
from talk import BROKEN, TCP_REPAIR, PipeChannel, Side, SocketChannel, writable

# What is said, rightly, while a backend is away.
BACKEND_AWAY = re.compile(rb"sockfront: (warning: )?backend \S+ (cannot be reached \(.*|answers)\n")

STREAM_LIMIT_S = 120
REPORT_LIMIT_S = 20
CONNECTION_OPTIONS = ("--connect-timeout", "1min")


class Refused(Exception):
    """The connection was not made."""


def can_vanish():
    """Whether a socket may be closed without a segment to its peer; that takes CAP_NET_ADMIN."""
    with socket.socket() as sock:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        except PermissionError:
            return False
    return True


async def connect(address, buffer):
    family, where = endpoint(address)
    sock = socket.socket(family)
    sock.setblocking(False)
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    try:
        while True:
            try:
                sock.connect(where)
                return sock
            except BlockingIOError:
                if family != socket.AF_UNIX:
                    break
                await asyncio.sleep(0.02)  # its backlog is full, and nobody tells when that changes
        await writable(sock.fileno())
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        return sock
    except OSError as error:
        sock.close()
        raise Refused(f"connect: {error}") from None
    except BaseException:
        sock.close()
        raise


class Stream:
    """One stream as the client sees it.  @listener: a Listening, or None with an Inetd."""

    def __init__(self, plan, content, listener):
        self.plan, self.content, self.listener = plan, content, listener
        self.channel = None
        self.side = None
        self.server = None  # who has greeted us
        self.failure = None
        self.stuck = False
        self.started = self.ended = time.monotonic()

    @property
    def is_tcp(self):
        return self.channel is not None and self.channel.is_tcp

    async def _greeted(self):
        data = b""
        while len(data) < plans.GREETING.size:
            part = await self.channel.read(plans.GREETING.size - len(data))
            if not part:
                raise Refused(f"ended after {len(data)} bytes of the backend's greeting")
            data += part
        magic, index, _, number = plans.GREETING.unpack(data)
        if magic != plans.MAGIC or number != self.plan.number:
            raise Refused(f"somebody else's greeting: {data!r}")
        self.server = index

    async def _talk(self):
        plan = self.plan
        if plan.mute:
            self.channel.leave(plan.client.act)
            return
        header = memoryview(plan.header())
        while header:
            header = header[await self.channel.write(header) :]
        await self._greeted()
        self.side = Side(self.content, self.channel, plan, is_client=True)
        await self.side.run()

    async def run(self):
        try:
            async with asyncio.timeout(STREAM_LIMIT_S):
                if self.channel is None:
                    self.channel = SocketChannel(await connect(self.listener.address, self.plan.client.buffer))
                await self._talk()
        except TimeoutError:
            self.stuck = True
        except BROKEN as error:
            self.failure = f"before the greeting: {error}"
        except Refused as error:
            self.failure = str(error)
        finally:
            if self.channel:
                self.channel.close()
            self.ended = time.monotonic()


class Inetd:
    """A sockfront of one connection, its standard input and output, which are a socket or two pipes."""

    def __init__(self, plan, server, over_pipes):
        options = [*CONNECTION_OPTIONS, "--pipe-size", "0" if plan.number & 1 else "1M"]
        command = [SOCKFRONT, *options, "-", f"127.0.0.1:{server.port}"]
        if over_pipes:
            stdin, ours_out = os.pipe()
            ours_in, stdout = os.pipe()
            self.channel = PipeChannel(ours_in, ours_out)
        else:
            ours, theirs = socket.socketpair()
            stdin = stdout = theirs.detach()
            self.channel = SocketChannel(ours)
        self.process = subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, env=clean_environment()
        )
        for fd in {stdin, stdout}:
            os.close(fd)

    async def ended(self, within=30):
        """Its exit status, None if it had to be killed, and what it said."""
        deadline = time.monotonic() + within
        while self.process.poll() is None and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        status = self.process.poll()
        if status is None:
            self.process.kill()
            self.process.wait()
        with self.process.stderr as stderr:
            return status, stderr.read()


def judge(stream, report, killed, gone):
    """
    What is wrong with how a stream went.

    @report: the backend's account, or None
    @killed: its backend was killed meanwhile: only what arrived has to be right
    @gone:   its listener was taken away before the backend had greeted it
    """
    plan, side, report = stream.plan, stream.side, report or {}
    wrong = []
    for who, place in (("client", side and side.wrong), ("backend", report.get("wrong"))):
        if place is not None:
            wrong.append(f"the {who} received something else from byte {place} on")
    if stream.stuck or (report.get("stuck") and not killed):
        wrong.append("stuck")
    if killed or gone or wrong:
        return wrong
    if plan.is_clean:
        return _judge_clean(stream, side, report)
    if stream.failure and stream.failure.startswith("connect:"):
        wrong.append(stream.failure)
    if side and stream.is_tcp and side.end == "end" and side.received < plan.down and plan.server.act != "close":
        wrong.append(f"an answer that was broken off after {side.received} of {plan.down} bytes ended cleanly")
    # A UNIX client that closes, or a pipe, cannot say that this was no end.
    if stream.is_tcp and report.get("end") == "end" and report["received"] < plan.up and plan.client.act != "close":
        wrong.append(f"a request that was broken off after {report['received']} of {plan.up} bytes ended cleanly")
    return wrong


def _judge_clean(stream, side, report):
    plan, wrong = stream.plan, []
    if stream.failure:
        return [stream.failure]
    if (side.end, side.received) != ("end", plan.down):
        wrong.append(f"the client saw {side.end} after {side.received} of {plan.down} bytes")
    if not report:
        wrong.append("the backend has no account of it")
    elif (report["end"], report["received"]) != ("end", plan.up):
        wrong.append(f"the backend saw {report['end']} after {report['received']} of {plan.up} bytes")
    return wrong


class Traffic:
    """Runs streams, and counts what became of them."""

    def __init__(self, seed, servers, choose_listener, complain):
        self.seed, self.servers, self.complain = seed, servers, complain
        self.choose_listener = choose_listener
        self.content = plans.Content(seed)
        self.count = Counter()
        self.number = 0
        self.live = 0
        self.vanish = can_vanish()
        self.inetd_pids = set()

    def _plan(self, small):
        self.number += 1
        plan = plans.make(self.seed, self.number, small)
        if plan.client.act == "vanish" and not self.vanish:
            plan.client.act = "close"
        return plan

    async def _report(self, stream):
        """The backend may need a moment to notice the end; one that was killed has nothing to say."""
        servers = self.servers if stream.server is None else [self.servers[stream.server]]
        deadline = time.monotonic() + REPORT_LIMIT_S
        wanted = stream.server is not None
        while True:
            for server in servers:
                if stream.plan.number in server.reports:
                    return server.reports.pop(stream.plan.number)
            killed = any(server.was_killed(stream.started, time.monotonic()) for server in servers)
            if not wanted or killed or time.monotonic() > deadline:
                return None
            await asyncio.sleep(0.05)

    def _tell(self, stream, name, problems):
        plan, side = stream.plan, stream.side
        seen = f"sent {side.sent}, received {side.received}, saw {side.end}" if side else "never began"
        self.complain(
            f"stream {plan.number} by {name}: {'; '.join(problems)} (after {stream.ended - stream.started:.1f} s; "
            f"client {seen}; {plan})"
        )

    async def _settle(self, stream, name):
        report = await self._report(stream)
        servers = self.servers if stream.server is None else [self.servers[stream.server]]
        killed = any(server.was_killed(stream.started, time.monotonic()) for server in servers)
        gone = stream.server is None and stream.listener is not None and stream.listener.was_away(stream.started)
        problems = judge(stream, report, killed, gone)
        if problems:
            self._tell(stream, name, problems)
        count = self.count
        count["streams"] += 1
        count[f"by {name.split()[0]}"] += 1
        count["bytes"] += (stream.side.received if stream.side else 0) + (report or {}).get("received", 0)
        if problems:
            count["wrong"] += 1
        elif not stream.plan.is_clean:
            count["broken off by plan"] += 1
        elif killed or gone:
            count["broken off with the backend or the listener"] += 1
        else:
            count["whole"] += 1
        return not (killed or gone or problems) and stream.plan.is_clean

    async def stream(self, rng, small=False):
        """One more stream, over whichever way the seed says."""
        plan = self._plan(small)
        self.live += 1
        try:
            if rng.random() < 0.06:
                await self._over_inetd(plan, rng)
            else:
                listener = self.choose_listener(rng)
                stream = Stream(plan, self.content, listener)
                await stream.run()
                await self._settle(stream, listener.name)
        finally:
            self.live -= 1

    async def _over_inetd(self, plan, rng):
        over_pipes = rng.random() < 0.5
        inetd = Inetd(plan, rng.choice(self.servers), over_pipes)
        stream = Stream(plan, self.content, None)
        stream.channel = inetd.channel
        self.inetd_pids.add(inetd.process.pid)
        try:
            await stream.run()
        finally:
            status, said = await inetd.ended()
            said = BACKEND_AWAY.sub(b"", said)
            self.inetd_pids.discard(inetd.process.pid)
        is_whole = await self._settle(stream, "inetd-pipes" if over_pipes else "inetd-socket")
        if SANITIZER.search(said) or status not in (0, 1) or (is_whole and (status != 0 or said)):
            self.complain(f"inetd process of stream {plan.number} ended with {status}: {said.decode(errors='replace')}")
