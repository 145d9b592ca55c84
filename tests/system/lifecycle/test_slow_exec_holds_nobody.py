# SPDX-License-Identifier: MIT
"""A program that is slow to start keeps no connection of the old process from ending."""

import os
import signal

import pytest

from support.faults import Faults
from support.proc import children, command_line, descriptors, wait_until
from support.streams import outcome, reset


def waiting_for_exec(proxy):
    """The process that is still a copy of the old one."""
    arguments = proxy.command[-2:]
    return [pid for pid in children(os.getpid()) if pid != proxy.pid and command_line(pid)[-2:] == arguments]


@pytest.mark.plain_only("a sanitizer's library must be the first one loaded")
def test_resets_pass_while_exec_is_slow(stage):
    backend, faults = stage.backend(), Faults(stage)
    inherited = stage.listener()
    proxy = stage.handed([inherited], "sd-listen", backend.address, environment=faults.environment)
    address = "%s:%d" % inherited.getsockname()
    pairs = [stage.live_pair(backend, address) for _ in range(3)]
    faults.begin("exec")
    proxy.signal(signal.SIGUSR2)
    proxy.wait_log("upgrade: starting")
    new = wait_until(lambda: waiting_for_exec(proxy), "the new process")[0]
    for client, connection in pairs:
        reset(connection)
        assert outcome(client, 10) == (b"", "reset")
    assert not [name for name in descriptors(new).values() if "eventpoll" in name]
    faults.end("exec")
    proxy.followed(proxy.wait_log("takes over")[0])
    assert proxy.pid == new
    proxy.before = None


def test_what_others_passed_stays_open(stage):
    """A descriptor that is none of ours goes from process to process, as it goes over any exec()."""
    reading, writing = os.pipe()
    proxy = stage.proxy(
        stage.name("app"),
        stage.backend().address,
        handover=["--move", f"{writing}:50"],
        pass_fds=[writing],
    )
    os.close(writing)
    pipe = os.readlink(f"/proc/self/fd/{reading}")
    assert descriptors(proxy.pid)[50] == pipe
    for _ in range(2):
        proxy.upgrade()
        proxy.wait_replaced()
        assert descriptors(proxy.pid)[50] == pipe
    os.close(reading)
