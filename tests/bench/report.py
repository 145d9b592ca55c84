# SPDX-License-Identifier: MIT
"""Medians, paired ratios, tables, results.json and plots.

Takes the samples of tests/bench/run; knows nothing of how they came about.
"""

import json
import shutil
import statistics
import subprocess

import interval
from workloads import GOALS

FRONT_TITLES = {"tcp": "TCP front", "unix": "UNIX front"}

# A bar that would flatten all others is cut off at the top of its plot.
TALLEST = 6

# A plot has a height even where all of its bars are nothing.
LEAST = 0.01


class Samples:
    """figure[front, workload, peer][round, slice] of every metric; one that failed is missing."""

    def __init__(self, peers):
        self.peers = peers
        self.figures = {}
        self.failures = []
        self.skipped = {}

    def add(self, front, workload, peer, key, figures):
        """@key: (round, slice)"""
        self.figures.setdefault((front, workload.name, peer.name), {})[key] = figures

    def fail(self, front, workload, peer, number, reason):
        self.failures.append(
            {
                "front": front,
                "workload": workload.name,
                "peer": peer.name,
                "round": number + 1,
                "reason": reason,
            }
        )

    def skip(self, workload, reason):
        self.skipped[workload.name] = reason

    def failed(self, front, workload, peer):
        return any(
            (failure["front"], failure["workload"], failure["peer"]) == (front, workload.name, peer)
            for failure in self.failures
        )

    def rounds(self):
        """How many have any figures."""
        return len({number for measured in self.figures.values() for number, _ in measured})

    def measured(self, front, workload):
        """The peers that have figures, in their order."""
        return [peer for peer in self.peers if (front, workload.name, peer.name) in self.figures]

    def values(self, front, workload, peer, metric):
        """{(round, slice): figure}"""
        measured = self.figures.get((front, workload.name, peer), {})
        return {
            key: figures[metric.key]
            for key, figures in measured.items()
            if figures.get(metric.key) is not None
        }

    def median(self, front, workload, peer, metric):
        values = self.values(front, workload, peer, metric).values()
        return statistics.median(values) if values else None

    def less_direct(self, front, workload):
        """What the client's and the backend's own sockets hold, or a wire delays, is no proxy's doing.

        Taken over all rounds: the machine's kernel memory is moved by others too.
        """
        for metric in workload.metrics:
            if not metric.over_direct:
                continue
            own = self.median(front, workload, "direct", metric)
            for peer in self.measured(front, workload):
                if peer.name == "direct":
                    continue
                for figures in self.figures[front, workload.name, peer.name].values():
                    known = own is not None and figures.get(metric.key) is not None
                    figures[metric.key] = figures[metric.key] - own if known else None

    def best(self, front, workload, metric, among=()):
        """The peer (or the one of @among) with the best median, or None."""
        names = among or [peer.name for peer in self.peers if peer.role == "peer"]
        medians = {name: self.median(front, workload, name, metric) for name in names}
        medians = {name: median for name, median in medians.items() if median is not None}
        if not medians:
            return None
        return (max if metric.more_is_better else min)(medians, key=medians.get)

    def ratios(self, front, workload, peer, other, metric):
        """{(round, slice): ratio} of those in which both were measured."""
        ours = self.values(front, workload, peer, metric)
        theirs = self.values(front, workload, other, metric)
        return ratios_of(ours, theirs)

    def ratios_to(self, base, front, workload, peer, metric):
        """The same of one peer's figures in two workloads; @base is a name."""
        ours = self.values(front, workload, peer, metric)
        theirs = {
            key: figures[metric.key]
            for key, figures in self.figures.get((front, base, peer), {}).items()
        }
        return ratios_of(ours, theirs)


def ratios_of(ours, theirs):
    return {key: ours[key] / theirs[key] for key in sorted(ours) if theirs.get(key)}


def quartiles(values, digits=2):
    """As text in brackets; nothing where there are too few."""
    if len(values) < 3:
        return ""
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"[{low:.{digits}f}-{high:.{digits}f}]"


def median_text(values, digits):
    """How far the slices are apart stands behind it."""
    return f"{statistics.median(values):.{digits}f} {quartiles(values, digits)}".rstrip()


def ratio_text(samples, front, workload, peer, best, metric):
    if best is None:
        return ""
    if peer == best:
        return "best"
    ratios = samples.ratios(front, workload, peer, best, metric)
    return interval.text(ratios, metric.more_is_better) if ratios else ""


def row(samples, front, workload, peer):
    cells = [peer.name]
    for metric in workload.metrics:
        values = list(samples.values(front, workload, peer.name, metric).values())
        cells.append(median_text(values, metric.digits) if values else "-")
        if metric.compared:
            best = samples.best(front, workload, metric)
            ratio = ratio_text(samples, front, workload, peer.name, best, metric)
            cells.append(ratio if values else "")
    if samples.failed(front, workload, peer.name):
        cells.append("FAILED in a round")
    return cells


def table(samples, front, workload):
    peers = samples.measured(front, workload)
    if not peers:
        return ""
    header = [""]
    for metric in workload.metrics:
        header += [metric.title, "ratio"] if metric.compared else [metric.title]
    rows = [header] + [row(samples, front, workload, peer) for peer in peers]
    widths = [max(len(line[i]) for line in rows if i < len(line)) for i in range(len(header))]
    lines = [f"{workload.name}: {workload.title}; {FRONT_TITLES[front]}"]
    for cells in rows:
        text = [cells[0].ljust(widths[0])]
        text += [cell.rjust(width) for cell, width in zip(cells[1 : len(header)], widths[1:])]
        text += cells[len(header) :]
        lines.append("    " + "  ".join(text).rstrip())
    return "\n".join(lines) + "\n"


def median_and_interval(ratios):
    """(None, "") without any; the interval is text."""
    if not ratios:
        return None, ""
    found = interval.of_median(ratios)
    return statistics.median(ratios.values()), "({:.2f}-{:.2f})".format(*found) if found else ""


def others_medians(samples, metric, workload, front):
    """What the peers have of a figure that is not compared: it says what can be had."""
    medians = {
        peer.name: samples.median(front, workload, peer.name, metric)
        for peer in samples.measured(front, workload)
        if peer.role == "peer"
    }
    return {name: median for name, median in medians.items() if median is not None}


def check_goal(samples, goal, workload, front):
    """What came of it, or None when it was not measured."""
    if goal.base:
        if workload.name == goal.base:
            return None
        ratios = samples.ratios_to(goal.base, front, workload, "sockfront", goal.metric)
        value, detail = median_and_interval(ratios)
        against = f"of {goal.base}"
    elif goal.against is None:
        value, detail = samples.median(front, workload, "sockfront", goal.metric), ""
        against = "by itself"
    else:
        against = samples.best(front, workload, goal.metric, goal.against)
        if against is None:
            return None
        ratios = samples.ratios(front, workload, "sockfront", against, goal.metric)
        value, detail = median_and_interval(ratios)
        against = f"of {against}"
    if value is None:
        return None
    others = {} if goal.against is not None else others_medians(samples, goal.metric, workload, front)
    # As it is printed: a goal of 2 descriptors is not missed by a thousandth.
    printed, limit = round(value, 2), round(goal.limit, 2)
    met = printed >= limit if goal.metric.more_is_better else printed <= limit
    return {
        "front": front,
        "workload": workload.name,
        "metric": goal.metric.key,
        "against": against,
        "value": value,
        "interval": detail,
        "limit": goal.limit,
        "at": "least" if goal.metric.more_is_better else "most",
        "met": met,
        "others": others,
    }


def goals(samples, fronts, workloads):
    checks = [
        check_goal(samples, goal, workload, front)
        for goal in GOALS
        for front in fronts
        for workload in workloads
        if goal.applies(workload, front)
    ]
    return [check for check in checks if check]


def goal_lines(checks):
    """The missed ones last, where they are seen."""
    for check in sorted(checks, key=lambda check: check["met"], reverse=True):
        line = (
            f"    {'met' if check['met'] else 'MISSED':<6}  {check['workload']:<20} {check['front']:<4} "
            f"{check['metric']:<18} {check['value']:6.2f} {check['interval']:<12} "
            f"{check['against']:<18} (at {check['at']} {check['limit']:.2f})"
        )
        others = ", ".join(f"{name} {median:.2f}" for name, median in check["others"].items())
        yield f"{line}  {others}".rstrip()


def write_json(path, samples, fronts, workloads, about, checks):
    results = []
    for front in fronts:
        for workload in workloads:
            for peer in samples.measured(front, workload):
                metrics = {}
                for metric in workload.metrics:
                    values = samples.values(front, workload, peer.name, metric)
                    if not values:
                        continue
                    metrics[metric.key] = {
                        "values": [values[key] for key in sorted(values)],
                        "median": statistics.median(values.values()),
                    }
                    if len(values) > 1:
                        low, _, high = statistics.quantiles(
                            values.values(), n=4, method="inclusive"
                        )
                        metrics[metric.key] |= {"quartiles": [low, high]}
                    best = samples.best(front, workload, metric) if metric.compared else None
                    ratios = best and samples.ratios(front, workload, peer.name, best, metric)
                    if ratios:
                        metrics[metric.key] |= {
                            "best_peer": best,
                            "ratio": statistics.median(ratios.values()),
                            "ratios": list(ratios.values()),
                            "interval": interval.of_median(ratios),
                            "verdict": interval.verdict(
                                interval.of_median(ratios), metric.more_is_better
                            ),
                        }
                results.append(
                    {"front": front, "workload": workload.name, "peer": peer.name, "metrics": metrics}
                )
    document = {
        **about,
        "measured_rounds": samples.rounds(),
        "results": results,
        "goals": checks,
        "failures": samples.failures,
        "left_out": samples.skipped,
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


# ---- plots: one for each figure, workloads side by side, a bar for each peer ----

PLOT_NAMES = {
    "gib_per_s": "rate",
    "cpu_s_per_gib": "cpu",
    "requests_per_s": "rate",
    "connections_per_s": "rate",
    "cpu_us": "cpu",
    "p99_us": "p99",
    "rss_kib": "memory",
    "slab_kib": "slab",
    "fairness": "fairness",
    "streams_gib_per_s": "streams",
    "delay_p50_ms": "delay-p50",
    "delay_p99_ms": "delay-p99",
}
PLOT_TITLES = {
    "bulk": "bulk",
    "link": "bulk over a link; delay at 90 % of it",
    "request": "request/response",
    "request-among": "request/response, with so many idle connections open",
    "connect": "connect, request, close",
    "fair": "request/response, most over fewest replies",
    "connect-behind": "connect, request, close, behind streams at full speed",
    "connect-among": "connect, request, close, with so many idle connections open",
    "stuck": "request/response beside stuck readers",
    "idle": "one idle connection",
}


def plot_script(path, title, unit, peers, rows):
    """@rows: (workload name, values of @peers).  What is over direct can be less than nothing."""
    values = sorted(max(value, LEAST) for _, values in rows for value in values if value is not None)
    top = min(1.05 * values[-1], TALLEST * statistics.median(values))
    if values[-1] > top:
        title += " (bars that reach the top are cut)"
    width = max(640, 260 + 13 * len(peers) * len(rows))
    lines = [
        f'set terminal svg size {width},400 font "sans,11" background "white"',
        f'set output "{path}"',
        f'set title "{title}" noenhanced',
        f'set ylabel "{unit}" noenhanced',
        f"set yrange [0:{top}]",
        "set style data histograms",
        "set style histogram clustered gap 1.5",
        "set style fill solid 0.85 noborder",
        "set grid y",
        "set key outside right top noenhanced",
        "set xtics noenhanced",
        'set datafile missing "?"',
        "$figures << END",
    ]
    for name, values in rows:
        cells = ["?" if value is None else f"{value:.6g}" for value in values]
        lines.append(" ".join([f'"{name}"', *cells]))
    lines.append("END")
    columns = [f'$figures using {i + 2}:xtic(1) title "{peer}"' for i, peer in enumerate(peers)]
    lines.append("plot " + ", ".join(columns))
    return "\n".join(lines) + "\n"


def plots(samples, fronts, workloads):
    """(name, title, unit, peers, rows) of each that has anything to show."""
    for front in fronts:
        for kind, kind_title in PLOT_TITLES.items():
            chosen = [workload for workload in workloads if workload.kind == kind]
            for metric in chosen[0].metrics if chosen else ():
                if metric.key not in PLOT_NAMES:
                    continue
                peers = [
                    peer.name
                    for peer in samples.peers
                    if not (metric.over_direct and peer.name == "direct")
                    and any(samples.median(front, workload, peer.name, metric) for workload in chosen)
                ]
                rows = [
                    (workload.name, [samples.median(front, workload, peer, metric) for peer in peers])
                    for workload in chosen
                ]
                if peers:
                    name = f"{kind}-{PLOT_NAMES[metric.key]}-{front}"
                    yield name, f"{kind_title}, {FRONT_TITLES[front]}", metric.title, peers, rows


def draw(directory, samples, fronts, workloads):
    """Returns what to say of it."""
    for old in directory.glob("*.svg"):
        old.unlink()
    if not shutil.which("gnuplot"):
        return "plots skipped: gnuplot is not installed"
    drawn = 0
    for name, title, unit, peers, rows in plots(samples, fronts, workloads):
        script = plot_script(directory / f"{name}.svg", title, unit, peers, rows)
        result = subprocess.run(
            ["gnuplot"], input=script, text=True, capture_output=True, check=False
        )
        if result.returncode != 0:
            return f"plots skipped: gnuplot failed on {name}: {result.stderr.strip()}"
        drawn += 1
    return f"{drawn} plots: {directory}/*.svg"
