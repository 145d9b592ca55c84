# SPDX-License-Identifier: MIT
"""daemon/README.md leads through files that are there, and through few of them."""

import re
from collections import Counter

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from headers import ROOMS, TOP  # noqa: E402

TEXT = (TOP / "daemon/README.md").read_text()


def files_of(text):
    """Every file that is named, from the top of the tree."""
    names = re.findall(r"`([\w./]+\.(?:c|h|5|py|md))`", text)
    return [name if name.startswith(("conf/", "lib/", "tests/")) else f"daemon/{name}"
            for name in names]


def walk(title):
    found = re.search(rf"^\*\*{title}\*\*.*?(?=^\*\*|^## )", TEXT, re.MULTILINE | re.DOTALL)
    assert found, title
    return Counter(name for name in files_of(found[0]) if name.endswith((".c", ".h")))


def test_each_file_is_there():
    names = files_of(TEXT)
    assert len(names) > 30
    assert not [name for name in names if not (TOP / name).is_file()]


def test_each_room_is_described():
    assert re.findall(r"^\| `(\w+)/` \|", TEXT, re.MULTILINE) == ROOMS
    assert " < ".join(ROOMS) in TEXT


def test_a_connection_visits_few_files():
    visits = walk("A connection")
    assert len(visits) <= 12 and max(visits.values()) <= 3, visits


def test_a_key_visits_few_files():
    visits = walk("A key")
    assert 3 <= len(visits) <= 7, visits


def test_the_other_walks_are_there():
    assert len(walk("A reload")) > 5 and len(walk("An upgrade")) > 5
