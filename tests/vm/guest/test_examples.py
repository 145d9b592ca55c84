# SPDX-License-Identifier: MIT
"""
The examples as they are shipped, with the backends that they name: nothing runs,
a client comes, what it needs is started, and all is stopped again.
"""

import os
import socket

from support.proc import wait_until
from support.streams import read_to_end
from tap import Skip
from units import MANY, output


def ask(units, family, address, path="/"):
    """One HTTP request; status and body."""
    client = units.keep(socket.socket(family))
    client.connect(address)
    client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    answer = read_to_end(client, MANY)
    client.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0].decode(), body


def assert_listing(answer):
    status, body = answer
    assert status.endswith("200 OK"), answer
    assert b"sockfront" in body


def page(units, family, address):
    """A file below /usr/share/doc, whole."""
    status, body = ask(units, family, address, "/sockfront/README.md")
    assert status.endswith("200 OK"), status
    with open("/usr/share/doc/sockfront/README.md", "rb") as file:
        assert body == file.read()


def test_legacy_http(units):
    units.example("legacy-http")
    units.used("legacy-http.service", "legacy-http-server.service")
    units.start("legacy-http.socket")
    found = os.stat("/run/legacy-http.sock")
    assert (found.st_mode & 0o777, found.st_gid) == (0o660, 33)
    assert units.show("legacy-http-server.service", "ActiveState") == "inactive"
    assert_listing(ask(units, socket.AF_UNIX, "/run/legacy-http.sock"))
    page(units, socket.AF_UNIX, "/run/legacy-http.sock")
    units.stop("legacy-http.service")
    units.wait_state("legacy-http-server.service", "inactive")
    page(units, socket.AF_UNIX, "/run/legacy-http.sock")


def test_two_proxies(units):
    units.example("two-proxies")
    units.used("two-proxies.service", "cache-server.service", "files-server.service")
    units.start("cache.socket", "files.socket")
    for where in (["-s", "/run/cache.sock"], ["-p", "7379"]):
        assert output("redis-cli", *where, "ping") == "PONG"
    assert_listing(ask(units, socket.AF_UNIX, "/run/files.sock"))
    for listener, backend in (("cache", 6379), ("files", 8081)):
        units.wait_log("two-proxies.service",
                       rf'listener=\S*{listener}\S* backend=127\.0\.0\.1:{backend} .*reason="closed"')
    units.stop("two-proxies.service")
    for server in ("cache-server.service", "files-server.service"):
        units.wait_state(server, "inactive")


def test_per_connection(units):
    units.example("per-connection")
    units.used("reports-server.service")
    units.start("reports.socket")
    for _ in range(2):
        page(units, socket.AF_INET, ("127.0.0.1", 8090))
    page(units, socket.AF_INET6, ("::1", 8090))
    assert units.show("reports.socket", "NAccepted") == 3
    wait_until(lambda: units.show("reports.socket", "NConnections") == 0, "none is left", MANY, 0.1)
    units.wait_state("reports-server.service", "inactive")


def test_scale_to_zero(units):
    """With minutes made seconds.  More of it is in test_scale_to_zero.py."""
    units.example("scale-to-zero", ("5min", "3s"))
    units.used("wiki.service", "wiki-server.service")
    units.start("wiki.socket")
    for _ in range(2):
        page(units, socket.AF_INET, ("127.0.0.1", 8092))
        for unit in ("wiki.service", "wiki-server.service"):
            units.wait_state(unit, "inactive")
    assert units.show("wiki.socket", "ActiveState") == "active"


def test_guest_ssh(units):
    """A real ssh into a real sshd, through vsock."""
    keys = "/run/vm-ssh"
    os.makedirs(keys, exist_ok=True)
    os.makedirs("/etc/ssh", exist_ok=True)
    output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{keys}/host")
    output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{keys}/user")
    units.file("/etc/ssh/sshd_config", f"HostKey {keys}/host\nUsePAM no\nStrictModes no\n"
               f"AuthorizedKeysFile {keys}/user.pub\nPermitRootLogin yes\n")
    units.example("guest-ssh")
    units.used("guest-ssh.service", "ssh.service")
    units.start("guest-ssh.socket")
    if not units.show("guest-ssh.socket", "ConditionResult"):
        raise Skip("guest-ssh.socket is for virtual machines, which systemd does not take this for")
    said = output(
        "ssh", "-F", "none", "-i", f"{keys}/user", "-o", "StrictHostKeyChecking=no", "-o",
        "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o",
        "ProxyCommand=socat - VSOCK-CONNECT:1:22,retry=5", "root@guest", "echo", "hello over vsock")
    assert said == "hello over vsock"
    units.wait_log("guest-ssh.service", r'client=vsock:1:\d+ .*reason="closed"')
