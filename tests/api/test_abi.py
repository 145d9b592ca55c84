# SPDX-License-Identifier: MIT
"""A program that was linked with an earlier libsockfront goes on working."""

import difflib
import platform
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import abi  # noqa: E402

RENEW = """
What programs rely on has changed.  Something new at the end is fine; where
something that was there is gone, or has another size, type or value, programs
have to be built anew: give VERSION in the Makefile another first number.  Then

    make lib && /usr/bin/python3 tests/api/abi.py > tests/api/abi.txt
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the snapshot is of x86_64")
def test_nothing_has_changed_that_programs_rely_on():
    recorded = (Path(__file__).parent / "abi.txt").read_text()
    changes = list(difflib.unified_diff(recorded.splitlines(), abi.snapshot().splitlines(),
                                        "tests/api/abi.txt", "now", lineterm="", n=1))
    assert not changes, "\n".join(changes) + "\n" + RENEW
