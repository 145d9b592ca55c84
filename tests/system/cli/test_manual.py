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
COMMAND_ONLY = {"check", "config", "help", "json", "output", "status", "units", "version", "watch"}
# What is a key by another name, of which [proxy] has one too.
OF_STATUS = {"status-listen": "listen", "status-allow": "allow", "status-deny": "deny"}


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
    assert described == options - COMMAND_ONLY - set(OF_STATUS)
    section = page[page.index(".Sh STATUS KEYS"):page.index(".Sh LISTENER OPTIONS")]
    of_status = set(re.findall(r"^\.It Ic ([a-z0-9-]+)", section, re.MULTILINE))
    assert of_status == {*OF_STATUS.values(), "status-host"}


def test_sockfront_migrate_7_names_keys_that_are_there(options):
    page = (TOP / "daemon/sockfront-migrate.7").read_text()
    lines = re.findall(r"^\.Ic (.*)$", page, re.MULTILINE)
    named = {word for line in lines for word in re.findall("[a-z][a-z0-9-]*", re.split(" No | Ns ", line)[0])}
    assert len(named) > 40
    assert named <= options - COMMAND_ONLY


def test_the_sample_configuration_is_valid():
    done = subprocess.run([SOCKFRONT, "--check", "-c", TOP / "conf/sockfront.conf"],
                          capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, done.stderr
