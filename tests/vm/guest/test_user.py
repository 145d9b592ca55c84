# SPDX-License-Identifier: MIT
"""
What is shipped for "systemctl --user", under the manager of an ordinary user: the
template, the example, and the drop-in with a user namespace.
"""

import contextlib
import os
import re
import shutil
import socket
import subprocess

from support.proc import wait_until
from support.streams import exchange, read_to_end
from units import EXAMPLES, MANY, contents

UID = 1000  # vm-user
HOME, RUNTIME = "/home/vm-user", f"/run/user/{UID}"
UNITS = f"{HOME}/.config/systemd/user"
MANAGER = f"""
[Service]
Type=notify
User={UID}
Environment=XDG_RUNTIME_DIR={RUNTIME} HOME={HOME}
ExecStart=/lib/systemd/systemd --user
Delegate=yes
KillMode=mixed
TimeoutStopSec=20s
"""


class User:
    """An ordinary user with a manager, and what there is of both until the test's end."""

    def __init__(self, units):
        self.units = units
        for directory in (HOME, RUNTIME):
            os.makedirs(directory, 0o700)
            os.chown(directory, UID, UID)
        units.unit("vm-user.service", MANAGER)
        units.start("vm-user.service")

    def ctl(self, *words):
        done = subprocess.run(
            ["systemctl", "--user", *words], user=UID, group=UID, extra_groups=[],
            env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": RUNTIME, "HOME": HOME},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def file(self, path, text):
        path = f"{HOME}/.config/{path}"
        with become():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)

    def show(self, unit, name):
        return self.ctl("show", "-P", name, unit)

    def wait_state(self, unit, state):
        wait_until(lambda: self.show(unit, "ActiveState") == state, f"{unit} is {state}", MANY, 0.2)

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


@contextlib.contextmanager
def user_of(units):
    user = User(units)
    try:
        yield user
    finally:
        units.stop("vm-user.service")
        for directory in (HOME, RUNTIME):
            shutil.rmtree(directory)


def begin(user, name):
    """An instance of the template, as its comment says it is configured."""
    backend = user.units.backend()
    user.file(f"sockfront/{name}.conf",
              f"[proxy a]\nlisten = sd-listen\nbackend = {backend.address}\n")
    user.ctl("start", f"sockfront@{name}.socket")
    return backend, f"{RUNTIME}/sockfront@{name}.sock"


def test_template(units):
    with user_of(units) as user:
        backend, path = begin(user, "web")
        found = os.stat(path)
        assert (found.st_mode & 0o777, found.st_uid) == (0o600, UID)
        exchange(user.connect(path), units.accept(backend))
        status = user.status("sockfront@web.service")
        assert status["Uid"].split() == [str(UID)] * 4
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert int(status["CapEff"], 16) == 0
        # A file with an error in it is refused by a reload, and tried again by a start.
        right = contents(f"{HOME}/.config/sockfront/web.conf")
        user.file("sockfront/web.conf", right.replace("backend", "backand"))
        try:
            user.ctl("reload", "sockfront@web.service")
        except AssertionError:
            pass
        else:
            raise AssertionError("a reload of a file with an error in it went well")
        exchange(user.connect(path), units.accept(backend))
        user.ctl("stop", "sockfront@web.service")
        client = user.connect(path)
        wait_until(lambda: int(user.show("sockfront@web.service", "NRestarts")) > 0,
                   "it was tried again", MANY, 0.2)
        user.file("sockfront/web.conf", right)
        exchange(client, units.accept(backend))
        user.ctl("reload", "sockfront@web.service")
        user.ctl("stop", "sockfront@web.socket")
        assert not os.path.exists(path)


def test_template_in_a_user_namespace(units):
    """With the shipped drop-in: what is not its own is out of reach."""
    # PID 1 makes it for the first service with mounts of its own: it is there on every machine.
    os.makedirs("/run/systemd/unit-root", exist_ok=True)
    with user_of(units) as user:
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
    with user_of(units) as user:
        for name in os.listdir(f"{EXAMPLES}/user-notes"):
            text = contents(f"{EXAMPLES}/user-notes/{name}")
            user.file(f"systemd/user/{name}", text.replace("--exit-idle-time 5min",
                                                           "--exit-idle-time 3s"))
        user.ctl("start", "notes.socket")
        for _ in range(2):
            client = user.connect(f"{RUNTIME}/notes.sock")
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert b"200 OK" in read_to_end(client, MANY)
            client.close()
            for unit in ("notes.service", "notes-server.service"):
                user.wait_state(unit, "inactive")
        assert user.show("notes.socket", "ActiveState") == "active"
