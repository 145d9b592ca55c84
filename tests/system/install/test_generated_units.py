# SPDX-License-Identifier: MIT
"""sockfront --units: what it makes of a configuration, and which files it writes; tests/vm starts them."""

import os
import re
from pathlib import Path

import pytest

from support.examples import of_page
from support.proxy import SOCKFRONT, run
import test_units
from test_units import TOP, exposure, lines_of, verify

prefix = test_units.prefix  # an installation: a fixture
HEADER = "# Made by sockfront --units of "
SHIPPED = TOP / "systemd/sockfront@.service"
PROXY = "[proxy a]\nlisten = 127.0.0.1:8443\nbackend = 127.0.0.1:9\n"


@pytest.fixture
def place(tmp_path):
    """A directory that services would see, for all that is told of it."""
    path = tmp_path / "etc"
    path.mkdir()
    return path


def make(place, text, name="web.conf", *words):
    file = place / name
    file.write_text(text)
    return file, run("--units", "-c", str(file), *words)


def made(place, text, name="web.conf"):
    """The files by their names, and what they set, as a list of (name, value)."""
    out = place / "out"
    out.mkdir(exist_ok=True)
    _, (status, said, log) = make(place, text, name, "--output", str(out))
    assert status == 0, log
    paths = [Path(line) for line in said.splitlines()]
    assert sorted(path.name for path in paths) == sorted(os.listdir(out)), "and nothing else is left there"
    return {path.name: lines_of(path) for path in paths}


def values(unit, name):
    return [value for key, value in unit if key == name]


KINDS = """[sockfront]
exit-idle-time = 5min
[proxy net]
listen = :8443
listen = 127.0.0.1:http
listen = [fe80::1%lo]:80
backend = 127.0.0.1:9
[proxy local-app]
listen = /run/my%app/web server.sock
listen = @app
unix-listen-chmod = group
unix-listen-gid = 33
unix-listen-uid = 0
backend = 127.0.0.1:9
[proxy guests]
listen = vsock:any:8443
listen = vsock:3:8443
backend = 127.0.0.1:9
"""


def test_addresses_of_every_kind(place, prefix):
    units = made(place, KINDS)
    assert list(units) == ["web-net.socket", "web-local-app.socket", "web-guests.socket", "web.service"]
    net, local, guests, service = units.values()
    assert values(net, "ListenStream") == ["8443", "127.0.0.1:80", "[fe80::1]:80%%lo"]
    assert values(local, "ListenStream") == ["/run/my%%app/web server.sock", "@app"]
    assert values(guests, "ListenStream") == ["vsock::8443", "vsock:3:8443"]
    assert [values(unit, "FileDescriptorName") for unit in (net, local, guests)] == [["net"], ["local-app"], ["guests"]]
    assert [values(unit, "SocketMode") for unit in (net, local, guests)] == [["0600"], ["0660"], ["0600"]]
    assert (values(local, "SocketGroup"), values(local, "SocketUser")) == (["33"], ["0"])
    for unit in (net, local, guests):
        assert values(unit, "Service") == ["web.service"] and values(unit, "Backlog") == ["4096"]
    assert (values(net, "NoDelay"), values(net, "BindIPv6Only")) == (["yes"], ["both"])
    assert not values(guests, "NoDelay") + values(local, "NoDelay") + values(local, "BindIPv6Only")
    assert values(service, "Sockets") == [" ".join(list(units)[:-1])] == values(service, "Also")
    assert not values(service, "WantedBy")
    done = verify(prefix, *sorted((place / "out").iterdir()))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


OPTIONS = {
    "tcp-listen-backlog = 12": [("Backlog", "12")],
    "tcp-nodelay = no": [("NoDelay", "no")],
    "tcp-keepalive = 60s:3:5s": [("KeepAlive", "yes"), ("KeepAliveTimeSec", "60"), ("KeepAliveProbes", "3"),
                                 ("KeepAliveIntervalSec", "5")],
    "tcp-keepalive = no": [("KeepAlive", "no")],
    "tcp-reuse-port = yes": [("ReusePort", "yes")],
    "recv-buffer-size = 64K": [("ReceiveBuffer", "65536")],
    "send-buffer-size = 1M": [("SendBuffer", "1048576")],
    "tcp-only-v6 = yes": [("BindIPv6Only", "ipv6-only")],
    "tcp-only-v6 = no": [("BindIPv6Only", "both")],
    "tcp-defer-accept = 5s": [("DeferAcceptSec", "5000ms")],
    "ip-freebind = yes": [("FreeBind", "yes")],
    "ip-transparent = yes": [("Transparent", "yes")],
    "bind-to-device = lo": [("BindToDevice", "lo")],
    "bind-to-device = a%b": [("BindToDevice", "a%%b")],
    "socket-mark = 0x7fffffff": [("Mark", "2147483647")],
    "socket-mark = 0x80000000": "# socket-mark: ",
    "tcp-congestion = reno": [("TCPCongestion", "reno")],
    "type-of-service = 16": [("IPTOS", "16")],
    "mptcp = yes": "# mptcp = yes: ",
    "mptcp = no": [],
    "tcp-user-timeout = 5s": "# tcp-user-timeout = 5000ms: ",
    "tcp-fast-open = 5": "# tcp-fast-open = 5: ",
    "unix-listen-chmod = 0640": [("SocketMode", "0640")],
    "unix-listen-unlink = yes": [],
    "sd-accept-ignore-environment = yes": [],
}
CAPABILITY = {"socket-mark = 0x80000000": "CAP_NET_ADMIN"}


def test_every_option_of_the_table_is_here():
    _, out, _ = run("--help")
    section = out.partition("Its listening sockets")[2].partition("\n\n")[0]
    of_a_path = {"unix-listen-uid", "unix-listen-gid"}  # above
    assert {line.partition(" ")[0] for line in OPTIONS} | of_a_path == set(re.findall(r"^  --([a-z0-9-]+)", section, re.M))


@pytest.mark.parametrize("option", OPTIONS)
def test_option(place, prefix, option):
    plain = made(place, PROXY.replace("127.0.0.1:8443", "[::]:8443"))
    units = made(place, PROXY.replace("127.0.0.1:8443", "[::]:8443") + option + "\n")
    text = (place / "out/web.socket").read_text()
    changed = [line for line in units["web.socket"] if line not in plain["web.socket"]]
    expected = OPTIONS[option]
    if isinstance(expected, str):
        assert len(re.findall(f"^{re.escape(expected)}", text, re.M)) == 1
        expected = []
    assert changed == expected
    assert values(units["web.service"], "CapabilityBoundingSet") == [CAPABILITY.get(option, "")]
    if "a%b" not in option:
        done = verify(prefix, place / "out/web.socket")
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_words_of_other_sockets_are_left_out(place):
    text = PROXY.replace("127.0.0.1:8443", "/run/web.sock") + "".join(
        f"{line}\n" for line in ("tcp-keepalive = yes", "mptcp = yes", "socket-mark = 7", "type-of-service = 16",
                                 "tcp-only-v6 = yes", "tcp-user-timeout = 5s", "ip-freebind = yes"))
    made(place, text)
    after = (place / "out/web.socket").read_text().partition("Backlog=4096\n")[2]
    assert after.startswith("TriggerLimitIntervalSec=0\n"), after
    made(place, PROXY + "unix-listen-gid = 33\ntype-of-service = 16\n")
    text = (place / "out/web.socket").read_text()
    assert "SocketGroup" not in text and "IPTOS=16" in text and "traffic class" not in text


# ---- what is shipped ---------------------------------------------------------------------------

PAGES = ["README.md", "daemon/sockfront.8", "daemon/sockfront-migrate.7", "conf/sockfront.conf.5"]
FILES = [path for folder in ("systemd", "conf") for path in sorted((TOP / folder).rglob("*.conf"))]
EXAMPLES = {str(path.relative_to(TOP)): path.read_text() for path in FILES}
EXAMPLES |= {str(example): example.text for page in PAGES for example in of_page(page) if example.is_configuration}
EXAMPLES = {name: text for name, text in EXAMPLES.items() if re.search(r"^\[proxy ", text, re.M)}


def test_there_are_examples():
    assert len(EXAMPLES) >= 12
    assert {"conf/sockfront.conf", "systemd/examples/two-proxies/two-proxies.conf"} <= set(EXAMPLES)


def ports(listen):
    """How many a line stands for."""
    found = re.search(r":(\d+)-(\d+)", listen)
    return int(found[2]) - int(found[1]) + 1 if found else 1


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(place, prefix, name):
    """Each line of it that names an address has its place, and the service may do little."""
    *sockets, service = made(place, EXAMPLES[name]).values()
    passed = [value for socket in sockets for value in values(socket, "ListenStream")]
    assert len(passed) == sum(map(ports, re.findall(r"^listen = (.*)", EXAMPLES[name], re.M)))
    assert not values(service, "WantedBy"), "it opens nothing itself"
    assert exposure(place / "out/web.service") <= 2.0
    assert_silent(prefix, *sorted((place / "out").iterdir()))


# ---- the service -------------------------------------------------------------------------------


def test_service_is_the_shipped_one(place):
    """Whatever that says of restarts and restrictions; what is left out or changed is named here."""
    service = made(place, PROXY)["web.service"]
    shipped = lines_of(SHIPPED)
    dropped = [line for line in shipped if line not in service]
    added = [line for line in service if line not in shipped]
    program, file = os.path.realpath(SOCKFRONT), place / "web.conf"
    assert [name for name, _ in dropped] == ["Description", "Requires", "After", "ExecStart", "ExecReload",
                                             "RuntimeDirectory", "LogsDirectory", "Also"]
    assert [(name, value.replace(SOCKFRONT, program)) for name, value in added] == [
        ("Description", "sockfront: proxies of web.conf"), ("After", "network.target nss-lookup.target"),
        ("Sockets", "web.socket"), ("ExecStart", f"{program} -c {file}"),
        ("ExecReload", f"{program} --check -c {file}"), ("RuntimeDirectory", "sockfront@%N"),
        ("LogsDirectory", "sockfront@%N"), ("Also", "web.socket")]
    assert len(service) > 40


RIGHTS = {
    "nothing": ("", []),
    "client's address": ("backend-source = client\n", ["CAP_NET_ADMIN"]),
    "an address": ("backend-source = 127.0.0.1\n", []),
    "mark of the unit's socket": ("socket-mark = 7\n", []),
    "mark of a socket of its own": ("socket-mark = 7\nlisten = localhost:8080\n", ["CAP_NET_ADMIN"]),
    "ports that it opens itself": ("listen = localhost:http\n", ["CAP_NET_BIND_SERVICE"]),
    "a high one": ("listen = localhost:8080\n", []),
    "both": ("listen = localhost:http\nbackend-source = client\n", ["CAP_NET_ADMIN CAP_NET_BIND_SERVICE"]),
}


@pytest.mark.parametrize("what", RIGHTS)
def test_rights_of_the_service(place, prefix, what):
    more, wanted = RIGHTS[what]
    service = made(place, PROXY + more)["web.service"]
    assert values(service, "AmbientCapabilities") == wanted
    assert values(service, "CapabilityBoundingSet") == (wanted or [""])
    assert exposure(place / "out/web.service") <= 2.0
    assert values(service, "WantedBy") == (["multi-user.target"] if "localhost" in more else [])
    done = verify(prefix, place / "out/web.service")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_service_that_starts_units(place, prefix):
    """A user that stays, as the polkit rule of the example wants it, which is told what it has to allow."""
    service = made(place, PROXY + "backend-unit = wiki.service\n")["web.service"]
    assert values(service, "User") == ["sockfront-demand"] and not values(service, "DynamicUser")
    assert values(service, "After")[0].split()[-1] == "dbus.socket" == values(service, "Wants")[0]
    text = (place / "out/web.service").read_text()
    assert "#\twiki.service\n" in text
    assert "u sockfront-demand " in (TOP / "systemd/examples/units-on-demand/sockfront-demand.sysusers").read_text()
    assert exposure(place / "out/web.service") <= 2.0
    done = verify(prefix, *sorted((place / "out").iterdir()))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def assert_silent(prefix, *units):
    done = verify(prefix, *units)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


STATUS = ["/run/sockfront/status.sock", "127.0.0.1:9090", "127.0.0.1:90", "@status", "vsock:any:9090"]


@pytest.mark.parametrize("address", STATUS)
def test_status_has_a_socket_of_its_own(place, prefix, address):
    """Who asks starts the service, which opens nothing itself."""
    plain = made(place, PROXY)
    units = made(place, f"{PROXY}[status]\nlisten = {address}\nunix-listen-chmod = 0640\nallow = any\n")
    assert list(units) == ["web.socket", "web.status.socket", "web.service"]
    status, service = units["web.status.socket"], units["web.service"]
    assert values(status, "ListenStream") == [address.replace("any", "")]
    assert (values(status, "SocketMode"), values(status, "FileDescriptorName")) == (["0640"], ["status"])
    assert values(status, "Service") == ["web.service"]
    assert values(service, "Sockets") == ["web.socket web.status.socket"] == values(service, "Also")
    assert units["web.socket"] == plain["web.socket"]
    assert [line for line in service if line not in plain["web.service"]] == [
        (name, "web.socket web.status.socket") for name in ("Sockets", "Also")]
    assert_silent(prefix, *sorted((place / "out").iterdir()))


def test_proxies_called_status(place):
    """Each of them has a unit, whatever it is called."""
    two = PROXY.replace("[proxy a]", "[proxy status]") + PROXY.replace("8443", "8444")
    units = made(place, f"{two}[status]\nlisten = @status\n")
    assert list(units) == ["web-status.socket", "web-a.socket", "web.status.socket", "web.service"]


# With exit-idle-time, or only the service can have it there: what that then needs.
OPENED = {
    "/run/sockfront/status.sock": (["sockfront@%N sockfront"], [""]),
    "127.0.0.1:9090": (["sockfront@%N"], [""]),
    "127.0.0.1:90": (["sockfront@%N"], ["CAP_NET_BIND_SERVICE"]),
    "127.0.0.1:9090\nsocket-mark = 7": (["sockfront@%N"], ["CAP_NET_ADMIN"]),
    "/run/sockfront@web/status.sock": (["sockfront@%N"], [""]),
    "localhost:9090": (["sockfront@%N"], [""]),
}
UNBOUND = ["/run/sockfront@web/status.sock", "localhost:9090"]


@pytest.mark.parametrize("idle, address", [("exit-idle-time = 5min\n", address) for address in OPENED]
                         + [("", address) for address in UNBOUND])
def test_status_that_the_service_opens(place, prefix, idle, address):
    """Which is not started for that, neither at boot nor by whoever asks."""
    process = f"[sockfront]\n{idle}"
    plain = made(place, process + PROXY)["web.socket"]
    units = made(place, f"{process}{PROXY}[status]\nlisten = {address}\n")
    assert list(units) == ["web.socket", "web.service"] and units["web.socket"] == plain
    service = units["web.service"]
    assert (values(service, "RuntimeDirectory"), values(service, "CapabilityBoundingSet")) == OPENED[address]
    assert not values(service, "WantedBy")
    assert exposure(place / "out/web.service") <= 2.0
    assert_silent(prefix, place / "out/web.service")


def test_log_of_the_sample_file(place):
    shared = made(place, "[sockfront]\naccess-log-file = /var/log/sockfront/access.log\n" + PROXY)["web.service"]
    own = made(place, "[sockfront]\naccess-log-file = /var/log/sockfront@web/access.log\n" + PROXY)["web.service"]
    assert values(shared, "LogsDirectory") == ["sockfront@%N sockfront"]
    assert values(own, "LogsDirectory") == ["sockfront@%N"]


# ---- names and files ---------------------------------------------------------------------------


NAMES = {"web.conf": "web", "web": "web", "web.conf.conf": "web.conf", "my web.conf": r"my\x20web",
         "a@b.conf": r"a\x40b", "50%.conf": r"50\x25", "ü.conf": r"\xc3\xbc", ".conf": r"\x2econf"}


@pytest.mark.parametrize("name", NAMES)
def test_name_of_the_file(place, prefix, name):
    """It is the units' name, and systemd finds the file again, whatever it is called."""
    units = made(place, PROXY, name)
    assert list(units) == [f"{NAMES[name]}.socket", f"{NAMES[name]}.service"]
    done = verify(prefix, *sorted((place / "out").iterdir()))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    command = values(units[f"{NAMES[name]}.service"], "ExecStart")[0]
    assert command.endswith(f" -c {place}/{name}") or re.search(r' -c ".*"$', command)
    assert values(units[f"{NAMES[name]}.service"], "Sockets") == [f"{NAMES[name]}.socket"]


def test_on_stdout_they_follow_each_other(place):
    file, (status, out, log) = make(place, PROXY)
    assert status == 0, log
    assert re.findall(r"^# (web\.\w+)$", out, re.M) == ["web.socket", "web.service"]
    assert out.count(f"{HEADER}{file}.\n") == 2
    assert os.listdir(place) == ["web.conf"]


def test_only_files_of_its_own_are_overwritten(place):
    made(place, PROXY)
    assert ("Backlog", "7") in made(place, PROXY + "tcp-listen-backlog = 7\n")["web.socket"]
    out = place / "out"
    before = (out / "web.socket").read_text()
    for text in ("", "[Socket]\n", HEADER[1:]):
        (out / "web.service").write_text(text)
        _, (status, said, log) = make(place, PROXY, "web.conf", "--output", str(out))
        assert (status, said) == (1, "") and "web.service: a file is there that --units has not made" in log
        assert (out / "web.service").read_text() == text and (out / "web.socket").read_text() == before
        assert sorted(os.listdir(out)) == ["web.service", "web.socket"]
    (out / "web.service").unlink()
    for target in ("/dev/null", "web.socket"):
        (out / "web.service").symlink_to(target)
        _, (status, said, log) = make(place, PROXY, "web.conf", "--output", str(out))
        assert (status, said) == (1, ""), log
        assert os.readlink(out / "web.service") == target
        (out / "web.service").unlink()
    (out / "web.service").mkdir()
    assert make(place, PROXY, "web.conf", "--output", str(out))[1][0] == 1


def test_directory_that_is_not_there(place):
    _, (status, said, log) = make(place, PROXY, "web.conf", "--output", str(place / "nowhere"))
    assert (status, said) == (1, "") and "nowhere/web.socket: cannot be written: No such file or directory" in log


def test_what_the_service_could_not_read_is_warned_of(place):
    file = place / "web.conf"
    file.write_text(PROXY)
    file.chmod(0o640)
    assert "the service cannot read it" in run("--units", "-c", str(file))[2]


# ---- what it refuses ---------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["sd-listen", "sd-listen:web", "sd-listen:*", "accept-from-fd:3", "-"])
def test_lines_that_name_no_address(place, line):
    file, (status, said, log) = make(place, PROXY.replace("127.0.0.1:8443", line))
    assert (status, said) == (2, "") and f'{file}:2: listen: "{line}" names no address that a .socket unit' in log
    (advice,) = re.findall(r"write the address itself \(such as (\S+) or (\S+)\)", log)
    for address in advice:
        assert values(made(place, PROXY.replace("127.0.0.1:8443", address))["web.socket"], "ListenStream") == [address]


def test_idle_exit_with_a_line_that_no_unit_can_have(place):
    file, (status, said, log) = make(place, "[sockfront]\nexit-idle-time = 5min\n" + PROXY
                                     + "listen = localhost:80\nlisten = ./app.sock\n")
    assert (status, said) == (2, "")
    assert f'{file}:6: listen: "localhost:80" cannot be in a .socket unit' in log and f"{file}:7: " in log


SHARED, OWN, STATUS_THERE = "/run/sockfront/a", "/run/sockfront@web/a", "[status]\nlisten = /run/sockfront/s\n"
IDLE = "[sockfront]\nexit-idle-time = 5min\n"


@pytest.mark.parametrize("path, more, is_lost", [
    (SHARED, IDLE + STATUS_THERE, True), (SHARED, STATUS_THERE, False), (SHARED, IDLE, False), (OWN, "", True),
    ("/run/sockfront@webs/a", "", False), ("/run/sockfronts/a", IDLE + STATUS_THERE, False),
    (SHARED, IDLE + STATUS_THERE.replace("sockfront", "sockfront@web"), False),
    (SHARED, "listen = /run/sockfront/\\\n", True),
])
def test_path_that_the_service_would_remove(place, path, more, is_lost):
    """systemd holds the socket, and no client would find it."""
    file, (status, _, log) = make(place, PROXY.replace("127.0.0.1:8443", path) + more)
    assert status == (2 if is_lost else 0), log
    assert (f'{file}:2: listen: "{path}" would be lost when the service ends' in log) == is_lost, log


def test_inherited_status(place):
    file, (status, said, log) = make(place, PROXY + "[status]\nlisten = sd-listen:status\n")
    assert (status, said) == (2, "") and f'{file}:5: listen: "sd-listen:status" names no address' in log


def test_configuration_that_is_wrong(place):
    file, (status, said, log) = make(place, PROXY + "nonsense = yes\n")
    assert (status, said) == (2, "") and f"{file}:4: " in log


@pytest.mark.parametrize("words, said", [
    (["--units"], "-c FILE is missing"),
    (["--units", ":80", "127.0.0.1:9"], "-c FILE is missing"),
    (["--units", "--check", "-c", "web.conf"], "--units and --check: one at a time"),
    (["--check", "--units", "-c", "web.conf"], "--check and --units: one at a time"),
    (["--units=yes", "-c", "web.conf"], "--units takes no value"),
    (["--output", ".", "-c", "web.conf"], "--output is for --units alone"),
    (["--check", "--output", ".", "-c", "web.conf"], "--output is for --units alone"),
    (["--units", "--output", ".", "-c", "web.conf", "--output", "/x"], '--output is given twice, "." and "/x"'),
    (["--units", "--status"], "--units and --status: one at a time"),
    (["--units", "--watch", "-c", "web.conf"], "--watch is for --status alone"),
    (["--units", "-c", "web.conf", "--output"], "--output wants a value: --output DIR"),
    (["--unit", "-c", "web.conf"], "in full: --units"),
    (["--units", "--outpu", ".", "-c", "web.conf"], "in full: --output"),
    (["--units", "-c", "web.conf", ":80"], "addresses belong in the file"),
])
def test_command_line(place, words, said):
    (place / "web.conf").write_text(PROXY)
    status, out, log = run(*words, cwd=place)
    assert (status, out) == (2, "") and said in log
    assert os.listdir(place) == ["web.conf"]
