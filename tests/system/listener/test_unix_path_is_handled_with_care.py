# SPDX-License-Identifier: MIT
"""A socket file gets its mode and owner, replaces only a dead socket, and is removed only if it is ours."""

import grp
import os
import pwd
import signal
import socket
import stat

import pytest

from support.backend import echo
from support.proc import wait_until
from support.proxy import run
from support.streams import read_exactly


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def dead_socket(stage, name="app.sock"):
    path = stage.path(name)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()
    return path


def stop(proxy):
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0


def assert_serves(stage, path):
    """Beside a backend that takes every connection: a probe for life makes one too."""
    client = stage.connect(path)
    client.sendall(b"hello")
    assert read_exactly(client, 5) == b"hello"


@pytest.mark.parametrize(
    "value, mode", [("owner", 0o600), ("group", 0o660), ("everybody", 0o666), ("640", 0o640), ("0777", 0o777)]
)
@pytest.mark.parametrize("umask", [0o000, 0o027, 0o777])
def test_mode(stage, value, mode, umask):
    path = stage.path("app.sock")
    proxy = stage.proxy("--unix-listen-chmod", value, path, "127.0.0.1:9", umask=umask)
    assert mode_of(path) == mode
    stop(proxy)


def test_umask_decides_without_a_mode(stage):
    path = stage.path("app.sock")
    proxy = stage.proxy(path, "127.0.0.1:9", umask=0o027)
    assert mode_of(path) == 0o750
    stop(proxy)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away needs root")
@pytest.mark.parametrize("by", ["name", "number"])
def test_owner(stage, by):
    path = stage.path("app.sock")
    user, group = pwd.getpwnam("nobody"), grp.getgrnam("daemon")
    uid, gid = (user.pw_name, group.gr_name) if by == "name" else (str(user.pw_uid), str(group.gr_gid))
    proxy = stage.proxy(
        "--unix-listen-uid", uid, "--unix-listen-gid", gid, "--unix-listen-chmod", "group", path, "127.0.0.1:9"
    )
    status = os.stat(path)
    assert (status.st_uid, status.st_gid, mode_of(path)) == (user.pw_uid, group.gr_gid, 0o660)
    stop(proxy)


def test_removed_at_exit(stage):
    path = stage.path("app.sock")
    stop(stage.proxy(path, "127.0.0.1:9"))
    assert os.listdir(stage.directory) == [], "no socket, no lock file, no litter"


@pytest.mark.parametrize("what", ["another socket", "a file", "nothing"])
def test_not_removed_when_it_is_not_ours_any_more(stage, what):
    path = stage.path("app.sock")
    proxy = stage.proxy(path, "127.0.0.1:9")
    os.unlink(path)
    if what == "another socket":
        dead_socket(stage)
    elif what == "a file":
        stage.file("app.sock", "precious")
    before = os.listdir(stage.directory)
    stop(proxy)
    assert os.listdir(stage.directory) == before


@pytest.mark.parametrize("how", ["sd-listen", "accept-from-fd"])
def test_inherited_path_is_never_removed(stage, how):
    path = stage.path("app.sock")
    backend = stage.backend(echo)
    number = stage.listener(path).fileno()
    if how == "sd-listen":
        options = {"handover": ["--move", f"{number}:3", "--listen", "1"]}
        proxy = stage.proxy("sd-listen", backend.address, pass_fds=[number], **options)
    else:
        proxy = stage.proxy(f"accept-from-fd:{number}", backend.address, pass_fds=[number])
    assert_serves(stage, path)
    stage.close_sockets()
    stop(proxy)
    assert stat.S_ISSOCK(os.stat(path).st_mode)


def test_dead_socket_is_replaced(stage):
    path = dead_socket(stage)
    backend = stage.backend(echo)
    stage.proxy("--unix-listen-unlink", path, backend.address)
    assert_serves(stage, path)


def test_replaced_after_a_kill(stage):
    """What a killed proxy leaves behind does not stop the next one."""
    path = stage.path("app.sock")
    backend = stage.backend(echo)
    first = stage.proxy("--unix-listen-unlink", path, backend.address)
    first.signal(signal.SIGKILL)
    first.wait()
    assert os.path.exists(path)
    stage.proxy("--unix-listen-unlink", path, backend.address)
    assert_serves(stage, path)


def test_live_socket_is_refused(stage):
    path = stage.path("app.sock")
    backend = stage.backend(echo)
    stage.proxy(path, backend.address)
    inode = os.stat(path).st_ino
    status, _, log = run("--unix-listen-unlink", path, "127.0.0.1:9")
    assert status == 1
    assert path in log
    assert os.stat(path).st_ino == inode
    assert_serves(stage, path)


def test_live_socket_with_a_full_backlog_is_refused(stage):
    """A server that is busy is not a dead one."""
    path = stage.path("app.sock")
    stage.listener(path, backlog=0)
    while True:
        filler = stage.keep(socket.socket(socket.AF_UNIX))
        filler.setblocking(False)
        if filler.connect_ex(path):
            break
    inode = os.stat(path).st_ino
    status, _, log = run("--unix-listen-unlink", path, "127.0.0.1:9")
    assert (status, os.stat(path).st_ino) == (1, inode), log


def make_file(path):
    with open(path, "w") as file:
        file.write("precious")


def make_datagram_socket(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)


def make_link(path):
    make_file(path + ".target")
    os.symlink(path + ".target", path)


def make_link_to_a_dead_socket(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path + ".target")
        sock.listen()
    os.symlink(path + ".target", path)


OCCUPANTS = {
    "file": make_file,
    "directory": os.mkdir,
    "fifo": os.mkfifo,
    "symlink": make_link,
    "symlink to a socket": make_link_to_a_dead_socket,
}


@pytest.mark.parametrize("options", [[], ["--unix-listen-unlink"]])
@pytest.mark.parametrize("what", OCCUPANTS)
def test_anything_else_is_refused_and_kept(stage, what, options):
    path = stage.path("app.sock")
    OCCUPANTS[what](path)
    before = {name: os.lstat(stage.path(name)).st_ino for name in os.listdir(stage.directory)}
    status, _, log = run(*options, path, "127.0.0.1:9")
    assert status == 1, log
    assert path in log
    assert {name: os.lstat(stage.path(name)).st_ino for name in os.listdir(stage.directory)} == before


def test_without_the_option_an_occupied_path_names_it(stage):
    path = dead_socket(stage)
    status, _, log = run(path, "127.0.0.1:9")
    assert status == 1
    assert path in log and "unix-listen-unlink" in log
    assert os.path.exists(path)


def test_all_or_none(stage):
    """When one address cannot be had, what was bound for the others goes again."""
    occupied = dead_socket(stage, "occupied")
    status, _, log = run(stage.path("fine"), occupied, "127.0.0.1:9")
    assert status == 1
    assert occupied in log
    assert os.listdir(stage.directory) == ["occupied"]


def test_missing_directory(stage):
    path = stage.path("no/such/place.sock")
    status, _, log = run(path, "127.0.0.1:9")
    assert status == 1
    assert path in log


def test_two_at_once(stage):
    """Many that start at one stale path at the same time: one wins, the others say so."""
    path = dead_socket(stage)
    backend = stage.backend(echo)
    proxies = [stage.proxy("--unix-listen-unlink", path, backend.address, sockets=0) for _ in range(6)]
    wait_until(lambda: sum(not p.alive() for p in proxies) == 5, "five have given up")
    for proxy in proxies:
        if not proxy.alive():
            assert proxy.wait() == 1
            assert path in proxy.log
    assert_serves(stage, path)
