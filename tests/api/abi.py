# SPDX-License-Identifier: MIT
"""Prints what a program that was linked with libsockfront relies on.

    /usr/bin/python3 tests/api/abi.py > tests/api/abi.txt

The exported names with their versions, the declarations, the constants, and the
size and the offsets of every structure, as gdb reads them from an object that
includes the headers.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from headers import BUILD, HEADERS, LIBRARIES, TOP, code, prototypes  # noqa: E402


def output_of(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True,
                          text=True).stdout


def exports(library):
    listed = output_of("nm", "-D", "--defined-only", BUILD / f"{library}.so")
    return sorted(line.split()[-1] for line in listed.splitlines() if " T " in line)


def layouts():
    types = [f"{kind} {name}" for path in HEADERS for kind, name in
             re.findall(r"^(struct|enum) (sfront_\w+) \{", code(path), re.MULTILINE)]
    with tempfile.TemporaryDirectory() as scratch:
        source, made = Path(scratch) / "abi.c", Path(scratch) / "abi.o"
        source.write_text("".join(f"#include <sockfront/{path.name}>\n" for path in HEADERS))
        subprocess.run(["gcc", "-g", "-fno-eliminate-unused-debug-types", "-c", "-I",
                        TOP / "lib/include", "-o", made, source], check=True)
        for name in types:
            text = output_of("gdb", "-nx", "-batch", "-ex", "set print type hex off", "-ex",
                             f"ptype /o {name}", made)
            # How wide the columns are is a matter of gdb's version.
            text = re.sub(r"/\* offset[^\n]*\n", "", text)
            yield re.sub(r"(?m)^\s+|\s+$", "", re.sub(r"[ \t]+", " ", text))


def macros():
    for path in HEADERS:
        defined = re.findall(r"^#define (SFRONT_\w+)\s+(\S.*)$", code(path), re.MULTILINE)
        yield from (f"{name} {value.strip()}" for name, value in defined)


def snapshot():
    lines = []
    for library, headers in LIBRARIES.items():
        lines += [f"# {library}.so", *exports(library), *prototypes(headers).values()]
    return "\n".join([*lines, "# constants", *macros(), "# layouts", *layouts()]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(snapshot())
