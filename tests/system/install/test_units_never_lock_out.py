# SPDX-License-Identifier: MIT
"""
No shipped unit leaves its clients locked out for good: systemd's limits on starts
are off where something else keeps it from being busy, and what fails is tried again.
tests/vm sees it happen; this holds the rule over every unit there is.
"""

import re
from pathlib import Path

import pytest

# Found from here upwards, so that this file may be moved.
SYSTEMD = next(parent / "systemd" for parent in Path(__file__).resolve().parents
               if (parent / "systemd/sockfront.service").exists())
UNITS = sorted([*SYSTEMD.rglob("*.service"), *SYSTEMD.rglob("*.socket")])
SOCKETS = [path for path in UNITS if path.suffix == ".socket"]
PROXIES = [path for path in UNITS if "ExecStart=/usr/bin/sockfront" in path.read_text()]
# One that a proxy itself starts has it started again by the next client, and stops only what it started.
ON_DEMAND = SYSTEMD / "examples/units-on-demand"
BACKENDS = [path for path in UNITS
            if path.suffix == ".service" and path not in PROXIES and path.parent != ON_DEMAND]
PER_CONNECTION = "StandardInput=socket"  # if it fails, no other client is left waiting


def each(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda path: str(path.relative_to(SYSTEMD)))


def settings(path):
    """{(section, name): [values]}"""
    found, section = {}, None
    for line in path.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif "=" in line and not line.startswith("#"):
            name, value = line.split("=", 1)
            found.setdefault((section, name), []).append(value)
    return found


def words(path, name):
    return " ".join(settings(path).get(("Unit", name), [])).split()


def one(path, section, name):
    values = settings(path).get((section, name), [])
    assert len(values) <= 1, f"{name}= is there more than once"
    return values[0] if values else None


def service_of(socket):
    """The unit that systemd starts for it."""
    named = one(socket, "Socket", "Service")
    template = "@" if one(socket, "Socket", "Accept") == "yes" else ""
    return socket.with_name(named or f"{socket.stem}{template}.service")


def is_tried_again(service):
    return (one(service, "Service", "Restart") in ("on-failure", "always")
            and one(service, "Service", "RestartSec") == "1s"
            and not settings(service).get(("Service", "RestartPreventExitStatus"))
            # What a condition skips is neither started nor tried again.
            and not [name for _, name in settings(service)
                     if name.startswith(("Condition", "Assert", "ExecCondition"))])


def test_there_are_units_of_every_kind():
    assert len(SOCKETS) >= 7 and len(PROXIES) >= 7 and len(BACKENDS) >= 5
    assert [path for path in SOCKETS if one(path, "Socket", "Accept") == "yes"]
    assert [path for path in SOCKETS if one(path, "Socket", "Accept") != "yes"]


@each(UNITS)
def test_starts_are_not_counted(path):
    """Also of a .socket, which the sixth restart in a row would leave failed."""
    assert one(path, "Unit", "StartLimitIntervalSec") == "0"


@each(SOCKETS)
def test_socket_is_not_closed_for_good(path):
    interval = one(path, "Socket", "TriggerLimitIntervalSec")
    service = service_of(path)
    if one(path, "Socket", "Accept") == "yes":
        # Each start takes a connection out of the queue, and MaxConnections= bounds them.
        assert interval is None
        assert int(one(path, "Socket", "TriggerLimitBurst")) >= 100_000
        assert 1 <= int(one(path, "Socket", "MaxConnections")) <= 1000
        return
    assert interval == "0"
    # A socket stays readable until somebody accepts: systemd would start a service
    # that ends at once as fast as it can.
    assert is_tried_again(service), f"{service.name} is not, and would keep systemd busy"


@each(PROXIES)
def test_wrong_configuration_is_tried_again_where_clients_wait(path):
    activated = path in [service_of(socket) for socket in SOCKETS]
    if PER_CONNECTION in path.read_text():
        assert activated
        return
    assert one(path, "Service", "Restart") == "on-failure"
    assert one(path, "Service", "RestartSec") == "1s"
    if activated:
        assert "RestartPreventExitStatus" not in path.read_text()


@each(UNITS)
def test_only_its_own_socket_is_required(path):
    """A unit that requires one that fails is not started, and Restart= does not help then."""
    for name in ("Requires", "Requisite", "BindsTo", "PartOf"):
        # It is the only one that starts it: where it has failed, nobody is waiting.
        assert words(path, name) in ([], [f"{path.stem.replace('@', '@%i')}.socket"]), name
    # Nor is it what comments advise.
    assert not re.search(r"(Requires|BindsTo)=\S*\.service", path.read_text())


@each(PROXIES)
def test_what_a_proxy_wants_is_started_before_it(path):
    wanted = words(path, "Wants") + words(path, "Requires")
    assert set(wanted) <= set(words(path, "After"))


@each(BACKENDS)
def test_backend_is_started_again_however_it_ended(path):
    assert one(path, "Service", "Restart") == "always"
    assert one(path, "Service", "RestartSec") == "1s"
    wanted_by = [proxy for proxy in PROXIES if path.name in words(proxy, "Wants")]
    assert wanted_by, "no proxy starts it"


@each(SOCKETS)
def test_path_of_a_socket_outlives_the_service(path):
    """What is in a RuntimeDirectory= is gone when the service ends, under a unit that is active."""
    directories = [value for service in SYSTEMD.rglob("*.service")
                   for value in settings(service).get(("Service", "RuntimeDirectory"), [])]
    for listen in settings(path)[("Socket", "ListenStream")]:
        for directory in directories:
            assert not listen.startswith((f"/run/{directory}/", f"%t/{directory}/"))


@each([path for path in SOCKETS if path.name == "sockfront@.socket"])
def test_comment_says_which_paths_a_socket_must_not_have(path):
    assert re.search(r"^# .*must not be in a RuntimeDirectory=", path.read_text(), re.MULTILINE)
