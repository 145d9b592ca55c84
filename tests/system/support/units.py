# SPDX-License-Identifier: MIT
"""A bus of the test's own, with something on it that stands in for systemd: see units.c."""

import os
import queue
import socket
import subprocess
import threading

from support.proc import wait_until
from support.proxy import HERE
from support.stage import need

CONFIGURATION = """<busconfig><type>system</type><listen>unix:path={address}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow eavesdrop="false"/>
<allow receive_sender="*"/></policy></busconfig>
"""


class Units:
    """The stage closes it."""

    def __init__(self, stage):
        self.stage = stage
        self.address = stage.path("bus")
        self.environment = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.address}"}
        self.program = stage.path("units")
        subprocess.run([need("cc"), "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Werror", "-o", self.program,
                        os.path.join(HERE, "units.c"), "-lsystemd"], check=True)
        self.configuration = stage.file("bus.conf", CONFIGURATION.format(address=self.address))
        self.units = {}
        self.lines = []
        self.processes = []
        stage.managers.append(self)
        self.begin()

    def begin(self):
        """The bus, and the manager on it; units that there were are there again, inactive."""
        if os.path.exists(self.address):
            os.unlink(self.address)
        self.bus = subprocess.Popen([need("dbus-daemon"), "--nofork", "--nosyslog", f"--config-file={self.configuration}"],
                             stderr=subprocess.DEVNULL)
        self.processes.append(self.bus)
        wait_until(self.is_open, "a bus")
        self.manager = subprocess.Popen([self.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                 env={**os.environ, **self.environment})
        self.processes.append(self.manager)
        self.answers = queue.Queue()
        threading.Thread(target=self._read, args=[self.manager, self.answers], daemon=True).start()
        wait_until(lambda: "ready" in self.lines, "a manager")
        for name, path in self.units.items():
            self.say(f"unit {name} {path}")

    def is_open(self):
        """Its path is there a moment earlier."""
        with socket.socket(socket.AF_UNIX) as asker:
            return asker.connect_ex(self.address) == 0

    def end(self):
        """Both of them, the manager first."""
        while self.processes:
            process = self.processes.pop()
            process.kill()
            process.wait()
        self.lines = []

    def close(self):
        self.end()

    def proxy(self, *arguments, **options):
        """One that reaches the bus, for which it has one socket more from its first client on."""
        proxy = self.stage.proxy(*arguments, environment=self.environment, **options)
        proxy.before["socket"] += 1
        return proxy

    def _read(self, manager, answers):
        for line in manager.stdout:
            if line == "ok\n":
                answers.put(None)
            else:
                self.lines.append(line.strip())

    def say(self, line):
        self.manager.stdin.write(line + "\n")
        self.manager.stdin.flush()
        self.answers.get(timeout=10)

    def add(self, name, **settings):
        """The path where it serves, once it is active."""
        self.units[name] = self.stage.path(name.replace(".service", ".sock"))
        self.say(f"unit {name} {self.units[name]}")
        self.set(name, **settings)
        return self.units[name]

    def set(self, name, **settings):
        for word, value in settings.items():
            self.say(f"set {name} {word.replace('_', '-')} {value}")

    def count(self, line):
        """Among all that it has said by now: its answer comes behind that."""
        if self.processes:
            self.say("answer")
        return self.lines.count(line)

    def wait(self, line, times=1, within=10):
        wait_until(lambda: self.count(line) >= times, f"{line}, {times} times, in {self.lines}", within)
