# SPDX-License-Identifier: MIT
"""Installing what was built, and building nothing again: make would, for flags that it is not given here."""

import os
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]

# The build directory of the program under test, whichever that is.
BUILD = Path(os.environ.get("SOCKFRONT", TOP / "build/sockfront")).parent

LIBRARIES = ["libsockfront", "libsockfront-event"]
BUILT = ["sockfront", *(f"{name}{suffix}" for name in LIBRARIES for suffix in (".a", ".so")),
         *(f"completion/sockfront.{shell}" for shell in ("bash", "zsh", "fish"))]


def make_command(target, *variables):
    """The words of the command."""
    kept = [word for name in BUILT for word in ("-o", str(BUILD / name))]
    return ["make", "-C", str(TOP), target, f"BUILD={BUILD}", *map(str, variables), *kept]
