# SPDX-License-Identifier: MIT
"""make: what was built with another compiler, or with other flags, is built anew."""

import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.plain_only("says nothing about what is built")


@pytest.fixture
def build(tmp_path):
    """Makes one object, and says what was compiled."""
    def make(*variables, goal="lib/error.o"):
        done = subprocess.run(["make", "-s", "-C", TOP, f"BUILD={tmp_path}", *variables, tmp_path / goal],
                              capture_output=True, text=True, timeout=300)
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
