# SPDX-License-Identifier: MIT
"""Fixtures: every test gets a stage of its own and prints the seed it ran with."""

import ctypes
import os
import resource
import shutil
import signal
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from support.proxy import SANITIZE, SOCKFRONT, adopt_orphans  # noqa: E402
from support.stage import Stage  # noqa: E402

# Which way bytes go: by recv and send alone, or by splice once there are many.
DATA_PATHS = {"copy": ["--pipe-size", "0"], "splice": []}


def enter_own_network():
    """Each worker has a loopback of its own: a port that one has left is not taken by another's client."""
    new_network = 0x40000000
    ip = shutil.which("ip", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if ip and ctypes.CDLL(None).unshare(new_network) == 0:
        subprocess.run([ip, "link", "set", "lo", "up"], check=True)


def pytest_configure(config):
    adopt_orphans()
    # Under nohup(1) it is ignored, which the proxies would inherit and keep; a handler is not inherited.
    signal.signal(signal.SIGHUP, lambda *_: None)
    if hasattr(config, "workerinput"):
        enter_own_network()
    config.addinivalue_line("markers", "plain_only(reason): says nothing about a build with sanitizers")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if not os.access(SOCKFRONT, os.X_OK):
        raise pytest.UsageError(f"{SOCKFRONT} is not there: build it, or set SOCKFRONT")


def pytest_collection_modifyitems(config, items):
    """With sanitizers, what is about the plain build alone is left to its own run."""
    left_out = [item for item in items if SANITIZE and item.get_closest_marker("plain_only")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    result = yield
    if call.when == "call":
        item.failed_in_call = result.get_result().failed


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter):
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        terminalreporter.write_line(f"skipped: {report.nodeid}: {reason}")


@pytest.fixture(scope="session")
def run_id(request):
    """The same for every worker of a run, and for no other run: see support/once.py."""
    return request.config.workerinput["testrunuid"] if hasattr(request.config, "workerinput") else os.urandom(8).hex()


@pytest.fixture
def seed():
    value = int(os.environ.get("SEED", "0")) or int.from_bytes(os.urandom(4), "big")
    print(f"seed: {value} (SEED={value} repeats it)")
    return value


@pytest.fixture
def stage(request, seed):
    stage = Stage(seed)
    yield stage
    stage.tear_down(getattr(request.node, "failed_in_call", True))


@pytest.fixture(params=DATA_PATHS)
def data_path(request):
    return DATA_PATHS[request.param]
