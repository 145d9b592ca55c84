# SPDX-License-Identifier: MIT
"""make: what was built with another compiler, or with other flags, is built anew."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.plain_only("says nothing about what is built")


def run_make(place, *words):
    return subprocess.run(["make", "-s", "-C", TOP, f"BUILD={place}", *words], capture_output=True, text=True,
                          timeout=300)


@pytest.fixture
def build(tmp_path):
    """Makes one object, and says what was compiled."""
    def make(*variables, goal="lib/error.o"):
        done = run_make(tmp_path, *variables, tmp_path / goal)
        assert done.returncode == 0, done.stdout + done.stderr
        return [line.split()[1] for line in done.stdout.splitlines() if line.split()[0] == "CC"]
    return make


def test_nothing_is_built_twice(build):
    assert build("CC=gcc", "CFLAGS=-O1 -g") == ["lib/error.c"]
    assert build("CC=gcc", "CFLAGS=-O1 -g") == []


def test_other_flags(build):
    build("CFLAGS=-O1")
    assert build("CFLAGS=-O1 -g") == build("CFLAGS=-O1") == build("CPPFLAGS=-DX='1'", "CFLAGS=-O1") == ["lib/error.c"]


def test_another_compiler(build):
    if not shutil.which("clang"):
        pytest.skip("clang is not installed")
    build("CC=gcc")
    assert build("CC=clang") == ["lib/error.c"]


def test_one_compiler_has_several_names(build):
    if Path(shutil.which("cc")).resolve() != Path(shutil.which("gcc")).resolve():
        pytest.skip("cc is not gcc here")
    build("CC=gcc")
    assert build("CC=cc") == []


def test_a_cross_build_has_its_completions_written_by_this_machine(build, tmp_path):
    """A compiler whose programs do not run here."""
    compiler = tmp_path / "cross-gcc"
    compiler.write_text("#!/bin/sh\necho cross-gcc ran >&2; exit 1\n")
    compiler.chmod(0o755)
    build(f"CC={compiler}", "HOSTCC=gcc", "-j2", goal="completion/sockfront.fish")
    assert "-l log-level" in (tmp_path / "completion/sockfront.fish").read_text()


@pytest.mark.parametrize("found, refused", [("2.0.22-stable", True), ("2.1.8-stable", False)])
def test_a_library_that_is_too_old_is_said(tmp_path, found, refused):
    if not shutil.which("pkg-config"):
        pytest.skip("pkg-config is not installed")
    (tmp_path / "libevent.pc").write_text(f"Name: libevent\nDescription: events\nVersion: {found}\n")
    done = run_make(tmp_path, f"PKG_CONFIG=PKG_CONFIG_LIBDIR={tmp_path} pkg-config", tmp_path / "lib/error.o")
    assert (done.returncode != 0) == refused
    assert (f"libevent {found} is too old: 2.1.8 is needed" in done.stderr) == refused


@pytest.mark.parametrize("switches, words", [
    ([], []), (["VSOCK=0"], ["'vsock (VSOCK=0)'"]),
    (["SYSTEMD=0"], ["'sd-listen, accept-from-fd and libsystemd (SYSTEMD=0)'"]),
    (["MULTI=0"], ["'several addresses in one call (MULTI=0)' 'the daemon'"]),
])
def test_what_is_left_out_is_said(tmp_path, switches, words):
    done = run_make(tmp_path, "-n", "all", *switches)
    assert [line.strip() for line in re.findall(r"^printf 'without %s\\n' (.*)$", done.stdout, re.MULTILINE)] == words
