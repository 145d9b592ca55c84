# SPDX-License-Identifier: MIT
"""
backend-unit, with a real systemd, a real D-Bus and a real polkit: the first client starts a
unit, nobody loses anything when it is stopped, and who may not start it hears why.
"""

import random
import socket
import time

from support.streams import Background, read_to_end
from units import EXAMPLES, MANY, contents

SERVER = """
[Unit]
StartLimitIntervalSec=0
[Service]
{before}
ExecStart=/usr/bin/socat -t 30 TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,backlog=128 PIPE
SuccessExitStatus=143
"""


def server(units, name, port, before=""):
    units.unit(name, SERVER.format(port=port, before=before))
    units.used(name)
    begin_bus(units)
    return f"127.0.0.1:{port}"


def begin_bus(units):
    units.ctl("start", "dbus.service")


def send(units, address):
    host, _, port = address.rpartition(":")
    client = units.keep(socket.create_connection((host, int(port)), MANY))
    client.sendall(b"hello")
    return client


def has_answer(client):
    try:
        return client.recv(5) == b"hello"
    except ConnectionError:
        return False
    finally:
        client.close()


def proxy(units, unit, backend, *options):
    """As root, who may start what it likes."""
    return units.proxy(f"--backend-unit={unit}", *options, "127.0.0.1:0", backend)


def released(one):
    """The bus is one socket more than there was at the start."""
    one.before["socket"] += 1


def test_example(units):
    """As it is shipped, with seconds for minutes and its own user and rule."""
    begin_bus(units)
    rule = "sockfront-demand.rules"
    units.file(f"/etc/polkit-1/rules.d/{rule}", contents(f"{EXAMPLES}/units-on-demand/{rule}"))
    units.example("units-on-demand", ("10min", "3s"))
    services = [f"demand-{name}.service" for name in ("docs", "files", "cache")]
    units.used(*services)
    units.start("units-on-demand.service")
    for unit in services:
        assert units.show(unit, "ActiveState") == "inactive"
    for port, unit in ((8101, services[0]), (8102, services[1])):
        client = units.keep(socket.create_connection(("127.0.0.1", port), MANY))
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"200 OK" in read_to_end(client, MANY)
        assert units.show(unit, "ActiveState") == "active"
        client.close()
    assert units.show(services[2], "ActiveState") == "inactive"
    client = units.keep(socket.create_connection(("127.0.0.1", 8103), MANY))
    client.sendall(b"PING\r\n")
    assert client.recv(5) == b"+PONG"
    for unit in services[:2]:
        units.wait_state(unit, "inactive")
        assert units.show(unit, "Result") == "success"
    assert units.show(services[2], "ActiveState") == "active"
    client.close()
    units.wait_state(services[2], "inactive")
    assert "polkit" not in units.log("units-on-demand.service")


def test_a_unit_that_needs_ten_seconds(units):
    backend = server(units, "vm-slow.service", 4901, "ExecStartPre=/usr/bin/sleep 10")
    one = proxy(units, "vm-slow.service", backend, "--connect-timeout=2min")
    began = time.monotonic()
    clients = [send(units, one.listening[0]) for _ in range(50)]
    assert all([has_answer(client) for client in clients])
    assert time.monotonic() - began > 9
    released(one)


def test_clients_at_the_instant_of_the_stop(units):
    """While it runs, while it stops, while it is started again: each of 200 has an answer."""
    names = [f"vm-instant{number}.service" for number in range(5)]
    text = "".join(
        f"[proxy {name}]\nlisten = 127.0.0.1:0\nbackend = {server(units, name, 4910 + number)}\n"
        f"backend-unit = {name}\nbackend-unit-idle = 300ms\nconnect-timeout = 2min\n"
        for number, name in enumerate(names))
    units.configuration("vm-instant", text)
    one = units.proxy("-c", "/etc/sockfront/vm-instant.conf", listening=len(names))

    def stops(name=""):
        return len(one.grep(f"unit {name}.*: stopping it"))

    def come_again_and_again(name, address):
        """Around the instant, which comes later on a slow machine: one in four or so finds the unit stopped."""
        lost, spread, stopped = 0, 0.2, 0
        for number in range(1, 41):
            client = send(units, address)
            client.settimeout(150)  # as long as it is held: the machine may start nothing for a minute
            lost += not has_answer(client)
            if number % 4 == 0:
                spread *= 1.5 if stops(name) == stopped else 0.9
                stopped = stops(name)
            time.sleep(0.3 + random.uniform(0, spread))
        return lost

    coming = [Background(come_again_and_again, *each) for each in zip(names, one.listening)]
    assert [each.result(500) for each in coming] == [0] * len(names), one.log
    for name in names:
        units.wait_state(name, "inactive")
    assert stops() >= 30, f"it was stopped {stops()} times: few races were run"
    released(one)


def test_a_unit_that_fails(units):
    """And once it works, it is started all the same."""
    works = "/run/vm-fails.works"
    backend = server(units, "vm-fails.service", 4903, f"ExecStartPre=/bin/sh -c '[ -e {works} ]'")
    one = proxy(units, "vm-fails.service", backend, "--connect-timeout=30s")
    began = time.monotonic()
    assert not has_answer(send(units, one.listening[0]))
    assert time.monotonic() - began < 15
    one.wait_log("unit vm-fails.service failed: exit-code")
    units.file(works, "")
    assert has_answer(send(units, one.listening[0]))
    released(one)


def test_a_unit_that_another_has_restarted(units):
    backend = server(units, "vm-other.service", 4904)
    one = proxy(units, "vm-other.service", backend, "--connect-timeout=2min", "--backend-unit-idle=2s")
    assert has_answer(send(units, one.listening[0]))
    units.ctl("restart", "vm-other.service")
    time.sleep(4)
    assert units.show("vm-other.service", "ActiveState") == "active"
    released(one)


def test_without_the_right(units):
    """The example's user, without its rule."""
    backend = server(units, "vm-denied.service", 4905)
    units.configuration("vm-front", f"[proxy a]\nlisten = 127.0.0.1:4906\nbackend = {backend}\n"
                        "backend-unit = vm-denied.service\nconnect-timeout = 30s\n")
    units.unit("vm-without.service", "[Service]\nType=notify\nUser=sockfront-demand\n"
               "ExecStart=/usr/bin/sockfront -c /etc/sockfront/vm-front.conf\n")
    units.start("vm-without.service")
    for _ in range(2):
        assert not has_answer(send(units, "127.0.0.1:4906"))
    said = units.wait_log("vm-without.service", "polkit rule")
    assert len(said) == 1, said
    assert units.show("vm-denied.service", "ActiveState") == "inactive"
