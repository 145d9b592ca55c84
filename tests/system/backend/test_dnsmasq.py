# SPDX-License-Identifier: MIT
"""Names as dnsmasq has them: many addresses, some that come and go, one that is there only later, services."""

from support.backend import Backend, named, servers
from support.names import Dnsmasq
from support.proc import wait_until
from support.streams import exchange


def at(stage, host, name, port=0):
    backend = Backend(named(name), host=host, port=port)
    stage.backends.append(backend)
    return backend


def test_a_hundred_addresses(stage):
    """More than a datagram holds, so that they come by TCP; one of them answers."""
    server = at(stage, "127.0.1.77", "a")
    names = Dnsmasq(stage, "".join(f"127.0.1.{number} many.test\n" for number in range(1, 101)))
    proxy = stage.proxy("127.0.0.1:0", f"many.test:{server.port}", handover=names.handover)
    assert stage.shares(proxy.listening[0], 5) == {"a": 5}


def test_addresses_come_and_go(stage):
    a = at(stage, "127.0.2.1", "a")
    at(stage, "127.0.2.2", "b", a.port)
    names = Dnsmasq(stage, "127.0.2.1 each.test\n")
    proxy = stage.proxy(
        "--resolve-each", "--resolve-interval=300ms", "--balance=round-robin", "127.0.0.1:0", f"each.test:{a.port}",
        handover=names.handover)
    assert stage.shares(proxy.listening[0], 4) == {"a": 4}
    names.say("127.0.2.1 each.test\n127.0.2.2 each.test\n")
    wait_until(lambda: stage.ask(proxy.listening[0]) == "b", "the new one has clients", 20)
    assert stage.shares(proxy.listening[0], 10) == {"a": 5, "b": 5}
    names.say("127.0.2.2 each.test\n")
    wait_until(lambda: stage.shares(proxy.listening[0], 6) == {"b": 6}, "the old one has none any more", 20)


def test_name_that_is_there_only_later(stage):
    backend = stage.backend()
    names = Dnsmasq(stage)
    proxy = stage.proxy("--connect-timeout=60s", "127.0.0.1:0", f"late.test:{backend.port}", handover=names.handover)
    client = stage.connect(proxy.listening[0])
    proxy.wait_log("the name does not resolve")
    names.say("127.0.0.1 late.test\n")
    exchange(client, backend.accept(30), seed=stage.seed, size=1000)


def test_service(stage):
    """Weights share the first priority; the next one serves once nobody of that does."""
    a, b, c = servers(stage, 3)
    names = Dnsmasq(
        stage, "127.0.0.1 host.test\n",
        f"--srv-host=_echo._tcp.test,host.test,{a.port},10,30",
        f"--srv-host=_echo._tcp.test,host.test,{b.port},10,10",
        f"--srv-host=_echo._tcp.test,host.test,{c.port},20,10")
    proxy = stage.proxy(
        "--balance=round-robin", "--backend=srv:_echo._tcp.test", "127.0.0.1:0", handover=names.handover)
    proxy.wait_log(r"3 server\(s\) now")
    assert stage.shares(proxy.listening[0], 40) == {"a": 30, "b": 10}
    a.close()
    b.close()
    wait_until(lambda: stage.ask(proxy.listening[0]) == "c", "the next priority serves", 30)
