# SPDX-License-Identifier: MIT
"""What is wrong on the command line is exit 2 with the culprit named, before anything is touched."""

import os
import socket
import subprocess

import pytest

from support.proxy import SOCKFRONT, run
from support.stage import address_of

BACKEND = "127.0.0.1:9"

# arguments, what the message must name
USAGE = [
    ([], "sage"),
    ([":0"], ""),
    (["-c"], "-c"),
    (["--check"], "address"),
    (["--access-log", "no", ":0", BACKEND], "--access-log=no"),
    (["--no-such-option", ":0", BACKEND], "no-such-option"),
    (["--pipe-si", "0", ":0", BACKEND], "in full: --pipe-size"),  # a new key breaks nobody
    (["--pipe-si=0", ":0", BACKEND], "--pipe-si: the name of an option"),
    (["--max-con", "5", ":0", BACKEND], "did you mean --max-connections"),  # of several that begin so
    (["--chec", ":0", BACKEND], "unknown option --chec (did you mean --check?)"),
    (["--confi", "x", ":0", BACKEND], "in full: --config"),
    (["--hepl"], "did you mean --help?"),
    (["--connect-timeot", "5s", ":0", BACKEND], "connect-timeout"),  # did you mean
    (["--check=yes", ":0", BACKEND], "--check takes no value"),
    (["--check", "--units", "-c", "x"], "one at a time"),
    (["--version=1"], "--version takes no value"),
    (["-x", ":0", BACKEND], "x"),
    (["--no-such-option", "--version"], "no-such-option"),
    (["--help", "--no-such-option"][::-1], "no-such-option"),
    (["a.conf"], "sockfront -c a.conf"),
    ([":0", "127.0.0.1:80", ":80"], "names no host"),
    ([":80", "0.0.0.0:80", BACKEND], "overlaps"),
    (["--access-log", "-xy", ":0", BACKEND], "unknown option -x"),
    (["127.0.0.1:http", "127.0.0.1:80", BACKEND], "listened on already"),
    (["--connect-timeout"], "connect-timeout"),
    (["--max-connections"], "max-connections"),
    (["-", ":0", BACKEND], "no other address may be given"),
    (["inetd", "127.0.0.1:0", BACKEND], "127.0.0.1:0"),
    (["stdio", "stdio", BACKEND], ""),
]

ADDRESSES = [
    "127.0.0.1:99999",
    "127.0.0.1:65536",
    "127.0.0.1:-1",
    "127.0.0.1:+80",
    "127.0.0.1: 80",
    "127.0.0.1:80 ",
    "127.0.0.1:0x50",
    "127.0.0.1:",
    "127.0.0.1",
    "127.0.0.1:no-such-service",
    "256.1.1.1:80",
    "1.2.3:80",
    "1234:80",
    "[::1:80",
    "[::1]80",
    "[::1]",
    "[:::1]:80",
    "::1:80",
    "[127.0.0.1]:80",
    "",
    "@",
    "@" + "x" * 108,
    "/" + "x" * 107,
    "vsock:",
    "vsock:any",
    "vsock:any:",
    "vsock:nobody:5000",
    "vsock:-1:5000",
    "vsock:4294967296:5000",
    "vsock:any:4294967296",
    "vsock:any:5000:1",
    "sd-listen:",
    "accept-from-fd:",
    "accept-from-fd:x",
    "accept-from-fd:-1",
    "accept-from-fd:3x",
]

BACKENDS = [
    "127.0.0.1",
    "127.0.0.1:99999",
    "127.0.0.1:0",
    ":80",
    "*:80",
    "vsock:any:80",
    "vsock:80",
    "vsock:3:0",
    "vsock-mux:/run/vm.sock",
    "vsock-mux:/run/vm.sock:0",
    "vsock-mux:vm.sock:5000",
    "@",
    "/run/app.sock with-a-word",
    r"/run/app\n.sock",
    "sd-listen",
    "-",
    "",
]

VALUES = [
    ("connect-timeout", "5 parsecs"),
    ("connect-timeout", "-1s"),
    ("connect-timeout", ""),
    ("idle-timeout", "soon"),
    ("half-close-timeout", "1s s"),
    ("coalesce-time", "1001ms"),
    ("coalesce-time", "-1ms"),
    ("drain-timeout", "never"),
    ("exit-idle-time", "later"),
    ("exit-idle-time", "0"),
    ("exit-idle-time", ""),
    ("max-connections", "0"),
    ("max-connections", "-1"),
    ("max-connections", "many"),
    ("max-connections", "99999999999999999999"),
    ("workers", "0"),
    ("workers", "lots"),
    ("pipe-size", "1T"),
    ("pipe-size", "-64K"),
    ("log-level", "loud"),
    ("access-log", "maybe"),
    ("connect-retry", "perhaps"),
    ("tcp-nodelay", "2"),
    ("unix-listen-unlink", "please"),
    ("unix-listen-chmod", "rwxrwxrwx"),
    ("unix-listen-chmod", "0999"),
    ("unix-listen-chmod", "10000"),
    ("unix-listen-uid", "no-such-user"),
    ("unix-listen-gid", "no-such-group"),
    ("tcp-keepalive", "x"),
    ("tcp-keepalive", "1:2:3:4"),
    ("tcp-keepalive", "32768000"),
    ("tcp-keepalive", ":128"),
    ("tcp-keepalive", "::40000000"),
    ("backend-tcp-keepalive", "1000:0:1000:"),
    ("recv-buffer-size", "big"),
    ("send-buffer-size", "1X"),
    ("tcp-listen-backlog", "-1"),
    ("tcp-listen-backlog", "1k"),
]


@pytest.fixture
def untouched(tmp_path):
    """A directory with a live socket, a dead one and a file, all of which must stay as they are."""
    with socket.socket(socket.AF_UNIX) as live, socket.socket(socket.AF_UNIX) as dead:
        here = os.getcwd()
        os.chdir(tmp_path)
        try:
            live.bind("live.sock")
            live.listen()
            dead.bind("dead.sock")
            dead.listen()
        finally:
            os.chdir(here)
        dead.close()
        (tmp_path / "file").write_text("precious")
        before = {entry.name: entry.inode() for entry in os.scandir(tmp_path)}
        yield tmp_path
        assert {entry.name: entry.inode() for entry in os.scandir(tmp_path)} == before


def refused(directory, arguments, culprit):
    """Runs in that directory, beside good listening addresses that must not come into being."""
    status, out, log = run(*arguments, cwd=directory)
    assert status == 2, f"{arguments} gave {status}: {log}"
    assert out == ""
    assert culprit in log, log
    assert "listening on" not in log
    lines = log.splitlines()
    assert len(lines) == len(set(lines)), f"said twice: {log}"
    return lines


@pytest.mark.parametrize("arguments, culprit", USAGE)
def test_usage(untouched, arguments, culprit):
    refused(untouched, arguments, culprit)


@pytest.mark.parametrize("address", ADDRESSES)
def test_listening_address(untouched, address):
    good = ["./new.sock", "./dead.sock", "--unix-listen-unlink"]
    refused(untouched, [*good, address, BACKEND], address)


@pytest.mark.parametrize("address", BACKENDS)
def test_backend(untouched, address):
    refused(untouched, ["--unix-listen-unlink", "./dead.sock", "./new.sock", address], address)


@pytest.mark.parametrize("option, value", VALUES)
def test_value(untouched, option, value):
    lines = refused(untouched, [f"--{option}={value}", "./new.sock", BACKEND], option)
    assert any(value in line for line in lines), lines


def test_one_address_twice(untouched):
    refused(untouched, ["./new.sock", "./new.sock", BACKEND], "new.sock")


def test_proxy_keys_beside_a_file(untouched):
    """With -c only the process's keys may stand on the command line."""
    file = untouched / "sockfront.conf"
    file.write_text(f"[proxy a]\nlisten=./new.sock\nbackend={BACKEND}\n")
    try:
        refused(untouched, ["--connect-timeout=1s", "-c", "sockfront.conf"], "connect-timeout")
        refused(untouched, ["-c", "sockfront.conf", ":0", BACKEND], "-c")
    finally:
        file.unlink()


def test_a_switch_never_takes_the_next_word(untouched):
    """`--tcp-nodelay no :0 B` listens on "no", which is no address."""
    refused(untouched, ["--tcp-nodelay", "no", ":0", BACKEND], '"no"')


@pytest.mark.parametrize("text", ["tab\there", "line\nbreak", "\x1b[31mred"])
def test_control_characters_do_not_reach_the_terminal(untouched, text):
    """What the user typed stands in the message, but not as it could fool a terminal or a log."""
    status, _, log = run(f"127.0.0.1:{text}", BACKEND, cwd=untouched)
    assert status == 2
    assert text not in log
    assert len(log.splitlines()) == 1, log


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], ["-V"]])
def test_questions_are_answered(arguments):
    status, out, log = run(*arguments)
    assert (status, log) == (0, "")
    assert "sockfront" in out


def test_help_fits_80_columns():
    """What is too long for its line goes on below, word for word."""
    _, out, _ = run("--help")
    assert max(map(len, out.splitlines())) < 80
    said = " ".join(out.split())
    for text in (
        "--send-proxy-protocol no|v1|v2 tell the backend who the client is, by a header (default no)",
        "--backend ADDRESS where the connections go; may be repeated (no default)",
        "--drain-timeout TIME how long connections may last after a stop (default 30s)",
    ):
        assert text in said


def test_answer_that_cannot_be_written():
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:
        assert subprocess.run([SOCKFRONT, "--help"], stdout=full, stderr=subprocess.PIPE).returncode == 1


# What the system refuses, rather than what was typed, is exit 1.
def test_system_refusals(stage):
    listener = stage.listener()
    taken = address_of(listener)
    status, _, log = run(taken, BACKEND)
    assert status == 1
    assert taken in log
    status, _, log = run("192.0.2.1:80", BACKEND)
    assert status == 1
    assert "192.0.2.1:80" in log
    status, _, log = run("[fe80::1%nosuchif]:80", BACKEND)
    assert status == 1
    assert "nosuchif" in log
