# SPDX-License-Identifier: MIT
"""srv:NAME: each target of a service is a server, with its priority and weight, for as long as it is one."""

import re

import pytest

from support.backend import LocalBackend, Reserved, named, servers
from support.faults import Faults
from support.names import NXDOMAIN, SERVFAIL, NameServer
from support.proc import wait_until
from support.streams import Background, outcome, read_exactly, reset, round_trip

SERVICE = "srv:_echo._tcp.example.test"


@pytest.fixture
def names(stage):
    return NameServer(stage)


def target(backend, priority=0, weight=1, host="host.test"):
    return priority, weight, backend.port, host


def proxy_of(stage, names, *words, backends=(SERVICE,), **more):
    lines = [f"--backend={line}" for line in backends]
    return stage.proxy(*words, *lines, "127.0.0.1:0", handover=names.handover, **more)


def known(proxy, n):
    proxy.wait_log(rf"backend {re.escape(SERVICE)}.*: {n} server\(s\) now")
    proxy.settle()  # the look-up was a descriptor, too


def test_weights(stage, names):
    a, b = servers(stage, 2)
    names.targets = [target(a, weight=3), target(b, weight=1)]
    proxy = proxy_of(stage, names, "--balance=round-robin", "--access-log")
    known(proxy, 2)
    assert stage.shares(proxy.listening[0], 40) == {"a": 30, "b": 10}
    proxy.wait_log(f"backend=host.test:{a.port} ")


def test_wide_weights(stage, names):
    """They are 16 bits wide, and 0 is little."""
    a, b, c = servers(stage, 3)
    names.targets = [target(a, weight=60000), target(b, weight=30000), target(c, weight=0)]
    proxy = proxy_of(stage, names, "--balance=round-robin")
    known(proxy, 3)
    seen = stage.shares(proxy.listening[0], 385)  # 256, 128 and 1
    assert seen == {"a": 256, "b": 128, "c": 1}


def test_priorities(stage, names):
    """The next one serves while every server of the one before is down."""
    a, b, c = servers(stage, 3)
    names.targets = [target(c, 20), target(b, 10), target(a, 10)]
    standby = LocalBackend(stage.path("standby"), named("s"))
    stage.backends.append(standby)
    proxy = proxy_of(stage, names, "--balance=round-robin", backends=[SERVICE, f"{standby.address} backup"])
    known(proxy, 4)
    assert stage.shares(proxy.listening[0], 20) == {"a": 10, "b": 10}
    a.close()
    wait_until(lambda: stage.ask(proxy.listening[0]) and proxy.grep(f":{a.port} is down"), "it is down")
    assert stage.shares(proxy.listening[0], 10) == {"b": 10}
    port = b.port
    b.close()
    wait_until(lambda: stage.ask(proxy.listening[0]) and proxy.grep(f":{port} is down"), "it is down")
    assert stage.shares(proxy.listening[0], 10) == {"c": 10}
    c.close()
    assert stage.ask(proxy.listening[0]) == "s"
    stage.backend(named("b"), port=port)
    wait_until(lambda: stage.ask(proxy.listening[0]) == "b", "the first priority is back", 20)


def test_more_targets_than_there_is_room_for(stage, names):
    """The first ones by priority are used; the log says once how many are not."""
    (a,) = servers(stage, 1)
    others = [(9, 1, 10000 + number, "host.test") for number in range(300)]
    names.targets = [*others, target(a)]
    proxy = proxy_of(stage, names)
    known(proxy, 256)
    said = rf"backend {re.escape(SERVICE)}.*: 45 more are left out: a proxy has 256 servers at most"
    assert proxy.grep(said)
    assert stage.shares(proxy.listening[0], 5) == {"a": 5}
    asked = names.asked
    wait_until(lambda: stage.ask(proxy.listening[0]) and names.asked >= asked + 4, "it is looked up again", 30)
    assert len(proxy.grep("left out")) == 1
    names.targets = [target(a)]
    wait_until(lambda: stage.ask(proxy.listening[0]) and proxy.grep(r": 1 server\(s\) now"), "there are fewer", 30)
    names.targets = [*others, target(a)]
    wait_until(lambda: stage.ask(proxy.listening[0]) and len(proxy.grep(said)) == 2, "they are too many again", 30)


def test_targets_come_and_go(stage, names):
    """Without a reload, after as long as the records say; connections to one that has gone live on."""
    a, b, c = servers(stage, 3)
    names.targets = [target(a), target(b)]
    proxy = proxy_of(stage, names, "--balance=round-robin", "--resolve-interval=1h")
    known(proxy, 2)
    kept = [stage.connect(proxy.listening[0]) for _ in range(2)]
    assert {read_exactly(client, 1) for client in kept} == {b"a", b"b"}
    names.targets = [target(b), target(c, weight=2)]
    wait_until(lambda: stage.ask(proxy.listening[0]) == "c", "the new one has clients", 10)
    assert stage.shares(proxy.listening[0], 30) == {"b": 10, "c": 20}
    for client in kept:
        round_trip(client)
    names.targets = [target(b), target(c, weight=1)]
    wait_until(lambda: stage.shares(proxy.listening[0], 10) == {"b": 5, "c": 5}, "a weight changes", 10)


def test_resolve_interval(stage, names):
    """Records that are good for long are looked up again all the same."""
    a, b = servers(stage, 2)
    names.targets, names.ttl = [target(a)], 86400
    proxy = proxy_of(stage, names, "--resolve-interval=500ms")
    known(proxy, 1)
    assert stage.ask(proxy.listening[0]) == "a"
    names.targets = [target(b)]
    wait_until(lambda: stage.ask(proxy.listening[0]) == "b", "the new one has clients", 10)


@pytest.mark.parametrize("retry", ["yes", "no"])
def test_first_client(stage, names, retry):
    """It waits until the targets are known, and is no reason for a warning."""
    (a,) = servers(stage, 1)
    names.targets, names.holding = [target(a)], True
    proxy = proxy_of(stage, names, f"--connect-retry={retry}", "--connect-timeout=60s")
    clients = [Background(stage.ask, proxy.listening[0]) for _ in range(20)]
    wait_until(lambda: names.held and proxy.excess_sockets() >= 20, "they are held")
    names.let_go()
    assert [client.result(60) for client in clients] == ["a"] * 20
    assert not proxy.grep("cannot be reached|is down|does not resolve")
    wait_until(lambda: proxy.excess_sockets() < 0, "the look-up and the clients are over")
    proxy.settle()


def test_service_that_exists_only_later(stage, names):
    (a,) = servers(stage, 1)
    names.failure = NXDOMAIN
    proxy = proxy_of(stage, names, "--connect-timeout=60s", "--resolve-interval=1s")
    client = Background(stage.ask, proxy.listening[0])
    proxy.wait_log("does not resolve")
    names.targets, names.failure = [target(a)], 0
    assert client.result(60) == "a"


@pytest.mark.parametrize("record", [None, (0, 0, 0, ".")])
def test_no_such_service(stage, names, record):
    """No record, or the one that says so."""
    names.targets = [record] if record else []
    proxy = proxy_of(stage, names, "--connect-timeout=1s", "--access-log")
    assert outcome(stage.connect(proxy.listening[0])) == (b"", "reset")
    proxy.wait_log('reason="connect failed: the name does not resolve"')


@pytest.mark.plain_only("a sanitizer's library must be the first one loaded")
def test_service_that_is_gone_for_good(stage, names):
    """No answer leaves the last one; that it does not exist, for 30 s, does not."""
    (a,) = servers(stage, 1)
    names.targets = [target(a)]
    faults = Faults(stage)
    proxy = proxy_of(stage, names, "--connect-timeout=2s", environment=faults.environment)
    known(proxy, 1)
    assert stage.ask(proxy.listening[0]) == "a"
    names.failure = SERVFAIL
    asked = names.asked
    wait_until(lambda: stage.ask(proxy.listening[0]) == "a" and names.asked >= asked + 3, "nobody knows", 20)
    names.failure, names.targets = 0, []
    asked = names.asked
    wait_until(lambda: stage.ask(proxy.listening[0]) == "a" and names.asked >= asked + 3, "it is known not to exist", 20)
    assert not proxy.grep("has not existed")
    faults.begin("later")

    def is_dropped():
        stage.connect(proxy.listening[0]).close()
        return proxy.grep("has not existed for 30 s")

    wait_until(is_dropped, "it is dropped", 60)


def test_hundred_targets(stage, names):
    one = stage.backend(named("x"), host="0.0.0.0")
    for number in range(1, 101):
        names.hosts[f"h{number}.test"] = [f"127.0.3.{number}"]
    names.targets = [target(one, host=name) for name in names.hosts]
    proxy = proxy_of(stage, names, "--connect-timeout=60s")
    known(proxy, 100)
    clients = [stage.connect(proxy.listening[0], 60) for _ in range(100)]
    assert {read_exactly(client, 1, 60) for client in clients} == {b"x"}
    assert len({connection.getsockname()[0] for connection in one.connections}) == 100


def test_max_and_checks(stage, names):
    """The words of the line hold for each target; clients are held until one is ready."""
    (a,) = servers(stage, 1)
    bad = stage.backend(reset)
    names.targets = [target(bad)]
    words = ["--check-expect=a", "--connect-timeout=60s"]
    proxy = proxy_of(stage, names, *words, backends=[f"{SERVICE} max=1"])
    clients = [stage.connect(proxy.listening[0], 60) for _ in range(2)]
    proxy.wait_log(f":{bad.port} is down")
    names.targets = [target(bad), target(a)]
    wait_until(lambda: proxy.grep(r"2 server\(s\) now") or not stage.connect(proxy.listening[0]).close(), "it comes", 20)
    assert read_exactly(clients[0], 1, 60) == b"a"
    clients[0].close()
    assert read_exactly(clients[1], 1, 60) == b"a"


def test_reload_while_the_name_server_fails(stage, names):
    """The targets, and which of them is down, are known afterwards, too."""
    a, b = servers(stage, 2)
    names.targets = [target(a), target(b)]
    text = f"[proxy a]\nlisten = 127.0.0.1:0\nbackend = {SERVICE}\nbalance = first\n"
    proxy = stage.proxy("-c", stage.file("sockfront.conf", text), handover=names.handover)
    known(proxy, 2)
    first, second = (a, b) if stage.ask(proxy.listening[0]) == "a" else (b, a)
    first.close()
    wait_until(lambda: stage.ask(proxy.listening[0]) and proxy.grep(f":{first.port} is down"), "it is down")
    names.failure = SERVFAIL
    stage.file("sockfront.conf", text + "idle-timeout = 1h\n")
    proxy.reload()
    assert stage.ask(proxy.listening[0]) == ("b" if first is a else "a")
    assert len(proxy.grep(f":{first.port} is down")) == 1


def test_target_that_has_no_address(stage, names):
    """It is down as any other; the rest serves."""
    (a,) = servers(stage, 1)
    names.hosts["nowhere.test"] = []
    names.targets = [target(Reserved(stage), host="nowhere.test"), target(a)]
    proxy = proxy_of(stage, names)
    known(proxy, 2)
    assert stage.shares(proxy.listening[0], 20) == {"a": 20}
