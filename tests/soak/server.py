# SPDX-License-Identifier: MIT
"""
The backend of the soak: a process that is killed, frozen and started again.
Run as a script, it is that process; it reports each stream on stdout, a line
of JSON each, and ends when its stdin does.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(1, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "system"))

import plan as plans  # noqa: E402
from talk import BROKEN, Side, SocketChannel  # noqa: E402

STREAM_LIMIT_S = 150


async def _read_header(channel):
    data = b""
    while len(data) < plans.HEADER_SIZE:
        part = await channel.read(plans.HEADER_SIZE - len(data))
        if not part:
            return None
        data += part
    return data


class Service:
    def __init__(self, index, incarnation, content):
        self.index, self.incarnation, self.content = index, incarnation, content

    async def _answer(self, channel, report):
        header = await _read_header(channel)
        if header is None:
            report["end"] = "end"
            return
        plan = plans.parse_header(header)
        report["number"] = plan.number
        await channel.write(plans.GREETING.pack(plans.MAGIC, self.index, self.incarnation, plan.number))
        side = Side(self.content, channel, plan, is_client=False)
        try:
            async with asyncio.timeout(STREAM_LIMIT_S):
                await side.run()
        except TimeoutError:
            report["stuck"] = True
        report.update(received=side.received, sent=side.sent, wrong=side.wrong, end=side.end)

    async def serve(self, sock):
        channel = SocketChannel(sock)
        report = {"number": None, "end": None}
        try:
            await self._answer(channel, report)
        except BROKEN:
            report["end"] = "reset"
        finally:
            channel.close()
        if report["number"] is not None:
            print(json.dumps(report), flush=True)


async def _main(port, index, incarnation, seed):
    loop = asyncio.get_running_loop()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(4096)
    listener.setblocking(False)
    service = Service(index, incarnation, plans.Content(seed))
    parent_gone = asyncio.Event()
    loop.add_reader(0, parent_gone.set)
    print(json.dumps({"ready": True}), flush=True)
    tasks = set()

    async def accept():
        while True:
            sock, _ = await loop.sock_accept(listener)
            task = asyncio.create_task(service.serve(sock))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    accepting = asyncio.create_task(accept())
    await parent_gone.wait()
    accepting.cancel()
    os._exit(0)


class Server:
    """
    The handle of such a process.  .windows are the times within which one was
    being killed; .reports has what it said of each stream.
    """

    def __init__(self, index, port, seed, complain):
        self.index, self.port, self.seed, self.complain = index, port, seed, complain
        self.incarnation = 0
        self.windows = []
        self.reports = {}
        self.seen = set()
        self.kills = self.freezes = 0
        self.process = None

    async def start(self):
        self.incarnation += 1
        self.process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), *map(str, (self.port, self.index, self.incarnation, self.seed))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        ready = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(self.process.stdout, self._said, self.process.stdout, bytearray(), ready)
        await asyncio.wait_for(ready, 30)

    def _said(self, stdout, pending, ready):
        data = os.read(stdout.fileno(), 1 << 16)
        if not data:
            asyncio.get_running_loop().remove_reader(stdout)
            stdout.close()
            return
        pending += data
        *lines, rest = pending.split(b"\n")
        pending[:] = rest
        for line in lines:
            report = json.loads(line)
            if "ready" in report:
                ready.set_result(None)
            elif report["number"] in self.seen:
                self.complain(f"stream {report['number']} reached backend {self.index} twice")
            else:
                self.seen.add(report["number"])
                self.reports[report["number"]] = report

    def was_killed(self, since, until):
        return any(since <= end and begin <= until for begin, end in self.windows)

    async def kill(self):
        window = [time.monotonic(), float("inf")]
        self.windows.append(window)
        self.process.kill()
        while self.process.poll() is None:
            await asyncio.sleep(0.005)
        self.process.stdin.close()
        window[1] = time.monotonic()
        self.kills += 1

    async def freeze(self, seconds):
        self.freezes += 1
        self.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


if __name__ == "__main__":
    asyncio.run(_main(*map(int, sys.argv[1:4]), sys.argv[4]))
