# SPDX-License-Identifier: MIT
"""What the README says of the bench's figures: its tables, and the words around them.

Takes results.json, which report.py writes; run --readme measures what is needed.
Nothing between the two marks in the README is written by hand.
"""

import json
import re
import textwrap

from readme_plots import PLOTS, found

BEGIN = '<!-- from here on by "make bench-plots" -->\n\n'
END = "\n\n<!-- up to here -->"

# The README's other lines are as long.
WIDTH = 110

ABOUT = (
    "These are the figures of this version, from one run of the bench ({machine}; rounds: {rounds}): each proxy "
    "in turn, with one thread, on cores that it shares with the load generator and the backend, over the loopback. "
    "Bars are medians, whiskers are quartiles."
)
COMPARED = (
    "Compared with the best peer for each figure: the median of the ratios of slices that were measured in turn, its "
    "95 % interval, and a verdict where the interval says so. A processor time or a p99 below 1 and a rate above 1 "
    "are in sockfront's favour."
)
ALONE = (
    "Figures that are not compared are medians. The delay is how much longer than over a direct connection a byte "
    "is on the way; the streams take 90 % of the link together."
)

HEADER = "| | processor time | rate | p99 |"

RATE = ("gib_per_s", "requests_per_s", "connections_per_s")
CPU = ("cpu_s_per_gib", "cpu_us")
P99 = ("p99_us",)

TITLES = {
    "sockfront": "sockfront",
    "socket-proxyd": "socket-proxyd",
    "haproxy": "HAProxy",
    "haproxy-splice": "HAProxy",
    "nginx": "nginx",
}

ROWS = (
    ("bulk up, 1 stream", "tcp", "bulk-up-1"),
    ("bulk up, 4 streams", "tcp", "bulk-up-4"),
    ("bulk down, 1 stream", "tcp", "bulk-down-1"),
    ("bulk down, 4 streams", "tcp", "bulk-down-4"),
    ("bulk both ways, 4 streams", "tcp", "bulk-both-4"),
    ("bulk up, 4 streams, UNIX", "unix", "bulk-up-4"),
    ("bulk down, 4 streams, UNIX", "unix", "bulk-down-4"),
    ("1 stream up over 1 Gbit/s", "tcp", "link-1Gbit-up-1"),
    ("8 streams down over 1 Gbit/s", "tcp", "link-1Gbit-down-8"),
    ("requests, 1 connection", "tcp", "request-1x64"),
    ("requests, 64 connections", "tcp", "request-64x64"),
    ("requests, 1,024 connections", "tcp", "request-1024x64"),
    ("requests, 64 connections, UNIX", "unix", "request-64x64"),
    ("connections, 1 at a time", "tcp", "connect-1"),
    ("connections, 16 at a time", "tcp", "connect-16"),
    ("connections, 16 at a time, UNIX", "unix", "connect-16"),
    ("a newcomer, behind 64 streams up", "tcp", "connect-behind-64"),
)

DELAYS = ("delay_p50_ms", "delay_p99_ms")

ROWS_ALONE = (
    ("memory of an idle connection, KiB", "tcp", "idle", ("rss_kib",)),
    ("descriptors of an idle connection", "tcp", "idle", ("descriptors",)),
    ("1,024 connections, most over fewest requests in 5 s", "tcp", "fair-1024", ("fairness",)),
    ("delay of 1 stream up over 100 Mbit/s, p50 and p99, ms", "tcp", "link-100Mbit-up-1", DELAYS),
    ("delay of 1 stream up over 1 Gbit/s, p50 and p99, ms", "tcp", "link-1Gbit-up-1", DELAYS),
    ("delay of 8 streams down over 1 Gbit/s, p50 and p99, ms", "tcp", "link-1Gbit-down-8", DELAYS),
    ("delay of 1 stream up over 10 Gbit/s, p50 and p99, ms", "tcp", "link-10Gbit-up-1", DELAYS),
)


def cell(results, front, workload, metrics):
    """ "0.87 (0.82-0.91) of nginx: better", or nothing where it was not measured."""
    for metric in metrics:
        figures = found(results, front, workload, "sockfront", metric)
        if not figures or "ratio" not in figures:
            continue
        text = f"{figures['ratio']:.2f}"
        if figures["interval"]:
            text += " ({:.2f}-{:.2f})".format(*figures["interval"])
        text += f" of {TITLES.get(figures['best_peer'], figures['best_peer'])}"
        return f"{text}: {figures['verdict']}" if figures["verdict"] else text
    return ""


def table(results):
    lines = [HEADER, "| --- | --- | --- | --- |"]
    for label, front, workload in ROWS:
        cells = [cell(results, front, workload, metrics) for metrics in (CPU, RATE, P99)]
        lines.append("| " + " | ".join([label, *cells]) + " |")
    return "\n".join(lines)


def cell_alone(results, front, workload, title, metrics):
    """ "1.20 and 1.90" of the first proxy with that title that was measured there."""
    for peer in (name for name in TITLES if TITLES[name] == title):
        figures = [found(results, front, workload, peer, metric) for metric in metrics]
        if all(figures):
            return " and ".join(f"{figure['median']:.2f}" for figure in figures)
    return ""


def table_alone(results):
    titles = list(dict.fromkeys(TITLES.values()))
    lines = ["| | " + " | ".join(titles) + " |", "| --- " * (1 + len(titles)) + "|"]
    for label, front, workload, metrics in ROWS_ALONE:
        cells = [cell_alone(results, front, workload, title, metrics) for title in titles]
        lines.append("| " + " | ".join([label, *cells]) + " |")
    return "\n".join(lines)


def section(document):
    """All that is between the marks."""
    machine = re.sub(r"(Linux [\d.]+)\S*", r"\1", document["machine"])
    about = ABOUT.format(machine=machine, rounds=document["measured_rounds"])
    paragraphs = [
        textwrap.fill(about, WIDTH),
        "\n".join(f"![{name}](tests/bench/plots/{name}.svg)" for name in PLOTS),
        textwrap.fill(COMPARED, WIDTH),
        table(document["results"]),
        textwrap.fill(ALONE, WIDTH),
        table_alone(document["results"]),
    ]
    return "\n\n".join(paragraphs)


def put(results_path, readme):
    """Replaces what is between the marks in the file.  Returns what to say of it."""
    before, rest = readme.read_text().split(BEGIN)
    after = rest.split(END)[1]
    document = json.loads(results_path.read_text())
    readme.write_text(before + BEGIN + section(document) + END + after)
    return f"the figures of {readme}"
