# SPDX-License-Identifier: MIT
"""sockfront.service as "make install" puts it: what it serves, what it may do, how it ends."""

import grp
import os
import re
import socket

from support.proc import wait_until
from support.streams import (Background, exchange, random_bytes, read_exactly, read_to_end,
                     send_in_background)
from units import EXAMPLES, MANY, commented, output

UNIT = "sockfront.service"
BUSY = """
[sockfront]
access-log = yes

[proxy vm]
listen = 127.0.0.1:4001
listen = /run/sockfront/vm.sock
listen = @vm-installed
listen = vsock:local:4001
unix-listen-chmod = group
backend = {}
"""


def connect(units, family, address):
    client = units.keep(socket.socket(family))
    client.connect(address)
    return client


def begin(units, configuration=BUSY):
    units.alone()
    backend = units.backend()
    units.configuration("sockfront", configuration.format(backend.address))
    units.start(UNIT)
    return backend


def test_serves_what_its_file_says(units):
    backend = begin(units)
    for family, address in ((socket.AF_INET, ("127.0.0.1", 4001)),
                            (socket.AF_UNIX, "/run/sockfront/vm.sock"),
                            (socket.AF_UNIX, "\0vm-installed"),
                            (socket.AF_VSOCK, (1, 4001))):
        client = connect(units, family, address)
        exchange(client, units.accept(backend), seed=4001)
    assert os.stat("/run/sockfront/vm.sock").st_mode & 0o777 == 0o660
    for listener in ("127.0.0.1:4001", "/run/sockfront/vm.sock", "@vm-installed", "vsock:1:4001"):
        units.wait_log(UNIT, f"listening on {re.escape(listener)}, ")
    units.stop(UNIT)
    assert units.show(UNIT, "Result") == "success"
    assert not os.path.exists("/run/sockfront")


def test_user_is_nobody_else(units):
    begin(units)
    pid = units.main_pid(UNIT)
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file)
    uids = {int(uid) for uid in status["Uid"].split()}
    assert len(uids) == 1 and 61184 <= uids.pop() <= 65519, status["Uid"]
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[capabilities], 16) == 0, f"{capabilities} {status[capabilities]}"
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_may_do_what_it_needs_and_no_more(units):
    units.alone()
    units.drop_in(UNIT, "[Service]\nType=oneshot\nRestart=no\nExecReload=\nExecStart=\n"
                        "ExecStart=/usr/bin/python3 -B /vm/probe.py\n")
    units.start(UNIT)
    units.wait_log(UNIT, "all tried")
    assert sorted(re.findall("^may: (.*)$", units.log(UNIT), re.MULTILINE)) == [
        "open a UNIX socket", "open a vsock socket", "write to /run/sockfront"]


def test_exposure_of_the_loaded_unit(units):
    begin(units)
    said = output("systemd-analyze", "security", "--no-pager", UNIT)
    exposure = re.search(rf"Overall exposure level for {UNIT}: ([0-9.]+)", said)
    assert exposure, said
    assert float(exposure[1]) <= 1.6, said


def test_each_proxy_has_a_group_of_its_own(units):
    """unix-listen-gid, with the drop-in that the unit's comment shows for it."""
    units.alone()
    backend = units.backend()
    (drop_in,) = [text for text in commented(UNIT) if "SupplementaryGroups=" in text]
    units.drop_in(UNIT, drop_in)
    groups = re.search("SupplementaryGroups=(.*)", drop_in)[1].split()
    assert len(groups) > 1
    units.configuration("sockfront", "".join(
        f"[proxy {group}]\nlisten = /run/sockfront/{group}.sock\nunix-listen-gid = {group}\n"
        f"unix-listen-chmod = group\nbackend = {backend.address}\n" for group in groups))
    units.start(UNIT)
    for group in groups:
        path, gid = f"/run/sockfront/{group}.sock", grp.getgrnam(group).gr_gid
        found = os.stat(path)
        assert (found.st_mode & 0o777, found.st_gid) == (0o660, gid)
        # A member of the group can connect, and nobody else.
        for number, status in ((gid, 0), (900, 1)):
            output("setpriv", "--reuid=65534", f"--regid={number}", "--clear-groups",
                   "socat", "-u", "OPEN:/dev/null", f"UNIX-CONNECT:{path}", status=status)


def test_comment_shows_a_group_for_all_sockets(units):
    units.alone()
    backend = units.backend()
    (drop_in,) = [text for text in commented(UNIT) if "\nGroup=" in text]
    units.drop_in(UNIT, drop_in)
    units.configuration("sockfront", BUSY.format(backend.address))
    units.start(UNIT)
    group = re.search("\nGroup=(.*)", drop_in)[1]
    assert os.stat("/run/sockfront/vm.sock").st_gid == grp.getgrnam(group).gr_gid


def test_comment_shows_how_to_change_things_without_losing_a_connection(units):
    backend = begin(units)
    (commands,) = [text for text in commented(UNIT) if "USR2" in text]
    reload, upgrade = commands.splitlines()
    client = connect(units, socket.AF_INET, ("127.0.0.1", 4001))
    connection = units.accept(backend)
    first = units.main_pid(UNIT)
    output(*reload.split())
    units.wait_log(UNIT, "reloaded ")
    assert units.main_pid(UNIT) == first
    output(*upgrade.split())
    units.wait_other_main_pid(UNIT, first)
    exchange(client, connection)


def test_stop_lets_a_transfer_end(units):
    backend = begin(units)
    client = connect(units, socket.AF_INET, ("127.0.0.1", 4001))
    connection = units.accept(backend)
    data = random_bytes(1, 12 << 20)
    sending = send_in_background(client, data)
    first = read_exactly(connection, 1 << 20)
    stopping = Background(units.stop, UNIT)
    units.wait_state(UNIT, "deactivating")
    assert first + read_to_end(connection) == data
    sending.result()
    connection.sendall(b"all of it")
    connection.close()
    assert read_to_end(client) == b"all of it"
    client.close()
    stopping.result()
    assert units.show(UNIT, "Result") == "success"
    assert not re.search("cut [0-9]", units.log(UNIT))


def test_crash_is_followed_by_a_new_start(units):
    backend = begin(units)
    first = units.main_pid(UNIT)
    units.ctl("kill", "--signal=KILL", "--kill-who=main", UNIT)
    wait_until(lambda: units.show(UNIT, "ActiveState") == "active"
               and units.main_pid(UNIT) != first, "it runs again", MANY, 0.1)
    exchange(connect(units, socket.AF_UNIX, "/run/sockfront/vm.sock"), units.accept(backend))


def test_bad_file_ends_it_for_good(units):
    units.alone()
    units.configuration("sockfront", "[proxy vm]\nlisten = 127.0.0.1:4001\nbackand = 127.0.0.1:9\n")
    units.start(UNIT, status=1)
    assert units.show(UNIT, "ActiveState") == "failed"
    assert (units.show(UNIT, "ExecMainStatus"), units.show(UNIT, "NRestarts")) == (2, 0)
    units.wait_log(UNIT, r"/etc/sockfront/sockfront\.conf:3: .*backend")


def test_privileged_ports_with_the_drop_in(units):
    only_port_80 = "[proxy vm]\nlisten = 127.0.0.1:80\nbackend = {}\n"
    units.alone()
    backend = units.backend()
    units.configuration("sockfront", only_port_80.format(backend.address))
    units.start(UNIT, status=1)
    units.wait_log(UNIT, "127.0.0.1:80: .*CAP_NET_BIND_SERVICE")
    units.stop(UNIT)
    with open(f"{EXAMPLES}/privileged-ports.conf", encoding="utf-8") as text:
        units.drop_in(UNIT, text.read())
    units.start(UNIT)
    exchange(connect(units, socket.AF_INET, ("127.0.0.1", 80)), units.accept(backend))
    with open(f"/proc/{units.main_pid(UNIT)}/status", encoding="ascii") as status:
        assert re.search(r"^CapEff:\t0*400$", status.read(), re.MULTILINE)
