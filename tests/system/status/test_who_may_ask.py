# SPDX-License-Identifier: MIT
"""The status address answers whoever may ask, and tells nobody else anything."""

import os
import re
import stat

import pytest

from support.configuration import section
from support.proc import free_address, wait_until
from support.proxy import run
from support.status import Answer, ask, ask_with, request, status_section, with_status
from support.streams import read_exactly, read_to_end

POLICY = "default-src 'none'; frame-ancestors 'none'"


def started(stage, *listen, options="", **more):
    return with_status(stage, section(stage.backend(), "127.0.0.1:0"), *listen, options=options, **more)


def is_guarded(answer):
    """What stands on every answer."""
    headers = answer.headers
    assert (headers["connection"], headers["cache-control"]) == ("close", "no-store")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == POLICY
    assert not [name for name in headers if name.startswith("access-control")]
    return True


@pytest.mark.parametrize("kind", ["tcp", "unix", "abstract"])
def test_every_kind_of_listener(stage, kind):
    where = {"tcp": "127.0.0.1:0", "unix": stage.path("status.sock"), "abstract": stage.name("status")}[kind]
    proxy, (address,) = started(stage, where, options="unix-listen-chmod = 0660")
    answer = ask(stage, address)
    assert (answer.code, answer.body) == (200, b"ok\n") and is_guarded(answer)
    assert answer.headers["content-type"].startswith("text/plain")
    if kind == "unix":
        assert stat.S_IMODE(os.stat(where).st_mode) == 0o660
    stage.close_sockets()
    proxy.finish()
    assert not os.path.exists(stage.path("status.sock"))


def test_several_listeners(stage):
    proxy, _ = started(stage, "127.0.0.1:0", "127.0.0.1:0", stage.name("s"))
    addresses = [line.split("status on ")[1] for line in proxy.grep("status on")]
    assert len(set(addresses)) == 3
    for address in addresses:
        assert ask(stage, address).code == 200


def test_inherited(stage):
    listeners = [stage.listener(), stage.listener(stage.path("inherited.sock"))]
    path = stage.file("sockfront.conf", section(stage.backend(), "sd-listen:web") + status_section("sd-listen:status"))
    stage.handed(listeners, "-c", path, names="web:status")
    assert ask(stage, stage.path("inherited.sock")).code == 200


def test_words_of_the_command_line(stage):
    backend, path = stage.backend(), stage.path("status.sock")
    proxy = stage.proxy("--status-listen", path, "--status-unix-listen-chmod=0600", "--status-host", "a b",
                        "--status-allow=unix", "127.0.0.1:0", backend.address)
    assert ask(stage, path, "/healthz", "B").code == 200
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert proxy.grep("status on")


def test_they_replace_the_section(stage):
    """All of it: what the file says of it has no say any more."""
    other, wanted = stage.name("other"), stage.name("wanted")
    text = section(stage.backend(), "127.0.0.1:0") + status_section(other, options="deny = any")
    proxy = stage.proxy("-c", stage.file("sockfront.conf", text), "--status-listen", wanted)
    assert ask(stage, wanted).code == 200
    with pytest.raises(ConnectionRefusedError):
        stage.connect(other)
    assert proxy.alive()


# ---- what is asked ----


@pytest.mark.parametrize("version, method", [("1.1", "HEAD"), ("1.0", "HEAD"), ("1.0", "GET")])
def test_without_a_body_and_in_an_old_version(stage, version, method):
    _, (address,) = started(stage, stage.name("s"))
    for path, code in (("/healthz", 200), ("/nowhere", 404)):
        answer = ask(stage, address, path, method=method, version=version)
        assert answer.code == code and is_guarded(answer) and answer.is_complete
        assert (answer.body == b"") is (method == "HEAD")


def test_unknown_path_names_the_others(stage):
    _, (address,) = started(stage, stage.name("s"))
    for path in ("/x", "/healthz/", "/HEALTHZ", "/healthz%20", "/../healthz", "/%", "*"):
        answer = ask(stage, address, path)
        assert answer.code in (400, 404) and is_guarded(answer), path
        assert answer.code == 400 or b"/healthz" in answer.body
    assert ask(stage, address, "/healthz?a=b&a").code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "FOO"])
def test_nothing_can_be_changed(stage, method):
    _, (address,) = started(stage, stage.name("s"))
    answer = ask(stage, address, "/healthz", "localhost", "Content-Length: 0", method=method)
    assert answer.code == 405 and is_guarded(answer)
    assert answer.headers["allow"] == "GET, HEAD"


HOSTS = {
    "localhost": 200, "LOCALHOST:80": 200, "127.0.0.1": 200, "192.0.2.7:9090": 200, "[::1]": 200, "[2001:db8::1]:9": 200,
    "proxy.example.org": 200, "Proxy.Example.ORG:9090": 200, "other": 200,
    "evil.example": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "localhost:80:80": 421,
    "localhost:x": 421, "evil@localhost": 421, "[::1": 421, "[localhost]": 421, "::1": 421, "": 421, "1": 421,
    "xproxy.example.org": 421, "proxy.example": 421, None: 421,
}


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_host(stage, kind):
    """A name that leads here by somebody else's doing is no reason to answer."""
    where = {"tcp": "127.0.0.1:0", "unix": stage.path("status.sock")}[kind]
    _, (address,) = started(stage, where, options="status-host = proxy.example.org\nstatus-host = other")
    for host, code in HOSTS.items():
        answer = ask(stage, address, "/healthz", host)
        assert answer.code == code and is_guarded(answer), host
    assert ask(stage, address, "/healthz", "localhost", "Host: evil.example").code == 421
    assert ask(stage, address, "/healthz", "localhost", "Host: localhost").code == 421
    assert ask(stage, address, "/healthz", None, version="1.0").code == 200
    assert ask(stage, address, "/healthz", "evil.example", version="1.0").code == 421


@pytest.mark.parametrize("host", ["localhost", "evil.example"])
def test_it_is_no_proxy(stage, host):
    _, (address,) = started(stage, "127.0.0.1:0")
    assert ask(stage, address, f"http://{host}/healthz", "localhost").code == 421


@pytest.mark.parametrize("site, code", [("cross-site", 403), ("same-site", 403), ("Cross-Site", 403), ("x", 403),
                                        ("same-origin", 200), ("none", 200)])
def test_page_of_another_site(stage, site, code):
    _, (address,) = started(stage, "127.0.0.1:0")
    answer = ask(stage, address, "/healthz", "localhost", f"Sec-Fetch-Site: {site}")
    assert answer.code == code and is_guarded(answer)


# ---- who asks ----


@pytest.mark.parametrize("rules, source, code", [
    (["deny = 127.0.0.2"], "127.0.0.2", 0),
    (["deny = 127.0.0.2"], "127.0.0.3", 200),
    (["allow = 127.0.0.2"], "127.0.0.3", 0),
    (["allow = 127.0.0.2"], "127.0.0.2", 200),
])
def test_allow_and_deny(stage, rules, source, code):
    proxy, (address,) = started(stage, "127.0.0.1:0", options="\n".join(rules))
    try:
        client = stage.connect_from(source, address)
        client.sendall(request())
        data = client.recv(100)
    except (ConnectionResetError, BrokenPipeError):
        data = b""
    assert data.startswith(b"HTTP/1.1 200") is (code == 200)
    if code == 0:
        assert proxy.wait_log(rf"status on {re.escape(address)}: {source}:\d+: refused")


def test_user_of_a_unix_socket(stage):
    _, (address,) = started(stage, stage.path("s.sock"), options=f"deny = uid:{os.getuid()}\nallow = any")
    assert ask(stage, address).code == 0


def test_public_address_wants_an_allow(stage):
    text = section(stage.backend(), "127.0.0.1:0")
    address = free_address().replace("127.0.0.1", "0.0.0.0")
    path = stage.file("sockfront.conf", text + status_section(address))
    status, _, log = run("-c", path)
    assert status == 2 and re.search(rf"{re.escape(path)}:6: listen: .*{address}.* wants an allow", log)
    path = stage.file("sockfront.conf", text + status_section(address, options="allow = 127.0.0.1"))
    stage.proxy("-c", path)
    assert ask(stage, address.replace("0.0.0.0", "127.0.0.1")).code == 200


def test_inherited_public_address_wants_one_too(stage):
    listener = stage.listener("0.0.0.0:0")
    path = stage.file("sockfront.conf", section(stage.backend(), "127.0.0.1:0") + status_section("sd-listen"))
    proxy = stage.handed([listener], "-c", path, listening=0)
    assert proxy.wait() == 1
    assert proxy.grep(rf"{re.escape(path)}:5: \[status\]: .* wants an allow"), proxy.log


# ---- /healthz ----


def test_not_healthy_while_it_drains(stage):
    """And asked until the end of the drain."""
    backend = stage.backend()
    where = stage.path("status.sock")
    proxy, _ = with_status(stage, section(backend, "127.0.0.1:0"), where)
    stage.live_pair(backend, proxy.listening[0])
    proxy.after_signal(15, "stopping")
    answer = ask(stage, where)
    assert (answer.code, answer.body) == (503, b"the process is stopping\n") and is_guarded(answer)
    stage.close_sockets()
    assert proxy.wait() == 0
    assert not os.path.exists(where)


@pytest.mark.parametrize("options", ["", "check-interval = 50ms\nconnect-timeout = 100ms"])
def test_not_healthy_without_a_server(stage, options):
    """Whether checks have found it out, or a client."""
    backend = stage.backend()
    where = stage.name("s")
    proxy, _ = with_status(stage, section(backend, "127.0.0.1:0", name="wiki", options=options), where)
    assert ask(stage, where).code == 200
    backend.stop_listening()
    if not options:
        client = stage.connect(proxy.listening[0])
        proxy.wait_log("cannot be reached")
    answer = wait_until(lambda: (got := ask(stage, where)).code == 503 and got, "the outage is known")
    assert answer.body == b"every server of proxy wiki is down\n" and is_guarded(answer)
    if not options:
        client.close()


def test_healthy_while_nothing_is_known(stage):
    """Of a server that owes a check, until a client has asked for it."""
    backend = stage.backend()
    where = stage.name("s")
    backend.stop_listening()
    proxy, _ = with_status(stage, section(backend, "127.0.0.1:0", options="check-expect = x"), where)
    assert ask(stage, where).code == 200
    client = stage.connect(proxy.listening[0])
    wait_until(lambda: ask(stage, where).code == 503, "the outage is known")
    client.close()


def test_bytes_that_are_no_request(stage):
    _, (address,) = started(stage, "127.0.0.1:0")
    for data in (b"\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                 b"GET /healthz HTTP/1.1\r\nHost localhost\r\n\r\n", b"\0" * 100 + b"\r\n"):
        answer = ask_with(stage, address, data)
        assert answer.code == 0 or (answer.code == 400 and is_guarded(answer)), data
    assert ask(stage, address).code == 200


@pytest.mark.parametrize("code, lines", [(400, ["Host localhost"]), (413, ["Content-Length: 20000"]),
                                         (417, ["Expect: nothing", "Content-Length: 1"])])
def test_what_the_library_answers_is_guarded_too(stage, code, lines):
    """It is not asked about these."""
    _, (address,) = started(stage, stage.name("s"))
    answer = ask(stage, address, "/healthz", "localhost", *lines, method="POST")
    assert answer.code == code and is_guarded(answer)


def test_the_word_to_go_on_is_no_answer(stage):
    _, (address,) = started(stage, stage.name("s"))
    with stage.connect(address) as client:
        client.sendall(request("/healthz", "localhost", "Expect: 100-continue", "Content-Length: 1", method="POST"))
        assert read_exactly(client, 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"x")
        answer = Answer(read_to_end(client))
    assert answer.code == 405 and is_guarded(answer)
