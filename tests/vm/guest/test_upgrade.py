# SPDX-License-Identifier: MIT
"""SIGUSR2: another process takes everything over, and systemd goes with it."""

import os
import signal
import socket

from support.backend import echo
from load import Load, Transfer
from support.proc import wait_until
from support.streams import exchange
from units import MANY

TCP, UNIX = socket.AF_INET, socket.AF_UNIX
TEXT = """
[proxy a]
listen = 127.0.0.1:{port}
listen = /run/{name}/a.sock
backend = {backend}
"""


def begin(units, name, port, handler=None):
    backend = units.backend(handler)
    unit = units.service(name, TEXT.format(name=name, port=port, backend=backend.address))
    return unit, backend, [(TCP, ("127.0.0.1", port)), (UNIX, f"/run/{name}/a.sock")]


def upgrade(units, unit):
    before = units.main_pid(unit)
    units.ctl("kill", "--signal=USR2", "--kill-who=main", unit)
    after = units.wait_other_main_pid(unit, before)
    assert units.show(unit, "ActiveState") == "active"
    return before, after


def ended(pid):
    return not os.path.exists(f"/proc/{pid}")


def test_upgrades_under_load(units):
    unit, _, addresses = begin(units, "vm-upgrade", 4501, echo)
    load = Load(*addresses)
    for _ in range(2):
        before, _ = upgrade(units, unit)
        load.wait_more(1)
    load.stop()
    wait_until(lambda: ended(before), "the old process has ended", MANY)
    assert units.show(unit, "NRestarts") == 0
    units.stop(unit)
    assert units.show(unit, "Result") == "success"
    assert not os.path.exists("/run/vm-upgrade")


def test_transfer_goes_on_in_the_old_process(units):
    unit, backend, addresses = begin(units, "vm-long", 4502)
    transfer = Transfer(units, *addresses[0], backend)
    first, second = upgrade(units, unit)
    assert not ended(first)
    newer = Transfer(units, *addresses[1], backend)
    upgrade(units, unit)
    transfer.end()
    wait_until(lambda: ended(first), "the first process has ended", MANY)
    assert not ended(second)
    newer.end()
    wait_until(lambda: ended(second), "the second process has ended", MANY)
    assert units.show(unit, "ActiveState") == "active"


def test_file_that_has_become_bad_changes_nothing(units):
    unit, backend, addresses = begin(units, "vm-worse", 4503)
    pid = units.main_pid(unit)
    units.configuration("vm-worse", "[proxy a]\nlisten = 127.0.0.1:4503\n")
    units.ctl("kill", "--signal=USR2", "--kill-who=main", unit)
    units.wait_log(unit, r"/etc/sockfront/vm-worse\.conf:1: .*backend")
    units.wait_log(unit, "upgrade.*(fail|not|goes on)|(fail|not|goes on).*upgrade")
    for family, address in addresses:
        client = units.keep(socket.socket(family))
        client.connect(address)
        exchange(client, units.accept(backend))
    assert units.main_pid(unit) == pid
    assert units.show(unit, "ActiveState") == "active"


def test_new_process_is_watched_like_the_old(units):
    """systemd notices when it dies, though it is no child of systemd's child."""
    unit, backend, addresses = begin(units, "vm-child", 4504)
    _, second = upgrade(units, unit)
    os.kill(second, signal.SIGKILL)
    units.wait_other_main_pid(unit, second)
    client = units.keep(socket.socket())
    client.connect(addresses[0][1])
    exchange(client, units.accept(backend))
    assert units.show(unit, "NRestarts") == 1


def test_sockets_of_systemd_go_along(units):
    backend = units.backend(echo)
    units.configuration("vm-along", "[proxy a]\nlisten = sd-listen:vm-along\n"
                        f"backend = {backend.address}\n")
    unit, path = "sockfront@vm-along.service", "/run/sockfront@vm-along.sock"
    units.used(unit)
    units.start("sockfront@vm-along.socket")
    load = Load((UNIX, path))
    for _ in range(2):
        upgrade(units, unit)
    load.wait_more(2)
    load.stop()
    units.stop(unit)
    load = Load((UNIX, path))
    load.stop()
    assert units.show(unit, "ActiveState") == "active"
