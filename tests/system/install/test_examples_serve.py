# SPDX-License-Identifier: MIT
"""The examples of the library do what they are there to show, on every kind of listener."""

import os
import re
import socket
import subprocess

import pytest

from support.proc import children, wait_until
from support.proxy import SOCKFRONT, clean_environment
from support.stage import need

EXAMPLES = os.path.join(os.path.dirname(SOCKFRONT), "examples")
HELLO = "Hello from whatever socket this is."


def example(name):
    path = os.path.join(EXAMPLES, name)
    if not os.access(path, os.X_OK):
        pytest.skip(f"{path} is not there: make examples")
    return path


def http(sock, path, method="GET"):
    """Status and body of one request over a connection that ends with it."""
    sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
                 "Connection: close\r\n\r\n".encode())
    answer = b""
    while piece := sock.recv(65536):
        answer += piece
    sock.close()
    head, _, body = answer.decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 "), answer
    return int(head.split()[1]), body.rstrip("\n")


def listening(server):
    """The addresses that it said it listens on, in their order."""
    server.wait_log("listening on")
    return [re.search("listening on (.*)", line)[1] for line in server.grep("listening on")]


def visit(stage, address, peer, text=HELLO):
    assert http(stage.connect(address), "/") == (200, text)
    status, said = http(stage.connect(address), "/conninfo")
    assert (status, bool(re.fullmatch(peer, said))) == (200, True), said
    assert http(stage.connect(address), "/nothing")[0] == 404


def quit_gracefully(stage, server, address):
    assert http(stage.connect(address), "/quit", "POST") == (200, "Bye.")
    assert server.wait() == 0, server.log


TCP_PEER = r"127\.0\.0\.1:\d+"
UNIX_PEER = rf"unix\(pid={os.getpid()},uid={os.getuid()},gid={os.getgid()}\)"


def test_http_server_on_a_port(stage):
    server = stage.helper(example("http-server"), "127.0.0.1:0")
    (address,) = listening(server)
    visit(stage, address, TCP_PEER)
    quit_gracefully(stage, server, address)


def test_http_server_at_a_path(stage):
    server = stage.helper(example("http-server"), "./path_socket", "Another text.", cwd=stage.directory)
    assert listening(server) == ["./path_socket"]
    path = stage.path("path_socket")
    visit(stage, path, UNIX_PEER, "Another text.")
    quit_gracefully(stage, server, path)
    assert not os.path.exists(path)


def test_http_server_on_an_abstract_name(stage):
    name = stage.name("web")
    server = stage.helper(example("http-server"), name)
    assert listening(server) == [name]
    visit(stage, name, UNIX_PEER)
    quit_gracefully(stage, server, name)


def test_http_server_on_a_socket_from_systemd(stage):
    server, (address,) = stage._activate(stage.helpers, ["tcp"], ["--", example("http-server"), "sd-listen"])
    visit(stage, address, TCP_PEER)
    assert listening(server) == [address]
    quit_gracefully(stage, server, address)


@pytest.mark.parametrize("listen, peer", [("tcp", TCP_PEER), ("app.sock", UNIX_PEER)], ids=["tcp", "unix"])
def test_http_server_under_inetd(stage, listen, peer):
    listen = listen if listen == "tcp" else stage.path(listen)
    words = ["-a", "--inetd", "--", example("http-server"), "inetd"]
    activator, (address,) = stage._activate(stage.helpers, [listen], words)
    visit(stage, address, peer)
    assert http(stage.connect(address), "/quit", "POST") == (200, "Bye.")
    wait_until(lambda: not children(activator.pid), f"every process ended:\n{activator.log}")


def test_http_server_with_a_connection_from_systemd(stage):
    words = ["-a", "--", example("http-server"), "sd-listen"]
    activator, (address,) = stage._activate(stage.helpers, ["tcp"], words)
    visit(stage, address, TCP_PEER)
    wait_until(lambda: not children(activator.pid), f"every process ended:\n{activator.log}")


def test_http_server_on_the_socket_of_that_name(stage):
    words = ["--fdname=foo:bar", "--", example("http-server"), "sd-listen:bar"]
    server, (foo, bar) = stage._activate(stage.helpers, ["tcp", "tcp"], words)
    visit(stage, bar, TCP_PEER)
    assert listening(server) == [bar]
    with pytest.raises(socket.timeout):  # it waits in the backlog: nobody took that one
        http(stage.connect(foo, within=0.3), "/")
    quit_gracefully(stage, server, bar)


def test_http_server_on_all_sockets_from_systemd(stage):
    words = ["--", example("http-server"), "sd-listen:*"]
    server, addresses = stage._activate(stage.helpers, ["tcp", stage.path("a.sock")], words)
    visit(stage, addresses[0], TCP_PEER)
    visit(stage, addresses[1], UNIX_PEER)
    assert listening(server) == addresses
    quit_gracefully(stage, server, addresses[1])


def test_http_server_between_pipes(stage):
    done = subprocess.run([example("http-server"), "-"], input=b"GET /conninfo HTTP/1.0\r\n\r\n",
                          capture_output=True, env=clean_environment(), timeout=20)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"HTTP/1.0 200 OK\r\n") and done.stdout.endswith(b"\r\n\r\nstdin\n")


def test_http_server_serves_a_slow_client_and_others(stage):
    server = stage.helper(example("http-server"), "127.0.0.1:0")
    (address,) = listening(server)
    slow = stage.connect(address)
    slow.sendall(b"GET / HT")
    visit(stage, address, TCP_PEER)
    slow.sendall(b"TP/1.0\r\n\r\n")
    assert slow.recv(65536).endswith(HELLO.encode() + b"\n")
    server.assert_rests(1)
    quit_gracefully(stage, server, address)


@pytest.mark.parametrize("arguments, says", [
    ([], "address to listen on is missing"),
    (["99999"], '"99999"'),
    ([":0", "--tcp-listen-backlog=0", "text"], "--tcp-listen-backlog"),
    ([":0", "text", "more"], "Too many|room for 1"),
])
def test_http_server_refuses_a_bad_command_line(arguments, says):
    done = subprocess.run([example("http-server"), *arguments], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, env=clean_environment(), timeout=20)
    assert done.returncode == 2
    assert re.search(says, done.stderr)


def echoes(stage, address, greeting=b""):
    sock = stage.connect(address)
    sock.sendall(b"one\n")
    sock.sendall(b"two\n")
    sock.shutdown(socket.SHUT_WR)
    said = b""
    while piece := sock.recv(4096):
        said += piece
    assert said == greeting + b"one\ntwo\n"


def test_echo_poll_on_several_addresses(stage):
    path, name = stage.path("echo.sock"), stage.name("echo")
    server = stage.helper(example("echo-poll"), "127.0.0.1:0", path, name)
    wait_until(lambda: len(listening(server)) == 3, "three listening lines")
    silent = stage.connect(path)
    for address in listening(server):
        echoes(stage, address)
    silent.sendall(b"after all")
    assert silent.recv(100) == b"after all"
    server.assert_rests(1)


@pytest.mark.parametrize("name, arguments", [("echo-poll", ["-"]), ("echo-glib", ["-l", "-"])])
def test_echo_between_pipes(name, arguments):
    done = subprocess.run([example(name), *arguments], input=b"line\n" * 100000, capture_output=True,
                          env=clean_environment(), timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"line\n" * 100000


def test_echo_glib(stage):
    path = stage.path("echo.sock")
    server = stage.helper(example("echo-glib"), "-l", path, "--unix-listen-chmod=owner")
    server.wait_log("listening")
    assert os.stat(path).st_mode & 0o777 == 0o600
    silent = stage.connect(path)
    echoes(stage, path)
    silent.sendall(b"after all")
    assert silent.recv(100) == b"after all"
    server.assert_rests(1)


def test_echo_ini(stage):
    first, second = stage.path("first.sock"), stage.path("second.sock")
    file = stage.file("echo.ini", f"[echo]\nlisten = {first}\nlisten = {second}\ngreeting = welcome\n"
                      "unix-listen-chmod = group\n")
    server = stage.helper(example("echo-ini"), file)
    server.wait_log("listening")
    assert server.grep("^unix-listen-chmod = 0660$")
    assert os.stat(second).st_mode & 0o777 == 0o660
    for path in (first, second, first):
        echoes(stage, path, b"welcome\n")
    server.assert_rests(1)


def test_echo_ini_names_the_line(stage):
    file = stage.file("echo.ini", "[echo]\nlisten = :0\ncolour = blue\n")
    done = subprocess.run([example("echo-ini"), file], capture_output=True, text=True,
                          env=clean_environment(), timeout=20)
    assert done.returncode == 2
    assert f"{file}:3: there is no key colour in [echo]" in done.stderr


V1 = b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\x0b\xdc\4\1\xbb"
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\3abc"


def greets(stage, address, header, client):
    sock = stage.connect(address)
    sock.sendall(header + b"one\n")
    sock.shutdown(socket.SHUT_WR)
    said = b""
    while piece := sock.recv(4096):
        said += piece
    assert re.fullmatch(f"hello {client}\none\n", said.decode()), said


@pytest.mark.parametrize("listen", ["tcp", "unix"])
def test_echo_proxy_protocol(stage, listen):
    listen = "127.0.0.1:0" if listen == "tcp" else stage.path("echo.sock")
    server = stage.helper(example("echo-proxy-protocol"), listen)
    (address,) = listening(server)
    slow = stage.connect(address)
    for byte in range(len(V2)):
        slow.sendall(V2[byte:byte + 1])
    greets(stage, address, V1, r"\[2001:db8::1\]:56324")
    greets(stage, address, V2, r"192\.0\.2\.1:56324")
    greets(stage, address, LOCAL, TCP_PEER if listen == "127.0.0.1:0" else UNIX_PEER)
    assert slow.recv(100) == b"hello 192.0.2.1:56324\n"
    server.assert_rests(1)


def test_echo_proxy_protocol_resets_what_has_no_header(stage):
    server = stage.helper(example("echo-proxy-protocol"), "127.0.0.1:0")
    (address,) = listening(server)
    client = stage.connect(address)
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        client.recv(100)
    server.wait_log(r'turned away: "GET / HTTP/1.0.*" is no PROXY protocol header')


def test_echo_proxy_protocol_between_pipes():
    done = subprocess.run([example("echo-proxy-protocol"), "-"], input=V2 + b"line\n" * 100000,
                          capture_output=True, env=clean_environment(), timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"hello 192.0.2.1:56324\n" + b"line\n" * 100000


def test_test_server():
    done = subprocess.run([example("test-server")], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"all is well\n")


VALGRIND = ["-q", "--leak-check=full", "--errors-for-leak-kinds=definite,possible", "--error-exitcode=99"]


@pytest.mark.plain_only("the sanitizers look at this one")
def test_http_server_under_valgrind(stage):
    server = stage.helper(need("valgrind"), *VALGRIND, example("http-server"), "127.0.0.1:0")
    (address,) = listening(server)
    visit(stage, address, TCP_PEER)
    quit_gracefully(stage, server, address)


@pytest.mark.plain_only("the sanitizers look at these")
@pytest.mark.parametrize("name, arguments, request_", [
    ("http-server", ["-"], b"POST /quit HTTP/1.0\r\n\r\n"),
    ("echo-poll", ["-"], b"x\n" * 1000),
    ("echo-proxy-protocol", ["-"], V1 + b"x\n" * 1000),
    ("test-server", [], b""),
], ids=["http-server", "echo-poll", "echo-proxy-protocol", "test-server"])
def test_others_under_valgrind(name, arguments, request_):
    done = subprocess.run([need("valgrind"), *VALGRIND, example(name), *arguments], input=request_,
                          capture_output=True, env=clean_environment(), timeout=60)
    assert done.returncode == 0, done.stderr.decode()
