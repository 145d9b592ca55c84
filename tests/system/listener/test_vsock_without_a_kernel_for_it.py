# SPDX-License-Identifier: MIT
"""Where the kernel has no vsock the address is refused clearly, as the system's refusal it is."""

import platform

import pytest

from support.handover import SYS_SOCKET
from support.proxy import run

# No test here opens a vsock socket: a filter makes socket(AF_VSOCK) fail.
pytestmark = pytest.mark.skipif(
    platform.machine() not in SYS_SOCKET, reason=f"no system call table for {platform.machine()}"
)


@pytest.mark.parametrize("address", ["vsock:any:5000", "vsock:local:0", "VSOCK:3:17"])
def test_refused(stage, address):
    proxy = stage.proxy(address, "127.0.0.1:9", sockets=0, handover=["--deny-vsock"])
    assert proxy.wait() == 1
    assert "vsock" in proxy.log
    assert address.split(":")[-1] in proxy.log
    assert len(proxy.lines) == 1, proxy.log


def test_refused_beside_others(stage):
    """All or none: the addresses that could be bound are not left behind."""
    path = stage.path("app.sock")
    proxy = stage.proxy(path, "vsock:any:5000", "127.0.0.1:9", sockets=0, handover=["--deny-vsock"])
    assert proxy.wait() == 1
    assert "vsock:any:5000" in proxy.log
    with pytest.raises(FileNotFoundError):
        stage.connect(path)


def test_checked_without_opening(stage):
    """--check knows the address as text only."""
    file = stage.file("sockfront.conf", "[proxy a]\nlisten = vsock:any:5000\nbackend = 127.0.0.1:9\n")
    assert run("--check", "-c", file)[0] == 0
