# SPDX-License-Identifier: MIT
"""resolve-each: each address of a name is a server, which appears and vanishes with it."""

import re
import time

from support.backend import Backend, LocalBackend, Reserved, named
from support.names import Hosts, NameServer
from support.proc import wait_until
from support.streams import read_exactly, reset, round_trip


def at(stage, number, port=0):
    """A server on an address of its own."""
    return stage.backend(named(str(number)), host=f"127.0.0.{number}", port=port)


def entry(*numbers, name="many.test"):
    return "".join(f"127.0.0.{number} {name}\n" for number in numbers)


def proxy_of(stage, hosts, *words):
    words = ("--resolve-each", "--balance=round-robin", *words)
    return stage.proxy(*words, "127.0.0.1:0", handover=hosts.handover)


def test_each_has_its_share(stage):
    one = at(stage, 2)
    for number in (3, 4):
        at(stage, number, one.port)
    proxy = proxy_of(stage, Hosts(stage, entry(4, 2, 3)), f"--backend=many.test:{one.port}", "--access-log")
    proxy.wait_log(r"3 server\(s\) now")
    assert stage.shares(proxy.listening[0], 30) == {"2": 10, "3": 10, "4": 10}
    proxy.wait_log(f"backend=127.0.0.3:{one.port} ")


def test_more_addresses_than_there_is_room_for(stage):
    """The log says how many get no client."""
    entries = "".join(f"127.1.{number // 100}.{number % 100 + 1} many.test\n" for number in range(260))
    proxy = proxy_of(stage, Hosts(stage, entries), "--backend=many.test:9")
    proxy.wait_log(r"backend many\.test:9: 4 more are left out: a proxy has 256 servers at most")
    proxy.wait_log(r"256 server\(s\) now")


def test_one_of_them_is_down(stage):
    """The others have its clients, as of any server."""
    one = at(stage, 2)
    two = at(stage, 3, one.port)
    proxy = proxy_of(stage, Hosts(stage, entry(2, 3)), f"--backend=many.test:{one.port}")
    proxy.wait_log(r"2 server\(s\) now")
    two.close()
    assert stage.shares(proxy.listening[0], 30) == {"2": 30}
    proxy.wait_log(f"backend 127.0.0.3:{one.port} is down")


def test_addresses_come_and_go(stage):
    """Without a reload; connections to one that has gone live on."""
    one = at(stage, 2)
    for number in (3, 4):
        at(stage, number, one.port)
    hosts = Hosts(stage, entry(2, 3))
    proxy = proxy_of(stage, hosts, f"--backend=many.test:{one.port}")
    proxy.wait_log(r"2 server\(s\) now")
    kept = [stage.connect(proxy.listening[0]) for _ in range(4)]
    assert {read_exactly(client, 1) for client in kept} == {b"2", b"3"}
    hosts.say(entry(3, 4))
    wait_until(lambda: stage.ask(proxy.listening[0]) == "4", "the one that came has clients", 30)
    assert stage.shares(proxy.listening[0], 30) == {"3": 15, "4": 15}
    for client in kept:
        round_trip(client)
    hosts.say(entry(4))
    wait_until(lambda: set(stage.shares(proxy.listening[0], 4)) == {"4"}, "one is left", 30)


def test_idle_proxy_looks_nothing_up(stage):
    """After a while without a client there are no questions; the next client has them asked again."""
    server = NameServer(stage)
    backend = stage.backend(named("1"))
    proxy = stage.proxy("--resolve-each", "127.0.0.1:0", f"many.test:{backend.port}", handover=server.handover)
    assert stage.ask(proxy.listening[0]) == "1"
    time.sleep(21)
    asked = server.asked
    assert 0 < asked
    time.sleep(11)
    assert server.asked == asked
    assert stage.ask(proxy.listening[0]) == "1"
    wait_until(lambda: server.asked > asked, "it is asked again")


def test_name_that_exists_only_later(stage):
    """A name without an address is waited for; when it has some, each is a server."""
    one = at(stage, 2)
    at(stage, 3, one.port)
    hosts = Hosts(stage)
    proxy = proxy_of(stage, hosts, f"--backend=many.test:{one.port}", "--connect-timeout=60s")
    client = stage.connect(proxy.listening[0])
    proxy.wait_log("does not resolve")
    hosts.say(entry(2, 3))
    assert read_exactly(client, 1, 30) in (b"2", b"3")
    wait_until(lambda: set(stage.shares(proxy.listening[0], 4)) == {"2", "3"}, "each is a server", 30)


def test_hundred_addresses(stage):
    """And a line beside them that is no name; what one address can have is on its line."""
    standby = LocalBackend(stage.path("standby"), named("s"))
    stage.backends.append(standby)
    one = Backend(named("x"), host="0.0.0.0")
    stage.backends.append(one)
    hosts = Hosts(stage, "".join(f"127.0.3.{number} many.test\n" for number in range(1, 101)))
    proxy = proxy_of(stage, hosts, f"--backend=many.test:{one.port} max=1", f"--backend={stage.path('standby')} backup")
    proxy.wait_log(r"101 server\(s\) now")
    clients = [stage.connect(proxy.listening[0]) for _ in range(100)]
    assert {read_exactly(client, 1) for client in clients} == {b"x"}
    assert len({connection.getsockname()[0] for connection in one.connections}) == 100
    waiting = stage.connect(proxy.listening[0])
    clients[7].close()
    assert read_exactly(waiting, 1) == b"x"


def test_reload_keeps_what_is_known(stage):
    """Which of the addresses is down, and how many connections another one has."""
    one = at(stage, 2)
    two = at(stage, 3, one.port)
    hosts = Hosts(stage, entry(2, 3))
    words = f"[proxy a]\nlisten = {stage.path('front')}\nbackend = many.test:{one.port} max=2\nresolve-each = yes\n"
    file = stage.file("sockfront.conf", words)
    proxy = stage.proxy("-c", file, handover=hosts.handover)
    proxy.wait_log(r"2 server\(s\) now")
    two.close()

    def client():
        connected = stage.connect(stage.path("front"), 60)
        connected.sendall(b"y")
        return connected

    clients = [client() for _ in range(2)]
    for connected in clients:
        assert read_exactly(connected, 2) == b"2y"
    stage.file("sockfront.conf", words + "connect-timeout = 60s\n")
    proxy.reload()
    wait_until(lambda: len(proxy.grep(r"2 server\(s\) now")) == 2, "they are looked up")
    waiting = client()
    time.sleep(0.5)
    assert len(one.connections) == 2
    clients[0].close()
    assert read_exactly(waiting, 2) == b"2y"
    assert len(proxy.grep(re.escape(f"127.0.0.3:{one.port} is down"))) <= 1


def test_held_clients_follow(stage):
    """Nobody is there; then the name leads elsewhere, and those who wait go along."""
    old = Reserved(stage, host="127.0.0.2")
    at(stage, 3, old.port)
    hosts = Hosts(stage, entry(2))
    proxy = proxy_of(stage, hosts, f"--backend=many.test:{old.port}", "--connect-timeout=60s", "--resolve-interval=1s")
    clients = [stage.connect(proxy.listening[0], 60) for _ in range(20)]
    proxy.wait_log("cannot be reached")
    hosts.say(entry(3))
    wait_until(lambda: stage.connect(proxy.listening[0]) and proxy.grep("now")[1:], "it is looked up again", 20)
    for client in clients:
        assert read_exactly(client, 1, 60) == b"3"


def test_with_checks(stage):
    """Clients are held until one of the addresses is ready, whichever the name has by then."""
    one = at(stage, 2)
    stage.backend(reset, host="127.0.0.3", port=one.port)
    hosts = Hosts(stage, entry(3))
    words = (f"--backend=many.test:{one.port}", "--connect-timeout=60s", "--check-expect=2", "--resolve-interval=1s")
    proxy = proxy_of(stage, hosts, *words)
    clients = [stage.connect(proxy.listening[0], 60) for _ in range(5)]
    proxy.wait_log(f"127.0.0.3:{one.port} is down")
    hosts.say(entry(3, 2))
    wait_until(lambda: stage.connect(proxy.listening[0]) and proxy.grep(r"2 server\(s\) now"), "it is looked up again", 20)
    for client in clients:
        assert read_exactly(client, 1, 60) == b"2"
