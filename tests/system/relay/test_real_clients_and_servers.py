# SPDX-License-Identifier: MIT
"""redis-benchmark, pgbench, curl against nginx, and ssh with sockfront as ProxyCommand work through it."""

import glob
import os
import re
import shutil
import socket
import subprocess

import pytest

from support.proc import free_port, wait_until
from support.proxy import SOCKFRONT, clean_environment
from support.stage import need
from support.streams import digest


def answers(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def serve(stage, port, *command, **options):
    """Starts a server and waits until its port answers."""
    server = stage.helper(*command, **options)

    def up():
        assert server.alive(), f"{command[0]} ended:\n{server.log}"
        return answers(port)

    wait_until(up, f"{command[0]} answers:\n{server.log}", 20)
    return server


def call(*command, within=60, **options):
    done = subprocess.run(
        command, capture_output=True, timeout=within, stdin=options.pop("stdin", subprocess.DEVNULL),
        env=clean_environment(), **options
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    return done.stdout


def port_of(address):
    return address.rpartition(":")[2]


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


def postgres_programs():
    for directory in sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True):
        if os.access(f"{directory}/postgres", os.X_OK):
            return directory
    pytest.skip("PostgreSQL is not installed")


def test_pgbench(stage):
    """Through a UNIX socket that the client takes for PostgreSQL's own, and through TCP."""
    programs, pgbench = postgres_programs(), need("pgbench")
    as_owner = []
    if os.geteuid() == 0:
        as_owner = [need("setpriv"), "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
    home = stage.path("home")
    os.mkdir(home, 0o700)
    if as_owner:
        os.chmod(stage.directory, 0o755)
        shutil.chown(home, "postgres", "postgres")
    data, port = os.path.join(home, "data"), free_port()
    call(*as_owner, f"{programs}/initdb", "-A", "trust", "-U", "bench", "--no-sync", "-D", data, cwd=home)
    serve(
        stage, port, *as_owner, f"{programs}/postgres", "-D", data, "-p", str(port), "-c", "fsync=off",
        "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={home}", cwd=home,
    )  # fmt: skip
    path = stage.path(".s.PGSQL.5432")
    proxy = stage.proxy("--unix-listen-chmod=everybody", "127.0.0.1:0", path, f"127.0.0.1:{port}", sockets=2)
    tcp = next(address for address in proxy.listening if address != path)
    for host, at in ((stage.directory, "5432"), ("127.0.0.1", port_of(tcp))):
        where = ["-h", host, "-p", at, "-U", "bench"]

        def ready():
            return subprocess.run([f"{programs}/pg_isready", *where], capture_output=True).returncode == 0

        wait_until(ready, "PostgreSQL takes connections", 20)
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
