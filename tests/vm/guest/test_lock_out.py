# SPDX-License-Identifier: MIT
"""
What fails under a shipped .socket unit is tried again, and the socket is there
all the while: the clients that came meanwhile are served.  systemd's limits are
set to one, where a shipped unit has not turned them off.
"""

import re
import socket

from support.proc import wait_until
from support.streams import exchange, read_to_end
from units import MANY, commented, contents, output

WRONG = "[proxy a]\nlisten = sd-listen\nbackand = {}\n"
RIGHT = WRONG.replace("backand", "backend")
ONE_START = "[Unit]\nStartLimitBurst=1\n"
ONE_TRIGGER = ONE_START + "[Socket]\nTriggerLimitBurst=1\n"


def connect(units, path):
    client = units.keep(socket.socket(socket.AF_UNIX))
    client.connect(path)
    return client


def begin(units, name, configuration, drop_in=""):
    """An instance with limits of one, which mean nothing where limits are off."""
    unit, service = f"sockfront@{name}.socket", f"sockfront@{name}.service"
    units.configuration(name, configuration)
    units.drop_in(unit, ONE_TRIGGER)
    units.drop_in(service, ONE_START + drop_in)
    units.used(service)
    units.start(unit)
    return unit, service


def times_of(units, service, pattern, number):
    """When it said that, as soon as it has that many times."""

    def found():
        times = [seconds for seconds, _, message in units.journal.of([service], units.since)
                 if re.search(pattern, message)]
        return times if len(times) >= number else None

    return wait_until(found, f"{service} logs {pattern!r} {number} times", MANY, 0.1)


def test_wrong_file_is_tried_again_until_it_is_right(units):
    backend = units.backend()
    unit, service = begin(units, "typo", WRONG.format(backend.address))
    client = connect(units, "/run/sockfront@typo.sock")
    tried = times_of(units, service, r"typo\.conf:3: .*backend", 2)
    units.wait_log(service, "Main process exited, code=exited, status=2")
    # systemd is not kept busy: it waits a second each time.
    assert min(later - earlier for earlier, later in zip(tried, tried[1:])) > 0.9
    assert units.show(unit, "ActiveState") == "active"
    units.configuration("typo", RIGHT.format(backend.address))
    exchange(client, units.accept(backend))
    # A crash is another start.
    units.ctl("kill", "--signal=KILL", "--kill-who=main", service)
    exchange(connect(units, "/run/sockfront@typo.sock"), units.accept(backend))
    assert units.show(unit, "Result") == "success"


def test_backend_unit_that_fails(units):
    """With what the comment of the template advises for a backend."""
    file, drop_in = (text.replace("web", "wanting").replace("8080", "4701")
                     for text in commented("sockfront@.service"))
    units.unit("wanting-backend.service",
               "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exit 1'\n")
    unit, service = begin(units, "wanting", file, drop_in)
    units.used("wanting-backend.service")
    client = connect(units, "/run/sockfront@wanting.sock")
    units.wait_state(service, "active")
    assert units.show("wanting-backend.service", "ActiveState") == "failed"
    exchange(client, units.accept(units.backend(port=4701)))
    assert units.show(unit, "Result") == "success"


def test_socket_is_started_again_and_again(units):
    unit, _ = begin(units, "often", RIGHT)
    for _ in range(3):
        units.ctl("restart", unit)
    connect(units, "/run/sockfront@often.sock")


def test_other_socket_of_an_example_is_taken(units):
    """cache.socket cannot be bound: the file server works as soon as that one is free again."""
    taken = units.keep(socket.socket())
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("127.0.0.1", 4702))
    taken.listen()
    units.example("two-proxies", ("7379", "4702"), ("6379", "4703"), ("8081", "4704"),
                  ("cache", "vm-cache"), ("files", "vm-files"), ("two-proxies", "vm-two"),
                  restricted=False)
    units.used("vm-cache.socket", "vm-two.service", "vm-cache-server.service",
               "vm-files-server.service")
    units.start("vm-cache.socket", status=1)
    units.start("vm-files.socket")
    client = connect(units, "/run/vm-files.sock")
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    wait_until(lambda: units.show("vm-two.service", "NRestarts") >= 1, "it was tried again", MANY,
               0.1)
    assert units.show("vm-files.socket", "ActiveState") == "active"
    taken.close()
    assert b"200 OK" in read_to_end(client, MANY)
    assert output("redis-cli", "-p", "4702", "ping") == "PONG"


def test_flood_of_single_connections(units):
    """More of them within the limit's time than the 200 that systemd allows if nothing is said."""
    units.example("per-connection", ("reports", "vm-flood"), ("8090", "4705"), ("8091", "4706"),
                  restricted=False)
    units.drop_in("vm-flood.socket", "[Socket]\nTriggerLimitIntervalSec=1h\n"
                  # So that most of them only cost a closed connection: neither a process, nor
                  # a line in the journal, nor the one that systemd starts to accept from TCP.
                  "MaxConnections=1\nLogLevelMax=err\nListenStream=@vm-flood\n")
    units.used("vm-flood-server.service")
    units.start("vm-flood.socket")
    for _ in range(210):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect("\0vm-flood")
    wait_until(lambda: units.show("vm-flood.socket", "NAccepted") > 0
               and units.show("vm-flood.socket", "NConnections") == 0, "none is left", MANY, 0.1)
    before = units.show("vm-flood.socket", "NAccepted")
    connect(units, "\0vm-flood")
    wait_until(lambda: units.show("vm-flood.socket", "NAccepted") > before, "one more is served",
               MANY, 0.1)
    assert units.show("vm-flood.socket", "Result") == "success"


def test_socket_that_was_given_up_comes_back_as_the_manual_says(units):
    page = contents("/vm/sockfront.8").partition(".Ss Sockets that systemd has given up")[2]
    lines = page.partition(".Bd")[2].partition(".Ed")[0].splitlines()
    commands = [line[2:].replace("web.", "vm-revived.") for line in lines if line.startswith("# ")]
    assert len(commands) == 3
    # As other units are: with systemd's limits, and a service that ends at once.
    units.unit("vm-revived.socket", "[Socket]\nListenStream=@vm-revived\nTriggerLimitBurst=2\n"
               "TriggerLimitIntervalSec=1h\n")
    units.unit("vm-revived.service", "[Service]\nExecStart=/bin/sh -c 'exit 1'\n")
    units.used("vm-revived.service")
    units.start("vm-revived.socket")
    connect(units, "\0vm-revived")
    units.wait_state("vm-revived.socket", "failed")
    status, *others = commands
    assert "trigger-limit-hit" in output(*status.split(), status=3)
    backend = units.backend()
    units.unit("vm-revived.service",
               f"[Service]\nExecStart=/usr/bin/sockfront sd-listen {backend.address}\n")
    units.ctl("daemon-reload")
    for command in others:
        output(*command.split())
    exchange(connect(units, "\0vm-revived"), units.accept(backend))
