# SPDX-License-Identifier: MIT
"""A range of ports is one line, in listen and in backend, where the two go in step."""

import random
import re
import socket

import pytest

from support.access_log import parse_logfmt
from support.backend import Backend, named
from support.metrics import overview, parse, scrape
from support.proc import listener_inodes
from support.proxy import run
from support.status import status_section
from support.streams import exchange, read_exactly

LENGTH = 8


def free_range(length=LENGTH, hosts=("127.0.0.1", "127.0.0.2", "127.0.0.3")):
    """The first of that many ports in a row which are free on all of these hosts."""
    for _ in range(100):
        first = random.randrange(10000, 32000 - length)
        sockets = [socket.socket() for _ in range(length * len(hosts))]
        try:
            for number, sock in enumerate(sockets):
                sock.bind((hosts[number % len(hosts)], first + number // len(hosts)))
            return first
        except OSError:
            continue
        finally:
            for sock in sockets:
                sock.close()
    raise AssertionError("no range of ports is free")


def backends(stage, host, first, length=LENGTH):
    """One at each port, which says its address."""
    made = [Backend(named(f"{host}:{first + step}"), host=host, port=first + step) for step in range(length)]
    stage.backends += made
    return made


def text(first, *backend, options="", length=LENGTH):
    """A section of that range."""
    lines = [f"[proxy games]\nlisten = 127.0.0.1:{first}-{first + length - 1}", *(f"backend = {one}" for one in backend)]
    return "\n".join([*lines, options]) + "\n"


def started(stage, conf, *words, sockets=LENGTH):
    path = stage.file("sockfront.conf", conf)
    return path, stage.proxy("-c", path, *words, sockets=sockets)


def said_at(stage, port, host="127.0.0.2"):
    return read_exactly(stage.connect(f"127.0.0.1:{port}"), len(f"{host}:{port}")).decode()


def test_in_step(stage):
    first = free_range()
    backends(stage, "127.0.0.2", first)
    _, proxy = started(stage, text(first, f"127.0.0.2:{first}-{first + LENGTH - 1}"), "--access-log")
    for port in range(first, first + LENGTH):
        assert said_at(stage, port) == f"127.0.0.2:{port}"
    stage.close_sockets()
    proxy.wait_released()
    wanted = f" proxy=games:{first + 3} "
    line = parse_logfmt(re.search(r"id=.*", proxy.wait_log(wanted)[0])[0].encode())
    assert line["listener"] == f"127.0.0.1:{first + 3}" and line["backend"] == f"127.0.0.2:{first + 3}"


def test_on_the_command_line(stage):
    first = free_range()
    backends(stage, "127.0.0.2", first)
    last = first + LENGTH - 1
    stage.proxy(f"127.0.0.1:{first}-{last}", f"127.0.0.2:{first}-{last}", sockets=LENGTH)
    assert said_at(stage, last) == f"127.0.0.2:{last}"


def test_one_port_for_all(stage):
    first, backend = free_range(), stage.backend()
    started(stage, text(first, backend.address))
    for port in (first, first + LENGTH - 1):
        exchange(*stage.live_pair(backend, f"127.0.0.1:{port}"), seed=1, size=1000)


def test_several_servers_in_step(stage):
    """Each port has one of each line, and health of its own."""
    first = free_range()
    last = first + LENGTH - 1
    ours = backends(stage, "127.0.0.2", first)
    backends(stage, "127.0.0.3", first)
    ours[2].close()
    both = f"127.0.0.2:{first}-{last}", f"127.0.0.3:{first}-{last} backup"
    _, proxy = started(stage, text(first, *both))
    assert said_at(stage, first + 2, "127.0.0.3") == f"127.0.0.3:{first + 2}"
    assert said_at(stage, first + 1) == f"127.0.0.2:{first + 1}"
    proxy.wait_log(f"backend 127.0.0.2:{first + 2} is ")
    assert not proxy.grep(f"backend 127.0.0.2:{first + 1} is ")


def test_what_is_told(stage):
    first, where = free_range(), stage.path("status.sock")
    last = first + LENGTH - 1
    backends(stage, "127.0.0.2", first)
    _, proxy = started(stage, text(first, f"127.0.0.2:{first}-{last}") + status_section(where))
    assert said_at(stage, first) == f"127.0.0.2:{first}"
    names = [one["name"] for one in overview(stage, where)["proxies"]]
    assert names == [f"games:{port}" for port in range(first, last + 1)]
    samples = parse(scrape(stage, where))
    listener = frozenset({("proxy", f"games:{first}"), ("listener", f"127.0.0.1:{first}")})
    assert samples["sockfront_listener_accepted_total", listener] == 1


def test_reload_that_grows_it(stage):
    """What is there already is kept, with its clients; what is dropped is closed."""
    first = free_range(2 * LENGTH)
    backends(stage, "127.0.0.2", first, 2 * LENGTH)
    path, proxy = started(stage, text(first, f"127.0.0.2:{first}-{first + LENGTH - 1}"))
    client, kept = stage.connect(f"127.0.0.1:{first}"), listener_inodes(proxy.pid)
    read_exactly(client, len(f"127.0.0.2:{first}"))

    stage.file("sockfront.conf", text(first, f"127.0.0.2:{first}-{first + 2 * LENGTH - 1}", length=2 * LENGTH))
    assert f"{LENGTH} listener(s) kept, {LENGTH} added, 0 removed" in proxy.reload()
    assert kept < listener_inodes(proxy.pid)
    assert said_at(stage, first + 2 * LENGTH - 1) == f"127.0.0.2:{first + 2 * LENGTH - 1}"
    client.sendall(b"x")
    assert read_exactly(client, 1) == b"x"

    stage.file("sockfront.conf", text(first + 1, f"127.0.0.2:{first + 1}-{first + 2}", length=2))
    assert f"2 listener(s) kept, 0 added, {2 * LENGTH - 2} removed" in proxy.reload()
    assert said_at(stage, first + 2) == f"127.0.0.2:{first + 2}"
    stage.close_sockets()
    proxy.finish(released=False)


def test_from_a_socket_unit(stage):
    first, backend = free_range(2), stage.backend()
    sockets = [stage.listener(f"127.0.0.1:{first + step}") for step in range(2)]
    path = stage.file("sockfront.conf", "[sockfront]\nexit-idle-time = 1h\n" + text(first, backend.address, length=2))
    proxy = stage.handed(sockets, "-c", path, names="games:games", listening=2)
    assert len(proxy.grep("taken as inherited")) == 2
    exchange(*stage.live_pair(backend, f"127.0.0.1:{first + 1}"), seed=1, size=1000)


def test_options_are_for_each_port(stage):
    first, backend = free_range(2), stage.backend()
    _, proxy = started(stage, text(first, backend.address, options="tcp-keepalive = yes\nunix-listen-chmod = group",
                                   length=2), sockets=2)
    assert len(proxy.grep("warning: .*unix-listen-chmod")) == 1
    for port in (first, first + 1):
        client, connection = stage.live_pair(backend, f"127.0.0.1:{port}")
        client.close()
        assert connection.recv(1) == b""


def test_warning_is_said_once(stage):
    first = free_range(3)
    backends(stage, "127.0.0.2", first, 3)
    _, proxy = started(stage, text(first, f"127.0.0.2:{first}-{first + 2}", options="unix-listen-chmod = group", length=3),
                       sockets=3)
    assert len(proxy.grep("warning: .*unix-listen-chmod")) == 1, proxy.log


@pytest.mark.parametrize("port", ["7999-7000", "0-7", "65535-65536"])
def test_no_range(stage, port):
    path = stage.file("sockfront.conf", f"[proxy a]\nlisten = 127.0.0.1:{port}\nbackend = 127.0.0.2:9\n")
    status, _, log = run("--check", "-c", path)
    assert status == 2 and re.search(rf"{re.escape(path)}:2: listen: .*{port}.*upwards", log), log


def test_different_lengths(stage):
    path = stage.file("sockfront.conf", "[proxy a]\nlisten = 127.0.0.1:7000-7009\nbackend = 127.0.0.2:7000-7999\n")
    status, _, log = run("--check", "-c", path)
    assert status == 2 and len(log.splitlines()) == 1, log
    assert re.search(r":2: listen: \"127.0.0.1:7000-7009\" is 10 ports, and .*:3\) is 1000", log), log


def test_check_says_it_in_one_line(stage):
    path = stage.file("sockfront.conf", text(7000, "127.0.0.2:7000-7007"))
    status, said, log = run("--check", "-c", path)
    assert (status, log) == (0, "")
    assert said.splitlines() == [
        f"{path}:2: \"127.0.0.1:7000-7007\" is taken from a .socket unit that has ListenStream=127.0.0.1:7000, "
        "and so on to ListenStream=127.0.0.1:7007",
        f"{path}: valid, 1 proxy",
    ]


def test_units_have_each_port(stage):
    path = stage.file("sockfront.conf", text(7000, "127.0.0.2:7000-7007"))
    status, said, _ = run("--units", "-c", path)
    assert status == 0
    assert re.findall("^ListenStream=(.*)", said, re.M) == [f"127.0.0.1:{port}" for port in range(7000, 7008)]
    assert said.count("FileDescriptorName=games\n") == 1
