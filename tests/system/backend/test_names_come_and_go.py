# SPDX-License-Identifier: MIT
"""Names that appear, move and vanish while clients wait for their backend."""

import re

import pytest

from support.backend import Deaf, Reserved, echo
from support.faults import Faults
from support.names import NXDOMAIN, SERVFAIL, Hosts, NameServer
from support.proc import wait_until
from support.streams import exchange, read_exactly, reset


def test_name_that_exists_only_later(stage):
    """A machine that is still booting; and a typing error shows at once."""
    backend, hosts = stage.backend(), Hosts(stage)
    proxy = stage.proxy("--connect-timeout=60s", "127.0.0.1:0", f"late.test:{backend.port}", handover=hosts.handover)
    client = stage.connect(proxy.listening[0])
    line = proxy.wait_log("does not resolve")[0]
    assert f"late.test:{backend.port}" in line and "up to 60 s" in line
    hosts.say("127.0.0.1 late.test\n")
    exchange(client, backend.accept(30), seed=stage.seed, size=1000)
    proxy.wait_log("backend late.test:.* answers$")
    assert len(proxy.grep("does not resolve")) == 1


def test_name_that_moves_while_an_attempt_hangs(stage):
    silent = Deaf(stage)
    backend = stage.backend(host="127.0.0.2", port=silent.port)
    hosts = Hosts(stage, "127.0.0.1 moving.test\n")
    proxy = stage.proxy(
        "--connect-timeout=infinity", "127.0.0.1:0", f"moving.test:{silent.port}", handover=hosts.handover
    )
    client = stage.connect(proxy.listening[0])
    wait_until(lambda: proxy.excess_sockets() == 2, "the attempt hangs")
    hosts.say("127.0.0.2 moving.test\n")
    connection = backend.accept(30)
    wait_until(lambda: proxy.excess_sockets() == 2, "what the name no longer leads to is left")
    exchange(client, connection, seed=stage.seed, size=1000)


@pytest.mark.plain_only("a sanitizer's library must be the first one loaded")
def test_name_that_is_gone_for_good(stage):
    """Its old address may be somebody else's; meanwhile the client's attempt goes on."""
    port, server, faults = Reserved(stage), NameServer(stage), Faults(stage)
    proxy = stage.proxy(
        "--connect-timeout=infinity",
        "127.0.0.1:0",
        f"gone.test:{port.port}",
        handover=server.handover,
        environment=faults.environment,
    )
    stage.connect(proxy.listening[0])
    proxy.wait_log("refused")
    server.failure = NXDOMAIN
    asked = server.asked
    wait_until(lambda: server.asked >= asked + 4, "the name is known not to exist")
    assert not proxy.grep("has not existed")
    faults.begin("later")
    assert "gone.test" in proxy.wait_log("has not existed for 30 s", 30)[0]
    port.open()
    asked = server.asked
    wait_until(lambda: server.asked >= asked + 4, "the name is looked up again")
    port.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        port.socket.accept()
    server.failure = 0
    port.accept(stage, 30)


@pytest.mark.plain_only("a sanitizer's library must be the first one loaded")
def test_name_server_that_fails(stage):
    """Its last good answer is used, long after the time for a name that does not exist."""
    backend, server, faults = stage.backend(), NameServer(stage), Faults(stage)
    proxy = stage.proxy(
        "127.0.0.1:0", f"service.test:{backend.port}", handover=server.handover, environment=faults.environment
    )
    exchange(stage.connect(proxy.listening[0]), backend.accept(), seed=1, size=1000)
    server.failure = SERVFAIL
    asked = server.asked
    faults.begin("later")
    for turn in range(3):
        exchange(stage.connect(proxy.listening[0]), backend.accept(30), seed=turn, size=1000)
    assert server.asked > asked
    assert not proxy.grep("has not existed")


def test_silent_name_server_and_a_client_that_leaves(stage):
    """The attempt ends while its answer is on its way, or still asked for."""
    backend, server = stage.backend(), NameServer(stage)
    proxy = stage.proxy("127.0.0.1:0", f"service.test:{backend.port}", handover=server.handover)
    server.holding = True
    clients = [stage.connect(proxy.listening[0]) for _ in range(3)]
    wait_until(lambda: server.held, "the name is looked up")
    for client in clients:
        reset(client)
    server.let_go()
    proxy.wait_released()
    exchange(stage.connect(proxy.listening[0]), backend.accept(), seed=stage.seed, size=1000)


def named(name):
    return lambda connection: (connection.sendall(name), echo(connection))


def test_resolve_interval(stage):
    """A name that moves is followed without a reload, though the old address still answers."""
    one = stage.backend(named(b"1"))
    stage.backend(named(b"2"), host="127.0.0.2", port=one.port)
    server = NameServer(stage)
    proxy = stage.proxy("--resolve-interval=500ms", "127.0.0.1:0", f"moving.test:{one.port}", handover=server.handover)
    assert stage.ask(proxy.listening[0]) == "1"
    server.addresses = ["127.0.0.2"]
    wait_until(lambda: stage.ask(proxy.listening[0]) == "2", "the new address is used", 5)
    asked = server.asked
    proxy.assert_rests(1.5)
    assert server.asked == asked, "nobody has asked for it"


def test_long_resolve_interval(stage):
    backend, server = stage.backend(named(b"1")), NameServer(stage)
    proxy = stage.proxy("--resolve-interval=1h", "127.0.0.1:0", f"service.test:{backend.port}", handover=server.handover)
    assert stage.ask(proxy.listening[0]) == "1"
    asked = server.asked
    for _ in range(5):
        stage.ask(proxy.listening[0])
    assert server.asked == asked


def test_reload_while_the_name_server_fails(stage):
    """What is known of the name is known afterwards, too."""
    backend, server = stage.backend(named(b"1")), NameServer(stage)
    text = f"[proxy a]\nlisten = {stage.path('front')}\nbackend = service.test:{backend.port}\nconnect-timeout = 5s\n"
    proxy = stage.proxy("-c", stage.file("sockfront.conf", text), handover=server.handover)
    assert stage.ask(proxy.listening[0]) == "1"
    server.failure = SERVFAIL
    stage.file("sockfront.conf", text + "idle-timeout = 1h\n")
    proxy.reload()
    assert stage.ask(proxy.listening[0]) == "1"


# ---- clients that are held over a reload ----


def configuration(stage, backend, *keys, timeout="1h"):
    lines = "".join(f"{key}\n" for key in (f"connect-timeout = {timeout}", *keys))
    return stage.file("sockfront.conf", f"[proxy a]\nlisten = {stage.path('front')}\nbackend = {backend}\n{lines}")


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("held, each", [
    ("no answer", "no"), ("no such name", "no"), ("no such name", "yes"), ("refused", "no"), ("refused", "yes"),
])
def test_held_clients_go_on_to_the_new_servers(stage, held, each, workers):
    """Whatever keeps them from the old one, which the configuration has no more."""
    server, port, backend = NameServer(stage), Reserved(stage), stage.backend()
    server.holding = held == "no answer"
    server.failure = NXDOMAIN if held == "no such name" else 0
    file = configuration(stage, f"vanishing.test:{port.port}", f"resolve-each = {each}")
    proxy = stage.proxy(f"--workers={workers}", "-c", file, handover=server.handover)
    proxy.settle()  # a look-up at the start is a descriptor, too
    clients = [stage.connect(stage.path("front"), 60) for _ in range(8)]
    wait_until(lambda: server.asked, "the name is asked for")
    if held != "no answer":
        proxy.wait_log("cannot be reached")
    configuration(stage, backend.address)
    proxy.reload()
    for client in clients:
        client.sendall(b"x")
    connections = [backend.accept(30) for _ in clients]
    assert [read_exactly(connection, 1) for connection in connections] == [b"x"] * 8
    server.let_go()


def test_failure_after_a_reload_names_the_new_server(stage):
    """In the line of the log and in that of the access log."""
    before, after = Reserved(stage), Reserved(stage)
    proxy = stage.proxy("--access-log", "-c", configuration(stage, before.address, timeout="3s"))
    client = stage.connect(stage.path("front"), 60)
    proxy.wait_log("cannot be reached")
    configuration(stage, after.address, timeout="3s")
    proxy.reload()
    proxy.wait_log(f"backend {re.escape(after.address)}: connect .*client ")
    proxy.wait_log(f'backend={re.escape(after.address)} .*reason="connect ')
    client.close()


def test_held_clients_stay_where_the_header_is_another_one(stage):
    """Theirs is made already; they are served if their own server comes."""
    port, other = Reserved(stage), stage.backend()
    proxy = stage.proxy("-c", configuration(stage, port.address))
    client = stage.connect(stage.path("front"), 60)
    proxy.wait_log("cannot be reached")
    configuration(stage, other.address, "send-proxy-protocol = v1")
    proxy.reload()
    later = stage.connect(stage.path("front"), 60)
    assert read_exactly(other.accept(30), 6) == b"PROXY "
    port.open()
    exchange(client, port.accept(stage, 30), seed=stage.seed, size=1000)
    assert len(other.connections) == 1
    later.close()
