# SPDX-License-Identifier: MIT
"""The README's table of ratios: what stands in it, and putting it there.

Takes results.json, which report.py writes; run --readme measures what is needed.
"""

import json

from readme_plots import ROWS_OF_IDLE, found

HEADER = "| | processor time | rate | p99 |"

RATE = ("gib_per_s", "requests_per_s", "connections_per_s")
CPU = ("cpu_s_per_gib", "cpu_us")
P99 = ("p99_us",)

TITLES = {"socket-proxyd": "socket-proxyd", "haproxy": "HAProxy", "haproxy-splice": "HAProxy", "nginx": "nginx"}

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
        text += f" of {TITLES[figures['best_peer']]}"
        return f"{text}: {figures['verdict']}" if figures["verdict"] else text
    return ""


def idle_row(results):
    """Figures and not ratios: what a connection needs that does nothing."""
    cells = []
    for peer in "sockfront", *TITLES:
        memory = found(results, *ROWS_OF_IDLE, peer, "rss_kib")
        if memory and peer != "haproxy-splice":
            title = TITLES.get(peer, "sockfront")
            cells.append(f"{title} {memory['median']:.2f}")
    return f"| KiB for an idle connection | {', '.join(cells)} | | |"


def table(results):
    lines = [HEADER, "| --- | --- | --- | --- |"]
    for label, front, workload in ROWS:
        cells = [cell(results, front, workload, metrics) for metrics in (CPU, RATE, P99)]
        lines.append("| " + " | ".join([label, *cells]) + " |")
    return "\n".join([*lines, idle_row(results)])


def put(results_path, readme):
    """Replaces the table in the file.  Returns what to say of it."""
    text = readme.read_text()
    begin = text.index(HEADER)
    end = text.index("\n\n", begin)
    results = json.loads(results_path.read_text())["results"]
    readme.write_text(text[:begin] + table(results) + text[end:])
    return f"the table of {readme}"
