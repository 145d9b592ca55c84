# SPDX-License-Identifier: MIT
"""
Each kind of listener before each kind of backend: bytes, ends and resets arrive as between
two TCP sockets, as far as the kinds know them.
"""

import os
import socket

import pytest

from support.backend import LocalBackend, MachineBackend, echo
from support.modes import MODES
from support.proc import descriptors, wait_until
from support.proxy import run
from support.script import Data, close, end, meet, pause, play, reset, say, see, see_all, taken, unread, urgent
from support.streams import MB, exchange, outcome, read_exactly, read_to_end, round_trip

FRONTS = ("tcp-v4", "unix", "abstract", "sd-listen", "inetd", "inetd-unix")
BACKENDS = ("tcp", "unix", "abstract", "vsock-mux")
LOCAL = ("unix", "abstract", "vsock-mux")


def connected(stage, front, kind, *options):
    backend = stage.backend_of_kind(kind)
    proxy, addresses = MODES[front](stage, backend, *options)
    client = stage.connect(addresses[0])
    return proxy, client, backend.accept()


def over(stage, proxy):
    stage.close_sockets()
    proxy.wait_released()


def knows_reset(sock):
    return sock.family != socket.AF_UNIX


@pytest.mark.parametrize("kind", BACKENDS)
@pytest.mark.parametrize("front", FRONTS)
def test_exchange(stage, front, kind, data_path):
    """3 MB both ways at once; the backend ends after the client has."""
    proxy, client, connection = connected(stage, front, kind, *data_path)
    exchange(client, connection, seed=stage.seed, size=3 * MB)
    over(stage, proxy)


@pytest.mark.parametrize("kind", BACKENDS)
@pytest.mark.parametrize("front", FRONTS)
def test_backend_ends_first(stage, front, kind, data_path):
    """And the client still speaks to it."""
    proxy, client, connection = connected(stage, front, kind, *data_path)
    greeting, answer = Data("greeting", 3 * MB), Data("answer", 3 * MB)
    play(proxy, [
        ("backend", connection, [say(greeting), end(), see_all(answer)]),
        ("client", client, [see_all(greeting), pause(0.3), say(answer), end()]),
    ])
    over(stage, proxy)


@pytest.mark.parametrize("one", ["client", "backend"])
@pytest.mark.parametrize("kind", BACKENDS)
@pytest.mark.parametrize("front", FRONTS)
def test_reset(stage, front, kind, one, data_path):
    """After the bytes that came before.  A UNIX socket resets by leaving something unread."""
    proxy, client, connection = connected(stage, front, kind, *data_path, "--access-log")
    sides = {"client": client, "backend": connection}
    other = "backend" if one == "client" else "client"
    data = Data("before the reset", 3 * MB)
    if knows_reset(sides[one]):
        steps = [say(data), taken(), reset()], [see_all(data, how="abort")]
    else:
        # Its bytes have all been taken before; and what is unread comes before the end.
        steps = [say(data), taken(), meet(), unread(), close()], [see(data), say(b"unread"), meet(), see_all(how="abort")]
    play(proxy, [(one, sides[one], steps[0]), (other, sides[other], steps[1])])
    if not front.startswith("inetd"):
        assert proxy.wait_log(rf'reason=".*{one}.*(reset|gone)')
    over(stage, proxy)


@pytest.mark.parametrize("kind", LOCAL)
def test_backend_that_has_left_for_good(stage, kind):
    """The kernel tells that of UNIX sockets: the client is not left waiting for an answer to come."""
    proxy, client, connection = connected(stage, "tcp-v4", kind, "--access-log")
    client.sendall(b"question")
    assert read_exactly(connection, 8) == b"question"
    connection.close()
    assert read_to_end(client) == b""
    proxy.wait_log('reason="backend gone"')


@pytest.mark.parametrize("kind", BACKENDS)
def test_urgent_byte(stage, kind, data_path):
    """It stays in the stream, and nothing stops there."""
    proxy, client, connection = connected(stage, "tcp-v4", kind, *data_path)
    before, after = Data("before", 3 * MB), Data("after", 3 * MB)
    play(proxy, [
        ("client", client, [say(before), urgent(b"!"), say(after), end()]),
        ("backend", connection, [see_all(before, b"!", after), end()]),
    ])
    over(stage, proxy)


@pytest.mark.parametrize("kind", LOCAL)
def test_idle_connection_holds_two_descriptors(stage, kind):
    backend = stage.backend_of_kind(kind, echo)
    proxy = stage.proxy("127.0.0.1:0", backend.address)
    before = len(descriptors(proxy.pid))
    clients = [stage.connect(proxy.listening[0]) for _ in range(20)]
    for client in clients:
        round_trip(client)
    assert len(descriptors(proxy.pid)) == before + 40


# ---- backends that are not there yet ----


@pytest.mark.parametrize("kind", LOCAL)
def test_socket_appears_later(stage, kind):
    """Nobody has bound it yet."""
    where = stage.name("late") if kind == "abstract" else stage.path("late.sock")
    address = f"vsock-mux:{where}:{MachineBackend.PORT}" if kind == "vsock-mux" else where
    proxy = stage.proxy("127.0.0.1:0", address)
    client = stage.connect(proxy.listening[0])
    client.sendall(b"held")
    said = "Connection refused" if kind == "abstract" else "No such file or directory"
    assert said in proxy.wait_log("cannot be reached")[0]
    stage.backends.append((MachineBackend if kind == "vsock-mux" else LocalBackend)(where, echo))
    assert read_exactly(client, 4) == b"held"
    proxy.wait_log(f"backend {address} answers")


def test_nobody_listens_any_more(stage):
    """The file of a server that has ended is still there."""
    path = stage.path("dead.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    proxy = stage.proxy("127.0.0.1:0", path)
    client = stage.connect(proxy.listening[0])
    client.sendall(b"held")
    assert "Connection refused" in proxy.wait_log("cannot be reached")[0]
    os.unlink(path)
    stage.backends.append(LocalBackend(path, echo))
    assert read_exactly(client, 4) == b"held"


def test_full_queue(stage):
    """A UNIX socket says so at once, where TCP would have us wait."""
    backend = LocalBackend(stage.path("full.sock"), backlog=0)
    stage.backends.append(backend)
    filler = stage.keep(socket.socket(socket.AF_UNIX))
    filler.connect(backend.where)
    proxy = stage.proxy("127.0.0.1:0", backend.address)
    client = stage.connect(proxy.listening[0])
    client.sendall(b"held")
    assert "Resource temporarily unavailable" in proxy.wait_log("cannot be reached")[0]
    backend.accept()
    assert read_exactly(backend.accept(), 4) == b"held"


def test_what_will_not_pass_is_not_tried_again(stage):
    """A datagram socket."""
    path = stage.path("datagram.sock")
    stage.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)).bind(path)
    proxy = stage.proxy("--access-log", "127.0.0.1:0", path)
    assert stage.visit(proxy.listening[0], 5) == (b"", "reset")
    proxy.wait_log('reason="connect failed: Protocol wrong type for socket"')


# ---- virtual machines, from the host ----


class Hypervisor(LocalBackend):
    """Says what the test wants when it is asked for a port."""

    def __init__(self, where, answer):
        self.answer = answer
        super().__init__(where)

    def _begin(self, connection):
        read_exactly(connection, len(b"CONNECT 52\n"))
        connection.sendall(self.answer)


def test_port_that_refuses(stage):
    """Nobody listens there yet: the hypervisor hangs up, and is asked again."""
    machine = Hypervisor(stage.path("vm"), b"")
    stage.backends.append(machine)
    proxy = stage.proxy("127.0.0.1:0", f"vsock-mux:{machine.where}:52")
    client = stage.connect(proxy.listening[0])
    client.sendall(b"held")
    for _ in range(3):
        machine.accept().close()
    assert "Connection refused" in proxy.wait_log("cannot be reached")[0]
    machine.answer = b"OK 1024\n"
    assert read_exactly(machine.accept(), 4) == b"held"


def test_server_that_speaks_at_once(stage):
    """Its first bytes come with the answer."""
    machine = Hypervisor(stage.path("vm"), b"OK 1024\n220 ready\r\n")
    stage.backends.append(machine)
    proxy = stage.proxy("127.0.0.1:0", f"vsock-mux:{machine.where}:52")
    client = stage.connect(proxy.listening[0])
    connection = machine.accept()
    connection.shutdown(socket.SHUT_WR)
    assert outcome(client) == (b"220 ready\r\n", "end")


def test_answer_that_never_ends(stage):
    """The connect timeout counts for it too; nothing spins meanwhile."""
    machine = Hypervisor(stage.path("vm"), b"OK 10")
    stage.backends.append(machine)
    proxy = stage.proxy("--access-log", "--connect-timeout=3s", "127.0.0.1:0", f"vsock-mux:{machine.where}:52")
    client = stage.connect(proxy.listening[0])
    machine.accept()
    proxy.assert_rests(1)
    assert outcome(client) == (b"", "reset")
    proxy.wait_log('reason="connect timeout"')


def test_something_else_answers(stage):
    machine = Hypervisor(stage.path("vm"), b"SSH-2.0-OpenSSH_9.2\r\n")
    stage.backends.append(machine)
    proxy = stage.proxy("--access-log", "127.0.0.1:0", f"vsock-mux:{machine.where}:52")
    client = stage.connect(proxy.listening[0])
    machine.accept()
    assert outcome(client) == (b"", "reset")
    proxy.wait_log('reason="connect failed: Protocol error"')


# ---- paths ----


def test_blanks_and_backslashes(stage):
    directory = stage.path("a b\\c;d")
    os.mkdir(directory)
    stage.backends.append(LocalBackend(f"{directory}/x.sock", echo))
    written = stage.path(r"a\x20b\\c\x3bd/x.sock")
    file = stage.file("sockfront.conf", f"[proxy a]\nlisten = 127.0.0.1:0\nbackend = {written}\n")
    for words in (["127.0.0.1:0", written], ["-c", file]):
        proxy = stage.proxy("--access-log", *words)
        client = stage.connect(proxy.listening[0])
        round_trip(client)
        client.close()
        assert stage.path(r"a\x20b\\c;d/x.sock") in proxy.wait_log("reason=")[0]


def test_relative_path(stage):
    stage.backends.append(LocalBackend(stage.path("x.sock"), echo))
    proxy = stage.proxy("127.0.0.1:0", "./x.sock", cwd=stage.directory)
    round_trip(stage.connect(proxy.listening[0]))


# ---- our own listeners ----


@pytest.mark.parametrize("backend", ["own.sock", "../{}/own.sock", "link", "@own"])
def test_own_listener(stage, backend):
    """Whatever its path is written like."""
    name = stage.name("own") if backend == "@own" else None
    os.symlink("own.sock", stage.path("link"))
    backend = name or stage.path(backend.format(os.path.basename(stage.directory)))
    status, _, log = run(name or stage.path("own.sock"), backend)
    assert status in (1, 2), log
    assert "our own listener" in log and backend in log, log


@pytest.mark.parametrize("workers", [1, 4])
def test_own_connection_comes_back(stage, workers):
    """The path becomes that of a listener of ours while we run: the process knows itself."""
    service = stage.backend_of_kind("unix", echo)
    file = stage.file(
        "sockfront.conf",
        f"[sockfront]\nworkers = {workers}\naccess-log = yes\n"
        f"[proxy a]\nlisten = {stage.path('a')}\nlisten = 127.0.0.1:0\nbackend = {stage.path('link')}\n"
        f"[proxy b]\nlisten = {stage.path('b')}\nbackend = {service.address}\n",
    )
    proxy = stage.proxy("-c", file, sockets=3)
    os.symlink("a", stage.path("link"))
    front = next(address for address in proxy.listening if address.startswith("127."))
    for number in (1, 2, 3):
        client = stage.connect(front)
        client.sendall(b"round and round")
        round_trip(stage.connect(stage.path("b")))  # others are served, our own address or not
        assert outcome(client) == (b"", "reset")
        wait_until(lambda n=number: len(proxy.grep('reason="our own connection came back"')) == n, "one turn each")
    os.unlink(stage.path("link"))
    os.symlink(os.path.basename(service.address), stage.path("link"))
    round_trip(stage.connect(front))


def test_another_process_of_the_same_program(stage):
    """It is none of our own connections: two of them may stand behind each other."""
    service = stage.backend_of_kind("unix", echo)
    stage.proxy(stage.path("second"), service.address)
    proxy = stage.proxy(stage.path("first"), stage.path("second"))
    client = stage.connect(stage.path("first"))
    round_trip(client)
    assert not proxy.grep("came back")
