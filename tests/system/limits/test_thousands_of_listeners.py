# SPDX-License-Identifier: MIT
"""Thousands of listeners start, are kept by a reload, and go from one process to the next."""

import resource

import pytest

from support.configuration import process, section
from support.proc import listener_inodes
from support.streams import exchange

WANTED = 8000  # one variable of the environment would hold the names of 3,400


@pytest.mark.plain_only("says nothing about memory or threads that an upgrade of fewer does not")
def test_none_is_lost(stage):
    count = min(WANTED, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 500)
    if count < 3500:
        pytest.skip(f"the hard limit of descriptors leaves room for {count} listeners")
    backend, names = stage.backend(), [stage.name(f"app{number}") for number in range(count)]
    proxies = (section(backend, name, name=f"p{number}") for number, name in enumerate(names))
    text = process("max-connections = 10", "workers = 1") + "".join(proxies)
    proxy = stage.proxy("-c", stage.file("sockfront.conf", text), sockets=0)
    proxy.wait_log(f"listening on {names[-1]},", 120)
    before = listener_inodes(proxy.pid)
    assert len(before) == count
    clients = [stage.connect(names[0]), stage.connect(names[-1])]
    connections = [backend.accept() for _ in clients]
    assert f"{count} listener(s) kept, 0 added, 0 removed" in proxy.reload(60)
    proxy.upgrade(60)
    assert listener_inodes(proxy.pid) == before
    exchange(*stage.live_pair(backend, names[-1]), seed=1, size=1000)
    assert len(connections) == 2
    stage.close_sockets()
    proxy.wait_replaced()
