# SPDX-License-Identifier: MIT
"""What the public headers declare, for the tests beside this file."""

import os
import re
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BUILD", TOP / "build"))
# The rooms of daemon/, from left to right: each includes those before it, and no other.
ROOMS = ["base", "relay", "backend", "proxy", "session", "worker", "status", "handover", "control"]
HEADERS = sorted((TOP / "lib/include/sockfront").glob("*.h"))
LIBRARIES = {
    "libsockfront": [path for path in HEADERS if path.name != "event.h"],
    "libsockfront-event": [path for path in HEADERS if path.name == "event.h"],
}


def code(path):
    return re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)


def normal(text):
    """One blank where there is white space, none around * ( ) and ,"""
    return re.sub(r" ?([*(),]) ?", r"\1", re.sub(r"\s+", " ", text)).strip(" ;")


def prototypes(paths):
    """Each function's name, and its declaration without superfluous blanks."""
    found = {}
    for path in paths:
        outside = re.sub(r"(struct|enum) \w+ \{.*?\n\};", "", code(path), flags=re.DOTALL)
        for declaration, name in re.findall(r"^((?:const )?\w[\w ]*[ *](sfront_\w+)\([^;]*);",
                                            outside, re.MULTILINE):
            found[name] = normal(declaration)
    assert found, paths
    return found


def structures(paths):
    return [name for path in paths
            for name in re.findall(r"^(?:struct|enum) (sfront_\w+) \{", code(path), re.MULTILINE)]


def constants(paths):
    """Macros and members of enumerations."""
    return sorted({name for path in paths for name in re.findall(r"\bSFRONT_\w+", code(path))})
