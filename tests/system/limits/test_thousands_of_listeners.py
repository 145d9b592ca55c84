# SPDX-License-Identifier: MIT
"""
Thousands of listeners start, are kept by a reload, and go from one process to the next; each costs as much as any
other, in system calls and in memory, however many there are.
"""

import collections
import os
import re
import resource

import pytest

from support.configuration import process, section
from support.proc import listener_inodes, wait_until
from support.proxy import SOCKFRONT
from support.stage import need
from support.streams import exchange

WANTED = 9000  # one variable of the environment would hold the names of 3,400
SOME, MANY = 100, 400


def room_for_listeners():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 500


def text_of(backend, addresses, first_options=""):
    sections = [section(backend, address, name=f"p{number}", options=first_options if number == 0 else "")
                for number, address in enumerate(addresses)]
    return process("max-connections = 10", "workers = 1") + "".join(sections)


@pytest.mark.plain_only("says nothing about memory or threads that an upgrade of fewer does not")
def test_none_is_lost(stage):
    count = min(WANTED, room_for_listeners())
    if count < 3500:
        pytest.skip(f"the hard limit of descriptors leaves room for {count} listeners")
    backend, names = stage.backend(), [stage.name(f"app{number}") for number in range(count)]
    proxy = stage.proxy("-c", stage.file("sockfront.conf", text_of(backend, names)), sockets=0)
    proxy.wait_log(f"listening on {names[-1]},", 120)
    before = listener_inodes(proxy.pid)
    assert len(before) == count
    clients = [stage.connect(names[0]), stage.connect(names[-1])]
    connections = [backend.accept() for _ in clients]
    assert f"{count} listener(s) kept, 0 added, 0 removed" in proxy.reload(60)
    proxy.upgrade(60)
    assert listener_inodes(proxy.pid) == before
    exchange(*stage.live_pair(backend, names[-1]), seed=1, size=1000)
    assert len(connections) == 2
    stage.close_sockets()
    proxy.wait_replaced()


# ---- system calls ----


def calls_in(path):
    """How often each was made, by all threads."""
    with open(path) as file:
        return collections.Counter(re.findall(r"^\d+ +(\w+)\(", file.read(), re.M))


def traced(stage, name):
    """A program in front of sockfront, which keeps its number, and what it writes."""
    path = stage.path(name)
    return [need("strace"), "-D", "-f", "-qq", "-o", path], path


def start(stage, kind, count, number):
    """The proxy of so many lines, all of it under strace, and the trace."""
    backend = stage.backend()
    strace, path = traced(stage, f"trace{number}")
    if kind == "inherited":
        sockets = [stage.listener() for _ in range(count)]
        addresses = ["%s:%d" % sock.getsockname() for sock in sockets]
    elif kind == "path":
        addresses = [stage.path(f"{number}-{one}.sock") for one in range(count)]
    else:
        addresses = [stage.name(f"{number}-{one}") for one in range(count)] if kind == "abstract" else ["127.0.0.1:0"] * count
    conf = stage.file(f"sockfront{number}.conf", text_of(backend, addresses))
    if kind == "inherited":
        words = [*strace[1:], SOCKFRONT, "-c", conf]
        proxy = stage.handed(sockets, *words, listening=0, program=strace[0])
    else:
        proxy = stage.proxy("-c", conf, sockets=0, prefix=strace)
    wait_until(lambda: len(proxy.listening) >= count, f"{count} lines:\n{proxy.log}", 60)
    return proxy, path, backend, addresses


@pytest.mark.plain_only("the sanitizers' own system calls would be counted")
@pytest.mark.parametrize("kind", ["tcp", "abstract", "path", "inherited"])
def test_each_costs_the_same(stage, kind):
    """To start, and a reload that changes nothing."""
    totals = []
    for number, count in enumerate((SOME, MANY)):
        proxy, path, _, _ = start(stage, kind, count, number)
        started = calls_in(path)
        assert f"{count} listener(s) kept" in proxy.reload(60)
        proxy.finish()
        after = calls_in(path)
        totals.append((sum(started.values()), sum(after.values()) - sum(started.values())))
    for few, many in zip(*totals):
        assert many <= few * 2 * MANY / SOME, (kind, totals)


@pytest.mark.plain_only("the sanitizers' own system calls would be counted")
def test_one_changed_line_touches_one(stage):
    """Of all others the reload only asks whether they are still there."""
    proxy, path, backend, addresses = start(stage, "abstract", MANY, 0)
    before = calls_in(path)
    other = stage.name("other")
    stage.file("sockfront0.conf", text_of(backend, [*addresses[:7], other, *addresses[8:]], "recv-buffer-size = 64K"))
    assert f"{MANY - 1} listener(s) kept, 1 added, 1 removed" in proxy.reload(60)
    calls = calls_in(path)
    calls.subtract(before)
    assert calls["bind"] == 1 and calls["listen"] == 1, calls
    assert calls["setsockopt"] <= 20 and calls["socket"] <= 5 and calls["epoll_ctl"] <= 20, calls
    exchange(*stage.live_pair(backend, other), seed=1, size=1000)


# ---- memory ----


def private_bytes(pid):
    """What no other process has, of all mappings: what the kernel keeps of sockets is not among it."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return 1024 * sum(int(size) for size in re.findall(r"^Private_\w+:\s*(\d+)", file.read(), re.M))


def range_of(stage, count):
    """One line of so many ports, of which nobody else has any on that address."""
    return [f"127.83.{os.getpid() % 250}.1:10000-{10000 + count - 1}"]


def names_of(stage, count):
    return [stage.name(f"{count}-{one}") for one in range(count)]


def one_proxy(backend, addresses):
    return section(backend, *addresses)


def proxy_each(backend, addresses):
    return "".join(section(backend, address, name=f"p{number}") for number, address in enumerate(addresses))


@pytest.mark.plain_only("the sanitizers need memory of their own")
@pytest.mark.parametrize("addresses_of, sections_of, most", [
    pytest.param(range_of, one_proxy, 1.25, id="a port of a range"),
    pytest.param(names_of, one_proxy, 1.25, id="a line of a proxy"),
    pytest.param(names_of, proxy_each, 3.75, id="a proxy of its own"),
])
def test_memory_of_each(stage, addresses_of, sections_of, most):
    """In KiB, with a quarter more than it was when this was written, and what malloc() keeps in hand."""
    sizes = []
    for count in (500, 2500):
        if count > room_for_listeners():
            pytest.skip("the hard limit of descriptors leaves no room for them")
        backend, addresses = stage.backend(), addresses_of(stage, count)
        text = process("max-connections = 10", "log-level = notice") + sections_of(backend, addresses)
        proxy = stage.proxy("-c", stage.file(f"sockfront{count}.conf", text), sockets=0)
        wait_until(lambda: len(listener_inodes(proxy.pid)) == count, "all listen", 60)
        exchange(*stage.live_pair(backend, addresses[-1].replace(f"-{10000 + count - 1}", "")), seed=1, size=1000)
        sizes.append(private_bytes(proxy.pid))
        proxy.finish()
    assert (sizes[1] - sizes[0]) / 2000 < most * 1024, f"{sizes} bytes"
