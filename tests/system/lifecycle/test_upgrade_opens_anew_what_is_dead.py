# SPDX-License-Identifier: MIT
"""An upgrade passes no listener that clients do not reach any more: the new process opens its line anew."""

import os
import socket

from support.network import Network
from support.proc import borrow, descriptors, free_address, listener_inodes
from support.streams import exchange, read_exactly


def test_interface_that_was_made_anew(stage):
    here, there, backend = Network(), Network(), stage.backend()

    def make():
        here.ip("link", "add", "vpn0", "type", "veth", "peer", "name", "vpn1")
        here.ip("link", "set", "vpn1", "netns", f"/proc/{os.getpid()}/fd/{there.descriptor}")
        for network, name, address in (here, "vpn0", "10.9.0.1"), (there, "vpn1", "10.9.0.2"):
            network.ip("address", "add", f"{address}/24", "dev", name)
            network.ip("link", "set", name, "up")

    def serves():
        client = there.run(stage.connect, "10.9.0.1:7000", within=5)
        client.sendall(b"x")
        connection = backend.accept()
        assert read_exactly(connection, 1) == b"x"
        exchange(client, connection, seed=1, size=1000)
        stage.close_sockets_of([(client, connection)])

    make()
    backend = here.run(stage.backend)
    words = ["--bind-to-device=vpn0", "0.0.0.0:7000", backend.address]
    proxy = here.run(stage.proxy, *words)
    serves()
    proxy.upgrade()
    proxy.wait_replaced()
    assert not proxy.grep("; it is opened anew"), "what is alive is passed"
    here.ip("link", "delete", "vpn0")
    make()
    proxy.upgrade()
    assert "vpn0" in proxy.wait_log("it is opened anew")[0]
    serves()


def test_socket_that_another_holder_has_shut_down(stage):
    backend, address = stage.backend(), free_address()
    proxy = stage.proxy(address, stage.name("app"), backend.address, sockets=2)
    inodes = {f"socket:[{inode}]" for inode in listener_inodes(proxy.pid)}
    for number, target in descriptors(proxy.pid).items():
        if target in inodes:
            with borrow(proxy.pid, number) as other:
                if other.family == socket.AF_INET:
                    other.shutdown(socket.SHUT_RDWR)
    proxy.upgrade()
    proxy.wait_log("it is opened anew")
    proxy.before = None
    exchange(*stage.live_pair(backend, address), seed=1, size=1000)


def test_directory_that_was_renamed(stage):
    backend, path = stage.backend(), stage.path("run/app.sock")
    os.mkdir(stage.path("run"))
    proxy = stage.proxy(path, backend.address)
    os.rename(stage.path("run"), stage.path("old"))
    os.mkdir(stage.path("run"))
    proxy.upgrade()
    proxy.wait_log("it is opened anew")
    proxy.before = None
    exchange(*stage.live_pair(backend, path), seed=1, size=1000)
    proxy.wait_replaced()
    assert os.path.exists(path)
