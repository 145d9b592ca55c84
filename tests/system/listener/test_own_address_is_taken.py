# SPDX-License-Identifier: MIT
"""
An address of our own is taken from whoever passes a socket that is bound to exactly that, so that one file
serves by hand and under a .socket unit.
"""

import os
import signal
import socket

import pytest

from support.configuration import process, section
from support.network import Network
from support.proxy import run
from support.stage import address_of
from support.status import ask, status_section
from support.streams import exchange

TAKEN = r"taken as inherited, descriptor 3 \(name \"web\"\)"


def everywhere(only_v6=False, port=0):
    sock = socket.socket(socket.AF_INET6)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_v6)
    sock.bind(("::", port))
    sock.listen()
    return sock


def listening(stage, kind):
    """A socket of somebody else's, and the line that means it."""
    if kind == "everywhere":
        sock = everywhere()
        stage.listeners.append(sock)
        return sock, f":{sock.getsockname()[1]}"
    address = {"IPv4": "127.0.0.1:0", "IPv6": "[::1]:0", "abstract": stage.name("app"), "path": stage.path("app.sock"),
               "relative": stage.path("app.sock"), "by a link": stage.path("app.sock")}[kind]
    sock = stage.listener(address)
    if kind in ("IPv4", "IPv6"):
        host, port = sock.getsockname()[:2]
        return sock, f"[{host}]:{port}" if kind == "IPv6" else f"{host}:{port}"
    if kind == "by a link":
        os.symlink(stage.directory, stage.path("link"))
        return sock, stage.path("link/app.sock")
    return sock, "./app.sock" if kind == "relative" else address


def serves(stage, backend, where):
    pair = stage.live_pair(backend, where)
    exchange(*pair, seed=1, size=1000)
    stage.close_sockets_of([pair])


def where(sock):
    """What a client connects to."""
    name = sock.getsockname()
    if isinstance(name, bytes):
        return "@" + os.fsdecode(name[1:])
    if isinstance(name, str):
        return name
    return f"[::1]:{name[1]}" if sock.family == socket.AF_INET6 else address_of(sock)


KINDS = ["IPv4", "IPv6", "everywhere", "path", "relative", "by a link", "abstract"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(stage, kind):
    backend, (sock, line) = stage.backend(), listening(stage, kind)
    proxy = stage.handed([sock], line, backend.address, names="web", cwd=stage.directory)
    assert len(proxy.grep(TAKEN)) == 1 and not proxy.grep("warning:"), proxy.log
    serves(stage, backend, where(sock))
    proxy.finish()
    if kind in ("path", "relative", "by a link"):
        assert os.path.exists(stage.path("app.sock")), "it was not ours to remove"
    stage.keep(socket.socket(sock.family)).connect(sock.getsockname())  # it listens on


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_line_opens_it_where_nobody_has(stage, kind):
    backend, (sock, line) = stage.backend(), listening(stage, kind)
    there = where(sock)
    stage.listeners.remove(sock)
    sock.close()
    proxy = stage.proxy("--unix-listen-unlink", line, backend.address, cwd=stage.directory)
    assert not proxy.grep("taken as inherited")
    serves(stage, backend, there)
    proxy.finish()
    assert not os.path.exists(stage.path("app.sock"))


@pytest.mark.skipif(os.geteuid() != 0, reason="running as somebody else needs root")
def test_link_to_a_directory_that_we_may_not_search(stage):
    os.chmod(stage.directory, 0o755)
    os.mkdir(stage.path("private"), 0o700)
    os.symlink("private", stage.path("link"))
    backend, sock = stage.backend(), stage.listener(stage.path("private/app.sock"))
    proxy = stage.handed([sock], stage.path("link/app.sock"), backend.address, names="web",
                         user=65534, group=65534, extra_groups=[])
    assert len(proxy.grep(TAKEN)) == 1 and not proxy.grep("warning:"), proxy.log
    serves(stage, backend, where(sock))


def test_several_lines_and_sockets_in_any_order(stage):
    backend, one, other = stage.backend(), stage.listener(), stage.listener(stage.path("b.sock"))
    file = stage.file("sockfront.conf", section(backend, stage.path("b.sock"), name="b")
                      + section(backend, address_of(one), "127.0.0.1:0"))
    proxy = stage.handed([one, other], "-c", file, names="x:y", listening=3)
    assert len(proxy.grep("taken as inherited")) == 2
    for address in (address_of(one), stage.path("b.sock"), proxy.listening[-1]):
        serves(stage, backend, address)


def test_what_another_line_asks_for_is_left_to_it(stage):
    """Though that stands further down; the address is bound then, so that it cannot be opened."""
    sock = stage.listener()
    for form in ("sd-listen", "sd-listen:web", "sd-listen:*", "accept-from-fd:3"):
        file = stage.file("sockfront.conf", f"[proxy a]\nlisten = {address_of(sock)}\nbackend = 127.0.0.1:9\n"
                          f"[proxy b]\nlisten = {form}\nbackend = 127.0.0.1:9\n")
        proxy = stage.handed([sock], "-c", file, names="web", listening=0)
        assert proxy.wait() == 1
        assert proxy.grep("that port is taken already") and not proxy.grep("taken as inherited"), proxy.log


def test_status_is_taken_as_well(stage):
    backend, sock, where_asked = stage.backend(), stage.listener(), stage.path("status.sock")
    asked = stage.listener(where_asked)
    without = process("exit-idle-time = 1h") + section(backend, address_of(sock))
    file = stage.file("sockfront.conf", without + status_section(where_asked, "127.0.0.1:0"))
    proxy = stage.handed([sock, asked], "-c", file, names="x:y")
    proxy.wait_log(r"status on 127\.0\.0\.1")
    assert len(proxy.grep("taken as inherited")) == 2, proxy.log
    assert ask(stage, where_asked).code == 200
    proxy.before = None
    assert "3 listener(s) kept, 0 added, 0 removed" in proxy.reload()
    proxy.upgrade()
    proxy.wait_replaced()
    assert ask(stage, where_asked).code == 200
    stage.file("sockfront.conf", without)
    assert "1 listener(s) kept, 0 added, 2 removed" in proxy.reload()
    stage.file("sockfront.conf", without + status_section(where_asked))
    assert "1 listener(s) kept, 1 added, 0 removed" in proxy.reload()
    assert ask(stage, where_asked).code == 200
    proxy.finish()
    assert os.path.exists(where_asked), "it was not ours to remove"
    stage.keep(socket.socket(socket.AF_UNIX)).connect(where_asked)  # it listens on


def no_match(stage, sock, *words):
    """Nobody has it, and its clients are told of in the log; the line is opened as ever."""
    proxy = stage.handed([sock], *words, "127.0.0.1:9", names="web", listening=0)
    assert proxy.wait() == 1, proxy.log
    assert proxy.grep("that port is taken already") and not proxy.grep("taken as inherited"), proxy.log


def test_another_address_of_the_same_port(stage):
    v4 = stage.listener("0.0.0.0:0")
    port = v4.getsockname()[1]
    no_match(stage, v4, f"127.0.0.1:{port}")
    no_match(stage, v4, f":{port}")


@pytest.mark.parametrize("only_v6", [False, True])
def test_ipv4_clients_are_part_of_the_address(stage, only_v6):
    sock = everywhere(only_v6)
    stage.listeners.append(sock)
    line = f":{sock.getsockname()[1]}"
    no_match(stage, sock, *([line] if only_v6 else ["--tcp-only-v6", line]))
    backend = stage.backend()
    proxy = stage.handed([sock], *(["--tcp-only-v6"] if only_v6 else []), line, backend.address, names="web")
    assert proxy.grep(TAKEN)
    serves(stage, backend, where(sock))


def test_a_free_port_and_a_host_name_are_opened(stage):
    backend, sock = stage.backend(), stage.listener()
    port = sock.getsockname()[1]
    proxy = stage.handed([sock], "127.0.0.1:0", backend.address, names="web")
    assert not proxy.grep("taken as inherited") and proxy.grep("warning: inherited descriptor 3")
    proxy.finish()
    no_match(stage, sock, f"localhost:{port}")


def test_a_connection_of_that_address(stage):
    """It is no listener."""
    backend, listener = stage.backend(), stage.listener()
    ours = stage.connect(address_of(listener))
    theirs = stage.keep(listener.accept()[0])
    listener.close()
    proxy = stage.handed([theirs], "--tcp-reuse-port", address_of(theirs), backend.address, names="web", listening=0)
    proxy.wait_log("listening on|taken already")
    assert not proxy.grep("taken as inherited")
    ours.close()
    if proxy.alive():
        proxy.signal(signal.SIGTERM)
    assert proxy.wait() in (0, 1)


def test_the_same_address_in_another_network_namespace(stage):
    """That is another address: ours is opened."""
    backend, there = stage.backend(), Network()
    sock = there.run(stage.listener)
    proxy = stage.handed([sock], address_of(sock), backend.address, names="web")
    assert not proxy.grep("taken as inherited") and proxy.grep("warning: inherited descriptor 3")
    serves(stage, backend, address_of(sock))


def test_a_path_in_another_network_namespace(stage):
    """Paths are the same in all of them."""
    backend, there = stage.backend(), Network()
    sock = there.run(stage.listener, stage.path("app.sock"))
    proxy = stage.handed([sock], stage.path("app.sock"), backend.address, names="web")
    assert proxy.grep(TAKEN)
    serves(stage, backend, stage.path("app.sock"))


@pytest.mark.parametrize("options, said", [
    (["--tcp-reuse-port"], "tcp-reuse-port has no effect"),
    (["--tcp-reuse-port=no", "--tcp-nodelay=no", "--mptcp=no"], None),
    (["--mptcp"], "mptcp has no effect"),
    (["--tcp-keepalive=60s"], None),
])
def test_options_that_count_before_a_socket_is_bound(stage, options, said):
    proxy = stage.handed([sock := stage.listener()], *options, address_of(sock), "127.0.0.1:9", names="web")
    warnings = proxy.grep("warning:")
    assert len(warnings) == bool(said) and all(said in line and "whoever binds it" in line for line in warnings)


def test_mode_of_a_path(stage):
    path = stage.path("app.sock")
    sock = stage.listener(path)
    os.chmod(path, 0o660)
    words = [f"--unix-listen-uid={os.getuid()}", "--unix-listen-unlink", path, "127.0.0.1:9"]
    assert not stage.handed([sock], "--unix-listen-chmod=group", *words, names="web").grep("warning:")
    for option in ("--unix-listen-chmod=0600", "--unix-listen-gid=4711"):
        assert len(stage.handed([sock], option, *words, names="web").grep("warning: .*has no effect")) == 1
    assert os.stat(path).st_mode & 0o777 == 0o660


# ---- the life of such a socket -----------------------------------------------------------------


def test_a_reload_takes_what_nobody_has_and_gives_back_what_is_dropped(stage):
    backend, sock, path = stage.backend(), stage.listener(), stage.path("app.sock")
    other = stage.listener(path)
    first = section(backend, stage.name("own"), name="own")
    file = stage.file("sockfront.conf", first)
    proxy = stage.handed([sock, other], "-c", file, names="web:app")
    for lines in (first + section(backend, address_of(sock), path), first):
        stage.file("sockfront.conf", lines)
        assert "0 kept" not in proxy.reload()
    stage.file("sockfront.conf", first + section(backend, address_of(sock), path))
    assert "1 listener(s) kept, 2 added, 0 removed" in proxy.reload()
    assert len(proxy.grep("taken as inherited")) == 4
    proxy.before = None
    serves(stage, backend, address_of(sock))
    serves(stage, backend, path)
    assert "3 listener(s) kept, 0 added, 0 removed" in proxy.reload()
    proxy.finish()
    assert os.path.exists(path)


def test_a_reload_goes_from_one_way_of_asking_to_the_other(stage):
    backend, sock = stage.backend(), stage.listener()
    lines = ["sd-listen:web", address_of(sock), "accept-from-fd:3", address_of(sock)]
    file = stage.file("sockfront.conf", section(backend, lines[0]))
    proxy = stage.handed([sock], "-c", file, names="web")
    for line in lines[1:]:
        waiting = stage.connect(address_of(sock))
        stage.file("sockfront.conf", section(backend, line))
        assert "reloaded" in proxy.reload()
        exchange(waiting, backend.accept(), seed=1, size=1000)
        serves(stage, backend, address_of(sock))
    stage.close_sockets_of([stage.sockets])


def test_a_reload_that_fails_leaves_it_as_it_was(stage):
    backend, sock = stage.backend(), stage.listener()
    taken = stage.listener()
    file = stage.file("sockfront.conf", section(backend, address_of(sock)))
    proxy = stage.handed([sock], "-c", file, names="web")
    stage.file("sockfront.conf", section(backend, address_of(taken)))
    assert "reload failed" in proxy.reload()
    serves(stage, backend, address_of(sock))
    stage.file("sockfront.conf", section(backend, address_of(sock)))
    assert "1 listener(s) kept, 0 added, 0 removed" in proxy.reload()


def test_an_upgrade_takes_it_too(stage):
    backend, sock, path = stage.backend(), stage.listener(), stage.path("app.sock")
    file = stage.file("sockfront.conf", section(backend, address_of(sock), path, "127.0.0.1:0"))
    proxy = stage.handed([sock, stage.listener(path)], "-c", file, names="web:app", listening=3)
    before = os.getpid()
    proxy.before = None
    for _ in range(2):
        proxy.upgrade()
        proxy.wait_replaced()
        serves(stage, backend, address_of(sock))
        serves(stage, backend, path)
    assert len(proxy.grep("taken as inherited")) == 6 and before
    proxy.finish()
    assert os.path.exists(path)


def test_options_are_given_back(stage):
    backend, sock = stage.backend(), stage.listener()
    before = sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS), os.get_blocking(sock.fileno())
    proxy = stage.handed([sock], "--type-of-service=16", address_of(sock), backend.address, names="web")
    assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 16
    proxy.finish()
    assert (sock.getsockopt(socket.IPPROTO_IP, socket.IP_TOS), os.get_blocking(sock.fileno())) == before


# ---- exit-idle-time ----------------------------------------------------------------------------


def test_idle_exit_with_a_socket_that_was_taken(stage):
    sock = stage.listener(stage.path("app.sock"))
    proxy = stage.handed([sock], "--exit-idle-time=300ms", stage.path("app.sock"), "127.0.0.1:9", names="web")
    assert proxy.wait() == 0
    assert os.path.exists(stage.path("app.sock"))


@pytest.mark.parametrize("line, stream", [
    ("127.0.0.1:8443", "it takes ListenStream=127.0.0.1:8443"),
    (":http", "it takes ListenStream=80"),
    ("[fe80::1%lo]:80", "it takes ListenStream=[fe80::1]:80%%lo"),
    ("@app%1", "it takes ListenStream=@app%%1"),
    ("vsock:2:8443", "it takes ListenStream=vsock:2:8443"),
    ("./app.sock", "none can: systemd takes no relative path"),
    ("localhost:80", "none can: systemd resolves no host name"),
    ("127.0.0.1:0", "none can: port 0"),
])
def test_idle_exit_with_one_that_would_have_to_be_opened(stage, line, stream):
    """Nothing is bound, not even what stands above it."""
    file = stage.file("sockfront.conf", process("exit-idle-time = 5s")
                      + f"[proxy a]\nlisten = ./other.sock\nlisten = {line}\nbackend = 127.0.0.1:9\n")
    sock = stage.listener(stage.path("other.sock"))
    proxy = stage.handed([sock], "-c", file, names="web", listening=0, cwd=stage.directory)
    assert proxy.wait() == 1
    assert proxy.grep(r'sockfront.conf:3: \[proxy a\]: exit-idle-time: .* \(line 5\)'), proxy.log
    assert stream in proxy.log and "listening on" not in proxy.log
    assert sorted(os.listdir(stage.directory)) == ["other.sock", "sockfront.conf"]


def test_idle_exit_that_a_reload_begins(stage):
    """A listener of our own that is open already is no better."""
    backend, sock = stage.backend(), stage.listener()
    text = section(backend, "127.0.0.1:0", address_of(sock))
    proxy = stage.handed([sock], "-c", stage.file("sockfront.conf", text), names="web", listening=2)
    stage.file("sockfront.conf", process("exit-idle-time = 300ms") + text)
    assert "reload failed" in proxy.reload() and proxy.grep("error: .*exit-idle-time: ")
    serves(stage, backend, address_of(sock))
    proxy.before = None
    stage.file("sockfront.conf", process("exit-idle-time = 300ms") + section(backend, address_of(sock)))
    assert "reloaded" in proxy.reload()
    assert proxy.wait() == 0


# ---- --check -----------------------------------------------------------------------------------


def test_check_says_what_a_unit_can_pass(stage):
    file = stage.file("sockfront.conf", "[proxy a]\nlisten = :8443\nlisten = /run/a%b.sock\nlisten = sd-listen:web\n"
                      "listen = localhost:80\nlisten = vsock::5\nbackend = 127.0.0.1:9\n")
    status, out, _ = run("--check", "-c", file)
    assert status == 0
    assert out.splitlines() == [
        f'{file}:2: "*:8443" is taken from a .socket unit that has ListenStream=8443',
        f'{file}:3: "/run/a%b.sock" is taken from a .socket unit that has ListenStream=/run/a%%b.sock',
        f'{file}:5: "localhost:80" cannot be in a .socket unit: systemd resolves no host name; write the address itself, '
        "such as 127.0.0.1",
        f'{file}:6: "vsock:any:5" is taken from a .socket unit that has ListenStream=vsock::5',
        f"{file}: valid, 1 proxy",
    ]
    status, out, _ = run("--check", "--status-listen=@s", "@app", "127.0.0.1:9")
    assert out.splitlines() == ['"@app" is taken from a .socket unit that has ListenStream=@app',
                                '"@s" is taken from a .socket unit that has ListenStream=@s',
                                "the command line: valid, 1 proxy"]
