# SPDX-License-Identifier: MIT
"""Asking the status address, byte by byte: what a browser sends, and what it would not."""

from support.streams import read_to_end


class Answer:
    def __init__(self, data):
        head, self.is_complete, self.body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.code = int(first.split(" ")[1]) if first else 0
        self.headers = {}
        for line in lines:
            name, _, value = line.partition(": ")
            assert name.lower() not in self.headers, f"{name} is there twice"
            self.headers[name.lower()] = value
        if self.headers.get("transfer-encoding") == "chunked":
            self.body = unchunked(self.body)


def unchunked(data):
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        size = int(size, 16)
        body += data[:size]
        assert data[size:size + 2] == b"\r\n"
        data = data[size + 2:]
    return body


def request(path="/healthz", host="localhost", *lines, method="GET", version="1.1"):
    """Without a Host where that is None."""
    hosts = [] if host is None else [f"Host: {host}"]
    return "\r\n".join([f"{method} {path} HTTP/{version}", *hosts, *lines, "", ""]).encode()


def ask_with(stage, address, data):
    """What is answered to these bytes; code 0: the connection was ended without a word."""
    with stage.connect(address) as client:
        try:
            client.sendall(data)
            return Answer(read_to_end(client))
        except (BrokenPipeError, ConnectionResetError):
            return Answer(b"")


def ask(stage, address, *words, **more):
    return ask_with(stage, address, request(*words, **more))


def status_section(*listen, options=""):
    """A [status] section."""
    return "\n".join(["[status]", *(f"listen = {address}" for address in listen), options]) + "\n"


def with_status(stage, proxy_text, *listen, options="", sockets=1, **more):
    """A proxy with a file that has such a section, and that file; and where the section is answered."""
    path = stage.file("sockfront.conf", proxy_text + status_section(*listen, options=options))
    proxy = stage.proxy("-c", path, sockets=sockets, **more)
    lines = proxy.wait_log(r"status on ")
    return proxy, [line.split("status on ")[1] for line in lines]
