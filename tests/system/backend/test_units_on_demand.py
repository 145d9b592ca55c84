# SPDX-License-Identifier: MIT
"""backend-unit: a unit is started for its first client and stopped when it has none; nobody is lost."""

import os
import signal
import time

import pytest

from support.backend import echo
from support.faults import Faults
from support.proc import holds_for
from support.proxy import run
from support.stage import address_of
from support.streams import round_trip
from support.units import Units

WIKI = "wiki.service"


@pytest.fixture
def units(stage):
    return Units(stage)


def proxy_for(stage, units, *options, name=WIKI, listen="127.0.0.1:0", **settings):
    path = units.add(name, **settings)
    return units.proxy(f"--backend-unit={name}", *options, listen, path)


def is_reset(stage, address, within=10):
    """And how long that took."""
    began = time.monotonic()
    _, how = stage.visit(address, within)
    assert how == "reset"
    return time.monotonic() - began


def test_first_client_is_served(stage, units):
    proxy = proxy_for(stage, units)
    assert units.count(f"StartUnit {WIKI}") == 0
    stage.round_trip(proxy.listening[0])
    assert units.count(f"StartUnit {WIKI}") == 1
    for _ in range(20):
        stage.round_trip(proxy.listening[0])
    assert units.count(f"StartUnit {WIKI}") == 1 and units.count(f"StopUnit {WIKI}") == 0


def visit_each(stage, address, count, within=20):
    """So many clients at once; how many were not served."""
    clients = [stage.connect(address, within) for _ in range(count)]
    lost = 0
    for client in clients:
        client.sendall(b"hello")
    for client in clients:
        try:
            lost += client.recv(5) != b"hello"
        except OSError:
            lost += 1
        client.close()
    return lost


@pytest.mark.parametrize("workers", [1, 3])
def test_a_start_that_takes_long(stage, units, workers):
    proxy = proxy_for(stage, units, "--connect-timeout=30s", f"--workers={workers}", start_ms=2000)
    assert visit_each(stage, proxy.listening[0], 50) == 0
    assert units.count(f"StartUnit {WIKI}") == 1


def test_longer_than_a_client_waits(stage, units):
    proxy = proxy_for(stage, units, "--connect-timeout=300ms", start_ms=1500)
    assert 0.2 < is_reset(stage, proxy.listening[0]) < 1.2
    proxy.wait_log(f"unit {WIKI} was not up within connect-timeout")
    units.wait(f"active {WIKI}")
    stage.round_trip(proxy.listening[0])
    assert units.count(f"StartUnit {WIKI}") == 1


@pytest.mark.parametrize("result", ["exit-code", "dependency"])
def test_a_start_that_fails(stage, units, result):
    """Those who wait hear of it at once, later ones are held until the next try, and the last one is served."""
    proxy = proxy_for(stage, units, start_ms=200, fail=result)
    assert is_reset(stage, proxy.listening[0]) < 1
    proxy.wait_log(f"unit {WIKI} failed: {result}; it is started again for the next client, after 1 s")
    proxy.wait_log(f"backend .*: unit {WIKI} failed: {result} ")
    assert 0.5 < is_reset(stage, proxy.listening[0]) < 2
    assert units.count(f"StartUnit {WIKI}") == 2
    units.set(WIKI, fail="-")
    stage.round_trip(proxy.listening[0])
    assert units.count(f"StartUnit {WIKI}") == 3


def test_a_pause_that_is_too_long_for_a_client(stage, units):
    """Nobody is held for what will not come."""
    proxy = proxy_for(stage, units, "--connect-timeout=500ms", fail="exit-code")
    is_reset(stage, proxy.listening[0])
    assert is_reset(stage, proxy.listening[0]) < 0.4
    assert units.count(f"StartUnit {WIKI}") == 1
    units.set(WIKI, fail="-")
    time.sleep(1.1)
    stage.round_trip(proxy.listening[0])


def test_a_unit_that_does_not_exist(stage, units):
    proxy = units.proxy("--backend-unit=nobody.service", "127.0.0.1:0", stage.path("s"))
    assert is_reset(stage, proxy.listening[0]) < 2
    proxy.wait_log("unit nobody.service failed")


def test_stopped_when_idle(stage, units):
    proxy = proxy_for(stage, units, "--backend-unit-idle=500ms")
    with stage.connect(proxy.listening[0]) as client:
        round_trip(client)
        holds_for(lambda: units.count(f"StopUnit {WIKI}") == 0, "up while a connection is", 1)
        round_trip(client)
    began = time.monotonic()
    units.wait(f"inactive {WIKI}")
    assert 0.4 < time.monotonic() - began < 2
    proxy.wait_log(f"unit {WIKI}: no connection for 0.5 s: stopping it")
    stage.round_trip(proxy.listening[0])
    assert units.count(f"StartUnit {WIKI}") == 2


def test_a_client_while_it_stops(stage, units):
    proxy = proxy_for(stage, units, "--backend-unit-idle=200ms", stop_ms=1000)
    stage.round_trip(proxy.listening[0])
    units.wait(f"deactivating {WIKI}")
    stage.round_trip(proxy.listening[0])
    assert units.count(f"StartUnit {WIKI}") == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_clients_at_the_instant_of_the_stop(stage, units, workers):
    idle = 0.05
    proxy = proxy_for(stage, units, f"--backend-unit-idle={int(idle * 1000)}ms", f"--workers={workers}",
                      listen=stage.path("front"))
    for at in range(200):
        stage.round_trip(proxy.listening[0])
        time.sleep(idle + 0.02 + (at % 20 - 8) / 2000)
    stops, starts = units.count(f"StopUnit {WIKI}"), units.count(f"StartUnit {WIKI}")
    assert stops > 20 and 200 > starts >= stops, (starts, stops)


def test_a_unit_of_others_is_not_stopped(stage, units):
    proxy = proxy_for(stage, units, "--backend-unit-idle=200ms")
    units.say(f"start {WIKI}")
    stage.round_trip(proxy.listening[0])
    time.sleep(0.8)
    assert units.count(f"StartUnit {WIKI}") == units.count(f"StopUnit {WIKI}") == 0


def test_an_invocation_of_others_is_not_stopped(stage, units):
    proxy = proxy_for(stage, units, "--backend-unit-idle=400ms")
    stage.round_trip(proxy.listening[0])
    units.say(f"stop {WIKI}")
    units.say(f"start {WIKI}")
    time.sleep(1)
    assert units.count(f"StopUnit {WIKI}") == 0
    stage.round_trip(proxy.listening[0])


def test_a_unit_that_ends_by_itself(stage, units):
    proxy = proxy_for(stage, units)
    stage.round_trip(proxy.listening[0])
    for times in (2, 3):
        units.say(f"die {WIKI}")
        stage.round_trip(proxy.listening[0])
        assert units.count(f"StartUnit {WIKI}") == times


def test_without_the_right(stage, units):
    proxy = proxy_for(stage, units, "--connect-timeout=5s", deny=1)
    assert is_reset(stage, proxy.listening[0]) < 1
    is_reset(stage, proxy.listening[0])
    assert len(proxy.wait_log("polkit rule")) == 1
    proxy.wait_log("this process has no right to start it")


def test_without_the_right_to_stop(stage, units):
    proxy = proxy_for(stage, units, "--backend-unit-idle=200ms")
    stage.round_trip(proxy.listening[0])
    units.set(WIKI, deny=1)
    units.wait(f"StopUnit {WIKI}")
    time.sleep(0.6)
    assert units.count(f"StopUnit {WIKI}") == 1 and len(proxy.grep("polkit rule")) == 1
    stage.round_trip(proxy.listening[0])


def test_several_proxies_of_one_unit(stage, units):
    """It is up as long as one of them has a connection."""
    path = units.add(WIKI, start_ms=500)
    options = f"backend-unit = {WIKI}\nbackend-unit-idle = 400ms\n"
    text = "".join(f"[proxy {name}]\nlisten = 127.0.0.1:0\nbackend = {path}\n{options}" for name in "ab")
    proxy = units.proxy("-c", stage.file("f.conf", text), sockets=2)
    first, second = (stage.connect(address) for address in proxy.listening)
    round_trip(first)
    round_trip(second)
    first.close()
    holds_for(lambda: units.count(f"StopUnit {WIKI}") == 0, "up for the other one", 1)
    round_trip(second)
    second.close()
    units.wait(f"inactive {WIKI}")
    assert units.count(f"StartUnit {WIKI}") == 1


@pytest.mark.parametrize("option", [[], ["--resolve-each"]])
def test_with_other_kinds_of_backend(stage, units, option):
    """Several servers, and those that a name leads to: all wait for the unit, and count for it."""
    units.add(WIKI, start_ms=800)
    names = [f"localhost:{stage.backend(echo).address.rpartition(':')[2]}" for _ in range(2)]
    proxy = units.proxy(f"--backend-unit={WIKI}", "--backend-unit-idle=500ms", *option, "--listen=127.0.0.1:0",
                        *(f"--backend={name}" for name in names))
    for times in (1, 2):
        with stage.connect(proxy.listening[0]) as client:
            began = time.monotonic()
            round_trip(client)
            assert time.monotonic() - began > 0.6
            time.sleep(1)
            assert units.count(f"StopUnit {WIKI}") == times - 1
            round_trip(client)
        units.wait(f"inactive {WIKI}", times)


def test_a_bus_that_vanishes(stage, units):
    proxy = proxy_for(stage, units, "--connect-timeout=20s", "--backend-unit-idle=600ms")
    with stage.connect(proxy.listening[0]) as client:
        round_trip(client)
        units.end()
        proxy.wait_log("systemd cannot be reached by D-Bus")
    time.sleep(2.5)
    assert len(proxy.grep("cannot be reached by D-Bus")) == 1
    units.begin()
    proxy.wait_log("systemd can be reached by D-Bus again")
    stage.round_trip(proxy.listening[0], 20)


def test_a_bus_that_comes_late(stage, units):
    path = units.add(WIKI)
    units.end()
    os.unlink(units.address)
    proxy = units.proxy(f"--backend-unit={WIKI}", "--connect-timeout=20s", "127.0.0.1:0", path)
    client = stage.connect(proxy.listening[0], 20)
    proxy.wait_log("systemd cannot be reached by D-Bus")
    units.begin()
    round_trip(client)


def test_a_drain_leaves_it_running(stage, units):
    proxy = proxy_for(stage, units, "--backend-unit-idle=1s")
    stage.round_trip(proxy.listening[0])
    proxy.finish()
    time.sleep(1.2)
    assert units.count(f"StopUnit {WIKI}") == 0


def test_idle_exit_waits_for_the_stop(stage, units):
    path = units.add(WIKI, stop_ms=300)
    listener = stage.listener()
    proxy = stage.handed([listener], "--exit-idle-time=300ms", f"--backend-unit={WIKI}", "--backend-unit-idle=900ms",
                         "sd-listen", path, environment=units.environment)
    stage.round_trip(address_of(listener))
    began = time.monotonic()
    assert proxy.wait(10) == 0
    assert 0.9 < time.monotonic() - began < 3
    assert units.count(f"inactive {WIKI}") == 1


def configured(path, idle, name="a"):
    return (f"[proxy {name}]\nlisten = 127.0.0.1:0\nbackend = {path}\nbackend-unit = {WIKI}\n"
            f"backend-unit-idle = {idle}\n")


def test_a_reload_keeps_what_is_known(stage, units):
    """And another time is in force at once."""
    path = units.add(WIKI)
    file = stage.file("f.conf", configured(path, "1h"))
    proxy = units.proxy("-c", file)
    stage.round_trip(proxy.listening[0])
    stage.file("f.conf", configured(path, "300ms"))
    proxy.reload()
    units.wait(f"inactive {WIKI}")
    stage.round_trip(proxy.listening[0])
    assert units.count(f"StartUnit {WIKI}") == 2


def test_a_reload_while_clients_wait(stage, units):
    path = units.add(WIKI, start_ms=1500)
    file = stage.file("f.conf", configured(path, "1h"))
    proxy = units.proxy("-c", file)
    client = stage.connect(proxy.listening[0])
    units.wait(f"activating {WIKI}")
    stage.file("f.conf", configured(path, "1h") + "idle-timeout = 1h\n")
    proxy.reload()
    round_trip(client)
    stage.round_trip(proxy.listening[0])
    assert units.count(f"StartUnit {WIKI}") == 1


def test_an_upgrade_takes_over_the_stop(stage, units):
    """A connection of the old process keeps the unit up; then its time runs."""
    path = units.add(WIKI)
    proxy = units.proxy("-c", stage.file("f.conf", configured(path, "700ms")))
    address = proxy.listening[0]
    client = stage.connect(address)
    round_trip(client)
    proxy.upgrade()
    stage.round_trip(address)
    holds_for(lambda: units.count(f"StopUnit {WIKI}") == 0, "up for the old process's client", 1.5)
    round_trip(client)
    client.close()
    began = time.monotonic()
    units.wait(f"inactive {WIKI}")
    assert 0.5 < time.monotonic() - began < 3
    assert units.count(f"StartUnit {WIKI}") == 1
    stage.round_trip(address)


def test_an_upgrade_of_a_unit_without_clients(stage, units):
    path = units.add(WIKI)
    proxy = units.proxy("-c", stage.file("f.conf", configured(path, "2s")))
    stage.round_trip(proxy.listening[0])
    began = time.monotonic()
    time.sleep(1)
    proxy.upgrade()
    units.wait(f"inactive {WIKI}")
    assert 1.5 < time.monotonic() - began < 2.8


def test_an_upgrade_while_it_starts(stage, units):
    path = units.add(WIKI, start_ms=2000)
    proxy = units.proxy("-c", stage.file("f.conf", configured(path, "500ms")))
    client = stage.connect(proxy.listening[0])
    units.wait(f"activating {WIKI}")
    proxy.upgrade()
    round_trip(client)
    client.close()
    units.wait(f"inactive {WIKI}")


@pytest.mark.plain_only("a sanitizer's library must be the first one loaded")
def test_a_start_in_the_middle_of_an_upgrade(stage, units):
    """By the old process, once the new one has been told what there is: that one stops it all the same."""
    path, faults = units.add(WIKI), Faults(stage)
    units.environment.update(faults.environment)
    proxy = units.proxy("-c", stage.file("f.conf", configured(path, "500ms")))
    faults.begin("exec")
    proxy.signal(signal.SIGUSR2)
    proxy.wait_log("upgrade: starting")
    client = stage.connect(proxy.listening[0])
    round_trip(client)
    faults.end("exec")
    proxy.followed(proxy.wait_log("takes over")[0])
    round_trip(client)
    client.close()
    units.wait(f"inactive {WIKI}")
    assert units.count(f"StopUnit {WIKI}") == 1
    proxy.before = None


@pytest.mark.parametrize("options, said", [
    (["--backend-unit=wiki.socket"], "only a .service unit"),
    (["--backend-unit=wiki"], "only a .service unit"),
    (["--backend-unit=wiki@.service"], "name an instance"),
    (["--backend-unit=wi ki.service"], "letters, digits"),
    (["--backend-unit=.service"], "1 to 255 characters"),
    (["--backend-unit-idle=1s"], "there is no backend-unit"),
    (["--backend-unit=wiki.service", "--backend-unit-idle=0"], "leaves no time"),
])
def test_what_cannot_be_meant(options, said):
    status, _, stderr = run("--check", *options, ":0", "127.0.0.1:1")
    assert status == 2 and said in stderr, stderr


def test_two_times_for_one_unit(stage):
    file = stage.file("f.conf", configured("/s", "1s") + configured("/t", "2s", name="b"))
    status, _, stderr = run("--check", "-c", file)
    assert status == 2 and "another backend-unit-idle" in stderr, stderr
