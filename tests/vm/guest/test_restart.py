# SPDX-License-Identifier: MIT
"""
systemctl restart with the descriptor store: listeners of our own outlive the
process, with those who wait in them.  A stop leaves nothing.
"""

import os
import signal
import socket

from support.backend import echo
from load import Load
from support.proc import state, wait_until
from support.streams import read_to_end, send_in_background
from units import EXAMPLES, MANY, output

TCP, UNIX = socket.AF_INET, socket.AF_UNIX
TEXT = """
[proxy a]
listen = 127.0.0.1:{port}
listen = @{name}
listen = /run/{name}/a.sock
unix-listen-chmod = everybody
backend = {backend}
"""


def begin(units, name, port):
    """With the shipped drop-in, so that UNIX paths outlive a restart too."""
    backend = units.backend(echo)
    text = TEXT.format(name=name, port=port, backend=backend.address)
    with open(f"{EXAMPLES}/unix-restart.conf", encoding="utf-8") as drop_in:
        # A user called sockfront would be sockfront.service's, too.
        unit = units.service(name, text, drop_in.read().replace("User=sockfront", "User=vm-front"))
    return unit, text, [(TCP, ("127.0.0.1", port)), (UNIX, f"\0{name}"),
                        (UNIX, f"/run/{name}/a.sock")]


def is_free(port):
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def test_as_it_is_shipped(units):
    """Without the drop-in, and with a user that comes and goes: TCP and abstract names."""
    backend = units.backend(echo)
    unit = units.service("vm-shipped", f"[proxy a]\nlisten = 127.0.0.1:4405\nlisten = @vm-shipped\n"
                         f"listen = vsock:local:4405\nbackend = {backend.address}\n")
    load = Load((TCP, ("127.0.0.1", 4405)), (UNIX, "\0vm-shipped"), (socket.AF_VSOCK, (1, 4405)))
    units.ctl("restart", unit)
    load.wait_more(1)
    load.stop()


def test_restarts_under_load(units):
    unit, _, addresses = begin(units, "vm-restart", 4401)
    # Anybody reaches the path: its directory is not one of a user that comes and goes.
    output("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
           "socat", "-u", "OPEN:/dev/null", "UNIX-CONNECT:/run/vm-restart/a.sock")
    load = Load(*addresses)
    pids = [units.main_pid(unit)]
    for _ in range(2):
        units.ctl("restart", unit)
        pids.append(units.main_pid(unit))
        load.wait_more(1)
    load.stop()
    assert len(set(pids)) == 3


def test_those_who_wait_at_a_crash_are_served(units):
    """It dies with clients in its queues; they are served by the next."""
    unit, _, addresses = begin(units, "vm-crash", 4402)
    pid = units.main_pid(unit)
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state(pid) == "T", "it is stopped")
    waiting = []
    for family, address in addresses:
        client = units.keep(socket.socket(family))
        client.connect(address)
        waiting.append((client, send_in_background(client, b"patience")))
    os.kill(pid, signal.SIGKILL)
    for client, sending in waiting:
        assert read_to_end(client, MANY) == b"patience"
        sending.result()
    assert units.main_pid(unit) != pid


def test_stop_leaves_nothing(units):
    unit, _, addresses = begin(units, "vm-stop", 4403)
    assert units.show(unit, "NFileDescriptorStore") == len(addresses)
    units.stop(unit)
    assert units.show(unit, "NFileDescriptorStore") == 0
    assert not os.path.exists("/run/vm-stop")
    assert is_free(4403)
    for family, address in addresses:
        with socket.socket(family) as client:
            assert client.connect_ex(address) != 0


def test_address_that_is_not_in_the_file_any_more(units):
    """It is closed at the restart and leaves the store; the others are kept."""
    unit, text, addresses = begin(units, "vm-fewer", 4404)
    units.configuration("vm-fewer", text.replace("listen = 127.0.0.1:4404\n", "")
                        .replace("listen = /run/vm-fewer/a.sock\n", ""))
    units.ctl("restart", unit)
    wait_until(lambda: is_free(4404), "the port is free", MANY)
    wait_until(lambda: units.show(unit, "NFileDescriptorStore") == 1, "the store has one", MANY, 0.1)
    assert not os.path.exists("/run/vm-fewer/a.sock")
    load = Load(addresses[1])
    load.stop()
