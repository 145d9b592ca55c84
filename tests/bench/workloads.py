# SPDX-License-Identifier: MIT
"""What is measured: the workloads, their figures, and what sockfront is to show.

Read by tests/bench/run, which measures, and by report.py, which compares.
"""

from dataclasses import dataclass
from fnmatch import fnmatch


@dataclass(frozen=True)
class Metric:
    key: str
    title: str
    more_is_better: bool = False
    digits: int = 1
    compared: bool = True  # a ratio to the best peer makes sense


RATE_GIB = Metric("gib_per_s", "GiB/s", True, 2)
CPU_GIB = Metric("cpu_s_per_gib", "CPU s/GiB", False, 3)
REQUESTS = Metric("requests_per_s", "requests/s", True, 0)
CONNECTS = Metric("connections_per_s", "connections/s", True, 0)
CPU_EACH = Metric("cpu_us", "CPU us", False, 1)
P50 = Metric("p50_us", "p50 us", False, 0)
P99 = Metric("p99_us", "p99 us", False, 0)
P999 = Metric("p999_us", "p99.9 us", False, 0)
RSS = Metric("rss_kib", "RSS KiB", False, 2, compared=False)
PSS = Metric("pss_kib", "PSS KiB", False, 2, compared=False)
SLAB = Metric("slab_kib", "slab KiB", False, 1, compared=False)
DESCRIPTORS = Metric("descriptors", "descriptors", False, 2, compared=False)
IDLE_CPU = Metric("idle_cpu_ms_per_s", "CPU ms/s", False, 1, compared=False)
OPEN = Metric("connections", "connections", True, 0, compared=False)

BULK_METRICS = (RATE_GIB, CPU_GIB)
REQUEST_METRICS = (REQUESTS, CPU_EACH, P50, P99, P999)
CONNECT_METRICS = (CONNECTS, CPU_EACH, P50, P99)
IDLE_METRICS = (OPEN, RSS, PSS, DESCRIPTORS, SLAB, IDLE_CPU)


@dataclass(frozen=True)
class Workload:
    name: str
    verb: str  # load's name for it
    connections: int
    title: str
    metrics: tuple
    size: int = 64
    stuck: int = 0
    quick: bool = False

    def options(self):
        return ["--connections", self.connections, "--size", self.size, "--stuck", self.stuck]

    def figures(self, result):
        """Those of @result, what load has printed."""
        seconds = result["ns"] / 1e9
        cpu_ns = result.get("cpu_ns")
        if "bytes" in result:
            gib = result["bytes"] / (1 << 30)
            figures = {"gib_per_s": gib / seconds}
            if cpu_ns is not None:
                figures["cpu_s_per_gib"] = cpu_ns / 1e9 / gib
            return figures
        what = "requests" if "requests" in result else "connections"
        figures = {f"{what}_per_s": result[what] / seconds}
        if cpu_ns is not None:
            figures["cpu_us"] = cpu_ns / 1e3 / result[what]
        for point in "p50", "p99", "p999":
            figures[f"{point}_us"] = result[f"{point}_ns"] / 1e3
        return figures


def bulk(direction, n, quick=False):
    title = f"bulk {direction}, {n} stream{'s' if n > 1 else ''}"
    name = f"bulk-{direction}"
    return Workload(f"{name}-{n}", name, n, title, BULK_METRICS, quick=quick)


def request(n, size, quick=False):
    title = f"request/response, {n} connection{'s' if n > 1 else ''}, {size} bytes"
    return Workload(f"request-{n}x{size}", "request", n, title, REQUEST_METRICS, size, quick=quick)


def connect(n, quick=False):
    title = f"connect, request, close, {n} at a time"
    return Workload(f"connect-{n}", "connect", n, title, CONNECT_METRICS, quick=quick)


def stuck(n):
    title = f"64 connections of request/response beside {n} stuck reader{'s' if n > 1 else ''}"
    return Workload(f"stuck-{n}", "request", 64, title, REQUEST_METRICS, stuck=n)


def all_workloads(n_idle):
    # Idle first: the kernel's memory is quietest then.
    title = f"{n_idle} idle connections; per connection, slab beyond what direct ones need"
    idle = Workload("idle", "idle", n_idle, title, IDLE_METRICS, quick=True)
    return [
        idle,
        *(bulk("up", n, quick=n == 4) for n in (1, 4, 16)),
        *(bulk("down", n, quick=n == 4) for n in (1, 4, 16)),
        *(bulk("both", n) for n in (1, 4, 16)),
        *(request(n, 64, quick=n == 64) for n in (1, 64, 1024)),
        *(request(n, 1024) for n in (1, 64, 1024)),
        *(connect(n, quick=n == 16) for n in (1, 16)),
        *(stuck(n) for n in (1, 4)),
    ]


@dataclass(frozen=True)
class Goal:
    """sockfront's figure over the best of @against, or its figure alone, within @limit."""

    workloads: str
    fronts: str
    metric: Metric
    against: tuple  # names; (): any peer; None: the figure itself
    limit: float

    def applies(self, workload, front):
        return (
            any(fnmatch(workload.name, pattern) for pattern in self.workloads.split())
            and front in self.fronts.split()
            and self.metric in workload.metrics
        )


RAW = ("raw-epoll",)

GOALS = [
    Goal("bulk-*-1 bulk-*-4", "tcp", CPU_GIB, ("socket-proxyd",), 0.80),
    Goal("bulk-*-1 bulk-*-4", "tcp", CPU_GIB, ("haproxy-splice",), 0.65),
    Goal("bulk-*-1 bulk-*-4", "tcp", CPU_GIB, ("nginx",), 0.20),
    Goal("bulk-*", "unix", CPU_GIB, ("socket-proxyd",), 0.90),
    Goal("bulk-*", "tcp unix", RATE_GIB, (), 1.00),
    Goal("request-64x64", "tcp unix", CPU_EACH, ("haproxy", "haproxy-splice", "nginx"), 0.90),
    Goal("request-64x64", "tcp unix", REQUESTS, (), 1.00),
    Goal("request-*", "tcp unix", P99, (), 1.00),
    Goal("connect-*", "tcp unix", CPU_EACH, (), 0.90),
    Goal("connect-*", "tcp unix", CONNECTS, (), 1.05),
    Goal("idle", "tcp unix", RSS, None, 0.5),
    Goal("idle", "tcp unix", DESCRIPTORS, None, 2),
    Goal("stuck-*", "tcp unix", P99, (), 1.00),
    Goal("bulk-*", "tcp unix", CPU_GIB, RAW, 1.05),
    Goal("bulk-*", "tcp unix", RATE_GIB, RAW, 1 / 1.05),
    Goal("request-* connect-* stuck-*", "tcp unix", CPU_EACH, RAW, 1.05),
    Goal("request-* stuck-*", "tcp unix", REQUESTS, RAW, 1 / 1.05),
    Goal("request-* stuck-*", "tcp unix", P99, RAW, 1.05),
    Goal("connect-*", "tcp unix", CONNECTS, RAW, 1 / 1.05),
]
