# SPDX-License-Identifier: MIT
"""/events: what the page shows, once a second while somebody looks, and nothing when nobody does."""

import time

import pytest

from support.backend import Reserved, echo
from support.configuration import section
from support.metrics import Events, overview
from support.proc import holds_for, wait_until
from support.proxy import RUNTIME_THREADS
from support.status import with_status
from support.streams import both_ways, read_exactly, reset


def served(stage, *options, handler=None, listen="127.0.0.1:0"):
    backend = stage.backend(handler)
    proxy, (status,) = with_status(stage, section(backend, listen, options="\n".join(options)), "127.0.0.1:0")
    return proxy, backend, status


def test_a_connection_from_its_beginning_to_its_end(stage):
    proxy, backend, status = served(stage)
    events = Events(stage, status)
    first = events.wait("status")
    assert "partial" not in first and [one["name"] for one in first["proxies"]] == ["a"]
    assert events.wait("connections")["rows"] == []
    client, connection = stage.live_pair(backend, proxy.listening[0])
    (row,) = events.wait("connections", lambda data: data["rows"])["rows"]
    assert row["client"] == "%s:%d" % client.getsockname() and row["server"] == backend.address
    assert row["state"] == "relaying" and row["proxy"] == "a" and row["listener"] == proxy.listening[0]
    both_ways(client, connection, 500_000)
    faster = events.wait("connections", lambda data: data["rows"][0]["rate_up"] > 0)["rows"][0]
    assert faster["id"] == row["id"] and faster["up"] >= 500_000 and faster["rate_up"] > 1000
    client.sendall(b"x")
    read_exactly(connection, 1)
    changed = events.wait("status", lambda data: data["proxies"])
    assert changed["partial"] and changed["proxies"][0]["open"] == 1
    client.close()
    connection.close()
    (ended,) = events.wait("ended")["rows"]
    assert ended["id"] == row["id"] and ended["reason"] == "closed" and ended["up"] == faster["up"] + 1
    assert abs(ended["at"] - time.time()) < 30
    assert events.wait("connections", lambda data: data["total"] == 0)["rows"] == []


def test_states(stage):
    proxy, backend, status = served(stage, "connect-timeout = 60s")
    client, connection = stage.live_pair(backend, proxy.listening[0])
    events = Events(stage, status)
    connection.shutdown(1)
    events.wait("connections", lambda data: [row["state"] for row in data["rows"]] == ["half-closed"])
    backend.stop_listening()
    held = stage.connect(proxy.listening[0])
    row = events.wait("connections", lambda data: data["total"] == 2 and any(
        row["state"] == "connecting" for row in data["rows"]))
    (waiting,) = [one for one in row["rows"] if one["state"] == "connecting"]
    assert waiting["server"] is None and waiting["client"] == "%s:%d" % held.getsockname()
    reset(held)


@pytest.mark.parametrize("workers", [1, 3])
def test_windows(stage, workers):
    """In each order, of any worker; each who looks has its own."""
    backend = stage.backend(echo)
    text = f"[sockfront]\nworkers = {workers}\n" + section(backend, "127.0.0.1:0")
    proxy, (status,) = with_status(stage, text, "127.0.0.1:0")
    clients = []
    for number in range(60):
        client = stage.connect(proxy.listening[0])
        client.sendall(b"x" * (1 + number))
        read_exactly(client, 1 + number)
        clients.append(client)

    def all_there(data):
        return data["total"] == 60

    up = Events(stage, status, "?sort=up&order=desc&first=0&rows=10")
    down = Events(stage, status, "?sort=down&order=asc&first=5&rows=10")
    age = Events(stage, status, "?rows=200")
    client = Events(stage, status, "?sort=client&order=asc&rows=60")
    assert [row["up"] for row in up.wait("connections", all_there)["rows"]] == list(range(60, 50, -1))
    data = down.wait("connections", all_there)
    assert data["first"] == 5 and [row["down"] for row in data["rows"]] == list(range(6, 16))
    ages = [row["age"] for row in age.wait("connections", all_there)["rows"]]
    assert len(ages) == 60 and ages == sorted(ages, reverse=True)
    names = [row["client"] for row in client.wait("connections", all_there)["rows"]]
    assert names == sorted(names) and len(set(names)) == 60
    assert len({row["id"] for row in age.wait("connections", all_there)["rows"]}) == 60


@pytest.mark.parametrize("query", ["?sort=nonsense&rows=-1&first=x", "?rows=99999999999999999999999", "?first=4000000000"])
def test_nonsense_is_not_asked_for(stage, query):
    proxy, backend, status = served(stage, handler=echo)
    client = stage.connect(proxy.listening[0])
    client.sendall(b"x")
    read_exactly(client, 1)
    assert Events(stage, status, query).wait("connections", lambda data: data["total"] == 1)


def test_ids_are_those_of_the_access_log(stage):
    backend = stage.backend()
    text = "[sockfront]\naccess-log = yes\n" + section(backend, "127.0.0.1:0")
    proxy, (status,) = with_status(stage, text, "127.0.0.1:0")
    client, connection = stage.live_pair(backend, proxy.listening[0])
    (row,) = Events(stage, status).wait("connections", lambda data: data["rows"])["rows"]
    client.close()
    connection.close()
    proxy.wait_log(f"id={row['id']} ")


def test_who_ends_while_nobody_looks_is_not_kept(stage):
    proxy, backend, status = served(stage, handler=echo)
    events = Events(stage, status)
    events.wait("connections")
    events.sock.close()
    events.file.close()
    wait_until(lambda: proxy.excess_sockets() == 0, "it has gone")
    for _ in range(300):
        client = stage.connect(proxy.listening[0])
        client.sendall(b"x")
        read_exactly(client, 1)
        client.close()
    wait_until(lambda: proxy.excess_sockets() == 0, "all have ended")
    again = Events(stage, status)
    for _ in range(6):
        assert again.next()[0] != "ended"


def test_nothing_ticks_while_nobody_looks(stage):
    proxy, backend, status = served(stage)
    stage.live_pair(backend, proxy.listening[0])
    overview(stage, status)
    events = Events(stage, status)
    events.wait("connections")
    events.sock.close()
    events.file.close()
    wait_until(lambda: proxy.excess_sockets() == 2, "nobody looks")
    time.sleep(2)
    assert proxy.restless_threads(3) <= RUNTIME_THREADS


def test_a_thousand_proxies_change_a_few(stage):
    """Whoever looks hears of all at first, and then of those that have changed."""
    backend = stage.backend(echo)
    text = "".join(section(backend, stage.path(f"s{n}"), name=f"p{n}") for n in range(1000))
    proxy, (status,) = with_status(stage, text, "127.0.0.1:0", sockets=1000)
    events = Events(stage, status)
    assert len(events.wait("status")["proxies"]) == 1000
    assert events.wait("status")["proxies"] == []
    client = stage.connect(stage.path("s7"))
    client.sendall(b"x")
    read_exactly(client, 1)
    assert [one["name"] for one in events.wait("status", lambda data: data["proxies"])["proxies"]] == ["p7"]
    other = Events(stage, status)
    assert len(other.wait("status")["proxies"]) == 1000
    assert events.wait("status")["proxies"] is not None


def test_over_a_reload(stage):
    """Who looks stays, and hears of the new proxies; of a server that goes down, too."""
    backend = stage.backend(echo)
    dead = Reserved(stage)
    proxy, (status,) = with_status(stage, section(backend, stage.path("front")), stage.path("status"))
    proxy.before = None
    events = Events(stage, status)
    events.wait("status")
    with open(stage.path("sockfront.conf")) as file:
        text = file.read()
    stage.file("sockfront.conf", text + f"[proxy b]\nlisten = {stage.path('b')}\nbackend = {dead.address}\n"
               f"backend = {backend.address}\nbalance = first\n")
    assert "reloaded" in proxy.reload()
    events.wait("status", lambda data: [one["name"] for one in data["proxies"]] == ["a", "b"])
    for _ in range(6):
        client = stage.connect(stage.path("b"))
        client.sendall(b"x")
        read_exactly(client, 1)

    def is_down(data):
        return any(server["state"] == "down" for one in data["proxies"] for server in one["servers"])

    events.wait("status", is_down)


def test_thousands_of_connections(stage):
    """They are shown a window at a time; whoever relays goes on meanwhile."""
    backend = stage.backend(echo)
    proxy, (status,) = with_status(stage, section(backend, stage.path("front")), "127.0.0.1:0")
    clients = []
    for _ in range(2000):
        client = stage.connect(stage.path("front"))
        client.sendall(b"x")
        clients.append(client)
    for client in clients:
        assert read_exactly(client, 1) == b"x"
    watchers = [Events(stage, status, f"?sort={key}&rows=200") for key in ("age", "rate", "client", "down")]
    for watcher in watchers:
        data = watcher.wait("connections", lambda data: data["total"] == 2000)
        assert len(data["rows"]) == 200
    holds_for(lambda: [client.sendall(b"y") or read_exactly(client, 1) for client in clients[:20]] and True,
              "bytes move", 1)
