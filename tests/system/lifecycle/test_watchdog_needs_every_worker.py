# SPDX-License-Identifier: MIT
"""WATCHDOG=1 goes out twice in each period, and only while every worker's loop turns."""

import contextlib
import ctypes
import os
import time

import pytest

from support.backend import echo
from support.manager import Manager
from support.proc import threads
from support.streams import round_trip

PERIOD = 0.4


def watched(stage, workers=1, **environment):
    manager = Manager(stage)
    proxy = stage.proxy(
        f"--workers={workers}",
        "127.0.0.1:0",
        stage.backend(echo).address,
        environment={**manager.environment, **environment},
    )
    manager.wait("READY=1")
    return manager, proxy


def beats(manager, seconds):
    before = len(manager.said("WATCHDOG=1"))
    time.sleep(seconds)
    return len(manager.said("WATCHDOG=1")) - before


@contextlib.contextmanager
def frozen(tid):
    """One thread of another process stands still."""
    seize, interrupt, detach, any_child = 0x4206, 0x4207, 17, 0x40000000
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(seize, tid, None, None) < 0:
        pytest.skip(f"this machine does not let threads be traced: {os.strerror(ctypes.get_errno())}")
    assert libc.ptrace(interrupt, tid, None, None) == 0
    os.waitpid(tid, any_child)
    try:
        yield
    finally:
        assert libc.ptrace(detach, tid, None, None) == 0


@pytest.mark.parametrize("workers", [1, 3])
def test_about_twice_in_each_period(stage, workers):
    manager, _ = watched(stage, workers, WATCHDOG_USEC=str(int(PERIOD * 1e6)))
    assert 6 <= beats(manager, 4 * PERIOD) <= 10


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_stuck_worker_is_noticed(stage, index):
    """Whichever of them it is; and when it goes on, so do the messages."""
    manager, proxy = watched(stage, 3, WATCHDOG_USEC=str(int(PERIOD * 1e6)))
    worker = sorted(threads(proxy.pid))[1 + index]  # the main thread first, the manager's last
    with frozen(worker):
        beats(manager, PERIOD)  # one may have been under way
        assert beats(manager, 3 * PERIOD) == 0
        proxy.wait_log(r"error: 1 worker\(s\) of 3 stuck")
    proxy.wait_log("every worker answers again")
    assert beats(manager, 4 * PERIOD) >= 5
    with stage.connect(proxy.listening[0]) as client:
        round_trip(client)


def test_the_only_worker_is_stuck(stage):
    """Then nobody is left to say so in the log."""
    manager, proxy = watched(stage, 1, WATCHDOG_USEC=str(int(PERIOD * 1e6)))
    with frozen(proxy.pid):
        beats(manager, PERIOD)
        assert beats(manager, 3 * PERIOD) == 0
    assert beats(manager, 4 * PERIOD) >= 5
    with stage.connect(proxy.listening[0]) as client:
        round_trip(client)


QUIET = {
    "not asked for": {},
    "of another process": {"WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"},
    "nonsense": {"WATCHDOG_USEC": "soon"},
    "zero": {"WATCHDOG_USEC": "0"},
}


@pytest.mark.parametrize("case", QUIET)
def test_none_where_nobody_waits_for_it(stage, case):
    manager, proxy = watched(stage, **QUIET[case])
    woken = proxy.wakeups_during(0.6)
    assert not manager.said("WATCHDOG=1")
    assert woken < 5, "no timer runs for it"
