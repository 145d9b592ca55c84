# SPDX-License-Identifier: MIT
"""The few plots that the README shows: what goes into them, and their drawing.

Takes results.json, which report.py writes; run --readme measures what is needed.
"""

import dataclasses
import json
import shutil
import subprocess
from dataclasses import dataclass

PEERS = ("sockfront", "socket-proxyd", "haproxy-splice", "haproxy", "nginx")
COLOURS = ("#d55e00", "#0072b2", "#56b4e9", "#009e73", "#8c8c8c")


@dataclass(frozen=True)
class Panel:
    title: str
    metric: str
    rows: tuple  # (label, front, workload)
    lines: bool = False  # over the label, a number; else bars
    log: bool = False


BULK = (
    ("up 1", "tcp", "bulk-up-1"),
    ("up 4", "tcp", "bulk-up-4"),
    ("down 1", "tcp", "bulk-down-1"),
    ("down 4", "tcp", "bulk-down-4"),
    ("both 4", "tcp", "bulk-both-4"),
    ("UNIX\\nup 4", "unix", "bulk-up-4"),
    ("UNIX\\ndown 4", "unix", "bulk-down-4"),
)
REQUEST = (
    ("1", "tcp", "request-1x64"),
    ("64", "tcp", "request-64x64"),
    ("1024", "tcp", "request-1024x64"),
    ("UNIX\\n64", "unix", "request-64x64"),
)
CONNECT = (
    ("1", "tcp", "connect-1"),
    ("16", "tcp", "connect-16"),
    ("UNIX\\n16", "unix", "connect-16"),
)
AMONG = tuple((str(n), "tcp", f"request-among-{n}") for n in (10, 100, 1000, 9000))

PLOTS = {
    "bulk": (
        Panel("Bulk, streams: processor seconds per GiB (less is better)", "cpu_s_per_gib", BULK),
        Panel("Bulk, streams: GiB per second (more is better)", "gib_per_s", BULK),
    ),
    "request": (
        Panel("Requests of 64 bytes, connections: processor us each (less)", "cpu_us", REQUEST),
        Panel("p99 in us, logarithmic (less)", "p99_us", REQUEST, log=True),
    ),
    "connect": (
        Panel("Connect, request, close, at a time: processor us each (less)", "cpu_us", CONNECT),
        Panel("Connections per second (more)", "connections_per_s", CONNECT),
    ),
    "scale": (
        Panel("Processor us a request, with so many idle connections open", "cpu_us", AMONG, True),
        Panel("Own memory of an idle connection in KiB (less)", "rss_kib", (("", "tcp", "idle"),)),
    ),
}


def restrict(workloads, rows=()):
    """Those that are drawn or stand in @rows, on the fronts that are."""
    wanted = {}
    for _, front, name, *_ in rows:
        wanted.setdefault(name, set()).add(front)
    for panels in PLOTS.values():
        for panel in panels:
            for _, front, name in panel.rows:
                wanted.setdefault(name, set()).add(front)
    return [
        dataclasses.replace(workload, fronts=tuple(sorted(wanted[workload.name])))
        for workload in workloads
        if workload.name in wanted
    ]


def found(results, front, workload, peer, metric):
    """All that is known of that figure, or None."""
    for result in results:
        if (result["front"], result["workload"], result["peer"]) == (front, workload, peer):
            return result["metrics"].get(metric)
    return None


def figure(results, front, workload, peer, metric):
    """(median, low, high), or None."""
    known = found(results, front, workload, peer, metric)
    return known and (known["median"], *known.get("quartiles", [known["median"]] * 2))


def data_block(name, panel, results):
    """A line for each row: its label, then three columns for each peer."""
    lines = [f"${name} << END"]
    for label, front, workload in panel.rows:
        cells = [label if panel.lines else f'"{label}"']
        for peer in PEERS:
            known = figure(results, front, workload, peer, panel.metric)
            cells += [f"{value:.6g}" for value in known] if known else ["?"] * 3
        lines.append(" ".join(cells))
    return lines + ["END"]


def panel_script(name, panel, results):
    lines = [*data_block(name, panel, results), f'set title "{panel.title}"']
    lines.append("set logscale y; set yrange [50:*]" if panel.log else "unset logscale y; set yrange [0:*]")
    columns = []
    for i, peer in enumerate(PEERS):
        median, low, high = 3 * i + 2, 3 * i + 3, 3 * i + 4
        colour = f'linecolor rgb "{COLOURS[i]}" title "{peer}"'
        if panel.lines:
            lines += ["set logscale x", "set xtics (10, 100, 1000, 9000)", "set xrange [7:13000]"]
            columns.append(f"${name} using 1:{median}:{low}:{high} with yerrorlines lw 2 pt 7 {colour}")
        else:
            columns.append(f"${name} using {median}:{low}:{high}:xtic(1) {colour}")
    if not panel.lines:
        lines += ["unset logscale x", "set xtics autofreq", "set xrange [*:*]"]
    return [*lines, "plot " + ", ".join(columns)]


def script(path, panels, results):
    lines = [
        'set terminal svg size 860,350 font "sans-serif,11" background "#ffffff"',
        f'set output "{path}"',
        "set style data histograms",
        "set style histogram errorbars gap 1.5 lw 1",
        "set style fill solid 0.9 noborder",
        "set errorbars 0.4 linecolor rgb '#404040'",
        "set grid y linecolor rgb '#d0d0d0'",
        "set border 3 linecolor rgb '#606060'",
        "set xtics nomirror scale 0",
        "set bmargin 3.5",
        "set ytics nomirror",
        "set key outside above center horizontal samplen 1",
        "set datafile missing '?'",
        f"set multiplot layout 1,{len(panels)}",
    ]
    for i, panel in enumerate(panels):
        lines += panel_script(f"panel{i}", panel, results)
    return "\n".join([*lines, "unset multiplot"]) + "\n"


def draw(results_path, directory):
    """Returns what to say of it."""
    if not shutil.which("gnuplot"):
        return "no plots for the README: gnuplot is not installed"
    results = json.loads(results_path.read_text())["results"]
    directory.mkdir(exist_ok=True)
    for name, panels in PLOTS.items():
        text = script(directory / f"{name}.svg", panels, results)
        subprocess.run(["gnuplot"], input=text, text=True, check=True)
    return f"the README's plots: {directory}/*.svg"
