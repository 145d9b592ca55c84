# SPDX-License-Identifier: MIT
"""Every key that sockfront.conf(5) describes is known to the file: a bad value is refused for its value."""

import os
import re

import pytest

from support.proxy import REPOSITORY, run

PROCESS = ("workers", "log-level", "access-log", "drain-timeout", "exit-idle-time", "max-connections",
           "pipe-size")
STATUS = ("status-host",)
TEXTS = ("check-send", "check-expect")  # of any bytes


def documented_keys():
    with open(os.path.join(REPOSITORY, "conf/sockfront.conf.5")) as page:
        keys = re.findall(r"^\.It Ic ([a-z][a-z0-9-]+)", page.read(), re.M)
    assert len(keys) > 20
    return sorted(set(keys) - {"listen", "backend"})


@pytest.mark.parametrize("name", documented_keys())
def test_key(stage, name):
    bad = "\\q" if name in TEXTS else "!" * 64  # too long for a name that only the kernel knows
    line = f"{name} = {bad}\n"
    proxy = "[proxy a]\nlisten = ./app.sock\nbackend = 127.0.0.1:9\n"
    text, number = proxy + line, 4
    if name in PROCESS:
        text, number = f"[sockfront]\n{line}{proxy}", 2
    elif name in STATUS:
        text, number = f"[status]\nlisten = @a\n{line}{proxy}", 3
    path = stage.file("sockfront.conf", text)
    status, _, log = run("--check", "-c", path)
    assert status == 2
    assert f"{path}:{number}: " in log
    assert "did you mean" not in log and "unknown" not in log
