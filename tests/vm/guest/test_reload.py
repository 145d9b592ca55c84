# SPDX-License-Identifier: MIT
"""systemctl reload: all of a good file or nothing of a bad one, and nobody is lost by either."""

import os
import re
import socket

from support.backend import echo
from load import Load, Transfer
from support.proc import wait_until
from support.streams import exchange
from units import MANY

TCP, UNIX = socket.AF_INET, socket.AF_UNIX


def proxy(name, listen, backend):
    return f"[proxy {name}]\nlisten = {listen}\nbackend = {backend.address}\n"


def connect(units, family, address):
    client = units.keep(socket.socket(family))
    client.connect(address)
    return client


def refused(family, address):
    with socket.socket(family) as client:
        return client.connect_ex(address) != 0


def listens_on(port):
    """The inode of the socket that listens there, or None."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        found = re.search(rf":{port:04X} 00000000:0000 0A (?:\S+ +){{5}}(\d+)", table.read())
    return found and found[1]


def test_bad_file_changes_nothing(units):
    backend = units.backend()
    unit = units.service("vm-bad", proxy("a", "127.0.0.1:4301", backend))
    pid, inode = units.main_pid(unit), listens_on(4301)
    transfer = Transfer(units, TCP, ("127.0.0.1", 4301), backend)
    units.configuration("vm-bad", proxy("a", "127.0.0.1:4302", backend) + "no-such-key = 1\n")
    units.ctl("reload", unit, status=1)
    units.wait_log(unit, r"/etc/sockfront/vm-bad\.conf:4: .*no-such-key")
    # Past the check too: who sends the signal by hand.
    told = len(re.findall("no-such-key", units.log(unit)))
    units.ctl("kill", "--signal=HUP", "--kill-who=main", unit)
    wait_until(lambda: len(re.findall("no-such-key", units.log(unit))) > told, "it says so again",
               MANY, 0.1)
    assert (units.main_pid(unit), listens_on(4301)) == (pid, inode)
    assert units.show(unit, "ActiveState") == "active"
    assert refused(TCP, ("127.0.0.1", 4302))
    transfer.end()
    exchange(connect(units, TCP, ("127.0.0.1", 4301)), units.accept(backend))


def test_good_file_adds_and_removes(units):
    stays, goes, comes = units.backend(), units.backend(), units.backend()
    old = proxy("stays", "127.0.0.1:4303", stays) + proxy("goes", "/run/vm-good/goes.sock", goes)
    unit = units.service("vm-good", old)
    pid, inode = units.main_pid(unit), listens_on(4303)
    transfer = Transfer(units, UNIX, "/run/vm-good/goes.sock", goes)
    units.configuration("vm-good", proxy("stays", "127.0.0.1:4303", stays)
                        + proxy("comes", "/run/vm-good/comes.sock", comes)
                        + proxy("too", "127.0.0.1:4304", comes))
    units.ctl("reload", unit)
    wait_until(lambda: os.path.exists("/run/vm-good/comes.sock"), "what is new is there", MANY, 0.1)
    wait_until(lambda: not os.path.exists("/run/vm-good/goes.sock"), "what is old is gone", MANY, 0.1)
    assert (units.main_pid(unit), listens_on(4303)) == (pid, inode)
    exchange(connect(units, TCP, ("127.0.0.1", 4303)), units.accept(stays), seed=1)
    exchange(connect(units, UNIX, "/run/vm-good/comes.sock"), units.accept(comes), seed=2)
    exchange(connect(units, TCP, ("127.0.0.1", 4304)), units.accept(comes), seed=3)
    transfer.end()
    units.wait_state(unit, "active")
    wait_until(lambda: "3 proxies" in units.show(unit, "StatusText"), "the status says so", MANY, 0.1)


def test_reloads_under_load(units):
    """The settings change each time; those who connect notice nothing."""
    backend = units.backend(echo)
    text = proxy("a", "127.0.0.1:4305\nlisten = /run/vm-often/a.sock", backend)
    unit = units.service("vm-often", text)
    pid, inode = units.main_pid(unit), listens_on(4305)
    load = Load((TCP, ("127.0.0.1", 4305)), (UNIX, "/run/vm-often/a.sock"))
    for number in range(4):
        units.configuration("vm-often", text + f"connect-timeout = {number + 20}s\n"
                            + proxy("b", f"@vm-often-{number}", backend))
        units.ctl("reload", unit)
        wait_until(lambda: not refused(UNIX, f"\0vm-often-{number}"), "it is in force", MANY, 0.1)
    load.wait_more(2)
    load.stop()
    assert (units.main_pid(unit), listens_on(4305)) == (pid, inode)


def test_socket_of_a_unit_goes_to_another_proxy(units):
    """What was inherited stays open, and is matched again by name."""
    first, second = units.backend(), units.backend()
    units.configuration("vm-match", "[proxy one]\nlisten = sd-listen:vm-match\n"
                        f"backend = {first.address}\n")
    units.used("sockfront@vm-match.service")
    units.start("sockfront@vm-match.socket")
    path = "/run/sockfront@vm-match.sock"
    exchange(connect(units, UNIX, path), units.accept(first))
    units.configuration("vm-match", "[proxy two]\nlisten = sd-listen:*\n"
                        f"backend = {second.address}\n" + proxy("more", "@vm-match", first))
    units.ctl("reload", "sockfront@vm-match.service")
    wait_until(lambda: not refused(UNIX, "\0vm-match"), "it is in force", MANY, 0.1)
    exchange(connect(units, UNIX, path), units.accept(second))
