# SPDX-License-Identifier: MIT
"""
The sockfronts of the soak: their configurations, which change all the time, the
processes that follow each other through upgrades, and what they log.
"""

import asyncio
import os
import re
import signal
import socket
import subprocess
import time
from collections import Counter, deque

from support.proc import cpu_seconds, descriptors, kinds, tcp_connections
from support.proxy import HANDOVER, SANITIZER, SOCKFRONT, clean_environment
from support.stage import endpoint

OUTCOME_LIMIT_S = 60
DRAIN_LIMIT_S = 150

PRIORITY = re.compile(r"<(\d)>")
TAKES_OVER = re.compile(r"upgrade: process (\d+) takes over")
UPGRADE_OVER = re.compile(r"upgrade: .*(takes over|this (one|process) goes on)")
RELOAD_OVER = re.compile(r"reloaded .* kept|reload failed")
NEWS = re.compile(r"upgrade|reload|listening")
STARTS = "upgrade: starting"
LISTENING = re.compile(r"listening on ")

# What chaos is expected to cause besides; any other warning is shown at the end.
EXPECTED_WARNINGS = re.compile(
    r"^backend .*: (connect|backend)|cannot be changed from|does not apply|recv-buffer-size|send-buffer-size"
    r"|max-connections|stays as it was|is used by no listen line|the path .*|has no effect"
)

# Every session must end by itself, long before this.
DRAIN_TIMEOUT = "10min"

# Silent clients and backends are found out within seconds.
ALWAYS = {
    "connect-timeout": "1min",
    "tcp-keepalive": "1000:3:1000",
    "backend-tcp-keepalive": "1000:3:1000",
    "unix-listen-unlink": "yes",
}
SOMETIMES = {
    "tcp-keepalive": ("2000:2:1000", "1000:2:2000"),
    "tcp-nodelay": ("yes", "no"),
    "tcp-listen-backlog": ("64", "512", "4096"),
    "tcp-user-timeout": ("60s", "2min"),
    "tcp-fast-open": ("16",),
    "tcp-defer-accept": ("1s",),
    "type-of-service": ("0", "16"),
    "recv-buffer-size": ("8K", "64K", "1M"),
    "send-buffer-size": ("8K", "64K", "1M"),
    "unix-listen-chmod": ("owner", "group", "everybody"),
    "backend-tcp-nodelay": ("yes", "no"),
    "backend-tcp-user-timeout": ("60s",),
    "idle-timeout": ("3min", "1h"),
    "half-close-timeout": ("3min",),
    "connection-timeout": ("1h",),
    "coalesce-time": ("0", "1ms", "20ms"),
    "connect-timeout": ("2min",),
}
SECTIONS = ("one", "two", "three")


class Listening:
    """A listen line of a daemon.  .away are the times within which clients may find nobody there."""

    def __init__(self, name, text, address, optional=False, inherited=False):
        self.name, self.text, self.address = name, text, address
        self.optional, self.inherited = optional, inherited
        self.away = []
        self.is_away = False

    def leave(self):
        if not self.is_away:
            self.is_away = True
            self.away.append([time.monotonic(), float("inf")])

    def come_back(self):
        if self.is_away:
            self.is_away = False
            self.away[-1][1] = time.monotonic()

    def was_away(self, since):
        return any(until >= since for _, until in self.away)


class Daemon:
    """One sockfront with a configuration file, and whoever took over from it."""

    def __init__(self, name, directory, servers, listenings, complain, upgrades, workers, pipe_sizes, never):
        self.name, self.servers, self.listenings, self.complain = name, servers, listenings, complain
        self.upgrades, self.workers, self.pipe_sizes = upgrades, workers, pipe_sizes
        self.keys = sorted(SOMETIMES.keys() - {never})
        self.file = os.path.join(directory, f"{name}.conf")
        self.log_path = os.path.join(directory, f"{name}.log")
        self.log = deque(maxlen=400)
        self.waiters = []
        self.count = Counter()
        self.warnings = Counter()
        self.pid = None
        self.draining = {}  # process id -> since when
        self.ended = {}  # process id -> exit status, of all that were ever ours
        self.expecting_errors = False
        self.is_stopping = False
        self.is_upgrading = False
        self.last_news = 0.0
        self.blocker = socket.create_server(("127.0.0.1", 0))

    # ---- configuration ----

    def compose(self, rng=None):
        """A random configuration, or without @rng the one to measure with; and the listen lines that it has."""
        present = [l for l in self.listenings if rng is None or not l.optional or rng.random() < 0.7]
        process = {"drain-timeout": DRAIN_TIMEOUT, "workers": self.workers[0], "pipe-size": self.pipe_sizes[0]}
        if rng:
            process["access-log"] = rng.choice(("yes", "no", "no"))
            process["log-level"] = rng.choice(("info", "debug"))
            if rng.random() < 0.25:
                process["max-connections"] = rng.choice((20, 40, 500))
            process["workers"], process["pipe-size"] = rng.choice(self.workers), rng.choice(self.pipe_sizes)
        lines = ["[sockfront]", *(f"{key} = {value}" for key, value in process.items())]
        sections = {name: [] for name in SECTIONS}
        # Several sockets may go by one line.
        for i, text in enumerate(dict.fromkeys(listening.text for listening in present)):
            sections[rng.choice(SECTIONS) if rng else SECTIONS[i % 2]].append(text)
        for name, texts in sections.items():
            if texts:
                lines += self._section(rng, name, texts)
        return "\n".join(lines) + "\n", present

    def _section(self, rng, name, texts):
        server = rng.choice(self.servers) if rng else self.servers[0]
        host = rng.choice(("127.0.0.1", "127.0.0.1", "localhost")) if rng else "127.0.0.1"
        options = dict(ALWAYS)
        for key in rng.sample(self.keys, rng.randrange(6)) if rng else ():
            options[key] = rng.choice(SOMETIMES[key])
        return [
            "",
            f"[proxy {name}]",
            f"backend = {host}:{server.port}",
            *(f"listen = {text}" for text in texts),
            *(f"{key} = {value}" for key, value in options.items()),
        ]

    def _write(self, text):
        temporary = self.file + ".new"
        with open(temporary, "w") as file:
            file.write(text)
        os.rename(temporary, self.file)

    def _leaving(self, present):
        for listening in self.listenings:
            if listening not in present and not listening.inherited:
                listening.leave()

    @staticmethod
    def _arrived(present):
        for listening in present:
            listening.come_back()

    # ---- the process ----

    async def start(self, handed_over=()):
        """@handed_over: (name or None, socket): named ones go as LISTEN_FDS, the others at the numbers behind."""
        text, _ = self.compose()
        self._write(text)
        reading, writing = os.pipe()
        status = os.fstat(writing)
        # As under the journal: each line carries its priority.
        environment = clean_environment({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        command = [SOCKFRONT, "-c", self.file]
        if handed_over:
            names = [name for name, _ in handed_over if name]
            moves = [w for i, (_, sock) in enumerate(handed_over) for w in ("--move", f"{sock.fileno()}:{3 + i}")]
            command = [*HANDOVER, *moves, "--listen", str(len(names)), "--names", ":".join(names), *command]
        os.set_blocking(reading, False)
        self.reading, self.pending = reading, b""
        self.log_file = open(self.log_path, "wb")
        asyncio.get_running_loop().add_reader(reading, self._said)
        listening = self._expect(LISTENING)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=writing,
            env=environment,
            pass_fds=[sock.fileno() for _, sock in handed_over],
        )
        os.close(writing)
        for _, sock in handed_over:
            sock.close()
        self.pid = self.process.pid
        await self._outcome(listening, "start")

    def catch_up(self):
        """Reads all that has been logged by now."""
        while not self.log_file.closed and self._said():
            pass

    def _said(self):
        try:
            data = os.read(self.reading, 1 << 16)
        except BlockingIOError:
            return False
        if not data:
            asyncio.get_running_loop().remove_reader(self.reading)
            os.close(self.reading)
            self.log_file.close()
            return False
        self.log_file.write(data)
        *lines, self.pending = (self.pending + data).split(b"\n")
        for line in lines:
            self._line(line.decode(errors="replace"))
        return True

    def _line(self, line):
        self.log.append(line)
        match = PRIORITY.match(line)
        text = line[3:] if match else line
        if SANITIZER.search(line.encode()) or not match:
            self.complain(f"{self.name} said: {line}")
        elif int(match[1]) <= 3 and not self.expecting_errors:
            self.complain(f"{self.name} logged an error: {text}")
        elif int(match[1]) == 4 and not EXPECTED_WARNINGS.search(text):
            self.warnings[re.sub(r"\d+", "N", text)] += 1
        if re.search(r"cut \d+ connection", text):
            self.complain(f"{self.name}: {text}")
        took = TAKES_OVER.search(text)
        if took:
            self.draining[self.pid] = time.monotonic()
            self.pid = int(took[1])
        if NEWS.match(text):
            self.last_news = time.monotonic()
            self.is_upgrading = (self.is_upgrading or STARTS in text) and not UPGRADE_OVER.search(text)
        for pattern, future in self.waiters:
            if not future.done() and pattern.search(text):
                future.set_result(text)
        self.waiters = [waiter for waiter in self.waiters if not waiter[1].done()]

    def _expect(self, pattern):
        future = asyncio.get_running_loop().create_future()
        self.waiters.append((pattern, future))
        return future

    async def _outcome(self, future, what):
        try:
            return await asyncio.wait_for(future, OUTCOME_LIMIT_S)
        except TimeoutError:
            self.complain(f"{self.name}: no outcome of {what} within {OUTCOME_LIMIT_S} s; it said last:\n" + self.tail())
            return ""

    def tail(self, lines=15):
        return "\n".join("    " + line for line in list(self.log)[-lines:])

    def process_ended(self, pid, status):
        """Called for each process that has ended; says whether it was one of these."""
        if pid not in self.draining and pid != self.pid:
            return False
        self.ended[pid] = status
        if status != 0 or (pid == self.pid and not self.is_stopping):
            self.complain(f"{self.name}: process {pid} ended with {status}:\n{self.tail()}")
        self.draining.pop(pid, None)
        if pid == self.pid:
            self.pid = None
        return True

    def is_alive(self):
        return self.pid is not None

    # ---- what is done to it ----

    def _signal(self, number):
        """To the process that serves now, as far as the log has told."""
        self.catch_up()
        if self.pid:
            os.kill(self.pid, number)

    async def reload(self, rng=None):
        text, present = self.compose(rng)
        self._leaving(present)
        self._write(text)
        over = self._expect(RELOAD_OVER)
        self._signal(signal.SIGHUP)
        outcome = await self._outcome(over, "a reload")
        if "failed" in outcome:
            self.complain(f"{self.name}: {outcome}:\n{self.tail()}")
        self._arrived(present)
        self.count["reloads"] += 1

    async def upgrade(self, rng=None):
        text, present = self.compose(rng)
        self._leaving(present)
        self._write(text)
        await self._upgrade_once()
        self._arrived(present)
        self.count["upgrades"] += 1

    async def _upgrade_once(self):
        over, listening = self._expect(UPGRADE_OVER), self._expect(LISTENING)
        self._signal(signal.SIGUSR2)
        outcome = await self._outcome(over, "an upgrade")
        if "takes over" not in outcome:
            self.complain(f"{self.name}: {outcome}:\n{self.tail()}")
            return
        await self._outcome(listening, "an upgrade: listening lines")

    async def storm(self, rng):
        """Several signals at once, some of them while the last is being followed."""
        text, present = self.compose(rng)
        self._leaving(present)
        self._write(text)
        upgrades = self.upgrades and rng.random() < 0.5
        over = self._expect(UPGRADE_OVER if upgrades else RELOAD_OVER)
        for number in rng.choices((signal.SIGHUP, signal.SIGUSR2) if upgrades else (signal.SIGHUP,), k=4):
            self._signal(number)
            await asyncio.sleep(rng.choice((0, 0.001, 0.01, 0.1)))
        if upgrades:
            self._signal(signal.SIGUSR2)
        await self._outcome(over, "a storm of signals")
        self.count["storms"] += 1
        # By then what is still to come of it has come.
        while self.is_upgrading or time.monotonic() - self.last_news < 1:
            await asyncio.sleep(0.1)
        await self.reload(rng)

    async def refuse(self, rng):
        """A file that is wrong changes nothing, neither by a reload nor by an upgrade."""
        with open(self.file) as file:
            before = file.read()
        taken = self.listenings[0].text
        upgrade = self.upgrades and rng.random() < 0.4
        occupied = "127.0.0.1:%d" % self.blocker.getsockname()[1]
        wrong = (
            "nonsense = 1\n",
            "[proxy nonsense]\n",
            f"listen = {taken}\n",
            f"[proxy four]\nbackend = 127.0.0.1:1\nlisten = {occupied}\n",
        )
        self._write(before + rng.choice(wrong))
        self.expecting_errors = True
        over = self._expect(UPGRADE_OVER if upgrade else RELOAD_OVER)
        self._signal(signal.SIGUSR2 if upgrade else signal.SIGHUP)
        outcome = await self._outcome(over, "a file that is wrong")
        if "takes over" in outcome or "reloaded" in outcome:
            self.complain(f"{self.name}: took a file that is wrong: {outcome}")
        self._write(before)
        self.expecting_errors = False
        self.count["refusals"] += 1

    def _own_paths(self):
        return [listening for listening in self.listenings if listening.text.startswith("/")]

    async def unlink(self, rng):
        """A path that is removed under it is there again after a reload."""
        paths = [l for l in self._own_paths() if not l.is_away]
        if not paths:
            return
        listening = rng.choice(paths)
        listening.leave()
        os.unlink(listening.text)
        await asyncio.sleep(rng.random())
        await self.reload(rng)
        self.count["unlinked paths"] += 1

    async def chaos(self, rng):
        await asyncio.sleep(rng.uniform(0.1, 3))
        # So many old processes drain at a time and no more.
        while len(self.draining) > 8:
            await asyncio.sleep(0.2)
        actions = {self.reload: 12, self.storm: 2, self.refuse: 2}
        if self.upgrades:
            actions[self.upgrade] = 5
        if self._own_paths():
            actions[self.unlink] = 1
        await rng.choices(list(actions), list(actions.values()))[0](rng)

    # ---- at rest ----

    async def calm(self):
        """Brings it to where it began: that configuration, one process, no connection."""
        if self.upgrades:
            await self.upgrade()
        else:
            await self.reload()
        deadline = time.monotonic() + DRAIN_LIMIT_S
        while self.draining and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        for pid in self.draining:
            self.complain(f"{self.name}: process {pid} does not end, with {descriptors(pid)}")

    async def measure(self, seconds):
        """Descriptors by kind, private memory in KiB, CPU seconds while nothing happens."""
        deadline = time.monotonic() + 30
        while tcp_connections(self.pid) > 0 and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
        if tcp_connections(self.pid) > 0:
            self.complain(f"{self.name} still has connections, and nobody else: {descriptors(self.pid)}")
        used = cpu_seconds(self.pid)
        await asyncio.sleep(seconds)
        used = cpu_seconds(self.pid) - used
        with open(f"/proc/{self.pid}/status") as file:
            anonymous = int(re.search(r"^RssAnon:\s+(\d+)", file.read(), re.M)[1])
        return {"descriptors": kinds(self.pid), "memory": anonymous, "cpu": used}

    async def stop(self):
        """SIGTERM with nobody connected: status 0, and no path left behind."""
        self.is_stopping = True
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + 20
        while self.pid and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        if self.pid:
            self.complain(f"{self.name} does not end on SIGTERM")
        for listening in self._own_paths():
            if os.path.exists(listening.text):
                self.complain(f"{self.name} left {listening.text} behind")


def free_port(rng, host="127.0.0.1"):
    """A port below those that connections get, so that nobody connects to itself."""
    while True:
        port = rng.randrange(10000, 32000)
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
            try:
                sock.bind((host, port))
            except OSError:
                continue
            return port


def own_listenings(name, directory, rng, has_ipv6):
    """TCP, UNIX and abstract ones that stay, and others that come and go."""

    def tcp(word, optional, host="127.0.0.1"):
        address = f"{f'[{host}]' if ':' in host else host}:{free_port(rng, host)}"
        return Listening(f"{name}-{word}", address, address, optional)

    def other(word, text, optional):
        return Listening(f"{name}-{word}", text, text, optional)

    abstract = f"@{os.path.basename(directory)}-{name}"
    return [
        tcp("tcp", False),
        tcp("tcp-2", True),
        tcp("tcp-6", True, "::1" if has_ipv6 else "127.0.0.2"),
        other("unix", os.path.join(directory, f"{name}.sock"), False),
        other("unix-2", os.path.join(directory, f"{name}-2.sock"), True),
        other("abstract", abstract, False),
        other("abstract-2", abstract + "-2", True),
    ]


def inherited_listenings(name, directory):
    """Two sockets of one name, one of another, and one by its number; with the sockets themselves."""

    def listen(address):
        family, where = endpoint(address)
        sock = socket.socket(family)
        sock.bind(where)
        sock.listen(1024)
        return sock

    path, abstract = os.path.join(directory, f"{name}.sock"), f"@{os.path.basename(directory)}-{name}"
    first, second = listen("127.0.0.1:0"), listen("127.0.0.1:0")
    handed_over = [("web", first), ("web", listen(path)), ("mail", listen(abstract)), (None, second)]
    named = [
        Listening(f"{name}-tcp", "sd-listen:web", "%s:%d" % first.getsockname(), inherited=True),
        Listening(f"{name}-unix", "sd-listen:web", path, inherited=True),
        Listening(f"{name}-abstract", "sd-listen:mail", abstract, optional=True, inherited=True),
        Listening(f"{name}-number", "accept-from-fd:6", "%s:%d" % second.getsockname(), optional=True, inherited=True),
    ]
    return named, handed_over

