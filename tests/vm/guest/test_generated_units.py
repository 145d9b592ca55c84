# SPDX-License-Identifier: MIT
"""
sockfront --units: what it makes of a configuration is started and used, and the same file
serves without a unit as well.
"""

import grp
import itertools
import os
import re
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


# ---- what is shipped ---------------------------------------------------------------------------

DOCUMENTS = "/usr/share/doc/sockfront"
README = re.search("^    .sockfront.\n(?:    .*\n|\n(?=    ))+", contents(f"{DOCUMENTS}/README.md"), re.MULTILINE)[0]
SHIPPED = {
    "readme": re.sub("^    ", "", README, flags=re.MULTILINE),
    "sample": contents(f"{DOCUMENTS}/sockfront.conf"),
    "two": contents(f"{EXAMPLES}/two-proxies/two-proxies.conf"),
}


def elsewhere(text):
    """At ports and paths that no other topic uses at the same time, with the backends that are told."""
    ports = itertools.count(4620)
    text = re.sub(r"^listen = (.*):\d+", lambda found: f"listen = {found[1]}:{next(ports)}", text, flags=re.MULTILINE)
    return re.sub("^listen = /run/(?=[^/]*$)", "listen = /run/vm-shipped-", text, flags=re.MULTILINE)


def place_of(listen):
    """Family and address of a line."""
    found = re.fullmatch(r"\[?(.*?)\]?:(\d+)", listen)
    if not found:
        return UNIX, listen
    host = found[1].replace("::", "::1")
    return TCP6 if ":" in host else TCP, (host, int(found[2]))


def shipped(units, name):
    """Starts the sockets of its proxies, and asks at each of them; that of [status] comes with the service."""
    backend = units.backend()
    text = re.sub("^backend = [^ \n]+", f"backend = {backend.address}", elsewhere(SHIPPED[name]), flags=re.MULTILINE)
    proxies, _, questions = text.partition("\n[status]\n")
    names = generate(units, f"vm-shipped-{name}", text)
    units.start(*(unit for unit in names[:-1] if not unit.endswith(".status.socket")))
    units.used(*names[:-1])
    listens = re.findall(r"^listen = (\S+)", proxies, re.MULTILINE)
    assert listens and units.show(names[-1], "ActiveState") == "inactive"
    for listen in listens:
        exchange(connect(units, *place_of(listen)), units.accept(backend))
    for listen in re.findall(r"^listen = (\S+)", questions, re.MULTILINE):
        assert backend.address in output(SOCKFRONT, "--status", listen)
    lines = len(re.findall("^listen = ", text, re.MULTILINE))
    wait_until(lambda: units.log(names[-1]).count("taken as inherited") == lines, "all of it is inherited", MANY)


def test_file_of_the_readme(units):
    units.alone()
    shipped(units, "readme")


def test_sample_file(units):
    units.alone()
    shipped(units, "sample")


def test_example_of_two_proxies(units):
    shipped(units, "two")


SERVER = """
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/bin/socat -t 30 TCP-LISTEN:4671,bind=127.0.0.1,fork,reuseaddr,backlog=128 PIPE
SuccessExitStatus=143
"""


def test_a_unit_on_demand(units):
    """Of the example, as the user of its rule, which allows that user this unit; with other names than another topic."""
    units.ctl("start", "dbus.service")
    rule = contents(f"{EXAMPLES}/units-on-demand/sockfront-demand.rules").replace('"demand-', '"vm-wanted-')
    units.file("/etc/polkit-1/rules.d/vm-wanted.rules", rule)
    units.unit("vm-wanted-docs.service", SERVER)
    units.used("vm-wanted-docs.service")
    text = contents(f"{EXAMPLES}/units-on-demand/units-on-demand.conf")
    for old, new in (":810", ":466"), (":811", ":467"), (" 10min", " 3s"), (" 30s", " 2min"), (" demand-", " vm-wanted-"):
        text = text.replace(old, new)
    names = generate(units, "vm-demand", text)
    assert names == ["vm-demand-docs.socket", "vm-demand-files.socket", "vm-demand-cache.socket", "vm-demand.service"]
    units.start(*names[:-1])
    client = connect(units, TCP, ("127.0.0.1", 4661))
    client.settimeout(2 * MANY)
    client.sendall(b"hello")
    assert client.recv(5) == b"hello"
    assert units.show("vm-wanted-docs.service", "ActiveState") == "active"
    client.close()
    units.wait_state("vm-wanted-docs.service", "inactive")
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
