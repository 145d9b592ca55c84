# SPDX-License-Identifier: MIT
"""The manual pages know every option that the program knows, and no other."""

import os
import re
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]
SOCKFRONT = os.environ.get("SOCKFRONT", str(TOP / "build/sockfront"))
# What is no key of the configuration file.
COMMAND_ONLY = {"check", "config", "help", "output", "units", "version"}


@pytest.fixture(scope="module")
def options():
    done = subprocess.run([SOCKFRONT, "--help"], capture_output=True, text=True, timeout=10)
    assert done.returncode == 0
    found = set(re.findall(r"(?<!\S)--([a-z][a-z0-9-]*)", done.stdout))
    assert len(found) > 25
    return found


def test_sockfront_8_describes_every_option(options):
    page = (TOP / "daemon/sockfront.8").read_text()
    described = set(re.findall(r"^\.It (?:Fl \S+ (?:Ar \S+ )?, )?Fl -([a-z0-9-]+)", page, re.MULTILINE))
    assert described == options


def test_sockfront_conf_5_describes_every_key(options):
    page = (TOP / "conf/sockfront.conf.5").read_text()
    described = set(re.findall(r"^\.It Ic ([a-z0-9-]+)", page, re.MULTILINE))
    assert described == options - COMMAND_ONLY


def test_the_sample_configuration_is_valid():
    done = subprocess.run([SOCKFRONT, "--check", "-c", TOP / "conf/sockfront.conf"],
                          capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, done.stderr
