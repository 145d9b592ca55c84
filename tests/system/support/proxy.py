# SPDX-License-Identifier: MIT
"""One running sockfront: how it was started, what it logged, what it holds, how it ended."""

import ctypes
import fcntl
import os
import re
import select
import signal
import subprocess
import termios
import threading
import time

from support.proc import cpu_seconds, descriptors, is_asleep, kinds, threads, wait_until, wakeups, wakeups_of_each

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.abspath(os.path.join(HERE, "../../.."))
SOCKFRONT = os.path.abspath(os.environ.get("SOCKFRONT", os.path.join(REPOSITORY, "build", "sockfront")))
SANITIZE = os.environ.get("SOCKFRONT_SANITIZE")  # "address" or "thread"
# ThreadSanitizer has one thread of its own, which wakes ten times a second.
RUNTIME_THREADS = 1 if SANITIZE == "thread" else 0
HANDOVER = ["/usr/bin/python3", os.path.join(HERE, "handover.py")]

PREFIX = rb"(?:sockfront: |<\d>)"
LISTENING = re.compile(PREFIX + rb"listening on (.+?), backend (.+)$")
SANITIZER = re.compile(rb"ERROR: \w+Sanitizer|runtime error:|WARNING: ThreadSanitizer")


def clean_environment(extra=None):
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("LISTEN_") and name not in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "JOURNAL_STREAM")
    }
    environment.update(extra or {})
    return environment


class Adopted:
    """A process that became our child when its parent ended: what Proxy needs of a Popen."""

    def __init__(self, pid):
        self.pid = pid
        self.returncode = None

    def poll(self):
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                # The process between us has not ended yet.
                if not os.path.exists(f"/proc/{self.pid}"):
                    raise
                return None
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout=None):
        deadline = time.monotonic() + (60 if timeout is None else timeout)
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.005)
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def adopt_orphans():
    """Processes that are forked twice become our children, and we learn how they end."""
    set_child_subreaper = 36
    assert ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0) == 0


class Proxy:
    """A process whose stderr is read line by line.  Its owner is the stage."""

    def __init__(
        self, command, environment=None, journal=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **popen
    ):
        self.command = [os.fsencode(word) for word in command]
        self.lines = []
        self.listening = []
        self.ended_as_expected = False
        self.before = None
        self.replaced = []  # processes that an upgrade has left behind
        environment = clean_environment(environment)
        log, stderr = os.pipe()
        if journal:
            status = os.fstat(stderr)
            environment["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
        self.stderr = open(log, "rb", buffering=0)
        self.reading = threading.Lock()  # what has left the pipe is in lines
        self.process = subprocess.Popen(
            self.command,
            stdin=stdin,
            stdout=stdout,
            stderr=popen.pop("stderr", stderr),
            env=environment,
            **popen,
        )
        os.close(stderr)
        self.pid = self.process.pid
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        rest = b""
        ready = select.poll()
        ready.register(self.stderr, select.POLLIN)
        while ready.poll():
            with self.reading:
                data = os.read(self.stderr.fileno(), 1 << 16)
                *lines, rest = (rest + data).split(b"\n")
                if not data and rest:
                    lines.append(rest)
                for line in lines:
                    match = LISTENING.match(line)
                    if match:
                        self.listening.append(os.fsdecode(match[1]))
                    self.lines.append(line)
            if not data:
                return

    def _catch_up(self):
        """What was written before now has been read; a process that never pauses is not waited for long."""
        deadline = time.monotonic() + 1
        while self.reader.is_alive() and time.monotonic() < deadline:
            with self.reading:
                if fcntl.ioctl(self.stderr, termios.FIONREAD, b"\0" * 4) == b"\0" * 4:
                    return
            time.sleep(0.001)

    @property
    def log(self):
        return b"\n".join(self.lines).decode(errors="surrogateescape")

    def grep(self, pattern):
        self._catch_up()
        return [line for line in self.log.split("\n") if re.search(pattern, line)]

    def wait_log(self, pattern, within=10):
        def found():
            if self.grep(pattern):
                return self.grep(pattern)
            assert self.process.poll() is None or self.reader.is_alive() or self.grep(pattern), (
                f"ended with {self.process.returncode} before logging {pattern!r}:\n{self.log}"
            )
            return None

        try:
            return wait_until(found, f"a log line {pattern!r}", within)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log}") from None

    def wait_listening(self, sockets):
        self.wait_log("listening on")
        wait_until(lambda: len(self.listening) >= sockets, f"{sockets} listening lines:\n{self.log}")

    def settle(self):
        """Waits until the set of descriptors stands still, and remembers it."""
        self.before = wait_until(self._steady_kinds, "descriptors stand still")

    def _steady_kinds(self):
        first = descriptors(self.pid)
        time.sleep(0.05)
        # One that waits for a processor may be about to open some.
        is_steady = is_asleep(self.pid) and descriptors(self.pid) == first
        return kinds(self.pid) if is_steady else None

    def alive(self):
        return self.process.poll() is None

    def cpu_during(self, seconds):
        before = cpu_seconds(self.pid)
        time.sleep(seconds)
        return cpu_seconds(self.pid) - before

    def assert_rests(self, seconds=2.0, limit=0.2):
        """A process that spins would burn about as much CPU as time passes."""
        used = self.cpu_during(seconds)
        assert used < limit, f"{used:.3f} s of CPU in {seconds} s:\n{self.log}"

    def wait_one_thread(self):
        """Until nobody but the one worker is there."""
        wait_until(lambda: len(threads(self.pid)) == 1 + RUNTIME_THREADS, "one thread is left")

    def _during(self, seconds, look):
        """
        What is seen before and after a time in which no thread ends; that of the main loop may
        still linger when it begins.  None may come.
        """

        def seen():
            there, before = set(threads(self.pid)), look(self.pid)
            time.sleep(seconds)
            after, left = look(self.pid), set(threads(self.pid))
            assert left <= there, "a thread came"
            return (before, after) if left == there else None

        return wait_until(seen, "no thread ends", 5 + 3 * seconds)

    def restless_threads(self, seconds):
        """How many threads woke in that time."""
        before, after = self._during(seconds, wakeups_of_each)
        return sum(after[tid] != before[tid] for tid in after)

    def wakeups_during(self, seconds):
        before, after = self._during(seconds, wakeups)
        return after - before

    def sockets(self):
        return kinds(self.pid)["socket"]

    def excess_sockets(self):
        return self.sockets() - self.before["socket"]

    def wait_released(self, within=10):
        """Every descriptor that connections needed is closed again, the pool of pipes too."""

        def released():
            return kinds(self.pid) == self.before

        try:
            wait_until(released, "descriptors back to those before the connections", within)
        except AssertionError as error:
            raise AssertionError(
                f"{error}\nbefore {self.before}, now {kinds(self.pid)}: {descriptors(self.pid)}\n{self.log}"
            ) from None

    def signal(self, number):
        self.process.send_signal(number)

    def after_signal(self, number, pattern, within=10):
        """Sends a signal and waits for one more such line; returns it."""
        before = len(self.grep(pattern))
        self.signal(number)

        def one_more():
            return self.grep(pattern)[before:]

        return wait_until(one_more, f"a line {pattern!r} after signal {number}:\n{self.log}", within)[0]

    def reload(self, within=10):
        """The line that says how it went."""
        return self.after_signal(signal.SIGHUP, r"reloaded |reload failed", within)

    def upgrade(self, within=20):
        """From here on this is the new process; the old one is the last of those replaced."""
        line = self.after_signal(signal.SIGUSR2, r"takes over|this (one|process) goes on", within)
        return self.followed(line)

    def followed(self, line):
        """After a line that says which process takes over."""
        match = re.search(r"process (\d+) takes over", line)
        assert match, self.log
        self.replaced.append(self.process)
        self.process = Adopted(int(match[1]))
        self.pid = self.process.pid
        return self.pid

    def wait_replaced(self, within=10):
        """Every process that an upgrade has left behind ends, and well."""
        for process in self.replaced:
            try:
                status = process.wait(within)
            except subprocess.TimeoutExpired:
                raise AssertionError(f"process {process.pid} still drains:\n{self.log}") from None
            assert status == 0, f"process {process.pid} ended with {status}:\n{self.log}"
        self.replaced.clear()

    def wait(self, within=10):
        """Waits for the end; returns the exit status.  The log is complete then."""
        try:
            status = self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within} s:\n{self.log}") from None
        self.reader.join(5)
        self.ended_as_expected = True
        return status

    def kill(self):
        for process in (*self.replaced, self.process):
            if process.poll() is None:
                process.kill()
            process.wait()

    def assert_sane(self):
        assert not SANITIZER.search(b"\n".join(self.lines)), f"a sanitizer complained:\n{self.log}"

    def finish(self, released=True):
        """What every test ends with: descriptors released, SIGTERM, exit 0."""
        try:
            if self.ended_as_expected:
                return
            assert self.alive(), f"ended by itself with {self.process.returncode}:\n{self.log}"
            self.wait_replaced()
            if released and self.before:
                self.wait_released()
            self.signal(signal.SIGTERM)
            status = self.wait()
            assert status == 0, f"exit status {status} after SIGTERM:\n{self.log}"
        finally:
            self.kill()
            self.reader.join(5)
            self.assert_sane()


def run(*arguments, within=20, environment=None, **popen):
    """Runs sockfront to its end; returns (status, stdout, stderr) as text."""
    done = subprocess.run(
        [SOCKFRONT, *arguments],
        stdin=popen.pop("stdin", subprocess.DEVNULL),
        capture_output=True,
        env=clean_environment(environment),
        timeout=within,
        **popen,
    )
    assert not SANITIZER.search(done.stderr), done.stderr.decode(errors="replace")
    return done.returncode, done.stdout.decode(errors="surrogateescape"), done.stderr.decode(errors="surrogateescape")
