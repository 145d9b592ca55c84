# SPDX-License-Identifier: MIT
"""make install: no root, no systemd, nothing outside the prefix, and gone again after uninstall."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.installation import make_command

NOBODY = 65534


def make(target, *variables):
    """As somebody without rights, and without systemd's tools in the path."""
    tools = ["make", "sh", "install", "sed", "find", "sort", "rm", "mkdir", "printf", "ln"]
    bin_dir = variables[0]
    bin_dir.mkdir(exist_ok=True)
    for tool in tools:
        if not (bin_dir / tool).exists():
            (bin_dir / tool).symlink_to(shutil.which(tool))
    nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    done = subprocess.run(
        make_command(target, *variables[1:]),
        env={"PATH": str(bin_dir)}, capture_output=True, text=True, timeout=60, **nobody)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def place(tmp_path):
    """A directory of nobody's, which nobody can reach."""
    for parent in [tmp_path, *tmp_path.parents]:
        if parent.stat().st_uid == os.geteuid() and parent.is_relative_to("/tmp") and parent != Path("/tmp"):
            parent.chmod(0o755)
    root = tmp_path / "root"
    root.mkdir()
    if os.geteuid() == 0:
        os.chown(root, NOBODY, NOBODY)
    return tmp_path


def files(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def test_install_into_a_destdir(place):
    root = place / "root"
    make("install", place / "bin", f"DESTDIR={root}", "PREFIX=/opt/front")
    there = files(root)
    for wanted in ["bin/sockfront", "share/man/man8/sockfront.8", "share/man/man5/sockfront.conf.5",
                   "share/man/man7/sockfront-migrate.7",
                   "lib/systemd/system/sockfront.service", "lib/systemd/system/sockfront@.service",
                   "lib/systemd/system/sockfront@.socket", "share/doc/sockfront/sockfront.conf",
                   "include/sockfront/listener.h", "lib/libsockfront.a", "lib/libsockfront.so",
                   "lib/libsockfront.so.0", "lib/pkgconfig/libsockfront.pc",
                   "lib/pkgconfig/libsockfront-event.pc", "share/man/man3/sockfront.3",
                   "share/man/man7/sockfront_address.7",
                   "share/doc/sockfront/LICENSE", "share/doc/sockfront/README.md",
                   "share/doc/sockfront/NEWS.md", "share/doc/sockfront/FAULTS.md",
                   "share/bash-completion/completions/sockfront", "share/zsh/site-functions/_sockfront",
                   "share/fish/vendor_completions.d/sockfront.fish"]:
        assert f"opt/front/{wanted}" in there
    assert all(name.startswith("opt/front/") for name in there), "nothing in /etc, nothing elsewhere"

    units = [path for path in root.rglob("*.service")]
    starts = [start for unit in units
              for start in re.findall(r"^ExecStart=(\S*sockfront) ", unit.read_text(), re.MULTILINE)]
    assert len(starts) >= 6
    assert set(starts) == {"/opt/front/bin/sockfront"}

    version = subprocess.run([root / "opt/front/bin/sockfront", "--version"], capture_output=True,
                             text=True, timeout=10)
    assert version.returncode == 0 and re.search(r"\d+\.\d+", version.stdout)

    make("uninstall", place / "bin", f"DESTDIR={root}", "PREFIX=/opt/front")
    assert files(root) == []
