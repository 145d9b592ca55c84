# SPDX-License-Identifier: MIT
"""Servers and proxies of others, each a process of the test with its files in the stage's directory."""

import glob
import os
import shutil
import socket
import subprocess

import pytest

from support.proc import free_port, listening_sockets, wait_until
from support.proxy import clean_environment
from support.stage import need


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


def listening(server, port):
    """The address, once it listens: a connection to find that out would go through to the backend."""
    wait_until(lambda: listening_sockets(server.pid) or not server.alive(), "it listens", 20)
    assert server.alive(), server.log
    return f"127.0.0.1:{port}"


def call(*command, within=60, **options):
    done = subprocess.run(
        command, capture_output=True, timeout=within, stdin=options.pop("stdin", subprocess.DEVNULL),
        env=clean_environment(), **options
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    return done.stdout


def port_of(address):
    return address.rpartition(":")[2]


def haproxy(stage, front, back, defaults=""):
    """One that listens as @front says and connects as @back says; returns its address."""
    program = need("haproxy")
    port = free_port()
    file = stage.file(f"haproxy-{port}.cfg", f"""\
global
    maxconn 100
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    {defaults}
listen front
    bind 127.0.0.1:{port} {front}
    server back {back}
""")
    server = stage.helper(program, "-db", "-f", file)
    return listening(server, port)


def postgres_programs():
    for directory in sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True):
        if os.access(f"{directory}/postgres", os.X_OK):
            return directory
    pytest.skip("PostgreSQL is not installed")


def postgres(stage):
    """PostgreSQL with an empty database, which "owner" may use without a password; returns its port."""
    programs = postgres_programs()
    as_owner = []
    if os.geteuid() == 0:
        as_owner = [need("setpriv"), "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
    home = stage.path("home")
    os.mkdir(home, 0o700)
    if as_owner:
        os.chmod(stage.directory, 0o755)
        shutil.chown(home, "postgres", "postgres")
    data, port = os.path.join(home, "data"), free_port()
    call(*as_owner, f"{programs}/initdb", "-A", "trust", "-U", "owner", "--no-sync", "-D", data, cwd=home)
    serve(
        stage, port, *as_owner, f"{programs}/postgres", "-D", data, "-p", str(port), "-c", "fsync=off",
        "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={home}", cwd=home,
    )  # fmt: skip
    ready = [f"{programs}/pg_isready", "-h", "127.0.0.1", "-p", str(port), "-U", "owner"]
    wait_until(lambda: subprocess.run(ready, capture_output=True).returncode == 0, "PostgreSQL takes connections", 20)
    return port
