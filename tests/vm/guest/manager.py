# SPDX-License-Identifier: MIT
"""
Properties of units, asked of systemd through libsystemd: a systemctl for each
would take most of the time that the tests have.
"""

import ctypes
import re

NAME = b"org.freedesktop.systemd1"
INTERFACES = (  # in which of them a property is found, and how it is read
    ("Unit", "s", "ActiveState"),
    ("Unit", "b", "ConditionResult"),
    ("Service", "s", "StatusText"),
    ("Service", "u", "MainPID NRestarts NFileDescriptorStore"),
    ("Service", "i", "ExecMainStatus"),
    ("Socket", "u", "NAccepted NConnections"),
)

libsystemd = ctypes.CDLL("libsystemd.so.0")


def _path(unit):
    escaped = re.sub(rb"[^A-Za-z0-9]", lambda match: b"_%02x" % match[0][0], unit.encode())
    return b"/org/freedesktop/systemd1/unit/" + escaped


def _kind(unit, name):
    if name == "Result":
        return unit.rpartition(".")[2].capitalize(), "s"
    return next((interface, kind) for interface, kind, names in INTERFACES if name in names.split())


def _check(result):
    if result < 0:
        raise OSError(-result, "libsystemd")


def ask(unit, name, manager="/run/systemd"):
    """The property as text or number."""
    interface, kind = _kind(unit, name)
    where = (NAME, _path(unit), NAME + b"." + interface.encode(), name.encode(), None)
    bus = ctypes.c_void_p()
    _check(libsystemd.sd_bus_new(ctypes.byref(bus)))
    try:
        # Not kept open: systemd would send it whatever happens to any unit.
        _check(libsystemd.sd_bus_set_address(bus, f"unix:path={manager}/private".encode()))
        _check(libsystemd.sd_bus_start(bus))
        if kind == "s":
            text = ctypes.c_char_p()
            _check(libsystemd.sd_bus_get_property_string(bus, *where, ctypes.byref(text)))
            return text.value.decode()
        number = ctypes.c_int() if kind in "bi" else ctypes.c_uint()
        _check(libsystemd.sd_bus_get_property_trivial(bus, *where, ctypes.c_char(kind.encode()),
                                                      ctypes.byref(number)))
        return number.value
    finally:
        libsystemd.sd_bus_flush_close_unref(bus)
