# SPDX-License-Identifier: MIT
"""Starts every topic as a unit, a few at a time, and then ends the machine (vm.service)."""

import os
import subprocess

from journal import follow
from tap import say

AT_ONCE = 4
DONE = "/run/vm.done"


def start(topic):
    # Without waiting: who waits is told by systemd of all that every unit does.
    subprocess.run(["systemctl", "start", "--no-block", f"vm@{topic}.service"], check=True)


def ended(topic, result):
    if result == "success":
        return
    journal = subprocess.run(["journalctl", "-u", f"vm@{topic}.service", "-o", "cat", "-n", "40"],
                             capture_output=True, text=True, check=False).stdout
    say(f"not ok - {topic}: ended by itself ({result})", comment=journal)


def main():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    follow()
    with open("/vm/topics", encoding="ascii") as file:
        waiting = file.read().split()
    os.mkfifo(DONE)
    running = 0
    # Opened for both, so that it never ends.
    with open(os.open(DONE, os.O_RDWR), encoding="ascii") as done:
        while waiting or running:
            while waiting and running < AT_ONCE:
                start(waiting.pop(0))
                running += 1
            ended(*done.readline().split())
            running -= 1
    say("vm: all topics have ended")
    subprocess.run(["systemctl", "poweroff", "--force", "--force"], check=True)


main()
