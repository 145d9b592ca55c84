# SPDX-License-Identifier: MIT
"""A listener that a reload keeps still is what its line says; one that is not is bound anew, and that is said."""

import os
import socket

import pytest

from support.configuration import section
from support.network import Network
from support.stage import address_of
from support.streams import exchange


@pytest.fixture
def network():
    return Network()


def make_interface(network, address="10.7.0.1/24"):
    network.ip("link", "add", "sfdummy", "type", "veth", "peer", "name", "sfpeer")
    network.ip("link", "set", "sfpeer", "up")
    network.ip("address", "add", address, "dev", "sfdummy", *(["nodad"] if ":" in address else []))
    network.ip("link", "set", "sfdummy", "up")


def serves(network, stage, backend, address):
    family = socket.AF_INET6 if len(address) == 4 else socket.AF_INET
    client = stage.keep(network.run(socket.socket, family))
    client.settimeout(5)
    network.run(client.connect, address)
    exchange(client, backend.accept(), seed=stage.seed, size=1000)


@pytest.mark.parametrize("kind", ["bind-to-device", "scope"])
def test_an_interface_that_was_made_anew(stage, network, kind):
    backend = network.run(stage.backend)
    scoped = kind == "scope"
    address = "fe80::7/64" if scoped else "10.7.0.1/24"
    make_interface(network, address)
    file = stage.file("a.conf", section(backend, "[fe80::7%sfdummy]:7000" if scoped else "0.0.0.0:7000",
                                        options="" if scoped else "bind-to-device = sfdummy"))
    proxy = network.run(stage.proxy, "-c", file)

    def where():
        index = network.run(socket.if_nametoindex, "sfdummy")
        return ("fe80::7", 7000, 0, index) if scoped else ("10.7.0.1", 7000)

    serves(network, stage, backend, where())
    network.ip("link", "delete", "sfdummy")
    proxy.reload()  # there is nothing to bind it to: it is kept, and that is said
    assert proxy.grep("1 listener.s. kept") and proxy.grep("for the time being")
    make_interface(network, address)
    proxy.reload()
    assert proxy.grep("bound anew") and proxy.grep("0 listener.s. kept, 1 added, 1 removed")
    serves(network, stage, backend, where())
    assert proxy.reload() and proxy.log.count("bound anew") == 1


def test_a_directory_that_was_renamed(stage):
    backend = stage.backend()
    os.mkdir(stage.path("run"))
    path = stage.path("run/web.sock")
    proxy = stage.proxy("-c", stage.file("a.conf", section(backend, path)))
    os.rename(stage.path("run"), stage.path("old"))
    os.mkdir(stage.path("run"))
    proxy.reload()
    assert any("bound anew" in line and path in line for line in proxy.log.splitlines())
    exchange(stage.connect(path), backend.accept(), seed=stage.seed, size=1000)
    assert not os.path.exists(stage.path("old/web.sock")), "the old one's name is ours to remove"


def test_an_inherited_one_that_its_holder_shut_down_for_a_while(stage):
    """It is not ours to bind; but nobody is left guessing, and it is not given up for ever."""
    backend = stage.backend()
    listener = stage.listener()
    proxy = stage.handed([listener], "-c", stage.file("a.conf", section(backend, "sd-listen", "127.0.0.1:0")),
                         listening=2)
    listener.shutdown(socket.SHUT_RDWR)
    proxy.wait_log("given up")
    proxy.reload()
    assert proxy.grep("no client reaches it") and proxy.grep("2 listener.s. kept")
    listener.listen()
    proxy.reload()
    assert proxy.log.count("no client reaches it") == 1
    exchange(stage.connect(address_of(listener)), backend.accept(), seed=stage.seed, size=1000)
