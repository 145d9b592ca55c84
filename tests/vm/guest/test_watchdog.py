# SPDX-License-Identifier: MIT
"""WatchdogSec=: a process that turns is left alone, one that stands still is replaced."""

import os
import signal
import socket
import time

from support.proc import wait_until
from support.streams import exchange
from units import MANY


def begin(units, name):
    backend = units.backend()
    unit = units.service(name, f"[sockfront]\nworkers = 2\n[proxy a]\nlisten = @{name}\n"
                         f"backend = {backend.address}\n", "WatchdogSec=3s\n")
    return unit, backend, units.main_pid(unit)


def assert_serves(units, name, backend):
    client = units.keep(socket.socket(socket.AF_UNIX))
    client.connect(f"\0{name}")
    exchange(client, units.accept(backend))


def test_stays_up(units):
    unit, backend, pid = begin(units, "vm-turns")
    # Nothing can be heard of a watchdog that is fed but that time passes.
    time.sleep(8)
    assert_serves(units, "vm-turns", backend)
    assert (units.main_pid(unit), units.show(unit, "NRestarts")) == (pid, 0)


def test_is_replaced_when_it_stands_still(units):
    unit, backend, pid = begin(units, "vm-stands")
    os.kill(pid, signal.SIGSTOP)
    units.wait_other_main_pid(unit, pid)
    units.wait_log(unit, "[Ww]atchdog timeout")
    assert_serves(units, "vm-stands", backend)
    assert units.show(unit, "NRestarts") >= 1


def test_new_process_of_an_upgrade_is_watched_too(units):
    unit, backend, pid = begin(units, "vm-both")
    units.ctl("kill", "--signal=USR2", "--kill-who=main", unit)
    second = units.wait_other_main_pid(unit, pid)
    time.sleep(5)
    assert units.main_pid(unit) == second
    os.kill(second, signal.SIGSTOP)
    units.wait_other_main_pid(unit, second)
    wait_until(lambda: units.show(unit, "NRestarts") >= 1, "it was started again", MANY, 0.1)
    assert_serves(units, "vm-both", backend)
