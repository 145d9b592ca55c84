# SPDX-License-Identifier: MIT
"""Every error of a configuration file is reported in one run as FILE:LINE: message; exit 2, nothing is bound."""

import os
import re

import pytest

from support.proxy import run
from support.stage import address_of

PROXY = "[proxy web]\nlisten = ./app.sock\nbackend = 127.0.0.1:9\n"  # lines 1 to 3

# text, [(line, what the message must name)]
FILES = {
    "unknown section": ("[sockfrond]\nworkers = 1\n" + PROXY, [(1, "sockfrond")]),
    "unknown section, suggestion": ("[sockfrond]\n" + PROXY, [(1, "sockfront")]),
    "unknown key": (PROXY + "conect-timeout = 5s\n", [(4, "conect-timeout")]),
    "unknown key, suggestion": (PROXY + "conect-timeout = 5s\n", [(4, "did you mean")]),
    "unknown process key": ("[sockfront]\nworker = 1\n" + PROXY, [(2, "workers")]),
    "key in the wrong section": ("[sockfront]\nconnect-timeout = 1s\n" + PROXY, [(2, "connect-timeout")]),
    "process key in a proxy": (PROXY + "workers = 1\n", [(4, "workers")]),
    "key before any section": ("workers = 1\n" + PROXY, [(1, "workers")]),
    "bad duration": (PROXY + "idle-timeout = soon\n", [(4, "soon")]),
    "bad switch": (PROXY + "connect-retry = perhaps\n", [(4, "perhaps")]),
    "bad size": (PROXY + "recv-buffer-size = big\n", [(4, "big")]),
    "bad mode": (PROXY + "unix-listen-chmod = 999\n", [(4, "999")]),
    "bad user": (PROXY + "unix-listen-uid = no-such-user\n", [(4, "no-such-user")]),
    "unknown user of a rule": (PROXY + "allow = loopback uid:no-such-user\n", [(4, "no-such-user")]),
    "unknown group of a rule": (
        PROXY + "deny = any\nallow = gid:no-such-group uid:no-such-user\n", [(5, "no-such-group")],
    ),
    "unknown user in two lines": (
        PROXY + "allow = uid:no-such-user\ndeny = uid:nor-this-one\n", [(4, "no-such-user"), (5, "nor-this-one")],
    ),
    "bad count": ("[sockfront]\nmax-connections = 0\n" + PROXY, [(2, "max-connections")]),
    "bad address": ("[proxy a]\nlisten = 127.0.0.1:99999\nbackend = 127.0.0.1:9\n", [(2, "127.0.0.1:99999")]),
    "bad backend": ("[proxy a]\nlisten = ./app.sock\nbackend = 127.0.0.1\n", [(3, "127.0.0.1")]),
    "unknown service": ("[proxy a]\nlisten = ./app.sock\nbackend = 127.0.0.1:nosuch\n", [(3, "nosuch")]),
    "no listen": ("[proxy a]\nbackend = 127.0.0.1:9\n", [(1, "listen")]),
    "no backend": ("[proxy a]\nlisten = ./app.sock\n", [(1, "backend")]),
    "empty proxy": ("[proxy a]\n", [(1, "listen"), (1, "backend")]),
    "one backend twice": (PROXY + "backend = 127.0.0.1:09\n", [(4, "backend")]),
    "backups alone": ("[proxy a]\nlisten = ./app.sock\nbackend = 127.0.0.1:9 backup\n", [(3, "backup")]),
    "one service twice": (
        PROXY + "backend = srv:_a._tcp.b\nbackend = srv:_A._tcp.b\n", [(5, "srv:_A._tcp.b")],
    ),
    "bad escape": (PROXY + "check-send = PING\\q\n", [(4, "\\q")]),
    "expectation without text": (PROXY + "check-expect = *\n", [(4, "text is missing")]),
    "one address in two proxies": (
        PROXY + "[proxy b]\nlisten = ./app.sock\nbackend = 127.0.0.1:10\n",
        [(5, "./app.sock")],
    ),
    "one address twice": (PROXY + "listen = ./app.sock\n", [(4, "./app.sock")]),
    "one name twice": (PROXY + "[proxy web]\nlisten = ./b.sock\nbackend = 127.0.0.1:10\n", [(4, "web")]),
    "inetd beside another": (PROXY + "listen = inetd\n", [(4, "./app.sock")]),
    "backend is a listener": (
        "[proxy a]\nlisten = 127.0.0.1:8\nbackend = 127.0.0.1:9\n"
        "[proxy b]\nlisten = ./b.sock\nbackend = 127.0.0.1:8\n",
        [(6, "127.0.0.1:8")],
    ),
    "idle exit at once": ("[sockfront]\nexit-idle-time = 0\n" + PROXY.replace("./app.sock", "sd-listen"),
                          [(2, "leaves no time")]),
    "idle exit some time": ("[sockfront]\nexit-idle-time = soon\n" + PROXY, [(2, "soon")]),
    "no value": (PROXY + "idle-timeout\n", [(4, "idle-timeout")]),
    "empty value": (PROXY + "idle-timeout =\n", [(4, "idle-timeout")]),
    "section without end": ("[proxy a\nlisten = ./app.sock\nbackend = 127.0.0.1:9\n", [(1, "]")]),
    "proxy without name": ("[proxy]\nlisten = ./app.sock\nbackend = 127.0.0.1:9\n", [(1, "proxy")]),
    "NUL byte": (PROXY + "idle-timeout = 1\0s\n", [(4, "NUL")]),
    "overlong line": (PROXY + "listen = /" + "x" * 100_000 + "\n", [(4, "")]),
    "long name": (PROXY + "x" * 60 + " = 1\n", [(4, "x" * 60)]),
    "indented key": (PROXY + "    idle-timeout = soon\n", [(4, "soon")]),
    "carriage returns": (PROXY.replace("\n", "\r\n") + "idle-timeout = soon\r\n", [(4, "soon")]),
    "no proxy at all": ("[sockfront]\nworkers = 1\n", []),
    "empty file": ("", []),
    "several": (
        "[sockfront]\nworkers = none\nlog-level = loud\n[proxy a]\nlisten = 1.2.3:4\nbackend = x\ncolour = red\n"
        "[proxy b]\n[what]\n",
        [(2, "none"), (3, "loud"), (5, "1.2.3:4"), (6, "x"), (7, "colour"), (8, "listen"), (8, "backend"), (9, "what")],
    ),
}


def assert_reported(log, path, errors):
    for line, culprit in errors:
        pattern = rf"{re.escape(path)}:{line}: .*{re.escape(culprit)}"
        assert re.search(pattern, log), f"no {pattern!r} in:\n{log}"
    lines = log.splitlines()
    assert len(lines) == len(set(lines)), f"said twice:\n{log}"


@pytest.mark.parametrize("check", [[], ["--check"]])
@pytest.mark.parametrize("name", FILES)
def test_file(stage, name, check):
    text, errors = FILES[name]
    path = stage.file("sockfront.conf", text)
    status, out, log = run(*check, "-c", path, cwd=stage.directory)
    assert status == 2, log
    assert path in log
    assert_reported(log, path, errors)
    assert len([line for line in log.splitlines() if f"{path}:" in line]) >= max(1, len(errors))
    assert os.listdir(stage.directory) == ["sockfront.conf"]


@pytest.mark.parametrize("what", ["missing", "directory", "unreadable"])
def test_no_file(stage, what):
    path = stage.path("sockfront.conf")
    options = {}
    if what == "directory":
        os.mkdir(path)
    elif what == "unreadable":
        if os.geteuid() == 0:
            os.chmod(stage.directory, 0o711)
            options = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            if not os.access(os.path.dirname(__file__), os.X_OK):
                pytest.skip("nobody cannot reach the binary")
        os.chmod(stage.file("sockfront.conf", PROXY), 0)
    status, _, log = run("-c", path, **options)
    assert status == 2, log
    assert path in log


def test_check_of_a_good_file(stage):
    """--check says nothing bad, binds nothing, removes nothing."""
    path = stage.file(
        "sockfront.conf",
        """\
# a comment
; another
[sockfront]
workers = auto
log-level = debug
access-log = on
drain-timeout = 5min 20s
max-connections = 200

[proxy web]
listen = ./app.sock
listen = [::1]:0
    listen = @somewhere
listen = sd-listen:web
listen = vsock:any:5000
backend = localhost:http
unix-listen-chmod = group
unix-listen-unlink = yes
connect-timeout = 250ms
idle-timeout = infinity
tcp-keepalive = 60000:3:10000
recv-buffer-size = 64K
[proxy other]
listen=:8081
backend=[::1]:8080 ; with a comment
""",
    )
    status, _, log = run("--check", "-c", path, cwd=stage.directory)
    assert status == 0, log
    assert "error" not in log
    assert os.listdir(stage.directory) == ["sockfront.conf"]


@pytest.mark.parametrize("listen", ["sd-listen", "sd-listen:web", "sd-listen:*", "accept-from-fd:3", "inetd",
                                    ":8443", "./app.sock"])
@pytest.mark.parametrize("time", ["1ms", "2s", "5min", "infinity"])
def test_idle_exit_is_for_what_may_be_inherited(stage, listen, time):
    path = stage.file("sockfront.conf", f"[sockfront]\nexit-idle-time = {time}\n[proxy a]\nlisten = {listen}\n"
                      "backend = 127.0.0.1:9\n")
    status, _, log = run("--check", "-c", path)
    assert status == 0, log


def test_idle_exit_that_never_comes_is_for_all(stage):
    path = stage.file("sockfront.conf", "[sockfront]\nexit-idle-time = infinity\n" + PROXY)
    status, _, log = run("--check", "-c", path)
    assert status == 0, log


def test_check_touches_nothing(stage):
    """Not even a dead socket that a start would remove, nor an address that is taken."""
    listener = stage.listener()
    taken = address_of(listener)
    occupied = stage.path("app.sock")
    stage.listener(occupied).close()
    inode = os.stat(occupied).st_ino
    path = stage.file(
        "sockfront.conf",
        f"[proxy a]\nlisten={taken}\nlisten={occupied}\nunix-listen-unlink=yes\nbackend=nobody.invalid:80\n",
    )
    status, _, log = run("--check", "-c", path)
    assert status == 0, log
    assert os.stat(occupied).st_ino == inode


def test_command_line_wins_over_the_file(stage):
    backend = stage.backend()
    path = stage.file(
        "sockfront.conf",
        f"[sockfront]\nmax-connections = 100\n[proxy a]\nlisten = 127.0.0.1:0\nbackend = {backend.address}\n",
    )
    proxy = stage.proxy("--max-connections=1", "-c", path)
    stage.connect(proxy.listening[0])
    backend.accept()
    stage.connect(proxy.listening[0])
    with pytest.raises(TimeoutError):
        backend.accept(0.7)
