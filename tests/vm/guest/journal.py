# SPDX-License-Identifier: MIT
"""
The journal as it grows: one journalctl for all that a topic wants to know,
since starting one for every question is slow in this machine.
"""

import json
import subprocess
import threading


class Journal:
    def __init__(self):
        self.lines = []  # (seconds since boot, unit, message)
        self.process = subprocess.Popen(
            ["journalctl", "-q", "-f", "-n", "all", "-o", "json"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            entry = json.loads(line)
            # What systemd says of a unit bears its name in another field.
            unit = entry.get("UNIT") or entry.get("_SYSTEMD_UNIT", "")
            message = entry.get("MESSAGE", "")
            if not isinstance(message, str):
                message = bytes(message or b"").decode(errors="replace")
            self.lines.append((int(entry["__MONOTONIC_TIMESTAMP"]) / 1e6, unit, message))

    def of(self, units, since):
        return [line for line in list(self.lines) if line[0] >= since and line[1] in units]
