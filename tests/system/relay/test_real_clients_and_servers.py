# SPDX-License-Identifier: MIT
"""redis-benchmark, pgbench, curl against nginx, and ssh with sockfront as ProxyCommand work through it."""

import os
import re
import subprocess

import pytest

from support.proc import free_port
from support.proxy import SOCKFRONT
from support.servers import call, port_of, postgres, serve
from support.stage import need
from support.streams import digest


@pytest.mark.parametrize("listen", ["tcp", "unix"])
def test_redis(stage, listen):
    server, client, benchmark = need("redis-server"), need("redis-cli"), need("redis-benchmark")
    port = free_port()
    serve(
        stage, port, server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
        "--dir", stage.directory, "--daemonize", "no",
    )  # fmt: skip
    proxy = stage.proxy(stage.front(listen), f"127.0.0.1:{port}")
    where = ["-p", port_of(proxy.listening[0])] if listen == "tcp" else ["-s", proxy.listening[0]]
    value = "x" * 100_000
    assert call(client, *where, "set", "key", value).strip() == b"OK"
    assert call(client, *where, "get", "key").strip() == value.encode()
    out = call(benchmark, *where, "-n", "5000", "-c", "50", "-P", "4", "-d", "2000", "-t", "set,get", "--csv")
    assert out.count(b'"SET"') == 1 and out.count(b'"GET"') == 1
    proxy.wait_released()


def test_pgbench(stage):
    """Through a UNIX socket that the client takes for PostgreSQL's own, and through TCP."""
    pgbench = need("pgbench")
    port = postgres(stage)
    path = stage.path(".s.PGSQL.5432")
    proxy = stage.proxy("--unix-listen-chmod=everybody", "127.0.0.1:0", path, f"127.0.0.1:{port}", sockets=2)
    tcp = next(address for address in proxy.listening if address != path)
    for host, at in ((stage.directory, "5432"), ("127.0.0.1", port_of(tcp))):
        where = ["-h", host, "-p", at, "-U", "owner"]
        call(pgbench, *where, "-i", "-s", "1", "-q", "postgres")
        out = call(pgbench, *where, "-c", "8", "-j", "2", "-t", "50", "postgres").decode()
        assert re.search(r"actually processed: 400/400", out), out
        assert not re.search(r"failed transactions: [1-9]", out), out
    proxy.wait_released()


NGINX = """\
daemon off;
master_process off;
pid {0}/nginx.pid;
error_log stderr warn;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {0}/body;
    proxy_temp_path {0}/proxy;
    fastcgi_temp_path {0}/fastcgi;
    uwsgi_temp_path {0}/uwsgi;
    scgi_temp_path {0}/scgi;
    server {{ listen 127.0.0.1:{1}; root {0}/www; }}
}}
"""


@pytest.mark.parametrize("listen", ["tcp", "unix", "abstract"])
def test_curl_and_nginx(stage, listen, data_path):
    nginx, curl = need("nginx"), need("curl")
    os.mkdir(stage.path("www"))
    os.chmod(stage.directory, 0o755)
    content = os.urandom(6_000_000)
    with open(stage.path("www/file"), "wb") as file:
        file.write(content)
    port = free_port()
    config = stage.file("nginx.conf", NGINX.format(stage.directory, port))
    serve(stage, port, nginx, "-c", config, "-p", stage.directory, "-e", "stderr")
    address = {"tcp": "127.0.0.1:0", "unix": stage.path("web.sock"), "abstract": stage.name("web")}[listen]
    proxy = stage.proxy(*data_path, address, f"127.0.0.1:{port}")
    flags = {
        "tcp": [],
        "unix": ["--unix-socket", proxy.listening[0]],
        "abstract": ["--abstract-unix-socket", proxy.listening[0].lstrip("@")],
    }[listen]
    host = proxy.listening[0] if listen == "tcp" else "localhost"
    urls = [f"http://{host}/file"] * 3
    for close in ([], ["-H", "Connection: close"]):
        out = call(curl, "-sS", "--fail", "--noproxy", "*", *flags, *close, *urls)
        assert digest(out) == digest(content * 3)
    proxy.wait_released()


def test_ssh_proxy_command(stage):
    """ssh -o ProxyCommand='sockfront - %h:%p': a command's output, a big upload, an exit status."""
    sshd, ssh, keygen = need("sshd"), need("ssh"), need("ssh-keygen")
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    for name in ("host", "client"):
        call(keygen, "-q", "-t", "ed25519", "-N", "", "-f", stage.path(name))
    port = free_port()
    serve(
        stage, port, sshd, "-D", "-e", "-f", "/dev/null", "-p", str(port), "-o", "ListenAddress=127.0.0.1",
        "-o", f"HostKey={stage.path('host')}", "-o", f"AuthorizedKeysFile={stage.path('client.pub')}",
        "-o", "StrictModes=no", "-o", "UsePAM=no", "-o", "PidFile=none",
    )  # fmt: skip
    plain = [
        ssh, "-F", "/dev/null", "-i", stage.path("client"), "-p", str(port), "-o", "BatchMode=yes",
        "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
    ]  # fmt: skip
    if subprocess.run([*plain, "127.0.0.1", "true"], capture_output=True, timeout=60).returncode:
        pytest.skip("sshd lets nobody in on this machine, even without sockfront")
    command = [*plain, "-o", f"ProxyCommand={SOCKFRONT} - %h:%p", "127.0.0.1"]
    assert call(*command, "echo hello") == b"hello\n"
    content = os.urandom(5_000_000)
    with open(stage.path("upload"), "wb") as file:
        file.write(content)
    with open(stage.path("upload"), "rb") as stdin:
        assert call(*command, "sha256sum", stdin=stdin).split()[0] == digest(content).encode()
    assert digest(call(*command, f"cat {stage.path('upload')}")) == digest(content)
    done = subprocess.run([*command, "exit 7"], capture_output=True, timeout=60)
    assert done.returncode == 7
