# SPDX-License-Identifier: MIT
"""
Every way in which sockfront can be reached.  Each function starts one in front
of a backend and returns it with the addresses that its clients connect to.
"""

import os
import socket

import pytest

from support.stage import address_of

MODES = {}


def mode(name):
    def enter(function):
        MODES[name] = function
        return function

    return enter


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
        return True
    except OSError:
        return False


def need_ipv6():
    if not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback address")


@mode("tcp-v4")
def tcp_v4(stage, backend, *options):
    proxy = stage.proxy(*options, "127.0.0.1:0", backend.address)
    return proxy, proxy.listening


@mode("tcp-v6")
def tcp_v6(stage, backend, *options):
    need_ipv6()
    proxy = stage.proxy(*options, "[::1]:0", backend.address)
    return proxy, proxy.listening


@mode("tcp-any")
def tcp_any(stage, backend, *options):
    proxy = stage.proxy(*options, "*:0", backend.address)
    port = proxy.listening[0].rpartition(":")[2]
    assert proxy.listening[0] == (f"*:{port}" if has_ipv6() else f"0.0.0.0:{port}")
    return proxy, [f"127.0.0.1:{port}", *([f"[::1]:{port}"] if has_ipv6() else [])]


@mode("tcp-localhost")
def tcp_localhost(stage, backend, *options):
    addresses = {row[4][0] for row in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    proxy = stage.proxy(*options, "localhost:0", backend.address, sockets=len(addresses))
    return proxy, proxy.listening


@mode("unix")
def unix(stage, backend, *options):
    path = stage.path("app.sock")
    return stage.proxy(*options, path, backend.address), [path]


@mode("unix-relative")
def unix_relative(stage, backend, *options):
    return stage.proxy(*options, "./app.sock", backend.address, cwd=stage.directory), [stage.path("app.sock")]


@mode("unix-not-utf8")
def unix_not_utf8(stage, backend, *options):
    path = os.fsencode(stage.directory) + b"/\xff\xfe app.sock\x80"
    return stage.proxy(*options, path, backend.address), [path]


@mode("unix-107-bytes")
def unix_107_bytes(stage, backend, *options):
    path = stage.path("x" * (106 - len(stage.directory)))
    assert len(path) == 107
    return stage.proxy(*options, path, backend.address), [path]


@mode("abstract")
def abstract(stage, backend, *options):
    name = stage.name("app")
    return stage.proxy(*options, name, backend.address), [name]


@mode("several-listeners")
def several_listeners(stage, backend, *options):
    path, name = stage.path("app.sock"), stage.name("app")
    proxy = stage.proxy(*options, "127.0.0.1:0", path, name, backend.address, sockets=3)
    return proxy, [proxy.listening[0], path, name]


@mode("sd-listen")
def sd_listen(stage, backend, *options):
    return stage.activate(backend, *options, "sd-listen", backend.address)


@mode("sd-listen-unix")
def sd_listen_unix(stage, backend, *options):
    return stage.activate(backend, *options, "SD_Listen_Unix", backend.address, listen=[stage.path("app.sock")])


@mode("sd-listen-name")
def sd_listen_name(stage, backend, *options):
    """Named sockets of several kinds, each taken by its own name."""
    return stage.activate(
        backend,
        *options,
        "sd-listen:foo",
        "SD_LISTEN:bar",
        backend.address,
        listen=["tcp", stage.path("app.sock")],
        names="foo:bar",
    )


@mode("sd-listen-several-of-one-name")
def sd_listen_several(stage, backend, *options):
    listen = ["tcp", stage.path("app.sock"), "tcp"]
    return stage.activate(backend, *options, "sd-listen:web", backend.address, listen=listen, names="web:web:web")


@mode("sd-listen-all")
def sd_listen_all(stage, backend, *options):
    listen = ["tcp", stage.path("app.sock"), stage.name("app")]
    return stage.activate(backend, *options, "sd-listen:*", backend.address, listen=listen, names="a:b:c")


@mode("accept-from-fd")
def accept_from_fd(stage, backend, *options):
    listener = stage.listener()
    number = listener.fileno()
    proxy = stage.proxy(*options, f"accept-from-fd:{number}", backend.address, pass_fds=[number])
    return proxy, [address_of(listener)]


@mode("accept-from-stdin")
def accept_from_stdin(stage, backend, *options):
    path = stage.path("app.sock")
    return stage.proxy(*options, "accept-from-fd:0", backend.address, stdin=stage.listener(path)), [path]


@mode("configuration-file")
def configuration_file(stage, backend, *options):
    """Two proxies in one file."""
    path = stage.path("two.sock")
    file = stage.file(
        "sockfront.conf",
        f"""\
[sockfront]
drain-timeout = 10s

[proxy one]
listen = 127.0.0.1:0
backend = {backend.address}

[proxy two]
listen = {path}
backend = {backend.address}
""",
    )
    proxy = stage.proxy(*options, "-c", file, sockets=2)
    return proxy, [next(a for a in proxy.listening if a != path), path]


@mode("inherited-connection")
def inherited_connection(stage, backend, *options):
    process, address = stage.activate_each(*options, "sd-listen", backend.address)
    return process, [address]


@mode("inetd")
def inetd(stage, backend, *options):
    process, address = stage.activate_each(*options, "inetd", backend.address, inetd=True)
    return process, [address]


@mode("inetd-unix")
def inetd_unix(stage, backend, *options):
    process, address = stage.activate_each(
        *options, "stdio", backend.address, inetd=True, listen=stage.path("app.sock")
    )
    return process, [address]
