# SPDX-License-Identifier: MIT
"""
What a build for another processor is made with, for tests/run: Debian's packages of libraries
and headers, fetched with apt-get and unpacked below build/.  Nothing is installed.

This machine's own list of packages is left alone: apt-get gets another one, in which there is
nothing yet, and so it also fetches what those packages depend on.
"""

import os
import shutil
import subprocess
from pathlib import Path

PACKAGES = ["libc6-dev", "libcmocka-dev", "libevent-dev", "libinih-dev", "libsystemd-dev"]
SECONDS = 300


class NotThere(Exception):
    """Why there is no such folder: a test that is skipped."""


def apt_get(architecture, state, *words):
    """What it said, and whether all went well; @state is the folder where it keeps what it knows."""
    settings = {
        "APT::Architecture": architecture, "APT::Architectures": architecture,
        "APT::Install-Recommends": "false", "APT::Sandbox::User": "", "Acquire::Languages": "none",
        "Acquire::http::Timeout": 30, "Dir::State": state, "Dir::State::status": "/dev/null",
        "Dir::Cache": state, "Debug::NoLocking": "true",
    }
    done = subprocess.run(
        ["apt-get", "-q", "-y", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}")),
         *words],
        env={**os.environ, "LC_ALL": "C"}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=SECONDS, check=False)
    return done.stdout, done.returncode == 0


def fetched(architecture, state):
    """The packages, as files."""
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True)
    # One list of several may be had from nowhere, and not be needed.
    apt_get(architecture, state, "update")
    said, is_done = apt_get(architecture, state, "install", "--download-only", *PACKAGES)
    if not is_done:
        raise NotThere(f"no {architecture} packages to be had: {said.strip().splitlines()[-1]}")
    return sorted(state.glob("archives/*.deb"))


def stay_inside(root):
    """Makes the symbolic links relative that are meant from the top."""
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = Path(folder, name)
            if path.is_symlink() and os.path.isabs(os.readlink(path)):
                target = os.path.relpath(f"{root}{os.readlink(path)}", folder)
                path.unlink()
                path.symlink_to(target)


def sysroot(architecture, place):
    """The folder below @place that is like / of a machine with those packages; it is made once."""
    root = place / architecture
    if root.exists():
        return root
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise NotThere("not a Debian system: there is no apt-get")
    half, state = place / f"{architecture}.half", place / f"{architecture}.apt"
    for folder in (half, state):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    try:
        for package in fetched(architecture, state):
            subprocess.run(["dpkg-deb", "-x", package, half], check=True)
    except subprocess.TimeoutExpired as late:
        raise NotThere(f"apt-get did not fetch {architecture} packages within {SECONDS} s") from late
    finally:
        shutil.rmtree(state)
    stay_inside(half)
    half.rename(root)
    return root
