# SPDX-License-Identifier: MIT
"""Dovecot, varnish, and PostgreSQL behind HAProxy, see the first client by the header that they want."""

import os
import pwd
import re
import shutil

import pytest

from support.proc import free_port
from support.proxy_protocol import v1, v2
from support.servers import call, haproxy, listening, port_of, postgres
from support.stage import need
from support.streams import read_to_end

VERSIONS = ["v1", "v2"]


def read_until(sock, end):
    """Up to the first @end, of a server that then waits."""
    text = b""
    while end not in text:
        part = sock.recv(4096)
        assert part, text
        text += part
    return text


# ---- varnish ----

VCL = """\
vcl 4.1;
backend default none;
sub vcl_recv { return (synth(200)); }
sub vcl_synth {
    synthetic(client.ip + " to " + server.ip + " by " + remote.ip);
    return (deliver);
}
"""


def varnish(stage):
    """One that answers with the client's address, the server's, and that of whoever has connected."""
    program, port = need("varnishd"), free_port()
    need("gcc")  # which compiles the VCL
    server = stage.helper(
        program, "-F", "-j", "none", "-a", f"127.0.0.1:{port},PROXY", "-T", "none", "-n", stage.path("varnish"),
        "-f", stage.file("answer.vcl", VCL), "-s", "malloc,1M", "-p", "thread_pool_min=5",
    )  # fmt: skip
    address = listening(server, port)
    server.wait_log("Child starts", 20)
    return address


def asked(stage, address, first=b""):
    client = stage.connect(address)
    client.sendall(first + b"GET / HTTP/1.0\r\n\r\n")
    return read_to_end(client).rpartition(b"\r\n\r\n")[2].decode()


@pytest.mark.parametrize("version", VERSIONS)
def test_varnish(stage, version):
    proxy = stage.proxy("--send-proxy-protocol", version, "--accept-proxy-protocol=any", "127.0.0.1:0", varnish(stage))
    assert asked(stage, proxy.listening[0], v1()) == "192.0.2.7 to 192.0.2.99 by 127.0.0.1"
    told = v2(("2001:db8::7", 1), ("2001:db8::99", 2))
    assert asked(stage, proxy.listening[0], told) == "2001:db8::7 to 2001:db8::99 by 127.0.0.1"


# ---- Dovecot ----

DOVECOT = """\
base_dir = {0}/run
state_dir = {0}/run
log_path = /dev/stderr
protocols = imap
ssl = no
disable_plaintext_auth = no
haproxy_trusted_networks = 127.0.0.0/8
default_login_user = {1}
default_internal_user = {1}
default_internal_group = {2}
mail_location = maildir:{0}/mail
first_valid_uid = {3}
first_valid_gid = {4}
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid={3} gid={4} home={0}/home
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    address = 127.0.0.1
    port = {5}
    haproxy = yes
  }}
}}
service anvil {{
  chroot =
}}
"""


def dovecot(stage):
    """An IMAP server for everybody who knows the password; its address and process."""
    program, port = need("dovecot"), free_port()
    if not os.access("/usr/lib/dovecot/imap-login", os.X_OK):
        pytest.skip("Dovecot has no imap-login")
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    home = stage.path("dovecot")
    for name in (home, f"{home}/run", f"{home}/mail", f"{home}/home"):
        os.mkdir(name)
    if os.geteuid() == 0:
        os.chmod(stage.directory, 0o755)
        for name in ("mail", "home"):
            shutil.chown(f"{home}/{name}", user.pw_uid, user.pw_gid)
    group = call("id", "-gn", user.pw_name).decode().strip()
    config = stage.file("dovecot.conf", DOVECOT.format(home, user.pw_name, group, user.pw_uid, user.pw_gid, port))
    server = stage.helper(program, "-F", "-c", config)
    return listening(server, port), server


@pytest.mark.parametrize("version", VERSIONS)
def test_dovecot(stage, version):
    """It speaks first, which it does once it has the header, to a client that is silent until then."""
    address, server = dovecot(stage)
    proxy = stage.proxy("--send-proxy-protocol", version, "127.0.0.2:0", address)
    client = stage.connect(proxy.listening[0])
    assert read_until(client, b"\r\n").startswith(b"* OK ")
    client.sendall(b"1 login joe secret\r\n2 select inbox\r\n3 logout\r\n")
    said = read_to_end(client).decode()
    for number in 1, 2, 3:
        assert re.search(rf"^{number} OK ", said, re.M), said + server.log
    assert server.wait_log(r"Login: user=<joe>.* rip=127\.0\.0\.1, lip=127\.0\.0\.2,")

    proxy = stage.proxy("--send-proxy-protocol", version, "--accept-proxy-protocol=any", "127.0.0.1:0", address)
    client = stage.connect(proxy.listening[0])
    client.sendall(v2(("2001:db8::7", 1), ("2001:db8::99", 2)))
    assert read_until(client, b"\r\n").startswith(b"* OK ")
    client.sendall(b"1 logout\r\n")
    read_to_end(client)
    assert server.wait_log(r"rip=2001:db8::7, lip=2001:db8::99,")


# ---- PostgreSQL ----


@pytest.mark.parametrize("version", VERSIONS)
def test_postgres_behind_haproxy(stage, version):
    """PostgreSQL takes no header: HAProxy does, and has the first client in its log."""
    psql, port = need("psql"), postgres(stage)
    address = haproxy(stage, "accept-proxy", f"127.0.0.1:{port}",
                      defaults='log stderr format raw local0\n    log-format "from %ci:%cp to %fi:%fp"')
    log = stage.helpers[-1]
    proxy = stage.proxy("--send-proxy-protocol", version, "--access-log", "127.0.0.1:0", address)
    at = ["-h", "127.0.0.1", "-p", port_of(proxy.listening[0]), "-U", "owner", "-XAt", "postgres"]
    assert call(psql, *at, "-c", "select sum(n) from generate_series(1, 100000) n").strip() == b"5000050000"
    line, = proxy.wait_log("reason=")
    client = re.search(r" client=(\S+) ", line)[1]
    assert log.wait_log("^from ") == [f"from {client} to {proxy.listening[0]}"]
