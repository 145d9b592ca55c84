# SPDX-License-Identifier: MIT
"""
sockfront@.socket and sockfront@.service, and sockets of units of our own:
systemd listens, the first client starts the proxy, and each name gets to the
proxy that asked for it.
"""

import os
import socket

from support.backend import echo
from support.streams import exchange, read_to_end, send_in_background
from units import MANY

TCP, UNIX, VSOCK = socket.AF_INET, socket.AF_UNIX, socket.AF_VSOCK


def connect(units, family, address):
    client = units.keep(socket.socket(family))
    client.connect(address)
    return client


def instance(units, name, configuration, sockets=""):
    backend = units.backend()
    units.configuration(name, configuration.format(backend.address))
    if sockets:
        units.drop_in(f"sockfront@{name}.socket", f"[Socket]\n{sockets}")
    units.used(f"sockfront@{name}.service")
    units.start(f"sockfront@{name}.socket")
    return backend


def test_first_client_starts_it(units):
    backend = instance(units, "web", "[proxy web]\nlisten = sd-listen\nbackend = {}\n")
    assert os.stat("/run/sockfront@web.sock").st_mode & 0o777 == 0o660
    assert units.show("sockfront@web.service", "ActiveState") == "inactive"
    exchange(connect(units, UNIX, "/run/sockfront@web.sock"), units.accept(backend))
    assert units.show("sockfront@web.service", "ActiveState") == "active"


def test_one_name_for_sockets_of_every_kind(units):
    backend = instance(units, "kinds", "[proxy kinds]\nlisten = sd-listen:kinds\nbackend = {}\n",
                       "ListenStream=\nListenStream=127.0.0.1:4101\nListenStream=[::1]:4101\n"
                       "ListenStream=/run/kinds.sock\nListenStream=@vm-kinds\n"
                       "ListenStream=vsock::4101\nListenStream=vsock:1:4102\n")
    for family, address in ((TCP, ("127.0.0.1", 4101)), (socket.AF_INET6, ("::1", 4101)),
                            (UNIX, "/run/kinds.sock"), (UNIX, "\0vm-kinds"),
                            (VSOCK, (1, 4101)), (VSOCK, (1, 4102))):
        exchange(connect(units, family, address), units.accept(backend))


def test_vsock_client_starts_it(units):
    """Its CID is in the log, and the listener is named as systemd bound it."""
    backend = instance(units, "guest", "[sockfront]\naccess-log = yes\n"
                       "[proxy guest]\nlisten = sd-listen\nbackend = {}\n",
                       "ListenStream=\nListenStream=vsock::4103\n")
    client = connect(units, VSOCK, (1, 4103))
    connection = units.accept(backend)
    exchange(client, connection, size=2_000_000)
    client.close()
    connection.close()
    units.wait_log("sockfront@guest.service", r"client=vsock:1:\d+ listener=\S*vsock:any:4103\S* ")


def two_names(units, name):
    """A second .socket unit, whose sockets have a name of their own."""
    units.unit(f"{name}-other.socket",
               f"[Socket]\nListenStream=@vm-{name}-other\nFileDescriptorName={name}-other\n"
               f"Service=sockfront@{name}.service\n")
    units.drop_in(f"sockfront@{name}.service", f"[Service]\nSockets={name}-other.socket\n")
    units.start(f"{name}-other.socket")


def test_each_name_has_its_backend(units):
    other = units.backend()
    two_names(units, "named")
    backend = instance(units, "named", "[proxy a]\nlisten = sd-listen:named\nbackend = {}\n"
                       f"[proxy b]\nlisten = sd-listen:named-other\nbackend = {other.address}\n")
    # Whichever was asked first: the other's socket is handed over as well.
    exchange(connect(units, UNIX, "\0vm-named-other"), units.accept(other), seed=1)
    exchange(connect(units, UNIX, "/run/sockfront@named.sock"), units.accept(backend), seed=2)


def test_all_names_at_once(units):
    two_names(units, "all")
    backend = instance(units, "all", "[proxy all]\nlisten = sd-listen:*\nbackend = {}\n")
    for address in ("\0vm-all-other", "/run/sockfront@all.sock"):
        exchange(connect(units, UNIX, address), units.accept(backend))


def test_restart_refuses_nobody(units):
    """systemd holds the socket: clients that come while nothing runs wait for the next start."""
    backend = units.backend(echo)
    units.configuration("again", f"[proxy a]\nlisten = sd-listen\nbackend = {backend.address}\n")
    units.used("sockfront@again.service")
    units.start("sockfront@again.socket")
    for _ in range(2):
        asking = [connect(units, UNIX, "/run/sockfront@again.sock") for _ in range(10)]
        sending = [send_in_background(client, b"x" * 10_000) for client in asking]
        units.ctl("restart", "sockfront@again.service")
        for client, sent in zip(asking, sending):
            sent.result()
            assert read_to_end(client, MANY) == b"x" * 10_000
    units.stop("sockfront@again.service")
    client = connect(units, UNIX, "/run/sockfront@again.sock")
    client.sendall(b"late")
    client.shutdown(socket.SHUT_WR)
    assert read_to_end(client, MANY) == b"late"
    assert units.show("sockfront@again.service", "Result") == "success"


def test_stopped_socket_is_gone(units):
    instance(units, "gone", "[proxy a]\nlisten = sd-listen\nbackend = {}\n")
    units.stop("sockfront@gone.socket")
    assert not os.path.exists("/run/sockfront@gone.sock")


def one_each(units, name, port, command, settings=""):
    backend = units.backend()
    units.unit(f"{name}.socket", f"[Socket]\nAccept=yes\nListenStream=127.0.0.1:{port}\n"
               f"ListenStream=/run/{name}.sock\nListenStream=vsock::{port}\n")
    units.unit(f"{name}@.service", "[Unit]\nCollectMode=inactive-or-failed\n[Service]\n"
               f"ExecStart=/usr/bin/sockfront {command} {backend.address}\n{settings}")
    units.start(f"{name}.socket")
    for family, address in ((TCP, ("127.0.0.1", port)), (UNIX, f"/run/{name}.sock"),
                            (VSOCK, (1, port))):
        client = connect(units, family, address)
        exchange(client, units.accept(backend), size=1_000_000)
        client.close()
    assert units.show(f"{name}.socket", "NAccepted") == 3
    units.stop(f"{name}.socket")


def test_connection_as_descriptor_3(units):
    """Accept=yes, and the connection comes as sd-listen: a process for each."""
    one_each(units, "vm-each", 4104, "sd-listen")


def test_connection_as_stdin_and_stdout(units):
    one_each(units, "vm-inetd", 4105, "inetd", "StandardInput=socket\nStandardError=journal\n")
