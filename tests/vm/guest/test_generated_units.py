# SPDX-License-Identifier: MIT
"""
sockfront --units: what it makes of a configuration is started and used, and the same file
serves without a unit as well.
"""

import grp
import os
import socket

from support.backend import echo
from support.proc import wait_until
from support.proxy import SOCKFRONT
from support.streams import exchange
from units import EXAMPLES, MANY, RUNTIME, contents, output

TCP, TCP6, UNIX, VSOCK = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_VSOCK


def generate(units, name, text):
    """The names of the units, which are installed; the service is the last."""
    file = units.configuration(name, text)
    said = output(SOCKFRONT, "--units", "-c", file, "--output", RUNTIME)
    paths = said.splitlines()
    units.paths += paths
    output("systemctl", "daemon-reload")
    names = [os.path.basename(path) for path in paths]
    units.used(names[-1])
    return names


def connect(units, family, address):
    client = units.keep(socket.socket(family))
    client.connect(address)
    return client


KINDS = """
[proxy net]
listen = 127.0.0.1:4601
listen = :4602
listen = [fe80::1%lo]:4603
ip-freebind = yes
tcp-keepalive = 60s:3:5s
type-of-service = 16
socket-mark = 7
backend = {net}

[proxy local]
listen = /run/vm-made/app%1.sock
listen = @vm-made
unix-listen-chmod = group
unix-listen-gid = mail
backend = {local}

[proxy guests]
listen = vsock:any:4604
listen = vsock:1:4605
backend = {guests}
"""
SOCKETS = {"net": [(TCP, ("127.0.0.1", 4601)), (TCP, ("127.0.0.1", 4602)), (TCP6, ("::1", 4602))],
           "local": [(UNIX, "/run/vm-made/app%1.sock"), (UNIX, "\0vm-made")],
           "guests": [(VSOCK, (1, 4604)), (VSOCK, (1, 4605))]}


def serve(units, backends):
    for name, sockets in SOCKETS.items():
        for family, address in sockets:
            exchange(connect(units, family, address), units.accept(backends[name]))


def test_sockets_of_every_kind(units):
    """The first client starts the one process for three proxies, which opens nothing itself."""
    backends = {name: units.backend() for name in SOCKETS}
    text = KINDS.format(**{name: backend.address for name, backend in backends.items()})
    names = generate(units, "vm-made", text)
    assert names == ["vm-made-net.socket", "vm-made-local.socket", "vm-made-guests.socket", "vm-made.service"]
    units.start(*names[:-1])
    assert units.show("vm-made.service", "ActiveState") == "inactive"
    found = os.stat("/run/vm-made/app%1.sock")
    assert (found.st_mode & 0o777, found.st_gid) == (0o660, grp.getgrnam("mail").gr_gid)
    serve(units, backends)
    units.wait_log("vm-made.service", "listening on vsock:(1|local):4605")
    log = units.log("vm-made.service")
    assert log.count("taken as inherited") == 7 and "warning" not in log.lower(), log
    units.ctl("reload", "vm-made.service")
    units.wait_log("vm-made.service", "7 listener.s. kept, 0 added, 0 removed")
    units.ctl("restart", "vm-made.service")
    serve(units, backends)
    assert "warning" not in units.log("vm-made.service").lower()

    # Without the units, the same file opens all of it.
    units.stop(*names)
    assert not os.path.exists("/run/vm-made/app%1.sock")
    proxy = units.proxy("-c", "/etc/sockfront/vm-made.conf", listening=7)
    serve(units, backends)
    assert not proxy.grep("taken as inherited")


def test_one_proxy_that_ends_when_it_is_quiet(units):
    """One process after the other serves, of the least possible rights, and the socket stays."""
    backend = units.backend(echo)
    names = generate(units, "vm-once", "[sockfront]\nexit-idle-time = 2s\n[proxy a]\nlisten = /run/vm-once.sock\n"
                     f"unix-listen-chmod = 0600\nbackend = {backend.address}\n")
    assert names == ["vm-once.socket", "vm-once.service"]
    units.start("vm-once.socket")
    for _ in range(2):
        client = connect(units, UNIX, "/run/vm-once.sock")
        client.sendall(b"hello")
        assert client.recv(5) == b"hello"
        with open(f"/proc/{units.main_pid('vm-once.service')}/status", encoding="ascii") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file)
        assert int(status["CapBnd"], 16) == 0 and status["Uid"].split()[0] != "0"
        client.close()
        units.wait_state("vm-once.service", "inactive")
        assert units.show("vm-once.service", "Result") == "success"
    assert units.show("vm-once.socket", "ActiveState") == "active"
    assert os.stat("/run/vm-once.sock").st_mode & 0o777 == 0o600


def test_a_line_that_no_unit_can_have(units):
    """The service opens it, at boot, and takes the rest from the unit; a port below 1024 is allowed to it."""
    backend = units.backend()
    names = generate(units, "vm-both", "[proxy a]\nlisten = localhost:smtp\nlisten = @vm-both\n"
                     f"backend = {backend.address}\n")
    units.start(*names)
    for family, address in ((TCP, ("127.0.0.1", 25)), (UNIX, "\0vm-both")):
        exchange(connect(units, family, address), units.accept(backend))
    assert len(units.wait_log("vm-both.service", "taken as inherited")) == 1


def test_status_in_a_directory_of_the_service(units):
    """Of one that ends when it is idle: it is there with the first client, of least rights, and gone with it."""
    units.alone()  # who else uses that directory
    backend = units.backend()
    names = generate(units, "vm-asked", "[sockfront]\nexit-idle-time = 1h\n[proxy a]\nlisten = 127.0.0.1:4608\n"
                     f"backend = {backend.address}\n[status]\nlisten = /run/sockfront/status.sock\n")
    units.start(names[0])
    exchange(connect(units, TCP, ("127.0.0.1", 4608)), units.accept(backend))
    assert backend.address in output(SOCKFRONT, "--status")
    assert os.stat("/run/sockfront").st_uid != 0
    units.stop(*names)
    assert not os.path.exists("/run/sockfront")


def test_question_starts_the_service(units):
    """At an address that has a .socket unit of its own, and that is left alone when the service ends."""
    units.alone()
    backend = units.backend()
    names = generate(units, "vm-question", f"[proxy a]\nlisten = /run/sockfront/a\nbackend = {backend.address}\n"
                     "[status]\nlisten = /run/sockfront/status.sock\nunix-listen-chmod = 0640\n")
    assert names == ["vm-question.socket", "vm-question.status.socket", "vm-question.service"]
    units.start(*names[:-1])
    for _ in range(2):
        assert units.show(names[-1], "ActiveState") == "inactive"
        connect(units, UNIX, "/run/sockfront/status.sock")
        units.wait_state(names[-1], "active")
        assert backend.address in output(SOCKFRONT, "--status")
        assert os.stat("/run/sockfront/status.sock").st_mode & 0o777 == 0o640
        exchange(connect(units, UNIX, "/run/sockfront/a"), units.accept(backend))
        # Both sockets, or one of them would start it again.
        units.stop(*names)
        units.start(*names[:-1])
    units.stop(*names)


SERVER = """
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/bin/socat -t 30 TCP-LISTEN:8111,bind=127.0.0.1,fork,reuseaddr,backlog=128 PIPE
SuccessExitStatus=143
"""


def test_a_unit_on_demand(units):
    """As the user of the example's rule, which allows that user this unit."""
    units.ctl("start", "dbus.service")
    rule = "sockfront-demand.rules"
    units.file(f"/etc/polkit-1/rules.d/{rule}", contents(f"{EXAMPLES}/units-on-demand/{rule}"))
    units.unit("demand-docs.service", SERVER)
    units.used("demand-docs.service")
    names = generate(units, "vm-demand", "[proxy a]\nlisten = 127.0.0.1:4606\nbackend = 127.0.0.1:8111\n"
                     "backend-unit = demand-docs.service\nbackend-unit-idle = 3s\nconnect-timeout = 2min\n")
    units.start(names[0])
    client = connect(units, TCP, ("127.0.0.1", 4606))
    client.settimeout(2 * MANY)
    client.sendall(b"hello")
    assert client.recv(5) == b"hello"
    assert units.show("demand-docs.service", "ActiveState") == "active"
    client.close()
    units.wait_state("demand-docs.service", "inactive")
    assert "polkit" not in units.log("vm-demand.service")


def test_what_it_says_is_what_systemd_binds(units):
    """A second run changes nothing, and a changed file is taken up without a client lost."""
    backend = units.backend()
    text = f"[proxy a]\nlisten = 127.0.0.1:4607\nbackend = {backend.address}\n"
    names = generate(units, "vm-again", text)
    units.start(names[0])
    exchange(connect(units, TCP, ("127.0.0.1", 4607)), units.accept(backend))
    before = contents(f"{RUNTIME}/vm-again.socket")
    assert generate(units, "vm-again", text) == names
    assert contents(f"{RUNTIME}/vm-again.socket") == before
    assert output("systemctl", "show", "-P", "FileDescriptorName", "vm-again.socket") == "a"
    assert output("systemctl", "show", "-P", "Backlog", "vm-again.socket") == "4096"
    wait_until(lambda: units.show("vm-again.service", "ActiveState") == "active", "it is up", MANY)
    units.paths = list(dict.fromkeys(units.paths))
