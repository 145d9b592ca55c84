# SPDX-License-Identifier: MIT
"""access-log-file: appended to, rotated by others, and what it cannot take is counted: each connection is there once."""

import json
import os
import re
import signal
import stat
import subprocess
import threading
import time

import pytest

from support.access_log import KEYS, parse_logfmt, read_lines
from support.backend import echo
from support.configuration import process, section
from support.disk import fill, small_disk
from support.manager import Manager
from support.proc import listening_sockets, wait_until
from support.proxy import run
from support.stage import need
from support.streams import exchange

OPENED = "access-log-file .*: opened again"
ROTATION = """{path} {{
    rotate 100
    {mode}
    postrotate
        kill -USR1 {pid}
    endscript
}}
"""


def logging(stage, *options, form="yes", name="access.log", **more):
    """A proxy with an echoing backend, its address, and the file."""
    backend, where, path = stage.backend(echo), stage.path("app.sock"), stage.path(name)
    proxy = stage.proxy(f"--access-log={form}", f"--access-log-file={path}", *options, where, backend.address, **more)
    return proxy, where, path


def wait_lines(path, n):
    return wait_until(lambda: len(read_lines(path)) >= n and read_lines(path), f"{n} lines in {path}")


def ids(paths):
    """Of every connection that is in those files."""
    return [parse_logfmt(line)["id"] for path in paths for line in read_lines(path)]


class Visitors:
    """Clients that come all the time, from several threads; n have come and gone in the end."""

    def __init__(self, stage, where, threads=3):
        self.n, self.errors, self.over = 0, [], threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._come, args=(stage, where), daemon=True) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def _come(self, stage, where):
        try:
            while not self.over.is_set():
                stage.round_trip(where)
                with self.lock:
                    self.n += 1
        except Exception as error:
            self.errors.append(error)

    def wait(self, n):
        wait_until(lambda: self.errors or self.n >= n, f"{n} clients")

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(30)
        assert not self.errors, self.errors
        return self.n


# ---- the file ----


def test_lines_and_mode(stage):
    """The time comes first; the mode is the same whatever the umask; what was there stays."""
    proxy, where, path = logging(stage, preexec_fn=lambda: os.umask(0o077))
    before = time.time()
    stage.round_trip(where)
    record = parse_logfmt(wait_lines(path, 1)[0])
    assert list(record) == ["time", *KEYS]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"])
    told = subprocess.run(["date", "-d", record["time"], "+%s.%N"], capture_output=True, check=True).stdout
    assert before - 0.001 <= float(told) <= time.time()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
    assert not proxy.grep("reason=")
    proxy.finish()
    second, where, path = logging(stage, "--log-level=error", form="json", sockets=0)
    wait_until(lambda: listening_sockets(second.pid), "it has started")
    stage.round_trip(where)
    assert list(json.loads(wait_lines(path, 2)[1])) == ["time", *KEYS]


def test_nothing_is_written_without_an_access_log(stage):
    backend, path = stage.backend(echo), stage.path("access.log")
    proxy = stage.proxy(f"--access-log-file={path}", stage.path("app.sock"), backend.address)
    assert proxy.grep("warning: access-log-file .*: nothing is written there without access-log = yes")
    assert not os.path.exists(path)


@pytest.mark.parametrize("kind, wrong", [
    ("link", "it is a symbolic link, and none is followed"), ("fifo", "it is no regular file"),
    ("directory", "Is a directory"), ("missing", "No such file or directory"), ("terminal", "it is no regular file"),
])
def test_what_is_no_file(stage, kind, wrong):
    path = stage.path("log")
    if kind == "link":
        stage.file("target", "")
        os.symlink(stage.path("target"), path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        os.mkdir(path)
    elif kind == "terminal":
        path = "/dev/ptmx"
    else:
        path = stage.path("nowhere/log")
    status, _, err = run("--access-log", f"--access-log-file={path}", stage.path("app.sock"), "127.0.0.1:9")
    assert status == 1 and f"error: access-log-file {path}: {wrong}" in err, err
    assert not os.path.exists(stage.path("app.sock"))


def test_dev_null(stage):
    proxy, where, _ = logging(stage, name="/dev/null")
    stage.round_trip(where)
    assert proxy.after_signal(signal.SIGUSR1, OPENED)


# ---- it is rotated ----


def rotate(path, number):
    os.rename(path, f"{path}.{number}")
    return f"{path}.{number}"


def test_rotation_under_load_loses_no_line(stage):
    proxy, where, path = logging(stage, "--workers=2")
    visitors, files = Visitors(stage, where), [path]
    for number in range(15):
        visitors.wait(40 * (number + 1))
        files.append(rotate(path, number))
        proxy.after_signal(signal.SIGUSR1, OPENED)
    n = visitors.stop()
    wait_until(lambda: len(ids(files)) >= n, "a line each")
    found = ids(files)
    assert len(found) == n == len(set(found))
    assert all(read_lines(file) for file in files[1:])


@pytest.mark.parametrize("mode", ["create 0640", "nocreate", "copytruncate"])
def test_logrotate(stage, mode):
    """The program itself.  What copytruncate misses between its two steps is none of ours: nobody comes then."""
    logrotate = need("logrotate")
    proxy, where, path = logging(stage)
    file = stage.file("rotation", ROTATION.format(path=path, pid=proxy.pid, mode=mode))
    quiet, n = mode == "copytruncate", 0
    visitors = None if quiet else Visitors(stage, where)
    for number in range(4):
        for _ in range(20 if quiet else 0):
            stage.round_trip(where)
            n += 1
        if quiet:
            wait_lines(path, 20)
        else:
            visitors.wait(50 * (number + 1))
        subprocess.run([logrotate, "-f", "-s", stage.path("state"), file], check=True, timeout=30)
        wait_until(lambda: len(proxy.grep(OPENED)) > number, "it was told")
    if visitors:
        n = visitors.stop()

    def found():
        names = [name for name in os.listdir(stage.directory) if name.startswith("access.log")]
        return ids(stage.path(name) for name in names)

    wait_until(lambda: len(found()) >= n, "a line each")
    assert len(found()) == n == len(set(found()))


@pytest.mark.parametrize("how", ["moved", "removed", "replaced"])
def test_nobody_says_so(stage, how):
    """It is looked for once a second; one that is missing is given another second."""
    proxy, where, path = logging(stage)
    stage.round_trip(where)
    wait_lines(path, 1)
    first = os.stat(path).st_ino
    if how == "removed":
        os.unlink(path)
    else:
        rotate(path, 1)
    if how == "replaced":
        stage.file("access.log", "")

    def written_elsewhere():
        stage.round_trip(where)
        return os.path.exists(path) and os.stat(path).st_ino != first and read_lines(path)

    wait_until(written_elsewhere, "lines in the new file", 20, every=0.1)


def test_it_cannot_be_opened_again(stage):
    """Lines go on into the file that was there; nothing is lost."""
    proxy, where, path = logging(stage)
    stage.round_trip(where)
    wait_lines(path, 1)
    moved = rotate(path, 1)
    os.symlink("elsewhere", path)
    proxy.after_signal(signal.SIGUSR1, "error: access-log-file .*none is followed; its lines go on into the file that was there")
    stage.round_trip(where)
    wait_lines(moved, 2)
    os.unlink(path)
    proxy.after_signal(signal.SIGUSR1, OPENED)
    stage.round_trip(where)
    wait_lines(path, 1)


# ---- reload, upgrade ----


def configured(stage, backend, *lines):
    text = process(*lines) + section(backend, stage.path("app.sock"))
    return stage.file("sockfront.conf", text), stage.path("app.sock")


def test_reload_changes_the_file(stage):
    backend = stage.backend(echo)
    paths = [stage.path(f"{letter}.log") for letter in "ab"]
    file, where = configured(stage, backend, "access-log = yes", f"access-log-file = {paths[0]}")
    proxy = stage.proxy("-c", file)
    stage.round_trip(where)
    wait_lines(paths[0], 1)
    configured(stage, backend, "access-log = yes", f"access-log-file = {paths[1]}")
    assert "reloaded" in proxy.reload()
    stage.round_trip(where)
    wait_lines(paths[1], 1)
    # One that cannot be opened: nothing has changed.
    configured(stage, backend, "access-log = yes", f"access-log-file = {stage.path('no/log')}")
    assert "reload failed" in proxy.reload()
    assert proxy.grep("error: access-log-file .*/no/log: No such file")
    stage.round_trip(where)
    wait_lines(paths[1], 2)
    # The log itself, and back again, in a file that is there.
    configured(stage, backend, "access-log = yes")
    proxy.before = None
    assert "reloaded" in proxy.reload()
    stage.round_trip(where)
    proxy.wait_log("reason=")
    configured(stage, backend, "access-log = json", f"access-log-file = {paths[0]}")
    assert "reloaded" in proxy.reload()
    stage.round_trip(where)
    assert json.loads(wait_lines(paths[0], 2)[1])["reason"] == "closed"
    assert [len(read_lines(path)) for path in paths] == [2, 2]


def test_reload_opens_what_was_moved(stage):
    backend, path = stage.backend(echo), stage.path("a.log")
    file, where = configured(stage, backend, "access-log = yes", f"access-log-file = {path}")
    proxy = stage.proxy("-c", file)
    stage.round_trip(where)
    wait_lines(path, 1)
    rotate(path, 1)
    assert "reloaded" in proxy.reload()
    stage.round_trip(where)
    wait_lines(path, 1)


def test_the_signal_reaches_processes_that_drain(stage):
    """One after the other, each with a connection left."""
    backend, where, path = stage.backend(), stage.path("app.sock"), stage.path("access.log")
    proxy = stage.proxy("--access-log", f"--access-log-file={path}", where, backend.address)
    pairs = [stage.live_pair(backend, where)]
    for _ in range(2):
        proxy.upgrade()
        pairs.append(stage.live_pair(backend, where))
    moved = rotate(path, 1)
    proxy.signal(signal.SIGUSR1)
    wait_until(lambda: len(proxy.grep(OPENED)) == 3, f"each of three opens it:\n{proxy.log}")
    for client, connection in pairs:
        exchange(client, connection, seed=stage.seed, size=100)
    stage.close_sockets_of(pairs)
    wait_lines(path, 3)
    assert read_lines(moved) == []
    proxy.wait_replaced()


def test_the_signal_comes_before_the_old_process_has_let_go(stage):
    """The manager knows the new process by then, and the log's rotation asks the manager."""
    manager, backend, where, path = Manager(stage), stage.backend(), stage.path("app.sock"), stage.path("access.log")
    options = ["--access-log", f"--access-log-file={path}"]
    proxy = stage.proxy(*options, where, backend.address, environment=manager.environment)
    pair = stage.live_pair(backend, where)
    manager.wait("READY=1")
    with manager.deaf():
        proxy.upgrade()
        moved = rotate(path, 1)
        proxy.signal(signal.SIGUSR1)
        proxy.wait_log(OPENED)
    wait_until(lambda: len(proxy.grep(OPENED)) == 2, "both open it")
    stage.close_sockets_of([pair])
    wait_lines(path, 1)
    assert read_lines(moved) == []
    proxy.wait_replaced()
    assert len(proxy.grep(OPENED)) == 2


def test_a_process_that_drains_outlives_its_successor(stage):
    backend = stage.backend()
    proxy, where = stage.proxy(stage.path("app.sock"), backend.address), stage.path("app.sock")
    client, connection = stage.live_pair(backend, where)
    proxy.upgrade()
    proxy.signal(signal.SIGKILL)
    assert proxy.process.wait(10) == -signal.SIGKILL
    proxy.ended_as_expected = True
    proxy.replaced[0].send_signal(signal.SIGUSR1)
    wait_until(lambda: proxy.grep("SIGUSR1"), "the old one goes on, and hears signals")
    exchange(client, connection, seed=stage.seed)
    client.close()
    connection.close()
    proxy.wait_replaced()


# ---- it is full ----


def on_a_small_disk(stage, *options, size="64k"):
    """A proxy whose file lies on a file system of its own, as the test sees that."""
    _, prefix = small_disk(stage, size)
    proxy, where, path = logging(stage, *options, name="disk/access.log", prefix=prefix)
    return proxy, where, f"/proc/{proxy.pid}/root{path}"


def whole(path):
    """How many records are whole: one that the disk had no room for may stand there in part."""
    n = 0
    with open(path, "rb") as file:
        for line in file.read().split(b"\n"):
            try:
                n += list(parse_logfmt(line)) == ["time", *KEYS]
            except (AssertionError, ValueError):
                pass
    return n


def lost(proxy):
    found = proxy.grep(r"\d+ line\(s\) of the access log were lost")
    return sum(int(re.search(r"(\d+) line", line)[1]) for line in found)


def test_a_full_disk(stage):
    """What it loses is counted exactly, and said once there is room again; nobody waits."""
    proxy, where, path = on_a_small_disk(stage, "--workers=2")
    n = 0
    for _ in range(3):
        fill(f"{path}.filler")
        for _ in range(70):
            stage.round_trip(where)
        n += 70
        proxy.wait_log("error: access-log-file .*: lines are lost: No space left on device")
        os.unlink(f"{path}.filler")
        for _ in range(5):
            stage.round_trip(where)
        n += 5
        wait_until(lambda: whole(path) + lost(proxy) == n, f"each of {n} connections is there or counted:\n{proxy.log}")
    assert lost(proxy) > 0 and 3 <= len(proxy.grep("were lost")) <= len(proxy.grep("lines are lost: No space")) < 10


def test_a_disk_that_stays_full(stage):
    """Then it is said at the end."""
    proxy, where, path = on_a_small_disk(stage)
    fill(f"{path}.filler")
    for _ in range(70):
        stage.round_trip(where)
    proxy.wait_log("lines are lost")
    stage.close_sockets()
    proxy.wait_released()
    written = whole(path)
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0
    assert written + lost(proxy) == 70 and lost(proxy) > 0, proxy.log
