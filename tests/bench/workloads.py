# SPDX-License-Identifier: MIT
"""What is measured: the workloads, their figures, and what sockfront is to show.

Read by tests/bench/run, which measures, and by report.py, which compares.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatch

from link import Shape


@dataclass(frozen=True)
class Metric:
    key: str
    title: str
    more_is_better: bool = False
    digits: int = 1
    compared: bool = True  # a ratio to the best peer makes sense
    over_direct: bool = False  # what a direct connection has of it is no proxy's doing


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
SLAB = Metric("slab_kib", "slab KiB", False, 1, compared=False, over_direct=True)
DESCRIPTORS = Metric("descriptors", "descriptors", False, 2, compared=False)
IDLE_CPU = Metric("idle_cpu_ms_per_s", "CPU ms/s", False, 1, compared=False)
RESTING_CPU = Metric("resting_cpu_ms_per_s", "resting CPU ms/s", False, 1, compared=False)
OPEN = Metric("connections", "connections", True, 0, compared=False)
FAIRNESS = Metric("fairness", "most/fewest", False, 2, compared=False)
STREAMS = Metric("streams_gib_per_s", "streams GiB/s", True, 2)
DELAY_P50 = Metric("delay_p50_ms", "delay p50 ms", False, 2, compared=False, over_direct=True)
DELAY_P99 = Metric("delay_p99_ms", "delay p99 ms", False, 2, compared=False, over_direct=True)

GIB = 1 << 30

BULK_METRICS = (RATE_GIB, CPU_GIB)
REQUEST_METRICS = (REQUESTS, CPU_EACH, P50, P99, P999)
CONNECT_METRICS = (CONNECTS, CPU_EACH, P50, P99, P999)
STUCK_METRICS = (*REQUEST_METRICS, RESTING_CPU)
BEHIND_METRICS = (CONNECTS, P50, P99, P999, STREAMS)
FAIR_METRICS = (FAIRNESS, REQUESTS, P99)
DELAY_METRICS = (DELAY_P50, DELAY_P99)
IDLE_METRICS = (OPEN, RSS, PSS, DESCRIPTORS, SLAB, IDLE_CPU)


# A pace that leaves a link room, and pieces as large as what most programs write at once.
PACE = 0.9
PIECE = 16384
DELAY_SECONDS = 0.3

FAIR_SECONDS = 5
BEHIND_SECONDS = 1


@dataclass(frozen=True)
class Workload:
    name: str
    verb: str  # load's name for it
    connections: int
    title: str
    metrics: tuple
    size: int = 64
    open: int = 0  # connections that do nothing meanwhile
    stuck: int = 0  # connections that read nothing
    streams: int = 0  # that go up at full speed meanwhile
    rate: float = 0  # bytes a second, of all connections together
    seconds: float = 0  # of a slice, at least
    slices: int | None = None  # in a round, at most
    then: "Workload | None" = None  # what each slice measures afterwards, with the same proxy
    paced: bool = False  # what those are sent comes in small pieces
    link: Shape | None = None  # between the load and the proxy; None: the loopback
    processes: int = 1  # of the proxy, each with a load and a backend of its own
    fronts: tuple = ("tcp", "unix")
    peers: tuple = ()  # only these
    once: bool = False  # in the first round only
    usual: bool = True  # measured where none is named
    quick: bool = False

    @property
    def kind(self):
        """What it shares its plots with; their other difference is a number."""
        return re.match(r"[a-z]+(-among|-behind)?", self.name)[0]

    def options(self):
        options = ["--connections", self.connections, "--size", self.size]
        options += ["--open", self.open, "--stuck", self.stuck]
        options += ["--streams", self.streams, "--rate", self.rate]
        return options + ["--paced"] if self.paced else options

    def needs_direct(self):
        """Whether what is measured of a proxy is what comes on top of a direct connection."""
        return any(metric.over_direct for metric in self.metrics)


def figures_of(result):
    """Those of @result, what load has printed."""
    seconds = result["ns"] / 1e9
    cpu_ns = result.get("cpu_ns")
    if "pieces" in result:
        return {f"delay_{point}_ms": result[f"{point}_ns"] / 1e6 for point in ("p50", "p99")}
    if "bytes" in result:
        gib = result["bytes"] / GIB
        figures = {RATE_GIB.key: gib / seconds}
        if cpu_ns is not None:
            figures[CPU_GIB.key] = cpu_ns / 1e9 / gib
        return figures
    what = "requests" if "requests" in result else "connections"
    figures = {f"{what}_per_s": result[what] / seconds}
    if cpu_ns is not None:
        figures[CPU_EACH.key] = cpu_ns / 1e3 / result[what]
        figures[RESTING_CPU.key] = result["resting_cpu_ns"] / 1e6
    if "most" in result:
        figures[FAIRNESS.key] = fairness(result["fewest"], result["most"])
    if "streamed" in result:
        figures[STREAMS.key] = result["streamed"] / GIB / seconds
    for point in "p50", "p99", "p999":
        figures[f"{point}_us"] = result[f"{point}_ns"] / 1e3
    return figures


def fairness(fewest, most):
    """
    1 is fair. Who was never served counts as served once, so that there is a
    ratio: over the seconds that are measured, that is far from fair as well.
    """
    return most / max(fewest, 1)


def bulk(direction, n, **rest):
    title = f"bulk {direction}, {n} stream{'s' if n > 1 else ''}"
    name = f"bulk-{direction}"
    return Workload(f"{name}-{n}", name, n, title, BULK_METRICS, **rest)


def delay(direction, n, rate):
    """How long a byte is on the way where nothing is held up: what waits then, the proxy keeps."""
    name = f"delay-{direction}"
    return Workload(name, name, n, "", DELAY_METRICS, PIECE, rate=rate, seconds=DELAY_SECONDS)


def over_link(direction, n, name, shape):
    """
    Peers that a link holds up reach the same rate: there it is the processor time that counts.
    At full speed a byte's delay would be the length of the queues, so it is measured at a pace.
    """
    streams = f"{n} stream{'s' if n > 1 else ''}"
    title = f"bulk {direction}, {streams}, over a link of {name.replace('-', ', ')}"
    return Workload(
        f"link-{name}-{direction}-{n}",
        f"bulk-{direction}",
        n,
        f"{title}; delay at {PACE:.0%} of it, over direct",
        BULK_METRICS + DELAY_METRICS,
        link=shape,
        slices=2,
        then=delay(direction, n, PACE * shape.bits / 8),
        fronts=("tcp",),
        peers=("direct", "sockfront", "socket-proxyd", "haproxy-splice", "nginx"),
        usual=any(fnmatch(f"{name}-{direction}-{n}", pattern) for pattern in USUAL_OVER_LINKS),
    )


def request(n, size, **rest):
    title = f"request/response, {n} connection{'s' if n > 1 else ''}, {size} bytes"
    slices = 2 if n > 64 else None  # it takes a second until all are connected
    return Workload(f"request-{n}x{size}", "request", n, title, REQUEST_METRICS, size, slices=slices, **rest)


def fair(n):
    """Over so long that each is served some hundred times: of a few, one more is much."""
    title = f"request/response, {n} connections: who got the most replies in {FAIR_SECONDS} s over who got the fewest"
    return Workload(
        f"fair-{n}",
        "request",
        n,
        title,
        FAIR_METRICS,
        seconds=FAIR_SECONDS,
        slices=1,
        fronts=("tcp",),
        peers=("direct", "sockfront", "socket-proxyd", "haproxy", "nginx"),
        once=True,
    )


def connect(n, quick=False):
    title = f"connect, request, close, {n} at a time"
    return Workload(f"connect-{n}", "connect", n, title, CONNECT_METRICS, quick=quick)


def behind(n):
    """
    How long a newcomer waits while the proxy is busy. The streams all go up: a backend that
    has to fill streams, too, would let the newcomer wait itself, and hide what the proxy does.
    """
    title = f"connect, request, close, 1 at a time, behind {n} streams up at full speed"
    return Workload(
        f"connect-behind-{n}",
        "connect",
        1,
        title,
        BEHIND_METRICS,
        streams=n,
        seconds=BEHIND_SECONDS,
        slices=2,
        fronts=("tcp",),
        peers=("direct", "sockfront", "raw-epoll", "socket-proxyd", "haproxy", "haproxy-splice", "nginx"),
    )


def among(verb, n, open_ones, **rest):
    """What each costs must not depend on how many others are open."""
    what, metrics = {
        "request": ("request/response, 64 connections", REQUEST_METRICS),
        "connect": ("connect, request, close, 16 at a time", CONNECT_METRICS),
    }[verb]
    title = f"{what}, with {open_ones} idle ones open"
    name = f"{verb}-among-{open_ones}"
    return Workload(
        name,
        verb,
        n,
        title,
        metrics,
        open=open_ones,
        slices=2,
        fronts=("tcp",),
        peers=("sockfront", "socket-proxyd", "haproxy", "nginx"),
        **rest,
    )


def stuck(n, paced=False, **rest):
    title = f"64 connections of request/response beside {n} stuck reader{'s' if n > 1 else ''}"
    if paced:
        title += " of 100-byte pieces"
    name = f"stuck-paced-{n}" if paced else f"stuck-{n}"
    return Workload(name, "request", 64, title, STUCK_METRICS, stuck=n, paced=paced, slices=2, **rest)


def idle(name, n, processes=1, **rest):
    whom = f", {processes} processes" if processes > 1 else ""
    title = f"{n * processes} idle connections{whom}; per connection, slab beyond what direct ones need"
    return Workload(name, "idle", n, title, IDLE_METRICS, processes=processes, **rest)


LINKS = {
    "100Mbit": Shape("100mbit"),
    "1Gbit": Shape("1gbit"),
    "10Gbit": Shape("10gbit"),
    "1Gbit-5ms-0.1%": Shape("1gbit", "5ms", "0.1%"),
}

# One stream and eight, and both directions.  What eight streams down have under way at
# 100 Mbit/s takes seconds to arrive.
USUAL_OVER_LINKS = ("*-up-1", "1*Gbit*-down-8", "100Mbit-up-8")

# As many as the limit of descriptors allows, five times over: what a machine holds.
FLEET = 5
FLEET_EACH = 9000
OPEN_ONES = (10, 100, 1000, 9000)
ENDS = (OPEN_ONES[0], OPEN_ONES[-1])


def all_workloads(n_idle):
    # Idle first: the kernel's memory is quietest then.
    return [
        idle("idle", n_idle, once=True, quick=True),
        idle(
            f"idle-{FLEET * FLEET_EACH}",
            FLEET_EACH,
            FLEET,
            fronts=("tcp",),
            peers=("direct", "sockfront", "haproxy", "nginx"),
            once=True,
            usual=False,
        ),
        *(
            bulk(direction, n, quick=n == 4 and direction != "both", usual=n < 16)
            for direction in ("up", "down", "both")
            for n in (1, 4, 16)
        ),
        *(
            over_link(direction, n, name, shape)
            for name, shape in LINKS.items()
            for direction in ("up", "down")
            for n in (1, 8)
        ),
        *(request(n, 64, quick=n == 64) for n in (1, 64, 1024)),
        *(request(n, 1024, usual=False) for n in (1, 64, 1024)),
        fair(1024),
        *(connect(n, quick=n == 16) for n in (1, 16)),
        behind(64),
        *(among("request", 64, n, usual=n in ENDS) for n in OPEN_ONES),
        *(among("connect", 16, n, usual=n in ENDS) for n in OPEN_ONES),
        *(stuck(n, usual=n == 1) for n in (1, 4)),
        # Small pieces take seconds until nothing more fits.
        *(stuck(n, paced=True, usual=False) for n in (1, 4)),
    ]


@dataclass(frozen=True)
class Goal:
    """
    sockfront's figure over the best of @against or over its own in the workload
    @base, or its figure alone, within @limit.
    """

    workloads: str
    fronts: str
    metric: Metric
    against: tuple  # names; (): any peer; None: the figure itself
    limit: float
    base: str = ""

    def applies(self, workload, front):
        return (
            any(fnmatch(workload.name, pattern) for pattern in self.workloads.split())
            and front in self.fronts.split()
            and front in workload.fronts
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
    Goal("request-*x*", "tcp unix", P99, (), 1.00),
    Goal("connect-1 connect-16", "tcp unix", CPU_EACH, (), 0.90),
    Goal("connect-1 connect-16", "tcp unix", CONNECTS, (), 1.05),
    Goal("fair-1024", "tcp", FAIRNESS, None, 1.3),
    Goal("connect-behind-64", "tcp", P50, ("nginx",), 1.00),
    Goal("connect-behind-64", "tcp", P99, ("nginx",), 1.00),
    Goal("link-*bit-up-* link-*bit-down-*", "tcp", DELAY_P50, None, 1.5),
    Goal("link-*bit-up-* link-*bit-down-*", "tcp", DELAY_P99, None, 2.5),
    Goal("request-among-*", "tcp", CPU_EACH, None, 1.10, base="request-among-10"),
    Goal("connect-among-*", "tcp", CPU_EACH, None, 1.10, base="connect-among-10"),
    Goal("idle*", "tcp unix", RSS, None, 0.5),
    Goal("idle*", "tcp unix", DESCRIPTORS, None, 2),
    Goal("stuck-*", "tcp unix", P99, (), 1.00),
    Goal("stuck-*", "tcp unix", RESTING_CPU, None, 1),
    Goal("bulk-*", "tcp unix", CPU_GIB, RAW, 1.05),
    Goal("bulk-*", "tcp unix", RATE_GIB, RAW, 1 / 1.05),
    Goal("request-*x* connect-1 connect-16 stuck-*", "tcp unix", CPU_EACH, RAW, 1.05),
    Goal("request-*x* stuck-*", "tcp unix", REQUESTS, RAW, 1 / 1.05),
    Goal("request-*x* stuck-*", "tcp unix", P99, RAW, 1.05),
    Goal("connect-1 connect-16", "tcp unix", CONNECTS, RAW, 1 / 1.05),
]
