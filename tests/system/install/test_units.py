# SPDX-License-Identifier: MIT
"""The units, as installed: systemd finds nothing to say, and little is exposed."""

import os
import re
import subprocess

import pytest

from support.installation import TOP, make_command

SOCKFRONT = os.environ.get("SOCKFRONT", str(TOP / "build/sockfront"))
SHIPPED = sorted(path.name for path in (TOP / "systemd").glob("*.*"))
SERVICES = [name for name in SHIPPED if name.endswith(".service")]
USER_UNITS = sorted(path.name for path in (TOP / "systemd/user").iterdir())
# What is there for others than systemd has no units.
EXAMPLES = sorted({path.parent.name for path in (TOP / "systemd/examples").glob("*/*.service")})
OF_A_USER = [name for name in EXAMPLES if name.startswith("user-")]
BY_KEYS = "units-on-demand"  # its proxy starts its backends by itself
OF_THE_SYSTEM = {"ssh.service", "sshd.service"}  # what an example wakes and does not ship


def ask(*command, **more):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=60, **more)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """An installation, so that the paths in the units lead somewhere."""
    path = tmp_path_factory.mktemp("prefix")
    done = ask(*make_command("install", f"PREFIX={path}"),
               env={key: value for key, value in os.environ.items() if key != "MAKEFLAGS"})
    assert done.returncode == 0, done.stdout + done.stderr
    (path / "run").mkdir()
    return path


def verify(prefix, *units, manager="--system"):
    return ask("systemd-analyze", manager, "verify", "--recursive-errors=yes", *units,
               env={**os.environ, "MANPATH": f"{prefix}/share/man:/usr/share/man",
                    "XDG_RUNTIME_DIR": f"{prefix}/run", "HOME": f"{prefix}/home"})


@pytest.mark.parametrize("unit", SHIPPED)
def test_shipped_unit_verifies_silently(prefix, unit):
    done = verify(prefix, prefix / "lib/systemd/system" / unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("unit", USER_UNITS)
def test_user_unit_verifies_silently(prefix, unit):
    done = verify(prefix, prefix / "lib/systemd/user" / unit, manager="--user")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_verifies_silently(prefix, example):
    folder = prefix / "share/doc/sockfront/examples" / example
    units = sorted(folder.glob("*.service")) + sorted(folder.glob("*.socket"))
    shipped_backend = example != "guest-ssh"
    assert len(units) >= 2 + shipped_backend, "a socket, a proxy and the backend that it wakes, or a proxy and backends"
    done = verify(prefix, *units, manager="--user" if example in OF_A_USER else "--system")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("example", sorted(set(EXAMPLES) - {BY_KEYS}))
def test_example_wakes_its_backend_and_lets_it_go(example):
    services = {path.name: path.read_text()
                for path in (TOP / "systemd/examples" / example).glob("*.service")}
    proxies = [text for text in services.values() if "ExecStart=/usr/bin/sockfront" in text]
    backends = [name for name, text in services.items() if "StopWhenUnneeded=yes" in text]
    assert len(proxies) + len(backends) == len(services)
    if example == "guest-ssh":
        assert not backends
        backends = OF_THE_SYSTEM
    assert proxies and backends
    for text in proxies:
        wanted = " ".join(re.findall(r"^Wants=(.*)$", text, re.MULTILINE)).split()
        after = " ".join(re.findall(r"^After=(.*)$", text, re.MULTILINE)).split()
        assert set(backends) <= set(wanted) <= set(after)


def exposure(path):
    """In a way that needs no manager; a template is judged as an instance."""
    done = ask("systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=100", path)
    overall = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert overall and done.returncode == 0, done.stdout + done.stderr
    return float(overall[1])


@pytest.mark.parametrize("service", SERVICES)
def test_exposure_is_small(prefix, service):
    path = prefix / "lib/systemd/system" / service
    assert exposure(path) <= 1.6
    # The unit says so itself.
    assert f"to {exposure(path)}." in path.read_text()


def services_of(examples):
    paths = [path for name in examples for path in (TOP / "systemd/examples" / name).glob("*.service")]
    return pytest.mark.parametrize("path", sorted(paths), ids=lambda path: path.name)


@services_of(set(EXAMPLES) - set(OF_A_USER))
def test_exposure_of_an_example_is_small(path):
    assert exposure(path) <= 2.0
    # A polkit rule is for a user that stays.
    assert ("User=sockfront-demand" if path.stem == BY_KEYS else "DynamicUser=yes") in path.read_text()


def test_units_on_demand_are_those_that_the_rule_allows():
    """One process, three services that only it starts, and a right to nothing else."""
    folder = TOP / "systemd/examples" / BY_KEYS
    units = {path.name: path.read_text() for path in folder.glob("demand-*.service")}
    configuration = (folder / f"{BY_KEYS}.conf").read_text()
    rule = (folder / "sockfront-demand.rules").read_text()
    assert len(units) == 3
    assert set(re.findall(r"^backend-unit = (.*)$", configuration, re.MULTILINE)) == set(units)
    assert set(re.findall(r'"([\w-]+\.service)"', rule)) == set(units)
    assert re.findall(r"verbs = (.*);", rule) == ['["start", "stop"]']
    assert rule.count("polkit.Result.") == 1 and 'subject.user == "sockfront-demand"' in rule
    assert "u sockfront-demand " in (folder / "sockfront-demand.sysusers").read_text()
    for text in units.values():
        assert not re.search(r"^(WantedBy|Restart|StopWhenUnneeded)=", text, re.MULTILINE)


def lines_of(path):
    """Its settings in their order, as (name, value)."""
    return [tuple(line.split("=", 1)) for line in path.read_text().splitlines()
            if "=" in line and not line.startswith(("#", ";"))]


# Refused or ignored where a manager has neither capabilities nor a user namespace.
NEEDS_RIGHTS = {"DynamicUser", "User", "Group", "SupplementaryGroups", "CapabilityBoundingSet",
                "AmbientCapabilities", "DevicePolicy", "DeviceAllow", "RemoveIPC", "PrivateUsers",
                "PrivateDevices", "PrivateMounts", "PrivateNetwork", "PrivateTmp", "ProcSubset",
                "ProtectClock", "ProtectControlGroups", "ProtectHome", "ProtectHostname",
                "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables",
                "ProtectProc", "ProtectSystem"}


def test_user_template_is_that_of_the_system_without_what_needs_rights():
    """What it leaves out is in the drop-in, but for what has no meaning there."""
    system = lines_of(TOP / "systemd/sockfront@.service")
    user = lines_of(TOP / "systemd/user/sockfront@.service")
    drop_in = lines_of(TOP / "systemd/examples/user-namespace.conf")

    def names(lines):
        return {name for name, _ in lines}

    assert not names(user) & NEEDS_RIGHTS
    assert names(drop_in) <= NEEDS_RIGHTS
    assert names(system) - names(user) - names(drop_in) == {
        "DynamicUser", "DevicePolicy", "PrivateMounts", "RemoveIPC",
        "LogsDirectory", "LogsDirectoryMode"}, "a user has a directory for logs, or makes one"
    own = [(name, value.replace("/etc/", "%E/")) for name, value in system
           if name not in NEEDS_RIGHTS | {"After", "LogsDirectory", "LogsDirectoryMode"}]
    assert own == [line for line in user if line[0] != "After"]


@services_of(OF_A_USER)
def test_user_example_is_as_restricted_as_the_template(path):
    restricted = [(name, value) for name, value in lines_of(TOP / "systemd/user/sockfront@.service")
                  if name.startswith(("System", "Restrict", "NoNew", "UMask", "Lock", "Memory"))
                  and value not in ("@chown", "on-failure", "1s")
                  and name not in ("Restart", "RestartSec")]
    restricted = [(name, value.replace(" AF_VSOCK", "")) for name, value in restricted]
    assert len(restricted) >= 10
    assert not [line for line in restricted if line not in lines_of(path)]
    assert not {name for name, _ in lines_of(path)} & NEEDS_RIGHTS


@pytest.mark.parametrize("service", ["user/sockfront@.service", *(
    f"examples/{name}/{path.name}" for name in OF_A_USER
    for path in (TOP / "systemd/examples" / name).glob("*.service"))])
def test_exposure_of_a_user_unit_is_small_with_the_drop_in(tmp_path, service):
    """systemd-analyze takes every unit for one of root's, without the drop-in for all that it may."""
    path = tmp_path / "with.service"
    path.write_text((TOP / "systemd" / service).read_text()
                    + (TOP / "systemd/examples/user-namespace.conf").read_text())
    assert exposure(path) <= 2.0


@pytest.mark.parametrize("service", SERVICES)
def test_promises_of_a_service(service):
    settings = dict(lines_of(TOP / "systemd" / service))
    assert "PrivateUsers" not in settings, "peers' uids would turn into nobody"
    assert settings["Type"] == "notify", "systemd 252 ignores notify-reload"
    assert settings["StartLimitIntervalSec"] == "0"
    assert settings["RuntimeDirectory"] == settings["LogsDirectory"], "each instance has a user of its own"
    assert settings["LogsDirectoryMode"] == "0750"
    drain_timeout_s = 30
    assert int(settings["TimeoutStopSec"].removesuffix("s")) > drain_timeout_s
    assert settings["Restart"] == "on-failure", "a process that the watchdog ended is to be replaced"
    assert 10 <= int(settings["WatchdogSec"].removesuffix("s")) <= 60
    assert settings["Environment"] == f"FDSTORE={settings['FileDescriptorStoreMax']}"


@pytest.mark.parametrize("service", SERVICES)
def test_reload_checks_the_file_before_it_signals(service):
    lines = lines_of(TOP / "systemd" / service)
    (start,) = [value for name, value in lines if name == "ExecStart"]
    check, signal = [value for name, value in lines if name == "ExecReload"]
    assert check == start.replace("sockfront -c", "sockfront --check -c")
    assert signal == "kill -HUP $MAINPID"


def paths_of_units():
    return sorted((TOP / "systemd").rglob("*.service")) + sorted((TOP / "systemd").rglob("*.conf"))


@pytest.mark.parametrize("path", paths_of_units(), ids=lambda path: path.name)
def test_no_directory_of_sockets_is_private(path):
    """What DynamicUser= keeps goes below /run/private, where only root reaches a socket."""
    settings = dict(lines_of(path))
    if "RuntimeDirectoryPreserve" in settings and "sockfront" in path.read_text():
        assert settings["DynamicUser"] == "no"


# Listening, watching paths, and an upgrade: a second process is started, which says who it is.
NEEDED = """accept4 bind clone connect dup execve exit_group fchmod fchownat fcntl getrandom getsockopt inotify_add_watch
    inotify_init1 kill listen lstat mmap openat pipe2 prlimit64 read recvmsg rt_sigaction rt_sigprocmask
    sendmsg setsockopt shutdown socket socketpair splice umask unlink wait4 write""".split()


def calls(group, groups):
    found = set()
    for line in groups[group]:
        found |= calls(line, groups) if line.startswith("@") else {line}
    return found


@pytest.fixture(scope="module")
def groups():
    """The groups of system calls as this systemd knows them."""
    found = {}
    for line in ask("systemd-analyze", "syscall-filter", "--no-pager").stdout.splitlines():
        if line.startswith("@"):
            members = found[line] = []
        elif line.startswith("    ") and not line.lstrip().startswith("#"):
            members.append(line.strip())
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_filter_leaves_the_calls_that_are_needed(groups, service):
    allowed = set()
    for name, value in lines_of(TOP / "systemd" / service):
        if name == "SystemCallFilter":
            named = set().union(*(calls(word, groups) for word in value.removeprefix("~").split()))
            allowed = allowed - named if value.startswith("~") else allowed | named
    assert "setuid" in calls("@privileged", groups) and "setuid" not in allowed
    assert set(NEEDED) <= allowed | calls("@default", groups)


def test_on_demand_example_ends_and_can_start_again():
    folder = TOP / "systemd/examples/scale-to-zero"
    (proxy,) = [path for path in folder.glob("*.service") if "/sockfront " in path.read_text()]
    (server,) = [path for path in folder.glob("*.service") if path != proxy]
    (opened,) = folder.glob("*.socket")
    assert "--exit-idle-time" in dict(lines_of(proxy))["ExecStart"]
    assert "--connect-retry=no" not in dict(lines_of(proxy))["ExecStart"]
    for path in (proxy, server):
        assert dict(lines_of(path))["StartLimitIntervalSec"] == "0"
    assert dict(lines_of(server))["StopWhenUnneeded"] == "yes"
    assert "[Install]" not in server.read_text() + proxy.read_text(), "only the socket is enabled"
    assert dict(lines_of(opened))["WantedBy"] == "sockets.target"


def test_no_unit_removes_the_socket_of_another():
    """RuntimeDirectory= is removed whole at the stop: no other unit's socket may be in it."""
    service = (TOP / "systemd/sockfront.service").read_text()
    instance = (TOP / "systemd/sockfront@.service").read_text()
    socket = (TOP / "systemd/sockfront@.socket").read_text()
    listen = re.search(r"^ListenStream=/run/(.*)$", socket, re.MULTILINE)[1]
    for text in (service, instance):
        directory = re.search(r"^RuntimeDirectory=(.*)$", text, re.MULTILINE)[1]
        assert not listen.startswith(directory + "/")


def exec_starts():
    for path in sorted((TOP / "systemd").rglob("*.service")):
        for line in re.findall(r"^ExecStart=/usr/bin/sockfront (.*)$", path.read_text(),
                               re.MULTILINE):
            yield pytest.param(line.split(), id=path.name)


@pytest.mark.parametrize("words", exec_starts())
def test_exec_start_is_a_command_line_that_sockfront_takes(words):
    known = set(re.findall(r"(?<!\S)(--?[a-z][a-z0-9-]*)", ask(SOCKFRONT, "--help").stdout))
    assert "--listen" in known, "the help text lists no options"
    for word in words:
        if word.startswith("-") and word != "-":
            assert word.split("=")[0] in known


def configurations():
    return sorted((TOP / "systemd").rglob("*.conf"))


def test_configurations_of_the_examples_are_valid():
    files = [path for path in configurations() if "[proxy " in path.read_text()]
    assert files
    for path in files:
        done = ask(SOCKFRONT, "--check", "-c", path)
        assert done.returncode == 0, done.stderr


