# SPDX-License-Identifier: MIT
"""The Debian package on a machine with systemd: installed, edited, enabled, upgraded, purged."""

import os
import re
import socket

from support.proc import wait_until
from support.streams import exchange
from units import MANY, ONLY, contents, output

CONFIGURATION = "/etc/sockfront/sockfront.conf"


def apt(*words):
    return output("apt-get", "-y", "-q", "-o", "Dpkg::Use-Pty=0", "-o", "APT::Sandbox::User=root", *words)


def connect(units):
    client = units.keep(socket.socket())
    client.connect(("127.0.0.1", 8443))
    return client


def test_one_line_is_edited_and_the_service_enabled(units):
    """And an upgrade restarts it, whose clients wait meanwhile; a purge leaves nothing."""
    backend = units.backend()
    apt("install", "/vm/sockfront.deb")
    assert output("systemctl", "is-enabled", ONLY, status=1) == "disabled"
    assert units.show(ONLY, "ActiveState") == "inactive"

    edited = re.sub("^backend = .*$", f"backend = {backend.address}", contents(CONFIGURATION), flags=re.MULTILINE)
    with open(CONFIGURATION, "w", encoding="utf-8") as file:
        file.write(edited)
    output("systemctl", "enable", "--now", ONLY)
    units.used(ONLY)
    exchange(connect(units), units.accept(backend))

    first = units.main_pid(ONLY)
    apt("install", "/vm/next.deb")
    assert units.wait_other_main_pid(ONLY, first)
    assert contents(CONFIGURATION) == edited
    wait_until(lambda: units.show(ONLY, "ActiveState") == "active", "it runs again", MANY, 0.1)
    exchange(connect(units), units.accept(backend))

    apt("purge", "sockfront")
    assert units.show(ONLY, "ActiveState") in ("inactive", "failed")
    for left in ("/etc/sockfront", "/usr/bin/sockfront", f"/usr/lib/systemd/system/{ONLY}",
                 f"/etc/systemd/system/multi-user.target.wants/{ONLY}", "/run/sockfront",
                 f"/var/lib/systemd/deb-systemd-helper-enabled/{ONLY}.dsh-also"):
        assert not os.path.lexists(left), left
