# SPDX-License-Identifier: MIT
"""
socket -> proxy -> backend, of which only the socket is there while nobody asks:
the first client starts the two, exit-idle-time ends the one and
StopWhenUnneeded= the other, and the next client starts them again.
"""

import random
import socket
import time

from support.proc import wait_until
from support.streams import Background, read_to_end, send_in_background
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
    begin(units, "vm-zero", 5101, "3s")
    for family, address in ((socket.AF_INET, ("127.0.0.1", 5102)),
                            (socket.AF_UNIX, "/run/vm-zero.sock")):
        for unit in ("vm-zero.service", "vm-zero-backend.service"):
            assert units.show(unit, "ActiveState") == "inactive"
        with socket.socket(family) as client:
            client.connect(address)
            ask(units, family, address, b"hello" * 10_000)
            for unit in ("vm-zero.service", "vm-zero-backend.service"):
                assert units.show(unit, "ActiveState") == "active"
        for unit in ("vm-zero.service", "vm-zero-backend.service"):
            units.wait_state(unit, "inactive")
            assert units.show(unit, "Result") == "success"
    assert units.show("vm-zero.socket", "ActiveState") == "active"


def test_connection_keeps_it_up(units):
    """Idle is without a connection, not without bytes."""
    begin(units, "vm-held", 5103, "1s")
    client = units.keep(socket.socket())
    client.connect(("127.0.0.1", 5104))
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
    begin(units, "vm-race", 5105, "1s")
    rng = random.Random(1)
    for number in range(5):
        ask(units, socket.AF_INET, ("127.0.0.1", 5106), b"%d" % number)
        time.sleep(0.9 + rng.random() * 0.3)
    assert units.show("vm-race.socket", "ActiveState") == "active"
    assert units.show("vm-race.socket", "Result") == "success"


# ---- the shipped example, when its server fails -------------------------------------------------


def wiki(units, name, port, *changes):
    """The example, with minutes made seconds."""
    units.example("scale-to-zero", ("wiki", name), ("8092", f"{port}"), ("8093", f"{port + 1}"),
                  ("--exit-idle-time 5min", "--exit-idle-time 2s"), *changes, restricted=False)
    units.used(f"{name}.service", f"{name}-server.service")
    units.start(f"{name}.socket")


def begin_to_ask(units, port, end=True):
    client = units.keep(socket.create_connection(("127.0.0.1", port), MANY))
    client.sendall(b"GET / HTTP/1.0\r\n" + b"\r\n" * end)
    return client


def answered(client):
    try:
        status = read_to_end(client, MANY).partition(b"\r\n")[0]
    except ConnectionResetError:
        return False
    finally:
        client.close()
    return status.endswith(b"200 OK")


def test_server_is_killed_and_ends_cleanly(units):
    """Ten clients after each, all at once: systemd starts it while they wait."""
    wiki(units, "vm-ended", 5111)
    server = "vm-ended-server.service"
    assert answered(begin_to_ask(units, 5111))
    for signal in ("KILL", "TERM"):
        keeps_it_up = begin_to_ask(units, 5111, end=False)
        before = units.main_pid(server)
        units.ctl("kill", f"--signal={signal}", "--kill-who=main", server)
        # Whoever reaches it while it dies is reset by it.
        wait_until(lambda: units.show(server, "MainPID") != before, "it has ended", MANY)
        assert all([answered(client) for client in [begin_to_ask(units, 5111) for _ in range(10)]])
        assert units.main_pid(server) != before
        keeps_it_up.close()
    # What was started again is stopped again once nobody needs it.
    for unit in ("vm-ended.service", server):
        units.wait_state(unit, "inactive")
    assert units.show("vm-ended.socket", "Result") == "success"


def test_server_that_crashes_again_and_again(units):
    """Until it works, clients wait; the sixth start within ten seconds is one as any."""
    works = "/run/vm-loop.works"
    wiki(units, "vm-loop", 5115, ("ExecStart=/usr/bin/python3 ", "ExecStart=/bin/sh -c '[ -e "
                                  f"{works} ] || exit 1; exec /usr/bin/python3 \"$$@\"' sh "),
         ("StartLimitIntervalSec=0", "StartLimitIntervalSec=0\nStartLimitBurst=1"))
    waiting = [begin_to_ask(units, 5115) for _ in range(3)]
    wait_until(lambda: units.show("vm-loop-server.service", "NRestarts") >= 2,
               "it was started again", MANY, 0.1)
    units.file(works, "")
    assert all([answered(client) for client in waiting])
    assert units.show("vm-loop.socket", "Result") == "success"


def test_server_that_was_stopped_is_started_for_later_clients(units):
    """
    Restart= does not start what somebody has stopped.  Clients that wait for it in
    vain, always one or more, keep the proxy up for no longer than connect-timeout:
    the next proxy starts the server.
    """
    wiki(units, "vm-halted", 5117, ("--connect-timeout 1min", "--connect-timeout 10s"))
    # Who comes before the server has begun may wait in vain.
    wait_until(lambda: answered(begin_to_ask(units, 5117)), "it has started", 2 * MANY)
    units.stop("vm-halted-server.service")
    ends = time.monotonic() + MANY
    served = []

    def ask_until_one_is_answered(delay):
        time.sleep(delay)
        while not served and time.monotonic() < ends:
            if answered(begin_to_ask(units, 5117)):
                served.append(True)

    # So that there is always one, with more than half of its time to wait.
    for asking in [Background(ask_until_one_is_answered, delay) for delay in (0, 3, 6)]:
        asking.result(2 * MANY)
    assert served, "none was answered"
