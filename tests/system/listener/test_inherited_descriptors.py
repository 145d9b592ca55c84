# SPDX-License-Identifier: MIT
"""Inherited descriptors: by number, name or all; each once; what does not fit is refused by number, name and kind."""

import contextlib
import os
import re
import signal
import socket
import subprocess

import pytest

from support.proc import descriptors, is_cloexec, wait_until
from support.proxy import run
from support.stage import address_of, need
from support.streams import MB, Background, exchange, is_silent, read_exactly, read_to_end, reset


def refused(stage, sockets, *arguments, **options):
    proxy = stage.handed(sockets, *arguments, listening=0, **options)
    return proxy.wait(), proxy.log


def test_names_pick_their_own(stage):
    """sd-listen:NAME takes every descriptor of that name and no other; untaken ones are warned of."""
    backend = stage.backend()
    listeners = [stage.listener() for _ in range(3)]
    proxy = stage.handed(listeners, "sd-listen:web", backend.address, names="web:Web:web", listening=2)
    for number in (0, 2):
        exchange(stage.connect(address_of(listeners[number])), backend.accept(), seed=number, size=1000)
    client = stage.connect(address_of(listeners[1]))
    client.sendall(b"hello")
    assert is_silent(client, 0.5)
    warning = proxy.wait_log("warning: ")
    assert any("4" in line and "Web" in line for line in warning), warning


def test_two_proxies_by_name(stage):
    backends = [stage.backend(), stage.backend()]
    listeners = [stage.listener(), stage.listener()]
    file = stage.file(
        "sockfront.conf",
        "".join(
            f"[proxy {name}]\nlisten = sd-listen:{name}\nbackend = {backend.address}\n"
            for name, backend in zip("ab", backends)
        ),
    )
    stage.handed(listeners, "-c", file, names="b:a", listening=2)
    exchange(stage.connect(address_of(listeners[0])), backends[1].accept(), seed=1, size=1000)
    exchange(stage.connect(address_of(listeners[1])), backends[0].accept(), seed=2, size=1000)


@pytest.mark.parametrize(
    "takers",
    [
        ["sd-listen", "sd-listen:web"],
        ["sd-listen:*", "sd-listen"],
        ["sd-listen:web", "sd-listen:*"],
        ["accept-from-fd:3", "sd-listen"],
    ],
)
def test_two_takers_of_one_descriptor(stage, takers):
    status, log = refused(stage, [stage.listener()], *takers, "127.0.0.1:9", names="web")
    assert status == 1, log
    assert "3" in log and any(taker in log for taker in takers)


def test_name_that_was_not_passed(stage):
    status, log = refused(stage, [stage.listener()], "sd-listen:db", "127.0.0.1:9", names="web")
    assert status == 1
    assert "db" in log


def stream_unbound():
    return socket.socket()


def datagram():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock


def seqpacket():
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.bind("")
    sock.listen()
    return sock


class Opened:
    def __init__(self, fd):
        self.fd = fd

    def fileno(self):
        return self.fd

    def shutdown(self, _how):
        raise OSError

    def close(self):
        os.close(self.fd)


def fifo():
    reading, writing = os.pipe()
    os.close(writing)
    return Opened(reading)


def file():
    return Opened(os.open("/etc/passwd", os.O_RDONLY))


UNFIT = [stream_unbound, datagram, seqpacket, fifo, file]


@pytest.mark.parametrize("make", UNFIT)
@pytest.mark.parametrize("taker", ["sd-listen", "sd-listen:web", "accept-from-fd:3"])
def test_unfit_descriptor_is_refused(stage, make, taker):
    """The message says which descriptor it is and, where it has one, its name."""
    sock = stage.keep(make())
    status, log = refused(stage, [sock], taker, "127.0.0.1:9", names="web")
    assert status == 1, log
    assert re.search(r"\b3\b", log), log
    if taker.startswith("sd"):
        assert "web" in log


def test_closed_number(stage):
    status, _, log = run("accept-from-fd:77", "127.0.0.1:9")
    assert status == 1
    assert "77" in log


def test_number_that_a_listener_of_our_own_would_take(stage):
    """Nobody passed it: whichever listener has it by then keeps its clients."""
    own = "[proxy a]\nlisten = 127.0.0.1:0\nbackend = 127.0.0.1:9\n[proxy b]\nbackend = 127.0.0.1:9\n"
    for lines in ("listen = accept-from-fd:3\n", "listen = sd-listen\nsd-accept-ignore-environment = yes\n"):
        status, _, log = run("-c", stage.file("sockfront.conf", own + lines))
        assert status == 1, log
        assert "sockfront.conf:6: " in log and "descriptor 3 was not open" in log
        assert "listening on" not in log
    status, _, log = run("accept-from-fd:0", "127.0.0.1:9", stdin=None, preexec_fn=lambda: os.close(0))
    assert status == 1
    assert "descriptor 0 was not open" in log


def test_environment_missing(stage):
    status, _, log = run("sd-listen", "127.0.0.1:9")
    assert status == 1
    assert "LISTEN_" in log


def test_environment_for_somebody_else(stage):
    status, log = refused(stage, [stage.listener()], "sd-listen", "127.0.0.1:9", extra=["--pid", "1"])
    assert status == 1
    assert "LISTEN_PID" in log


@pytest.mark.parametrize("fds", ["x", "-1", "0"])
def test_environment_malformed(stage, fds):
    proxy = stage.proxy("sd-listen", "127.0.0.1:9", sockets=0, handover=[f"--listen={fds}"])
    assert proxy.wait() == 1
    assert "LISTEN_" in proxy.log


def test_environment_ignored_on_demand(stage):
    """sd-accept-ignore-environment takes descriptor 3 whatever the variables say."""
    backend = stage.backend()
    listener = stage.listener()
    number = listener.fileno()
    stage.proxy(
        "--sd-accept-ignore-environment",
        "sd-listen",
        backend.address,
        handover=["--move", f"{number}:3"],
        pass_fds=[number],
    )
    exchange(stage.connect(address_of(listener)), backend.accept(), seed=1, size=1000)


def test_no_descriptor_leaks_to_children(stage):
    """Every descriptor, inherited or not, is close-on-exec."""
    listeners = [stage.listener(), stage.listener()]
    proxy = stage.handed(listeners, "sd-listen:*", "127.0.0.1:9", names="a:b", listening=2)
    for fd, target in descriptors(proxy.pid).items():
        assert fd <= 2 or is_cloexec(proxy.pid, fd), f"{fd} is {target}"


def test_no_variable_leaks_to_children(stage):
    """The LISTEN_ variables are gone from the running process's environment."""
    gdb = need("gdb")
    listeners = [stage.listener(), stage.listener()]
    # What gdb allocates in the process would count as a leak there.
    quiet = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
    proxy = stage.handed(listeners, "sd-listen:*", "127.0.0.1:9", names="a:b", listening=2, environment=quiet)
    words = []
    for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"):
        words += ["-ex", f'print (char*)((char*(*)(const char*))getenv)("{name}")']
    command = [gdb, "-nx", "-batch", "-p", str(proxy.pid), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    values = re.findall(r"^\$\d+ = (.*)$", done.stdout, re.M)
    if len(values) != 3:
        pytest.skip(f"gdb cannot look into the process: {done.stderr.strip().splitlines()[-1:]}")
    assert values == ["0x0"] * 3


def test_connected_socket_is_one_connection(stage):
    """An inherited socket that is connected already is served, and the process ends with it."""
    backend = stage.backend()
    ours, theirs = map(stage.keep, socket.socketpair())
    proxy = stage.handed([theirs], "sd-listen", backend.address, listening=0)
    theirs.close()
    exchange(ours, backend.accept(), seed=stage.seed)
    assert proxy.wait() == 0


@pytest.mark.parametrize("stream", ["tcp", "unix"])
def test_listening_socket_under_inetd(stage, stream):
    """A listening stdin is a mistake that the message explains."""
    listener = stage.listener(stage.front(stream))
    status, _, log = run("inetd", "127.0.0.1:9", stdin=listener)
    assert status == 1
    assert "accept-from-fd:0" in log


def listen_backlog(port):
    """What ss calls Send-Q of a listening socket."""
    done = subprocess.run([need("ss"), "-Hltn", f"sport = :{port}"], capture_output=True, text=True)
    return int(done.stdout.split()[2])


def test_backlog_of_an_inherited_socket(stage):
    """It keeps its own unless tcp-listen-backlog is given."""
    backend = stage.backend()
    first, second = stage.listener(backlog=7), stage.listener(backlog=7)
    stage.handed([first], "sd-listen", backend.address)
    assert listen_backlog(first.getsockname()[1]) == 7
    stage.handed([second], "--tcp-listen-backlog", "33", "sd-listen", backend.address)
    assert listen_backlog(second.getsockname()[1]) == 33


@pytest.mark.parametrize("options, backlog", [([], 4096), (["--tcp-listen-backlog", "12"], 12)])
def test_backlog_of_our_own(stage, options, backlog):
    with open("/proc/sys/net/core/somaxconn") as limit:
        backlog = min(backlog, int(limit.read()))
    proxy = stage.proxy(*options, "127.0.0.1:0", "127.0.0.1:9")
    assert listen_backlog(proxy.listening[0].rpartition(":")[2]) == backlog


def test_blocking_mode_of_a_shared_connection_is_given_back(stage):
    backend = stage.backend()
    ours, theirs = map(stage.keep, socket.socketpair())
    proxy = stage.handed([theirs], "sd-listen", backend.address, listening=0)
    connection = backend.accept()
    connection.close()
    assert read_to_end(ours) == b""
    ours.close()
    assert proxy.wait() == 0
    assert os.get_blocking(theirs.fileno())


def test_shared_connection_wakes_for_every_byte_afterwards(stage):
    """A long stream is read in large pieces (SO_RCVLOWAT), which is nobody else's concern."""
    backend, listener = stage.backend(), stage.listener()
    ours, theirs = stage.connect(address_of(listener)), stage.keep(listener.accept()[0])
    proxy = stage.handed([theirs], "--drain-timeout=0", "sd-listen", backend.address, listening=0)
    connection = backend.accept()
    sending = Background(send_until_closed, ours)
    # Whether waiting is worth it depends on how busy the machine is: the stream goes on until it was.
    wait_until(lambda: low_water_after(connection, theirs) > 1, "the stream is read in large pieces", 60, every=0)
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0
    assert theirs.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1
    theirs.close()
    sending.join(10)


def send_until_closed(sock):
    with contextlib.suppress(ConnectionError):
        while True:
            sock.sendall(bytes(MB))


def low_water_after(connection, source):
    """Once one more MB of the stream is there."""
    read_exactly(connection, MB)
    return source.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)


@pytest.mark.parametrize("form", ["sd-listen", "inetd"])
def test_connection_that_was_reset_before_we_started(stage, form):
    """A client that leaves is no failure, however early it does: a port scan fails no unit."""
    backend, listener = stage.backend(), stage.listener()
    ours, theirs = stage.connect(address_of(listener)), stage.keep(listener.accept()[0])
    reset(ours)
    if form == "inetd":
        proxy = stage.proxy("inetd", backend.address, sockets=0, stdin=theirs, stdout=theirs)
    else:
        proxy = stage.handed([theirs], "sd-listen", backend.address, listening=0)
    assert proxy.wait() == 0, proxy.log
    assert not proxy.grep("error"), proxy.log


def test_listener_that_somebody_shuts_down(stage):
    """It cannot accept any more: that is said, and is a failure."""
    listener = stage.listener()
    proxy = stage.handed([listener], "sd-listen", "127.0.0.1:9")
    listener.shutdown(socket.SHUT_RDWR)
    assert proxy.wait() == 1
    assert proxy.grep("given up")
