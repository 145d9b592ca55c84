# SPDX-License-Identifier: MIT
"""The access log of sockfront.service: in the real journal, and in a file of its LogsDirectory= that is rotated."""

import json
import os
import socket
import stat

from support.proc import wait_until
from support.streams import exchange
from units import MANY, output

UNIT = "sockfront.service"
FILE = "/var/log/sockfront/access.log"
CONFIGURATION = """
[sockfront]
{}

[proxy vm-log]
listen = 127.0.0.1:5402
backend = {}
"""


def begin(units, *lines):
    units.alone()
    backend = units.backend()
    units.configuration("sockfront", CONFIGURATION.format("\n".join(lines), backend.address))
    units.start(UNIT)
    return backend


def visit(units, backend):
    client = units.keep(socket.create_connection(("127.0.0.1", 5402)))
    exchange(client, units.accept(backend), seed=4002, size=100)
    client.close()
    return client


def found(*matches):
    """What journalctl shows of the unit."""
    said = output("journalctl", "-q", "-o", "json", f"_SYSTEMD_UNIT={UNIT}", *matches, status=None)
    return [json.loads(line) for line in said.splitlines()]


def test_the_journal_has_fields(units):
    backend = begin(units, "access-log = journal")
    visit(units, backend)
    wait_until(lambda: found("SOCKFRONT_REASON=closed", "SOCKFRONT_PROXY=vm-log"), "the record", MANY, every=0.5)
    record, = found("SOCKFRONT_REASON=closed", "SOCKFRONT_PROXY=vm-log")
    assert record["SOCKFRONT_BACKEND"] == backend.address
    assert record["SOCKFRONT_LISTENER"] == "127.0.0.1:5402"
    assert record["SOCKFRONT_UP"] == "100" and int(record["SOCKFRONT_DOWN"]) > 0
    assert (record["PRIORITY"], record["SYSLOG_IDENTIFIER"]) == ("6", "sockfront")
    assert record["MESSAGE"].startswith(f"id={record['SOCKFRONT_ID']} proxy=vm-log client=127.0.0.1:")
    assert not found("SOCKFRONT_REASON=cut")


def lines():
    if not os.path.exists(FILE):
        return []
    with open(FILE, encoding="utf-8") as file:
        return file.read().splitlines()


def test_a_file_in_the_directory_for_logs(units):
    """The user of the service may write there, and opens the file again once it was moved."""
    backend = begin(units, "access-log = yes", f"access-log-file = {FILE}")
    before = len(lines())
    visit(units, backend)
    wait_until(lambda: len(lines()) == before + 1, "the line", MANY)
    assert stat.S_IMODE(os.stat(FILE).st_mode) == 0o640
    assert stat.S_IMODE(os.stat(os.path.dirname(FILE)).st_mode) == 0o750
    os.rename(FILE, f"{FILE}.1")
    output("systemctl", "kill", "-s", "USR1", "--kill-who=main", UNIT)
    units.wait_log(UNIT, "opened again")
    visit(units, backend)
    wait_until(lambda: len(lines()) == 1, "a line in a new file", MANY)
    units.stop(UNIT)
    assert os.path.exists(FILE)
