# SPDX-License-Identifier: MIT
"""
socket -> proxy -> backend, of which only the socket is there while nobody asks:
the first client starts the two, exit-idle-time ends the one and
StopWhenUnneeded= the other, and the next client starts them again.
"""

import random
import socket
import time

from support.streams import read_to_end, send_in_background
from units import MANY

PROXY = """
[Unit]
Requires={name}.socket {name}-backend.service
After={name}.socket {name}-backend.service
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStart=/usr/bin/sockfront -c /etc/sockfront/{name}.conf
DynamicUser=yes
"""
BACKEND = """
[Unit]
StopWhenUnneeded=yes
[Service]
ExecStart=/usr/bin/socat -t 30 TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,backlog=128 PIPE
SuccessExitStatus=143
DynamicUser=yes
"""
SOCKET = """
[Socket]
ListenStream=127.0.0.1:{entry}
ListenStream=/run/{name}.sock
FileDescriptorName={name}
RemoveOnStop=yes
"""


def begin(units, name, port, idle):
    units.configuration(name, f"[sockfront]\nexit-idle-time = {idle}\n[proxy a]\n"
                        f"listen = sd-listen:{name}\nbackend = 127.0.0.1:{port}\n"
                        "connect-timeout = 30s\n")
    for suffix, text in ((".socket", SOCKET), (".service", PROXY), ("-backend.service", BACKEND)):
        units.unit(f"{name}{suffix}", text.format(name=name, port=port, entry=port + 1))
    units.used(f"{name}.service", f"{name}-backend.service")
    units.start(f"{name}.socket")


def ask(units, family, address, data):
    client = units.keep(socket.socket(family))
    client.connect(address)
    sending = send_in_background(client, data)
    assert read_to_end(client, MANY) == data
    sending.result()
    client.close()


def test_up_and_down_and_up_again(units):
    begin(units, "vm-zero", 4601, "3s")
    for family, address in ((socket.AF_INET, ("127.0.0.1", 4602)),
                            (socket.AF_UNIX, "/run/vm-zero.sock")):
        for unit in ("vm-zero.service", "vm-zero-backend.service"):
            assert units.show(unit, "ActiveState") == "inactive"
        ask(units, family, address, b"hello" * 10_000)
        for unit in ("vm-zero.service", "vm-zero-backend.service"):
            assert units.show(unit, "ActiveState") == "active"
        for unit in ("vm-zero.service", "vm-zero-backend.service"):
            units.wait_state(unit, "inactive")
            assert units.show(unit, "Result") == "success"
    assert units.show("vm-zero.socket", "ActiveState") == "active"


def test_connection_keeps_it_up(units):
    """Idle is without a connection, not without bytes."""
    begin(units, "vm-held", 4603, "1s")
    client = units.keep(socket.socket())
    client.connect(("127.0.0.1", 4604))
    client.sendall(b"first")
    assert client.recv(5) == b"first"
    time.sleep(3)
    client.sendall(b"later")
    assert client.recv(5) == b"later"
    assert units.show("vm-held.service", "ActiveState") == "active"
    client.close()
    units.wait_state("vm-held.service", "inactive")


def test_clients_at_the_instant_of_the_exit(units):
    """Whether it just still serves them or is started again: each has an answer."""
    begin(units, "vm-race", 4605, "1s")
    rng = random.Random(1)
    for number in range(5):
        ask(units, socket.AF_INET, ("127.0.0.1", 4606), b"%d" % number)
        time.sleep(0.9 + rng.random() * 0.3)
    assert units.show("vm-race.socket", "ActiveState") == "active"
    assert units.show("vm-race.socket", "Result") == "success"
