# SPDX-License-Identifier: MIT
"""The access log as logfmt, as JSON and as fields of the journal: what a strict reader reads is what was meant."""

import json
import os
import re
import time

import pytest

from support.access_log import KEYS, Journal, parse_logfmt, shown
from support.backend import Reserved, echo
from support.configuration import process, section
from support.proc import wait_until
from support.proxy import run
from support.proxy_protocol import UNIQUE_ID, tlv, v2
from support.stage import need
from support.streams import exchange, read_exactly, read_to_end

FORMS = ["logfmt", "json", "journal"]
HOSTILE = [b"plain", b"a=b", b"a b", b'q"uote', b"back\\slash", b"\\", b"new\nline", b"\nFORGED=1\n", b"tab\tand\r",
           b"\x01\x1b[31m\x7f", b"\xff\xfe\x80", b"\xc3\xa9\xe2\x82\xac", b"\xed\xa0\x80", b'="\\ \n\xff',
           b"{}", b"id=x client=y"]


class Reader:
    """A proxy with an access log in one of the forms; each record as a dictionary of text."""

    def __init__(self, stage, form, *words, listening=1, backend=None):
        self.form = form
        self.journal = Journal(stage).begin() if form == "journal" else None
        if self.journal:
            need("unshare")
        prefix = self.journal.prefix if self.journal else ()
        self.proxy = stage.proxy(f"--access-log={form}", *words, sockets=listening, prefix=prefix)

    def record(self):
        if self.journal:
            fields = self.journal.read()
            assert fields["PRIORITY"] == b"6" and fields["SYSLOG_IDENTIFIER"] == b"sockfront"
            message = parse_logfmt(fields["MESSAGE"])
            record = {name[10:].lower(): value.decode(errors="backslashreplace")
                      for name, value in fields.items() if name.startswith("SOCKFRONT_")}
            assert message == {"queue": "-", "connect": "-", **record}, "the message says the same"
            return record
        begins = "reason="
        if self.form == "json":
            begins = '^{"id"'
        line, = self.proxy.wait_log(begins)
        if self.form == "logfmt":
            assert line.startswith("sockfront: ")
            return parse_logfmt(os.fsencode(line.removeprefix("sockfront: ")))
        record = json.loads(os.fsencode(line))
        assert all(isinstance(record[key], (int, float)) for key in ("up", "down", "duration"))
        return {key: str(value) for key, value in record.items()}


def serve(stage, backend, where):
    client = stage.connect(where)
    connection = backend.accept()
    client.sendall(b"12345")
    assert read_exactly(connection, 5) == b"12345"
    connection.sendall(b"abc")
    connection.close()
    assert read_to_end(client) == b"abc"
    client.close()


@pytest.mark.parametrize("form", FORMS)
def test_a_record(stage, form):
    backend = stage.backend()
    reader = Reader(stage, form, "127.0.0.1:0", backend.address)
    serve(stage, backend, reader.proxy.listening[0])
    record = reader.record()
    assert list(record) == KEYS
    assert re.fullmatch("[0-9a-f]{16}", record["id"]) and record["proxy"] == "command line"
    assert record["client"].startswith("127.0.0.1:") and record["listener"] == reader.proxy.listening[0]
    assert record["backend"] == backend.address
    assert (record["up"], record["down"], record["reason"]) == ("5", "3", "closed")
    assert 0 <= float(record["queue"]) and 0 < float(record["connect"])
    assert float(record["queue"]) + float(record["connect"]) <= float(record["duration"]) + 0.001


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", HOSTILE, ids=repr)
def test_a_listener_of_any_name(stage, form, name):
    backend = stage.backend()
    path = os.fsencode(stage.directory) + b"/" + name
    reader = Reader(stage, form, path, backend.address)
    serve(stage, backend, path)
    record = reader.record()
    assert record["listener"] == shown(path)
    assert list(record) == KEYS and record["reason"] == "closed"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", HOSTILE, ids=repr)
def test_a_client_of_any_name(stage, form, name):
    """Its path, and the id, by a header that another proxy passes on."""
    backend = stage.backend()
    reader = Reader(stage, form, "--accept-proxy-protocol=any", "127.0.0.1:0", backend.address)
    client = stage.connect(reader.proxy.listening[0])
    client.sendall(v2(b"/" + name, b"/x", tlv(UNIQUE_ID, name)))
    connection = backend.accept()
    exchange(client, connection, seed=stage.seed, size=10)
    client.close()
    connection.close()
    record = reader.record()
    assert record["client"] == shown(b"/" + name)
    plain = "".join(chr(c) if 0x20 < c < 0x7F and c not in b'"\\' else f"\\x{c:02x}" for c in name)
    assert record["id"] == plain
    assert list(record) == KEYS


@pytest.mark.parametrize("form", FORMS)
def test_no_server_was_reached(stage, form):
    """There are no times then, and the reason says why."""
    port = Reserved(stage)
    reader = Reader(stage, form, "--connect-retry=no", "127.0.0.1:0", port.address)
    stage.visit(reader.proxy.listening[0])
    record = reader.record()
    assert record["reason"] == "connect failed: Connection refused"
    missing = {"logfmt": "-", "json": "None", "journal": None}[form]
    assert (record.get("queue"), record.get("connect")) == (missing, missing)


@pytest.mark.parametrize("form", FORMS)
def test_a_client_that_may_not_connect(stage, form):
    reader = Reader(stage, form, "--deny=any", "127.0.0.1:0", stage.backend().address)
    stage.visit(reader.proxy.listening[0])
    record = reader.record()
    assert record["reason"] == "refused: deny any" and record["duration"] in ("0.000", "0.0")


def test_times_of_a_server_that_comes_late(stage):
    """How long it was waited for is none of its own time."""
    port = Reserved(stage)
    proxy = stage.proxy("--access-log", "127.0.0.1:0", port.address)
    client = stage.connect(proxy.listening[0])
    proxy.wait_log("cannot be reached")
    time.sleep(0.3)
    port.open()
    connection = port.accept(stage)
    exchange(client, connection, seed=stage.seed, size=10)
    client.close()
    connection.close()
    line, = proxy.wait_log("reason=")
    record = parse_logfmt(os.fsencode(line.removeprefix("sockfront: ")))
    assert float(record["queue"]) >= 0.25 > 0.2 > float(record["connect"])


@pytest.mark.parametrize("backend_of", ["first", "second"])
def test_proxy_and_server_that_were_used(stage, backend_of):
    backends = [stage.backend(echo), stage.backend(echo)]
    used = backends[backend_of == "second"]
    text = process("access-log = json") + section(
        used, stage.path("a"), name="a.b-c_1", options=f"backend = {stage.path('nobody')} backup")
    proxy = stage.proxy("-c", stage.file("sockfront.conf", text))
    client = stage.connect(stage.path("a"))
    client.sendall(b"x")
    assert read_exactly(client, 1) == b"x"
    client.close()
    record = json.loads(proxy.wait_log('^{"id"')[0])
    assert (record["proxy"], record["backend"]) == ("a.b-c_1", used.address)


@pytest.mark.parametrize("form", ["json", "logfmt"])
def test_behind_the_journals_stream(stage, form):
    """stderr is the journal: the priority stands in front, and nothing else."""
    backend = stage.backend()
    proxy = stage.proxy(f"--access-log={form}", "127.0.0.1:0", backend.address, journal=True)
    serve(stage, backend, proxy.listening[0])
    line = os.fsencode(proxy.wait_log("closed")[0])
    assert line.startswith(b"<6>")
    record = json.loads(line[3:]) if form == "json" else parse_logfmt(line[3:])
    assert list(record) == KEYS


# ---- a journal that is not there, or does not read ----


def test_there_is_no_journal(stage):
    journal = Journal(stage)
    proxy = stage.proxy("--access-log=journal", "127.0.0.1:0", "127.0.0.1:9", sockets=0, prefix=journal.prefix)
    assert proxy.wait() == 1
    assert proxy.grep("error: access-log = journal: there is no journal at /run/systemd/journal/socket")


def gather(reader, n):
    """Reads until n connections are there or said to be lost: how many of each."""
    ids = set()

    def told():
        return sum(int(re.search(r"(\d+) line\(s\) of the access log were lost", line)[1])
                   for line in reader.proxy.grep("access log were lost"))

    def is_enough():
        try:
            ids.add(reader.journal.read(0.1)["SOCKFRONT_ID"])
        except TimeoutError:
            pass
        return len(ids) + told() >= n

    wait_until(is_enough, f"{n} connections are read or lost", 30, every=0)
    assert len(ids) + told() == n
    return len(ids), told()


def test_a_journal_that_does_not_read_holds_nobody_up(stage):
    """What it reads in the end, and what is said to be lost, is each connection once."""
    n = 400
    backend = stage.backend(echo)
    reader = Reader(stage, "journal", "127.0.0.1:0", backend.address)
    for _ in range(n):
        client = stage.connect(reader.proxy.listening[0])
        client.sendall(b"x")
        assert read_exactly(client, 1) == b"x"
        client.close()
    reader.proxy.assert_rests(0.5)
    read, lost = gather(reader, n)
    assert read > 0 and lost > 0


def test_a_journal_that_is_restarted(stage):
    backend = stage.backend()
    reader = Reader(stage, "journal", "127.0.0.1:0", backend.address)
    where = reader.proxy.listening[0]
    serve(stage, backend, where)
    assert gather(reader, 1) == (1, 0)
    reader.journal.end()
    serve(stage, backend, where)
    wait_until(lambda: reader.proxy.excess_sockets() == -1, "its line found no journal")
    reader.journal.begin()
    serve(stage, backend, where)
    assert gather(reader, 2) == (1, 1)


# ---- what is wrong ----


@pytest.mark.parametrize("words, wrong", [
    (["--access-log=xml"], '"xml" is none of yes, no, logfmt, json and journal'),
    (["--access-log=journal", "--access-log-file=/dev/null"], "access-log = journal writes into no file"),
    (["--access-log-file="], "access-log-file: the path is missing"),
    (["--access-log", "json"], 'a switch takes its value after "="'),
])
def test_what_is_wrong(words, wrong):
    status, _, err = run("--check", *words, "127.0.0.1:1", "127.0.0.1:9")
    assert status == 2 and wrong in err, err
