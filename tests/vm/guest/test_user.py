# SPDX-License-Identifier: MIT
"""
What is shipped for "systemctl --user", under the manager of an ordinary user: the
template, the example, and the drop-in with a user namespace.
"""

import contextlib
import os
import re
import socket
import subprocess

from manager import ask
from support.proc import wait_until
from support.streams import exchange, read_to_end
from units import EXAMPLES, MANY, contents, output

UID = 1000  # vm-user
MANAGER = f"user@{UID}.service"  # as logind has it: sockfront asks whose unit it is
HOME, RUNTIME = "/home/vm-user", f"/run/user/{UID}"


class User:
    """An ordinary user with a manager, which is there from the first test on."""

    def __init__(self, units):
        self.units, self.units_of_ours, self.files = units, [], []
        if units.show(MANAGER, "ActiveState") != "active":
            for directory in (HOME, RUNTIME):
                os.makedirs(directory, 0o700, exist_ok=True)
                os.chown(directory, UID, UID)
            output("systemd-run", "-q", f"--unit={MANAGER}", f"--slice=user-{UID}.slice", "--service-type=notify",
                   f"--uid={UID}", f"--setenv=HOME={HOME}", f"--setenv=XDG_RUNTIME_DIR={RUNTIME}",
                   "--property=Delegate=yes", "/lib/systemd/systemd", "--user")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            self.units.used(MANAGER)  # says what it has logged, and ends
        elif self.units_of_ours:
            self.ctl("stop", *self.units_of_ours)
        for path in self.files:
            os.unlink(path)

    def ctl(self, *words, status=0):
        done = subprocess.run(
            ["systemctl", "--user", *words], user=UID, group=UID, extra_groups=[],
            env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": RUNTIME, "HOME": HOME},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == status, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def start(self, unit, *others):
        self.units_of_ours += [unit, *others]
        self.ctl("start", unit)

    def file(self, path, text):
        path = f"{HOME}/.config/{path}"
        with become():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        if path not in self.files:
            self.files.append(path)

    def show(self, unit, name):
        return ask(unit, name, f"{RUNTIME}/systemd")

    def wait_state(self, unit, state):
        wait_until(lambda: self.show(unit, "ActiveState") == state, f"{unit} is {state}", MANY, 0.1)

    def connect(self, path):
        with become():
            client = self.units.keep(socket.socket(socket.AF_UNIX))
            client.connect(path)
        return client

    def status(self, unit):
        with open(f"/proc/{self.show(unit, 'MainPID')}/status", encoding="ascii") as file:
            return dict(line.rstrip("\n").split(":\t", 1) for line in file)


@contextlib.contextmanager
def become():
    os.setegid(UID)
    os.seteuid(UID)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def begin(user, name):
    """An instance of the template, as its comment says it is configured."""
    backend = user.units.backend()
    user.file(f"sockfront/{name}.conf",
              f"[proxy a]\nlisten = sd-listen\nbackend = {backend.address}\n")
    user.start(f"sockfront@{name}.socket", f"sockfront@{name}.service")
    return backend, f"{RUNTIME}/sockfront@{name}.sock"


def test_template(units):
    with User(units) as user:
        backend, path = begin(user, "web")
        found = os.stat(path)
        assert (found.st_mode & 0o777, found.st_uid) == (0o600, UID)
        exchange(user.connect(path), units.accept(backend))
        status = user.status("sockfront@web.service")
        assert status["Uid"].split() == [str(UID)] * 4
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert int(status["CapEff"], 16) == 0
        user.ctl("reload", "sockfront@web.service")
        user.file("sockfront/web.conf", "[proxy a]\nlisten = sd-listen\nbackand = 127.0.0.1:9\n")
        user.ctl("reload", "sockfront@web.service", status=1)
        exchange(user.connect(path), units.accept(backend))
        user.ctl("stop", "sockfront@web.socket")
        assert not os.path.exists(path)
        user.wait_state("sockfront@web.service", "inactive")


def test_template_in_a_user_namespace(units):
    """With the shipped drop-in: what is not its own is out of reach."""
    # PID 1 makes it for the first service with mounts of its own: it is there on every machine.
    os.makedirs("/run/systemd/unit-root", exist_ok=True)
    with User(units) as user:
        user.file("systemd/user/sockfront@.service.d/user-namespace.conf",
                  contents(f"{EXAMPLES}/user-namespace.conf"))
        backend, path = begin(user, "inside")
        exchange(user.connect(path), units.accept(backend))
        pid = user.show("sockfront@inside.service", "MainPID")
        assert os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/1/ns/user")
        mounts = contents(f"/proc/{pid}/mounts")
        assert re.search(r"^\S+ / \S+ ro[, ]", mounts, re.MULTILINE), mounts
        status = user.status("sockfront@inside.service")
        assert (int(status["CapEff"], 16), int(status["CapBnd"], 16)) == (0, 0)


def test_example(units):
    with User(units) as user:
        for name in os.listdir(f"{EXAMPLES}/user-notes"):
            text = contents(f"{EXAMPLES}/user-notes/{name}")
            user.file(f"systemd/user/{name}", text.replace("--exit-idle-time 5min",
                                                           "--exit-idle-time 3s"))
        user.start("notes.socket", "notes.service", "notes-server.service")
        client = user.connect(f"{RUNTIME}/notes.sock")
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"200 OK" in read_to_end(client, MANY)
        client.close()
        for unit in ("notes.service", "notes-server.service"):
            user.wait_state(unit, "inactive")
        assert user.show("notes.socket", "ActiveState") == "active"


SERVER = """
[Service]
ExecStart=/usr/bin/socat TCP-LISTEN:4207,bind=127.0.0.1,fork,reuseaddr PIPE
SuccessExitStatus=143
"""
PROXY = f"""
[Service]
Type=notify
ExecStart=/usr/bin/sockfront -c {HOME}/.config/sockfront/mine.conf
"""
CONFIGURATION = """
[proxy a]
listen = 127.0.0.1:4208
backend = 127.0.0.1:4207
backend-unit = vm-mine.service
backend-unit-idle = 2s
connect-timeout = 2min
"""


def test_unit_on_demand(units):
    """A unit of the user's manager has other units of that started, over the user's bus."""
    with User(units) as user:
        user.start("dbus.service")
        user.file("systemd/user/vm-mine.service", SERVER)
        user.file("systemd/user/vm-proxy.service", PROXY)
        user.file("sockfront/mine.conf", CONFIGURATION)
        user.start("vm-proxy.service", "vm-mine.service")
        assert user.show("vm-mine.service", "ActiveState") == "inactive"
        client = units.keep(socket.create_connection(("127.0.0.1", 4208), MANY))
        client.sendall(b"hello")
        assert client.recv(5) == b"hello"
        assert user.show("vm-mine.service", "ActiveState") == "active"
        client.close()
        user.wait_state("vm-mine.service", "inactive")
