# SPDX-License-Identifier: MIT
"""The access log as others read it: a strict reader of logfmt, and one of the journal's native protocol."""

import json
import os
import socket

KEYS = ["id", "proxy", "client", "listener", "backend", "queue", "connect", "up", "down", "duration", "reason"]


def parse_logfmt(line):
    """
    As go-logfmt reads a line, which refuses what it does not understand: bytes in, a dictionary of text out.
    """
    text, at, values = line.decode(), 0, {}
    while at < len(text):
        key, equals, _ = text[at:].partition("=")
        assert equals and key and all("!" <= c and c not in '"=' for c in key), (line, key)
        assert key not in values, (line, key)
        at += len(key) + 1
        if text[at:at + 1] == '"':
            values[key], length = json.JSONDecoder(strict=True).raw_decode(text[at:])
        else:
            length = len(text[at:].partition(" ")[0])
            values[key] = text[at:at + length]
            assert length and all(c > " " and c not in '"=\x7f' for c in values[key]), (line, key)
        at += length
        assert at == len(text) or text[at] == " ", (line, key)
        at += 1
    return values


def parse_journal(data):
    """Fields of a datagram, by systemd.io/JOURNAL_NATIVE_PROTOCOL."""
    fields, at = {}, 0
    while at < len(data):
        end = data.index(b"\n", at)
        name, equals, value = data[at:end].partition(b"=")
        at = end + 1
        if not equals:
            size = int.from_bytes(data[at:at + 8], "little")
            value = data[at + 8:at + 8 + size]
            at += 8 + size + 1
            assert data[at - 1:at] == b"\n", data
        assert name.decode() not in fields and name.isascii() and name.decode().isupper(), name
        fields[name.decode()] = value
    return fields


def shown(name):
    """How text shows a name: what is not UTF-8 byte by byte."""
    return os.fsencode(name).decode(errors="backslashreplace")


def read_lines(path):
    """The whole lines of a file."""
    with open(path, "rb") as file:
        *lines, rest = file.read().split(b"\n")
    assert rest == b""
    return lines


class Journal:
    """Stands in for systemd-journald where its prefix runs a program."""

    def __init__(self, stage):
        self.path = stage.path("journal")
        self.socket = None
        script = ('mount -t tmpfs none /run && mkdir -p /run/systemd/journal && '
                  'ln -s "$0" /run/systemd/journal/socket && exec "$@"')
        self.prefix = ["unshare", "-m", "sh", "-c", script, self.path]
        self.stage = stage

    def begin(self):
        self.socket = self.stage.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.socket.bind(self.path)
        return self

    def end(self):
        self.socket.close()
        os.unlink(self.path)

    def read(self, within=10):
        self.socket.settimeout(within)
        return parse_journal(self.socket.recv(1 << 16))
