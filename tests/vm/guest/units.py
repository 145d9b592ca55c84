# SPDX-License-Identifier: MIT
"""
What one test asks of systemd: units, drop-ins and configurations that are gone
at its end, what the journal says of a unit, and how it is now.
"""

import fcntl
import os
import re
import shutil
import subprocess
import time

from support.backend import Backend, hang_up
from journal import Journal
from manager import ask
from support.proc import wait_until
from support.proxy import SOCKFRONT, Proxy

ONLY = "sockfront.service"  # what there is one of, for all topics
RUNTIME = "/run/systemd/system"
SHIPPED = "/usr/lib/systemd/system"
EXAMPLES = "/usr/share/doc/sockfront/examples"
MANY = 60.0  # seconds: this machine is slow, and several tests share it


def output(*command, status=0):
    """What a command says; its exit status has to be that one, if one is given."""
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=180, check=False)
    said = done.stdout + done.stderr
    assert status is None or done.returncode == status, (
        f"{' '.join(map(str, command))}: exit status {done.returncode}\n{said}")
    return done.stdout.strip()


def contents(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def commented(unit):
    """What the comments of a shipped unit show, block by block."""
    text = contents(f"{SHIPPED}/{unit}")
    return [re.sub("^#\t", "", block, flags=re.MULTILINE)
            for block in re.findall(r"(?:^#\t.*\n)+", text, re.MULTILINE)]


class Units:
    journal = Journal()

    def __init__(self):
        self.failed, self.said = False, ""
        self.since = time.monotonic()
        self.started, self.paths, self.backends, self.sockets, self.proxies = [], [], [], [], []
        self.stale = False  # systemd knows sockfront.service otherwise than it is now
        self.lock = None

    # ---- files ---------------------------------------------------------------------------------

    def file(self, path, text):
        """New, or of this test: another topic, which runs at the same time, may have it otherwise."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w" if path in self.paths else "x", encoding="utf-8") as file:
            if path not in self.paths:
                self.paths.append(path)
            file.write(text)
        return path

    def unit(self, name, text):
        """New to systemd, which reads it when it is first asked for it."""
        path = self.file(f"{RUNTIME}/{name}", text)
        # By its time systemd tells whether to look into the directory again, and
        # the kernel's own time is too coarse for that.
        now = time.time_ns()
        os.utime(RUNTIME, ns=(now, now))
        return path

    def drop_in(self, unit, text):
        self.stale = self.stale or unit == ONLY
        return self.unit(f"{unit}.d/vm.conf", text)

    def configuration(self, name, text):
        """/etc/sockfront/NAME.conf"""
        return self.file(f"/etc/sockfront/{name}.conf", text)

    def service(self, name, configuration, more=""):
        """sockfront.service as it is installed, under a name and with a file of its own."""
        text = contents(f"{SHIPPED}/{ONLY}").replace("sockfront.conf", f"{name}.conf")
        text = re.sub("(Runtime|Logs)Directory=sockfront", rf"\1Directory={name}", text)
        self.configuration(name, configuration)
        self.unit(f"{name}.service", f"{text}\n[Service]\n{more}")
        self.start(f"{name}.service")
        return f"{name}.service"

    def example(self, name, *changes, restricted=True):
        """
        The units of a shipped example, as its first lines say they are installed, with
        the time that servers take to start here.  What changes may be in the names of
        units, too.  Without their restrictions, starts cost a third.
        """

        def changed(text):
            for old, new in changes:
                text = text.replace(old, new)
            return text

        for file in sorted(os.listdir(f"{EXAMPLES}/{name}")):
            text = changed(contents(f"{EXAMPLES}/{name}/{file}"))
            text = re.sub("(connect-timeout( =)?) 30s", r"\1 2min", text)
            if not restricted:
                text = text.partition("\n# A user of its own")[0] + "\n"
            if file.endswith(".conf"):
                self.configuration(changed(file).removesuffix(".conf"), text)
            else:
                self.unit(changed(file), text)

    # ---- units ---------------------------------------------------------------------------------

    def ctl(self, *words, status=0):
        if self.stale:
            self.stale = False
            output("systemctl", "daemon-reload")
        return output("systemctl", *words, status=status)

    def alone(self):
        """Waits until no other topic uses sockfront.service, which there is one of."""
        if not self.lock:
            self.lock = open("/run/vm.lock", "w", encoding="ascii")
            fcntl.flock(self.lock, fcntl.LOCK_EX)
            self.since = time.monotonic()

    def start(self, *units, status=0):
        self.started += [unit for unit in units if unit not in self.started]
        return self.ctl("start", *units, status=status)

    def stop(self, *units):
        return self.ctl("stop", *units)

    def used(self, *units):
        """Units that others start, to be stopped at the end."""
        self.started += units

    def show(self, unit, name):
        return ask(unit, name)

    def main_pid(self, unit):
        pid = self.show(unit, "MainPID")
        assert pid > 0, f"{unit} has no main process: {self.show(unit, 'ActiveState')}"
        return pid

    def wait_other_main_pid(self, unit, pid):
        """The process that took over from that one."""

        def found():
            now = self.show(unit, "MainPID")
            return now if now not in (0, pid) else None

        return wait_until(found, f"{unit} has another main process", MANY, 0.1)

    def wait_state(self, unit, *states, within=MANY):
        wait_until(lambda: self.show(unit, "ActiveState") in states,
                   f"{unit} is {' or '.join(states)}", within, every=0.1)

    def log(self, *units):
        """What they said, and what systemd said of them, since the test began."""
        return "\n".join(line[2] for line in self.journal.of(units, self.since))

    def wait_log(self, unit, pattern, within=MANY):
        """The lines of a unit that match, as soon as there is one."""

        def found():
            return re.findall(f"^.*{pattern}.*$", self.log(unit), re.MULTILINE)

        return wait_until(found, f"{unit} logs {pattern!r}", within, every=0.1)

    # ---- the two ends of a connection ----------------------------------------------------------

    def backend(self, handler=None, **options):
        self.backends.append(Backend(handler, **options))
        return self.backends[-1]

    def keep(self, sock):
        sock.settimeout(MANY)
        self.sockets.append(sock)
        return sock

    def accept(self, backend):
        return self.keep(backend.accept(MANY))

    def proxy(self, *words, listening=1, **more):
        """A sockfront of its own, without systemd."""
        proxy = Proxy([SOCKFRONT, *words], **more)
        self.proxies.append(proxy)
        if listening:
            proxy.wait_listening(listening)
            proxy.settle()
        return proxy

    # ---- the end -------------------------------------------------------------------------------

    def undo(self):
        for sock in self.sockets:
            hang_up(sock)
        for backend in self.backends:
            backend.hang_up()
        for proxy in self.proxies:
            try:
                if not self.failed:
                    proxy.finish()
            finally:
                proxy.kill()
        for backend in self.backends:
            backend.close()
        if self.failed:
            self.said = self._said()
        if self.started:
            output("systemctl", "stop", *self.started, status=None)
        for path in self.paths:
            os.unlink(path)
            if path.endswith(".d/vm.conf"):
                shutil.rmtree(os.path.dirname(path))
        if self.lock:
            if any(path.startswith(f"{RUNTIME}/{ONLY}") for path in self.paths):
                output("systemctl", "daemon-reload")
            self.lock.close()
        assert self.failed or not [error for backend in self.backends for error in backend.errors]

    def _said(self):
        time.sleep(1)  # for the journal
        told = [f"{seconds:9.3f} {unit}: {message}"
                for seconds, unit, message in self.journal.of(self.started, self.since)]
        return "\n".join(told + [proxy.log for proxy in self.proxies])
