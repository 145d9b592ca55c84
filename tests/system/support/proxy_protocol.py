# SPDX-License-Identifier: MIT
"""Headers of the PROXY protocol, written and read as its text has them, without our library."""

import ipaddress
import os
import socket
import struct
from dataclasses import dataclass, field

from support.streams import read_exactly

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
UNSPEC, TCP4, TCP6, UNIX = 0x00, 0x11, 0x21, 0x31
CRC32C, NOOP, UNIQUE_ID, CREDENTIALS, VSOCK = 0x03, 0x04, 0x05, 0xE0, 0xE1


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def v1(source=("192.0.2.7", 4711), destination=("192.0.2.99", 443)):
    family = "TCP6" if ":" in source[0] else "TCP4"
    return f"PROXY {family} {source[0]} {destination[0]} {source[1]} {destination[1]}\r\n".encode()


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def v2(source=("192.0.2.7", 4711), destination=("192.0.2.99", 443), tlvs=b"", command=PROXY, checksum=False):
    """source None: AF_UNSPEC; paths: AF_UNIX."""
    if source is None:
        family, body = UNSPEC, b""
    elif isinstance(source, (str, bytes)):
        family, body = UNIX, struct.pack("108s108s", os.fsencode(source), os.fsencode(destination))
    else:
        ends = [ipaddress.ip_address(end[0]) for end in (source, destination)]
        family = TCP4 if ends[0].version == 4 else TCP6
        body = b"".join(end.packed for end in ends) + struct.pack("!HH", source[1], destination[1])
    if checksum:
        tlvs += tlv(CRC32C, bytes(4))
    header = SIGNATURE + struct.pack("!BBH", command, family, len(body) + len(tlvs)) + body + tlvs
    return header[:-4] + struct.pack("!I", crc32c(header)) if checksum else header


@dataclass
class Header:
    version: int
    family: object = None
    source: object = None
    destination: object = None
    local: bool = False
    tlvs: list = field(default_factory=list)
    raw: bytes = b""

    def values(self, kind):
        return [value for type_, value in self.tlvs if type_ == kind]


def _read_v1(sock, line):
    while not line.endswith(b"\r\n"):
        assert len(line) < 107
        line += read_exactly(sock, 1)
    words = line[:-2].decode().split(" ")
    if words[1] == "UNKNOWN":
        return Header(1, "UNKNOWN", raw=line)
    return Header(1, words[1], (words[2], int(words[4])), (words[3], int(words[5])), raw=line)


def _addresses(family, body):
    if family == UNIX:
        return 216, body[:108].rstrip(b"\0"), body[108:216].rstrip(b"\0")
    size = {TCP4: 4, TCP6: 16, UNSPEC: 0}[family]
    if size == 0:
        return 0, None, None
    ports = struct.unpack("!HH", body[2 * size : 2 * size + 4])
    ends = [str(ipaddress.ip_address(body[at : at + size])) for at in (0, size)]
    return 2 * size + 4, (ends[0], ports[0]), (ends[1], ports[1])


def _read_v2(sock, start):
    fixed = start + read_exactly(sock, 16 - len(start))
    assert fixed[:12] == SIGNATURE, fixed
    command, family, length = struct.unpack("!BBH", fixed[12:])
    body = read_exactly(sock, length)
    raw = fixed + body
    if command == LOCAL:
        return Header(2, local=True, raw=raw)
    at, source, destination = _addresses(family, body)
    tlvs = []
    while at < length:
        kind, size = struct.unpack("!BH", body[at : at + 3])
        value = body[at + 3 : at + 3 + size]
        assert len(value) == size
        if kind == CRC32C:
            where = 16 + at + 3
            assert struct.unpack("!I", value)[0] == crc32c(raw[:where] + bytes(4) + raw[where + 4 :])
        tlvs.append((kind, value))
        at += 3 + size
    assert at == length
    return Header(2, {TCP4: "TCP4", TCP6: "TCP6", UNIX: "UNIX", UNSPEC: "UNSPEC"}[family], source, destination,
                  tlvs=tlvs, raw=raw)


def read_header(sock):
    """The header that comes first, and nothing after it."""
    start = read_exactly(sock, 1)
    return _read_v1(sock, start) if start == b"P" else _read_v2(sock, start)


def name_of(sock):
    """Of a TCP socket, as a header has it."""
    return sock.getsockname()[:2] if sock.family != socket.AF_UNIX else os.fsencode(sock.getsockname())
