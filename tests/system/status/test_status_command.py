# SPDX-License-Identifier: MIT
"""sockfront --status shows what the process has done, in a table that fits, or says why it cannot."""

import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import termios

import pytest

from support.configuration import section
from support.proc import wait_until
from support.proxy import SOCKFRONT, clean_environment, run
from support.status import ask, status_section, with_status
from support.streams import read_exactly, round_trip
from support.units import Units

COLUMNS = ["state", "open", "held", "accepted", "refused", "failed", "up", "down"]


def started(stage, options="", **more):
    """A proxy called web, its backend, and where its status is asked."""
    backend = stage.backend()
    where = stage.path("status.sock")
    proxy, _ = with_status(stage, section(backend, "127.0.0.1:0", name="web", options=options), where, **more)
    return proxy, backend, where


def status(*arguments, code=0, **more):
    """What is printed; or, with another code, the one line that says why not."""
    ended, out, log = run("--status", *arguments, **more)
    assert ended == code, (ended, out, log)
    if code == 0:
        assert log == ""
        return out
    assert out == "" and len(log.splitlines()) == 1, (out, log)
    return log


def table(text):
    """Of each line below the titles, by its first two words or its one: the cells, by column."""
    lines = text.splitlines()
    titles = next(line for line in lines if line.startswith("PROXY"))
    ends = {word: titles.index(word.upper()) + len(word) for word in COLUMNS if word.upper() in titles}
    rows = {}
    for line in lines[lines.index(titles) + 1:]:
        state = titles.index("STATE")
        cells = {"state": line[state:state + 8].strip()}
        start = state + 8
        for word in COLUMNS[1:len(ends)]:
            cells[word] = line[start:ends[word]].strip()
            start = ends[word]
        rows[line[:state].strip()] = cells
    return rows


def test_known_traffic(stage):
    proxy, backend, where = started(stage, "max-connections-per-source = 2")
    up, down = b"u" * 1000, b"d" * 5000
    client, server = stage.live_pair(backend, proxy.listening[0])
    client.sendall(up)
    assert read_exactly(server, len(up)) == up
    server.sendall(down)
    assert read_exactly(client, len(down)) == down
    stage.live_pair(backend, proxy.listening[0])
    stage.visit(proxy.listening[0])  # one too many of that source

    def counted():
        rows = table(status(where))
        return rows if rows["web"]["refused"] == "1" and rows["web"]["down"] == "4.8K" else None

    rows = wait_until(counted, "all is counted")
    assert rows == {
        "web": dict(zip(COLUMNS, ["", "2", "0", "3", "1", "0", "1002", "4.8K"])),
        f"< {proxy.listening[0]}": dict(zip(COLUMNS, ["", "", "", "3", "", "", "1002", "4.8K"])),
        f"> {backend.address}": dict(zip(COLUMNS, ["up", "2", "", "2", "", "0", "1002", "4.8K"])),
    }
    first, second, empty, titles, *_ = status(where).splitlines()
    assert re.fullmatch(rf"sockfront [\d.]+, process {proxy.pid}, up \d.*: healthy", first)
    assert re.fullmatch(r"2 of \d+ connections, 0 held, 3 accepted", second) and empty == ""


def test_a_server_that_is_down(stage):
    proxy, backend, where = started(stage, "check-interval = 50ms\nconnect-timeout = 100ms")
    backend.stop_listening()
    text = wait_until(lambda: "not healthy" in (got := status(where)) and got, "the outage is known")
    assert ": not healthy, every server of proxy web is down\n" in text
    assert table(text)[f"> {backend.address}"]["state"] == "down"
    assert proxy.alive()


def test_a_unit(stage):
    units = Units(stage)
    where = stage.path("status.sock")
    text = (f"[proxy wiki]\nlisten = 127.0.0.1:0\nbackend = {units.add('wiki.service')}\nbackend-unit = wiki.service\n"
            + status_section(where))
    proxy = units.proxy("-c", stage.file("sockfront.conf", text))
    assert table(status(where))["* wiki.service"]["state"] == "stopped"
    round_trip(stage.connect(proxy.listening[0]))
    assert table(status(where))["* wiki.service"]["state"] == "up"


def test_while_an_older_process_drains(stage):
    """Whose connections are counted, too."""
    proxy, backend, where = started(stage)
    stage.live_pair(backend, proxy.listening[0])
    proxy.upgrade()
    text = wait_until(lambda: "drain" in (got := status(where)) and got, "the new process is asked")
    assert re.search(r"^1 of \d+ connections, .*; 1 older process drains$", text, re.MULTILINE), text
    stage.close_sockets()
    proxy.wait_replaced()
    wait_until(lambda: "drain" not in status(where), "the older process has ended")


@pytest.mark.parametrize("width, last", [("20", "PROXY"), ("30", "STATE"), ("70", "UP"), ("80", "DOWN"), ("200", "DOWN"),
                                         ("0", "PROXY"), ("x", "DOWN"), ("99999999999999999999999", "DOWN")])
def test_width(stage, width, last):
    """Columns for which there is no room are left out, and names are cut in the middle."""
    path = stage.path("ä" * 35 + "z" * 20)
    _, (address,) = with_status(stage, section(stage.backend(), path, name="n" * 40 + "z"), stage.name("s"))
    lines = ask(stage, address, f"/status.txt?width={width}").body.decode().splitlines()
    limit = {"0": 20, "x": 80}.get(width) or min(int(width), 1000)
    assert max(map(len, lines)) <= limit
    assert lines[3].split()[-1] == last
    proxy, listener = lines[4:6]
    if limit < 200:
        assert re.match("n+…n*z( |$)", proxy) and re.match("  < /.*…z+( |$)", listener)
    else:
        assert "n" * 40 + "z " in proxy and f"  < {path} " in listener
    if last == "DOWN":
        ends = [match.end() for match in re.finditer(r"\S+", lines[3])][2:]  # numbers are below the last letter
        assert [match.end() for match in re.finditer(r"\d+", proxy)] == ends
        assert [match.end() for match in re.finditer(r" \d+", listener)] == [ends[2], *ends[-2:]]
    

def test_names_that_would_steer_a_terminal(stage):
    path = os.fsencode(stage.directory) + b"/\x1b[2J\xc2\x9b31m\xff\x07\xe2\x80\xaeevil\xc3\xa4"
    where = stage.path("status.sock")
    file = stage.path("sockfront.conf")
    with open(file, "wb") as out:
        out.write(b"[proxy web]\nlisten = %b\nbackend = %b\n" % (path, stage.backend().address.encode()))
        out.write(status_section(where).encode())
    stage.proxy("-c", file)
    printed = status(where)
    assert f"  < {stage.directory}/?[2J?31m???evilä " in printed
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\udc80-\udcff]", printed)


def without_time(text):
    """What differs from one answer to the next."""
    found = json.loads(text)
    assert found.pop("now") > found["started"]
    return found


def test_json(stage):
    _, _, where = started(stage)
    assert without_time(status("--json", where)) == without_time(ask(stage, where, "/status.json").body)


# ---- where to ask ----


@pytest.mark.parametrize("kind", ["tcp", "abstract", "relative"])
def test_every_kind_of_address(stage, kind):
    backend = stage.backend()
    listen = {"tcp": "127.0.0.1:0", "abstract": stage.name("s"), "relative": stage.path("s.sock")}[kind]
    _, (address,) = with_status(stage, section(backend, "127.0.0.1:0", name="web"), listen)
    given = "./s.sock" if kind == "relative" else address
    assert "web" in table(status(given, cwd=stage.directory))


def test_every_address_of_the_machine(stage):
    """Listened on so, it is asked so."""
    _, (address,) = with_status(stage, section(stage.backend(), "127.0.0.1:0", name="web"), "0.0.0.0:0",
                                options="allow = loopback")
    port = address.rpartition(":")[2]
    assert "web" in table(status(f":{port}")) and "web" in table(status(f"*:{port}"))


def test_file(stage):
    """The first listen line where somebody answers; those that do not say where are passed over."""
    backend = stage.backend()
    where = stage.path("status.sock")
    with_status(stage, section(backend, "127.0.0.1:0", name="web"), where)
    text = section(backend, "127.0.0.1:0") + status_section("127.0.0.1:0", "sd-listen:x", stage.path("dead"), where)
    assert "web" in table(status("-c", stage.file("other.conf", text)))


@pytest.mark.parametrize("listen, said", [
    (["127.0.0.1:0"], "no listen line of [status] says where"),
    ([], "there is no [status] section"),
    (["./none.sock", "@sockfront-test-none"], "./none.sock: cannot connect: No such file or directory; is sockfront"),
])
def test_file_that_leads_nowhere(stage, listen, said):
    text = section(stage.backend(), "127.0.0.1:0") + (status_section(*listen) if listen else "")
    log = status("-c", stage.file("sockfront.conf", text), code=1, cwd=stage.directory)
    assert said in log


def test_file_with_an_error(stage):
    path = stage.file("sockfront.conf", "[status]\nlisten = nowhere\n")
    code, out, log = run("--status", "-c", path)
    assert (code, out) == (2, "") and f"{path}:2: listen: " in log


def test_default_address(stage):
    if os.path.exists("/run/sockfront"):
        pytest.skip("something may listen at /run/sockfront/status.sock")
    log = status(code=1)
    assert log.startswith("sockfront: error: /run/sockfront/status.sock: cannot connect: No such file")
    assert "--status ADDRESS" in log and "-c FILE" in log


# ---- what goes wrong ----


def test_dead_socket(stage):
    path = stage.path("dead.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    log = status(path, code=1)
    assert f"{path}: cannot connect: Connection refused; nobody listens there" in log
    listener.close()


@pytest.mark.parametrize("closed", ["socket", "directory"])
def test_another_user(stage, closed):
    if os.getuid() != 0:
        pytest.skip("cannot become another user")
    directory = stage.path("d")
    os.mkdir(directory, 0o755 if closed == "socket" else 0o700)
    os.chmod(stage.directory, 0o755)
    where = os.path.join(directory, "status.sock")
    with_status(stage, section(stage.backend(), "127.0.0.1:0"), where,
                options=f"unix-listen-chmod = {'0660' if closed == 'socket' else '0666'}\nunix-listen-gid = daemon")
    log = status(where, code=1, user=65534, group=65534, extra_groups=[])
    assert f"{where}: cannot connect: Permission denied; " in log
    if closed == "socket":
        assert f"{where} is of user root and group daemon, with mode 0660" in log
    else:
        assert f"{directory} is of user root and group root, with mode 0700" in log


def test_refused_by_the_rules(stage):
    _, (address,) = with_status(stage, section(stage.backend(), "127.0.0.1:0"), "127.0.0.1:0", options="deny = any")
    log = status(address, code=1)
    assert f"{address}: cannot be asked: the connection was ended without an answer; allow and deny" in log


def answering(data):
    """A server that answers with that to whatever it is asked."""
    def handler(connection):
        connection.recv(1000)
        connection.sendall(data)
    return handler


@pytest.mark.parametrize("data, said", [
    (b"HTTP/1.1 403 Forbidden\r\nA: b\r\n\r\nnot\x1b[2J here\n", r"the answer is 403: not\x1b[2J here"),
    (b"HTTP/1.0 421 Misdirected Request\r\n\r\nthe Host\nmore", "the answer is 421: the Host"),
    (b"HTTP/1.1 404 Not Found\r\n\r\n", "the answer is 404; that is no status address"),
    (b"HTTP/1.1 503 Service Unavailable\r\n\r\nout of memory\n", "the answer is 503: out of memory"),
    (b"SSH-2.0-x\r\n\r\n", "does not speak HTTP; that is no status address of sockfront"),
    (b"HTTP/1.1 200 OK\r\nA: b\r\n", "does not speak HTTP"),
    (b"", "ended without an answer"),
])
def test_other_answers(stage, data, said):
    backend = stage.backend(answering(data))
    log = status(backend.address, code=1)
    assert f"{backend.address}: " in log and said in log


def test_nobody_answers(stage):
    backend = stage.backend()
    assert f"{backend.address}: cannot be asked: no answer within 5 seconds" in status(backend.address, code=1)


def test_nobody_accepts(stage):
    """Nor is there room in the queue."""
    path = stage.path("full.sock")
    stage.listener(path, backlog=0)
    stage.connect(path)
    assert f"{path}: cannot connect: no answer within 5 seconds" in status(path, code=1)


@pytest.mark.parametrize("arguments, said", [
    (["nowhere"], '"nowhere"'),
    (["sd-listen"], '--status: "sd-listen": wanted is HOST:PORT'),
    (["127.0.0.1:no-such-service"], "no-such-service"),
    (["@a", "@b"], '"@b": --status asks at one address'),
    (["@a", "-c", "x.conf"], 'or an address of x.conf'),
    (["--watch", "--json"], "--watch and --json: one at a time"),
    (["--check"], "--status and --check: one at a time"),
    (["--workers", "2"], "--workers: not with --status"),
    (["--status-listen", "@a"], "--status-listen: not with --status"),
    (["--idle-timeout=1s", "@a"], "--idle-timeout: not with --status"),
])
def test_usage(arguments, said):
    log = status(*arguments, code=2)
    assert said in log


@pytest.mark.parametrize("word", ["--watch", "--json"])
def test_words_of_status_alone(word):
    code, out, log = run(word, "127.0.0.1:0", "127.0.0.1:9")
    assert (code, out) == (2, "") and f"{word} is for --status alone" in log


def test_stdout_that_takes_no_more(stage):
    _, _, where = started(stage)
    with open("/dev/full", "w") as full:
        done = subprocess.run([SOCKFRONT, "--status", where], stdout=full, stderr=subprocess.PIPE, timeout=20)
    assert done.returncode == 1 and b"stdout takes no more" in done.stderr


# ---- --watch ----


class Terminal:
    """A terminal with that many rows, and the command in it."""

    def __init__(self, stage, *arguments, rows=30, columns=80):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.text = b""
        # Of tests that run in the background, it would be ignored, as it would there.
        self.process = stage.helper(SOCKFRONT, "--status", *arguments, stdin=slave, stdout=slave, start_new_session=True,
                                    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def shows(self, pattern):
        """Waits until the last picture has that; returns it, as lines."""
        def found():
            os.set_blocking(self.master, False)
            try:
                self.text += os.read(self.master, 1 << 16)
            except BlockingIOError:
                pass
            picture = re.split(rb"\x1b\[\d+A\r\x1b\[J|\x1b\[H\x1b\[J", self.text)[-1]
            picture = picture.decode().replace("\r", "")
            return picture.split("\n") if re.search(pattern, picture) else None
        return wait_until(found, f"{pattern!r} on the screen", 20)

    def interrupt(self):
        """Ends as by Ctrl-C; the terminal is as it was."""
        self.process.signal(signal.SIGINT)
        assert self.process.wait() == -signal.SIGINT
        assert termios.tcgetattr(self.slave) == self.before
        assert b"\x1b[?" not in self.text, "no mode was set"
        os.close(self.master)
        os.close(self.slave)


def test_watch_redraws(stage):
    proxy, backend, where = started(stage)
    terminal = Terminal(stage, "--watch", where)
    lines = terminal.shows(r"\n0 of (.*\n){2}.*DOWN\n(.*\n){3}$")
    stage.live_pair(backend, proxy.listening[0])
    assert len(terminal.shows(r"\n1 of (.*\n){2}.*DOWN\n(.*\n){3}$")) == len(lines) == 8
    assert f"\x1b[{len(lines) - 1}A\r\x1b[J".encode() in terminal.text, "in place"
    terminal.interrupt()


def test_watch_fits_the_screen(stage):
    """Also when that becomes another."""
    _, _, where = started(stage)
    terminal = Terminal(stage, "--watch", where, rows=6, columns=40)
    lines = terminal.shows(r"PROXY.*\nweb.*\n$")
    assert len(lines) == 6 and lines[-1] == "" and max(map(len, lines)) <= 40
    terminal.resize(30, 100)
    terminal.shows(r"DOWN\n(.*\n){3}$")
    assert b"\x1b[H\x1b[J" in terminal.text
    terminal.interrupt()


def test_watch_goes_on_when_the_process_comes_back(stage):
    proxy, _, where = started(stage)
    terminal = Terminal(stage, "--watch", where)
    terminal.shows("healthy")
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0
    picture = terminal.shows("tried again")
    assert picture[0] == f"{where}: cannot connect: No such file or directory"
    proxy = stage.proxy("-c", stage.path("sockfront.conf"))
    terminal.shows(f"process {proxy.pid},")
    terminal.interrupt()


def test_watch_wants_a_first_answer(stage):
    assert "No such file" in status("--watch", stage.path("none"), code=1)


def test_watch_into_a_pipe(stage):
    """One table after another, and nothing but text; until nobody reads."""
    _, _, where = started(stage)
    watching = subprocess.Popen([SOCKFRONT, "--status", "--watch", where], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env=clean_environment())
    lines = [watching.stdout.readline() for _ in range(20)]
    assert [i for i, line in enumerate(lines) if line.startswith(b"sockfront ")] == [0, 8, 16]
    assert b"\x1b" not in b"".join(lines)
    watching.stdout.close()
    assert watching.wait(20) == 1
    assert b"stdout takes no more: Broken pipe" in watching.stderr.read()
    watching.stderr.close()


def test_terminal_is_not_steered_by_whoever_answers(stage):
    """Whatever listens there."""
    backend = stage.backend(answering(b"HTTP/1.1 200 OK\r\n\r\na\x1b[2Jb\xff\n\tc"))
    for arguments in ([backend.address], ["--json", backend.address], ["--watch", backend.address]):
        terminal = Terminal(stage, *arguments)
        terminal.shows(r"^a\?\[2Jb\?\n\?c\n")
        if "--watch" in arguments:
            terminal.interrupt()
        else:
            assert terminal.process.wait() == 0
