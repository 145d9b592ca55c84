# SPDX-License-Identifier: MIT
"""make SYSTEMD=0: a daemon that needs no libsystemd, and says what it lacks."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.once import once
from support.proxy import SOCKFRONT
from support.stage import need
from support.streams import exchange

TOP = Path(__file__).resolve().parents[3]
BUILD = Path(SOCKFRONT).parent
PLACE = TOP / "build/without-libsystemd"

pytestmark = pytest.mark.plain_only("is built anew")


def build_without():
    """Of what is compiled already, but for the files that call libsystemd."""
    shutil.rmtree(PLACE / "objects", ignore_errors=True)
    (PLACE / "objects").mkdir()
    kept = [BUILD / name for name in ("lib", "conf", "daemon", "made-with.txt")]
    subprocess.run(["cp", "-a", *kept, PLACE / "objects"], check=True)
    done = subprocess.run(
        ["make", "-s", "-C", TOP, "CC=gcc", "WERROR=1", "SYSTEMD=0", f"BUILD={PLACE}/objects", f"{PLACE}/objects/sockfront"],
        env={name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")},
        capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def program(run_id):
    with once(PLACE, "build", run_id) as is_first:
        if is_first:
            build_without()
    return PLACE / "objects/sockfront"


def test_it_is_not_linked_with_it(program):
    def needed(binary):
        return subprocess.run([need("readelf"), "-d", binary], check=True, capture_output=True, text=True).stdout

    assert "libsystemd.so" in needed(SOCKFRONT) and "libsystemd.so" not in needed(program)


def test_it_serves_and_is_replaced(stage, program):
    backend = stage.backend()
    proxy = stage.proxy("127.0.0.1:0", stage.path("app.sock"), backend.address, sockets=2, program=program)
    before, listening = proxy.pid, list(proxy.listening)
    for address in listening:
        exchange(*stage.live_pair(backend, address), seed=1, size=100000)
    proxy.upgrade()
    assert proxy.pid != before
    for address in listening:
        exchange(*stage.live_pair(backend, address), seed=2, size=1000)


def test_sd_listen_is_refused(stage, program):
    backend = stage.backend()
    proxy = stage.handed([stage.listener()], "sd-listen", backend.address, listening=0, program=program)
    assert proxy.wait() == 1
    assert proxy.grep("built without sd-listen")


def test_a_manager_that_listens_is_warned_about(stage, program):
    proxy = stage.proxy("127.0.0.1:0", stage.backend().address, program=program,
                        environment={"NOTIFY_SOCKET": stage.name("manager")})
    proxy.wait_log("NOTIFY_SOCKET is set, but sockfront was built without libsystemd")


def test_a_unit_cannot_be_started(stage, program):
    """The client that wanted it is told at once, as when it has failed."""
    proxy = stage.proxy("--backend-unit=wiki.service", "127.0.0.1:0", stage.path("wiki.sock"), program=program)
    assert stage.visit(proxy.listening[0])[1] == "reset"
    proxy.wait_log("unit wiki.service failed: sockfront was built without libsystemd")


@pytest.mark.parametrize("switch, installed", [("SYSTEMD=1", True), ("SYSTEMD=0", False)])
def test_no_unit_is_installed(tmp_path, switch, installed):
    """Which would wait for a word from it."""
    done = subprocess.run(["make", "-C", TOP, "-n", "install", switch, f"BUILD={tmp_path}", f"DESTDIR={tmp_path}"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "daemon/sockfront.8" in done.stdout, done.stderr
    assert ("systemd/sockfront@.service" in done.stdout) == installed
