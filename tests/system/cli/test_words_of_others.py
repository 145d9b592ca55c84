# SPDX-License-Identifier: MIT
"""What is written as for another program is refused with what to write instead, and that is accepted."""

import re
import shlex

import pytest

from support.proxy import REPOSITORY, run

BACKEND = "127.0.0.1:9"
LISTEN = "127.0.0.1:0"

# As others write it; as an address to listen on; as a backend.  None: there is none.
ADDRESSES = [
    ("unix:/run/x", "/run/x", "/run/x"),
    ("unix:///run/x", "/run/x", "/run/x"),
    ("unix://run/x", "/run/x", "/run/x"),
    ("unix:run/x", "./run/x", "./run/x"),
    ("unix:@x", "@x", "@x"),
    ("unix:8080", "./8080", "./8080"),
    ("unix@/run/x", "/run/x", "/run/x"),
    ("http+unix:///run/x", "/run/x", "/run/x"),
    ("UNIX-LISTEN:/run/x,fork,mode=660", "/run/x", "/run/x"),
    ("UNIX-CONNECT:/run/x", "/run/x", "/run/x"),
    ("unix-client:x.sock", "./x.sock", "./x.sock"),
    ("abstract:x", "@x", "@x"),
    ("abns@x", "@x", "@x"),
    ("ABSTRACT-LISTEN:x,fork", "@x", "@x"),
    ("unix-abstract:@x", "@x", "@x"),
    ("tcp:8080", ":8080", "127.0.0.1:8080"),
    ("tcp://:80", ":80", "127.0.0.1:80"),
    ("tcp://[::1]:80", "[::1]:80", "[::1]:80"),
    ("tcp4:127.0.0.1:80", "127.0.0.1:80", "127.0.0.1:80"),
    ("tcp4:80", "0.0.0.0:80", "0.0.0.0:80"),
    ("tcp6:80", "[::]:80", "[::]:80"),
    ("tcp:localhost:http", "localhost:http", "localhost:http"),
    ("TCP-LISTEN:80,fork,reuseaddr", ":80", "127.0.0.1:80"),
    ("TCP4-LISTEN:80,fork", "0.0.0.0:80", "0.0.0.0:80"),
    ("TCP6-CONNECT:[::1]:80", "[::1]:80", "[::1]:80"),
    ("ipv4@10.0.0.1:80", "10.0.0.1:80", "10.0.0.1:80"),
    ("ipv6@:80", "[::]:80", "[::]:80"),
    ("http://127.0.0.1:8080/", "127.0.0.1:8080", "127.0.0.1:8080"),
    ("http://localhost", "localhost:80", "localhost:80"),
    ("https://localhost/a?b#c", "localhost:443", "localhost:443"),
    ("https://me:secret@[::1]", "[::1]:443", "[::1]:443"),
    ("redis://10.0.0.1:6379/0", "10.0.0.1:6379", "10.0.0.1:6379"),
    ("vsock://3:5000", "vsock:3:5000", "vsock:3:5000"),
    ("VSOCK-CONNECT:3:5000", "vsock:3:5000", "vsock:3:5000"),
    ("VSOCK-LISTEN:5000,fork", "vsock:any:5000", None),
    ("fd@3", "accept-from-fd:3", None),
    ("ACCEPT-FD:3", "accept-from-fd:3", None),
    ("fd://", "sd-listen", None),
    ("systemd:web", "sd-listen:web", None),
    ("tcp://", None, None),
    ("tcp:x:y:80", None, None),
    ("redis://10.0.0.1", None, None),
    ("unix:", None, None),
    ("tcp:tcp:80", None, None),
]

# What no address can do, and the reason.
IMPOSSIBLE = [
    ("UDP-LISTEN:53", "UDP"),
    ("udp://127.0.0.1:53", "UDP"),
    ("OPENSSL:localhost:443", "TLS"),
    ("ssl://localhost:443", "TLS"),
    ("EXEC:/bin/cat", "no program"),
]


def refused(*arguments):
    status, _, log = run("--check", *arguments)
    assert status == 2, (arguments, log)
    return log


def accepted(*arguments):
    status, _, log = run("--check", *arguments)
    assert (status, log) == (0, ""), (arguments, log)


@pytest.mark.parametrize("theirs, listen, backend", ADDRESSES)
def test_address(theirs, listen, backend):
    for words, ours in (((theirs, BACKEND), listen), ((LISTEN, theirs), backend)):
        log = refused(*words)
        assert theirs in log
        advice = re.search(r'write "(.*)"$', log, re.M)
        assert (advice and advice[1]) == ours, log
        if ours:
            accepted(*(ours if word == theirs else word for word in words))


@pytest.mark.parametrize("theirs, why", IMPOSSIBLE)
def test_impossible_address(theirs, why):
    for words in ((theirs, BACKEND), (LISTEN, theirs)):
        log = refused(*words)
        assert theirs in log and why in log and "write" not in log


@pytest.mark.parametrize("host", ["udp", "http", "ssl", "unix.local"])
def test_hosts_may_have_such_names(host):
    accepted(f"{host}:80", BACKEND)
    accepted(LISTEN, f"{host}:80")


def test_advice_for_a_path_with_a_blank():
    """It is written as a backend line has it."""
    log = refused(LISTEN, r"unix:/run/a\x20b")
    assert r'write "/run/a\x20b"' in log
    accepted(LISTEN, r"/run/a\x20b")


# ---- options ----

def rows():
    """(name, our key or "", its value or "") of the table."""
    with open(f"{REPOSITORY}/conf/foreign.c") as file:
        text = file.read()
    found = re.findall(r'^\t\{ "([a-z0-9 -]+)",\s+(?:"([a-z0-9-]+)"|NULL),\s+(?:"([a-z0-9-]+)"|NULL), .* \},$', text, re.M)
    assert len(found) > 100 and len(found) == len(re.findall(r"^\t\{ ", text, re.M))
    return found


SWITCHES = {"access-log", "connect-retry", "unix-listen-unlink", "tcp-reuse-port", "tcp-nodelay", "tcp-only-v6",
            "resolve-each", "ip-transparent"}
PROCESS = {"max-connections", "workers", "drain-timeout", "log-level", "access-log", "access-log-file"}
VALUES = {
    "listen": LISTEN, "backend": BACKEND, "backend-source": "127.0.0.1", "tcp-fast-open": "16",
    "max-connections": "100", "max-connections-per-source": "10", "connection-rate": "20/s",
    "tcp-listen-backlog": "100", "workers": "2", "allow": "10.0.0.0/8", "deny": "10.0.0.0/8",
    "accept-proxy-protocol": "10.0.0.1", "send-proxy-protocol": "v1", "unix-listen-uid": "root",
    "unix-listen-gid": "root", "unix-listen-chmod": "0660", "connect-timeout": "5s", "half-close-timeout": "5s",
    "idle-timeout": "1h", "check-timeout": "2s", "check-interval": "5s", "check-rise": "2", "check-fall": "3",
    "drain-timeout": "30s", "tcp-keepalive": "60s:3:5s", "bind-to-device": "lo", "log-level": "debug",
    "access-log-file": "/run/access.log", "balance": "random", "backend-tcp-keepalive": "60s:3:5s",
    "recv-buffer-size": "64K", "send-buffer-size": "64K", "tcp-defer-accept": "5s",
    **dict.fromkeys(SWITCHES, "yes"),
}


CHECKS = "check-interval = 5s"  # without it the other keys of checks have no effect
OF_CHECKS = {"check-timeout", "check-rise", "check-fall"}


def command_of(key, value):
    """The command line with that option."""
    words = {"listen": [BACKEND], "backend": [LISTEN]}.get(key, [LISTEN, BACKEND])
    needed = ["--" + CHECKS.replace(" ", "")] if key in OF_CHECKS else []
    return [f"--{key}={value}", *needed, *words]


def file_of(lines, key=None):
    """A configuration with those lines in its proxy, or in the process if the key belongs there."""
    process = lines if key in PROCESS else ""
    needed = "".join(f"{each} = {VALUES[each]}\n" for each in ("listen", "backend") if each != key)
    needed += f"{CHECKS}\n" if key in OF_CHECKS else ""
    return f"[sockfront]\n{process}[proxy web]\n{needed}{'' if process else lines}"


@pytest.mark.parametrize("name, key, value", rows())
def test_option(stage, name, key, value):
    """What the message says to write is accepted, whatever follows of it in brackets included."""
    log = refused("-c", stage.file("theirs.conf", file_of(f"{name} = 1\n")))
    assert f'unknown key "{name}"' in log and len(log.splitlines()) == 1
    if key:
        assert re.search(rf'here it is "{key} = {value}', log), log
        in_section = key in PROCESS and key != "max-connections"  # that one is both's
        assert ("in [sockfront]" in log) == in_section, log
        for ours, said in [(key, value or VALUES[key]), *re.findall(r"([a-z-]+) = ([a-z0-9-]+)(?![a-z0-9\"-])", log)]:
            accepted("-c", stage.file("ours.conf", file_of(f"{ours} = {said}\n", ours)))
    if " " in name:
        return
    log = refused(f"--{name}=1", LISTEN, BACKEND)
    assert f"unknown option --{name}" in log
    if key:
        assert re.search(rf"here it is --{key}{f'={value}' if value else '[ []'}", log), log
        accepted(*command_of(key, value or VALUES[key]))


@pytest.mark.parametrize("spelling", ["only_from", "ONLY_FROM", "only-from"])
def test_spelling_of_an_option(stage, spelling):
    assert 'here it is "allow = ' in refused("-c", stage.file("a.conf", file_of(f"{spelling} = 10.0.0.0/8\n")))
    assert "here it is --allow SOURCE..." in refused(f"--{spelling}=10.0.0.0/8", LISTEN, BACKEND)


# A line as HAProxy or nginx has it, and what it is here.
LINES = [
    ("maxconn 100", "max-connections"),
    ("bind :8080", "listen"),
    ("bind *:80 accept-proxy", "listen"),
    ("server app1 10.0.0.1:80 check", "backend"),
    ("timeout client 30s", "idle-timeout"),
    ("timeout client-fin 30s", "half-close-timeout"),
    ("timeout connect 5s", "connect-timeout"),
    ("proxy_pass 127.0.0.1:80;", "backend"),
    ("proxy_timeout 10m;", "idle-timeout"),
]


@pytest.mark.parametrize("line, key", LINES)
def test_line_without_an_equals_sign(stage, line, key):
    assert f'here it is "{key} = ' in refused("-c", stage.file("a.conf", file_of(line + "\n")))


def test_word_that_only_begins_so(stage):
    """"serverless" is not "server"."""
    assert "here it is" not in refused("-c", stage.file("a.conf", file_of("serverless = 1\n")))


# ---- what is missing, and what is there twice ----

@pytest.mark.parametrize("words", [
    [":80"], [":8080"], ["127.0.0.1:8080"], ["/run/app.sock"], ["@app"], ["sd-listen:web"], ["-"],
    ["--access-log", ":80"], ["--unix-listen-chmod", "group", "./app.sock"], ["--max-connections=5", "vsock:any:80"],
], ids=" ".join)
def test_one_address_alone(words):
    """The whole command is shown."""
    log = refused(*words)
    assert "only one address" in log and "the backend is missing" in log
    (command,) = re.findall(r"as in: sockfront (.*)$", log, re.M)
    assert command.split()[:-1] == ["--check", *words]
    accepted(*shlex.split(command))


def test_file_without_its_option(stage):
    log = refused("web.conf")
    (command,) = re.findall(r"read with: sockfront (.*)$", log, re.M)
    stage.file("web.conf", file_of(""))
    status, _, log = run("--check", *shlex.split(command), cwd=stage.directory)
    assert status == 0, log


def test_number_of_connections_of_systemd_socket_proxyd():
    log = refused("-c", "512", LISTEN, BACKEND)
    assert len(log.splitlines()) == 1
    (advice,) = re.findall(r"is (--max-connections 512)$", log, re.M)
    accepted(*advice.split(), LISTEN, BACKEND)


def test_file_whose_name_is_a_number(stage):
    stage.file("512", file_of(""))
    status, _, log = run("--check", "-c", "512", cwd=stage.directory)
    assert status == 0, log


@pytest.mark.parametrize("words, one, other", [
    (["--workers=2", "--workers", "4"], "2", "4"),
    (["--workers=2", "--workers=2"], "2", "2"),
    (["--access-log", "--access-log=no"], "yes", "no"),
    (["--connect-timeout=5s", "--connect-timeout=6s"], "5s", "6s"),
    (["--tcp-nodelay=no", "--tcp-nodelay"], "no", "yes"),
])
def test_option_given_twice(words, one, other):
    log = refused(*words, LISTEN, BACKEND)
    name = re.match("--[a-z-]*", words[0])[0]
    assert f'{name} is given twice, "{one}" and "{other}"' in log
    assert len(log.splitlines()) == 1


def test_lists_may_be_given_twice():
    accepted("--listen=@a", "--listen=@b", "--backend=127.0.0.1:8", "--backend=127.0.0.1:9",
             "--allow=10.0.0.1", "--allow=10.0.0.2", "--deny=any", "--deny=unix")


def test_file_given_twice(stage):
    one, other = (stage.file(name, file_of("")) for name in ("one.conf", "other.conf"))
    log = refused("-c", one, "-c", other)
    assert f'-c is given twice, "{one}" and "{other}"' in log


def test_command_line_still_wins_over_the_file(stage):
    accepted("--workers=2", "-c", stage.file("a.conf", file_of("workers = 4\n", "workers")))
