# SPDX-License-Identifier: MIT
"""Thousands of listeners go from one process to the next, more than the names of which fit into a variable."""

import resource

import pytest

from support.configuration import process, section
from support.proc import listener_inodes
from support.streams import exchange

WANTED = 4000  # one variable held the names of 3,400; starting with more takes long


@pytest.mark.plain_only("says nothing about memory or threads that an upgrade of fewer does not")
def test_an_upgrade_passes_them_all(stage):
    count = min(WANTED, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 500)
    if count < 3500:
        pytest.skip(f"the hard limit of descriptors leaves room for {count} listeners")
    backend, names = stage.backend(), [stage.name(f"app{number}") for number in range(count)]
    text = process("max-connections = 10", "workers = 1") + section(backend, *names)
    proxy = stage.proxy("-c", stage.file("sockfront.conf", text), sockets=0)
    proxy.wait_log(f"listening on {names[-1]},", 240)
    before = listener_inodes(proxy.pid)
    assert len(before) == count
    clients = [stage.connect(names[0]), stage.connect(names[-1])]
    connections = [backend.accept() for _ in clients]
    proxy.upgrade(60)
    assert listener_inodes(proxy.pid) == before
    exchange(*stage.live_pair(backend, names[-1]), seed=1, size=1000)
    assert len(connections) == 2
    stage.close_sockets()
    proxy.wait_replaced()
