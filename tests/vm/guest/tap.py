# SPDX-License-Identifier: MIT
"""
Runs the functions of one topic in turn and says TAP to the console:

    python3 tap.py TOPIC        each test_*() of test_TOPIC.py

A test that takes an argument gets a Units (units.py), which puts everything
back at its end.  Several topics write to the console at once: what belongs
together is one write.
"""

import importlib
import os
import sys
import time
import traceback


class Skip(Exception):
    """Why a test has nothing to test here."""


def say(line, comment=""):
    text = "".join(f"# {part}\n" for part in comment.splitlines()) + line + "\n"
    console = os.open("/dev/console", os.O_WRONLY | os.O_NOCTTY)
    os.write(console, text.encode(errors="replace"))
    os.close(console)


def run(topic, name, function):
    from units import Units

    units = Units()
    title = f"{topic}: {name.removeprefix('test_').replace('_', ' ')}"
    started = time.monotonic()
    try:
        try:
            function(units)
        except BaseException:
            units.failed = True
            raise
        finally:
            units.undo()
    except Skip as reason:
        say(f"ok - {title} # SKIP", comment=str(reason))
    except BaseException:
        say(f"not ok - {title}", comment=traceback.format_exc() + units.said)
        return False
    else:
        say(f"ok - {title} ({time.monotonic() - started:.1f} s)")
    return True


def main():
    topic = sys.argv[1]
    module = importlib.import_module(f"test_{topic}")
    for name, function in list(vars(module).items()):
        if name.startswith("test_"):
            run(topic, name, function)


if __name__ == "__main__":
    main()
