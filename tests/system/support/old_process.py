# SPDX-License-Identifier: MIT
"""Plays the old process of an upgrade, so that a test says when the new one hears what."""

import os
import re
import socket
import struct

from support.proxy import REPOSITORY


def note_kinds():
    """The numbers of daemon/handover/upgrade_protocol.h, by their names."""
    with open(os.path.join(REPOSITORY, "daemon", "handover", "upgrade_protocol.h")) as file:
        body = re.search(r"enum note_kind \{(.*?)\};", file.read(), re.DOTALL)[1]
    names = re.findall(r"\b(NOTE_\w+)\b", body)
    return {name: number for number, name in enumerate(names, 1)}


class OldProcess:
    """Starts a new process with a socket for notes, as descriptor 3, and a listening socket, as descriptor 4."""

    def __init__(self, stage, listener, *arguments):
        self.kinds = note_kinds()
        self.control, theirs = map(stage.keep, socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        self.control.settimeout(10)
        numbers = [theirs.fileno(), listener.fileno()]
        moves = [f"--move={number}:{3 + place}" for place, number in enumerate(numbers)]
        self.new = stage.proxy(
            *arguments, sockets=0, handover=moves, pass_fds=numbers, environment={"SOCKFRONT_UPGRADE": "3"}
        )
        theirs.close()

    def hear(self, name):
        """Reads until that note."""
        while True:
            note = self.control.recv(8)
            assert len(note) == 8, f"the new process ended:\n{self.new.log}"
            if struct.unpack("ii", note)[0] == self.kinds[name]:
                return

    def say(self, *names):
        for name in names:
            self.control.send(struct.pack("ii", self.kinds[name], 0))
