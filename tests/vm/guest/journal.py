# SPDX-License-Identifier: MIT
"""
The journal as it grows.  run.py has one journalctl write it into a file for all
topics: starting one for every question is slow in this machine.
"""

import json
import subprocess

FILE = "/run/vm.journal"


def follow():
    with open(FILE, "w", encoding="ascii") as file:
        subprocess.Popen(["journalctl", "-q", "-f", "-n", "all", "-o", "json",
                          "--output-fields=MESSAGE,UNIT,_SYSTEMD_UNIT"],
                         stdin=subprocess.DEVNULL, stdout=file)


class Journal:
    def __init__(self):
        self.lines = []  # (seconds since boot, unit, message)
        self.file = open(FILE, encoding="utf-8")
        self.file.seek(0, 2)
        self.rest = ""

    def _read(self):
        *lines, self.rest = (self.rest + self.file.read()).split("\n")
        for line in lines:
            entry = json.loads(line)
            # What systemd says of a unit bears its name in another field.
            unit = entry.get("UNIT") or entry.get("_SYSTEMD_UNIT", "")
            message = entry.get("MESSAGE", "")
            if not isinstance(message, str):
                message = bytes(message or b"").decode(errors="replace")
            self.lines.append((int(entry["__MONOTONIC_TIMESTAMP"]) / 1e6, unit, message))

    def of(self, units, since):
        self._read()
        return [line for line in self.lines if line[0] >= since and line[1] in units]
