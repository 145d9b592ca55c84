# SPDX-License-Identifier: MIT
"""log-level = debug tells the story of a connection, a line for each step, each with its id."""

import re

import pytest

from support.backend import Reserved, echo
from support.proxy_protocol import UNIQUE_ID, tlv, v2
from support.streams import exchange


def story(proxy, id=None):
    """What is told of the only connection, or of that one, without the id."""
    ended, = proxy.wait_log("id=.* ended: ")
    id = id or re.search(r"id=(\S+) ", ended)[1]
    return [line.partition(f"sockfront: debug: id={id} ")[2] for line in proxy.grep(f"debug: id={re.escape(id)} ")]


def matches(lines, *patterns):
    assert len(lines) == len(patterns), lines
    for line, pattern in zip(lines, patterns):
        assert re.fullmatch(pattern, line), (line, pattern)


CONNECTED = r"connected: server {}, in \d+\.\d{{3}} ms, first tried after \d+\.\d{{3}} ms"


def test_one_that_is_served(stage):
    backend = stage.backend()
    proxy = stage.proxy("--log-level=debug", "127.0.0.1:0", backend.address)
    client = stage.connect(proxy.listening[0])
    name = "%s:%d" % client.getsockname()
    connection = backend.accept()
    exchange(client, connection, seed=stage.seed, size=10)
    client.close()
    connection.close()
    matches(
        story(proxy),
        f"accepted: client {name}, listener {proxy.listening[0]}",
        f"tried: server {backend.address} at {backend.address}",
        CONNECTED.format(backend.address),
        "ended: closed",
    )


def test_the_id_is_that_of_the_access_log(stage):
    backend = stage.backend(echo)
    proxy = stage.proxy("--log-level=debug", "--access-log", "127.0.0.1:0", backend.address)
    stage.round_trip(proxy.listening[0])
    line, = proxy.wait_log("reason=")
    assert len(story(proxy, re.search(r" id=(\S+) ", line)[1])) == 4


@pytest.mark.parametrize("rules, line", [
    (["--deny=127.0.0.2", "--allow=127.0.0.0/8"], "access: allow 127.0.0.0/8 matches"),
    (["--deny=127.0.0.2"], "access: no rule matches"),
])
def test_a_rule(stage, rules, line):
    backend = stage.backend(echo)
    proxy = stage.proxy("--log-level=debug", *rules, "127.0.0.1:0", backend.address)
    stage.round_trip(proxy.listening[0])
    assert story(proxy)[1] == line


def test_one_that_may_not_connect(stage):
    proxy = stage.proxy("--log-level=debug", "--deny=any", "127.0.0.1:0", stage.backend().address)
    stage.visit(proxy.listening[0])
    matches(story(proxy), r"accepted: client 127\.0\.0\.1:\d+, listener .*", "ended: refused: deny any")


def test_a_name_and_a_server_that_comes_late(stage):
    port = Reserved(stage)
    proxy = stage.proxy("--log-level=debug", "127.0.0.1:0", f"localhost:{port.port}")
    client = stage.connect(proxy.listening[0])
    proxy.wait_log("id=.* failed: ")
    port.open()
    connection = port.accept(stage)
    exchange(client, connection, seed=stage.seed, size=10)
    client.close()
    connection.close()
    lines = story(proxy)
    assert re.fullmatch(rf"resolved: server localhost:{port.port} is at .*\b127\.0\.0\.1:{port.port}\b.*", lines[1])
    assert f"failed: server localhost:{port.port} at 127.0.0.1:{port.port}: Connection refused" in lines
    assert re.fullmatch(CONNECTED.format(f"localhost:{port.port}"), lines[-2])


def test_one_that_no_server_answers(stage):
    port = Reserved(stage)
    proxy = stage.proxy("--log-level=debug", "--connect-retry=no", "127.0.0.1:0", port.address)
    stage.visit(proxy.listening[0])
    matches(
        story(proxy),
        "accepted: .*",
        f"tried: server {port.address} at {port.address}",
        f"failed: server {port.address} at {port.address}: Connection refused",
        "ended: connect failed: Connection refused",
    )


def test_a_header(stage):
    """From then on it is told of by the id that came with it."""
    backend = stage.backend()
    proxy = stage.proxy("--log-level=debug", "--accept-proxy-protocol=any", "--allow=192.0.2.0/24",
                        "127.0.0.1:0", backend.address)
    client = stage.connect(proxy.listening[0])
    client.sendall(v2(tlvs=tlv(UNIQUE_ID, b"theirs")))
    connection = backend.accept()
    exchange(client, connection, seed=stage.seed, size=10)
    client.close()
    connection.close()
    matches(
        story(proxy, "theirs"),
        "access: allow 192.0.2.0/24 matches", "tried: .*", "connected: .*", "ended: closed",
    )
    before = re.search(r"id=(\S+) header", proxy.grep("header: client")[0])[1]
    matches(
        story(proxy, before),
        r"accepted: client 127\.0\.0\.1:\d+, listener .*, owes a PROXY protocol header",
        "header: client 192.0.2.7:4711, from now on id=theirs",
    )


def test_nothing_is_told_at_another_level(stage):
    backend = stage.backend(echo)
    proxy = stage.proxy("127.0.0.1:0", backend.address)
    stage.round_trip(proxy.listening[0])
    stage.close_sockets()
    proxy.wait_released()
    assert not proxy.grep("id=")
