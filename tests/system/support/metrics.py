# SPDX-License-Identifier: MIT
"""What the status address tells in numbers: metrics, the overview, events."""

import json
import re

from support.proc import wait_until
from support.status import ask, request

SAMPLE = re.compile(r'([a-z_]+)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)",?')
UNESCAPED = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def unescape(text):
    return re.sub(r'\\[n"\\]', lambda match: UNESCAPED[match[0]], text)


def parse(text):
    """(name, labels as a frozenset of pairs) -> value; each line has to be one, and none is there twice."""
    samples = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        labels = LABEL.findall(match[2] or "")
        assert "".join(f'{name}="{value}",' for name, value in labels) == (match[2] + "," if match[2] else ""), line
        key = match[1], frozenset((name, unescape(value)) for name, value in labels)
        assert key not in samples, line
        samples[key] = float(match[3])
    return samples


def scrape(stage, address, open_metrics=False):
    """The text of /metrics."""
    lines = [f"Accept: {OPEN_METRICS}"] if open_metrics else []
    answer = ask(stage, address, "/metrics", "localhost", *lines)
    assert answer.code == 200
    return answer.body.decode()


def value(stage, address, name, **labels):
    return parse(scrape(stage, address))[name, frozenset(labels.items())]


def wait_value(stage, address, wanted, name, **labels):
    wait_until(lambda: value(stage, address, name, **labels) == wanted, f"{name} {labels} is {wanted}", 15)


def overview(stage, address):
    answer = ask(stage, address, "/status.json")
    assert answer.code == 200 and answer.headers["content-type"] == "application/json"
    return json.loads(answer.body)


class Events:
    """One who looks at /events: what comes, event by event."""

    def __init__(self, stage, address, query=""):
        self.sock = stage.connect(address, 20)
        self.sock.sendall(request(f"/events{query}"))
        self.file = self.sock.makefile("rb")
        assert b" 200 " in self.file.readline()
        while self.file.readline().strip():
            pass
        self.rest = b""

    def _line(self):
        while b"\n" not in self.rest:
            size = int(self.file.readline(), 16)
            assert size > 0, "the stream has ended"
            self.rest += self.file.read(size)
            self.file.readline()
        line, _, self.rest = self.rest.partition(b"\n")
        return line.decode()

    def next(self):
        """(name, data)"""
        name, data = self._line(), self._line()
        assert name.startswith("event: ") and data.startswith("data: ") and self._line() == ""
        return name[7:], json.loads(data[6:])

    def wait(self, name, condition=lambda data: True, most=60):
        """The next one of that name that is as it should be."""
        for _ in range(most):
            what, data = self.next()
            if what == name and condition(data):
                return data
        raise AssertionError(f"no such event {name} came")
