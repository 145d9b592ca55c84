# SPDX-License-Identifier: MIT
"""A program outside the tree needs pkg-config and what make install left, nothing else."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess

import pytest

from support.installation import BUILD, LIBRARIES, TOP, make_command
from support.proc import free_port, wait_until

pytestmark = pytest.mark.plain_only("the program would need the sanitizer in front")


def run(*command, **environment):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=60, env={**os.environ, **environment})
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def make_install(*variables):
    """Installs what was built; nothing is built again."""
    run(*make_command("install", *variables))


def example():
    """The program of the manual page that was installed: short, and complete."""
    page = (TOP / "lib/sockfront.3").read_text()
    text = re.search(r"\.Sh EXAMPLES\n.*?\.Bd [^\n]*\n(.*?)\.Ed", page, re.DOTALL)[1]
    assert len(text.splitlines()) < 60
    return text.replace("\\e", "\\")


def compile_example(directory, flags):
    directory.mkdir()
    (directory / "hello.c").write_text(example())
    run("gcc", "-Wall", "-Wextra", "-Werror", "-o", directory / "hello", directory / "hello.c",
        *flags)
    return directory / "hello"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Staged under DESTDIR, as packagers do, with a LIBDIR as Debian's."""
    root = tmp_path_factory.mktemp("root")
    make_install(f"DESTDIR={root}", "PREFIX=/opt/front", "LIBDIR=/opt/front/lib/arch")
    return root


def flags_of(root, *options):
    """What pkg-config says: of the root for a staged installation."""
    told = run("pkg-config", "--cflags", "--libs", *options, "libsockfront",
               PKG_CONFIG_PATH=str(root / "opt/front/lib/arch/pkgconfig"),
               PKG_CONFIG_SYSROOT_DIR=str(root))
    assert f"-I{root}/opt/front/include" in told and f"-L{root}/opt/front/lib/arch" in told
    return told.split()


@pytest.fixture(scope="module", params=["shared", "static"])
def program(request, installed, tmp_path_factory):
    flags = flags_of(installed, *(["--static"] if request.param == "static" else []))
    if request.param == "static":
        flags = [flag.replace("-lsockfront", "-l:libsockfront.a") for flag in flags]
    hello = compile_example(tmp_path_factory.mktemp(request.param) / "outside", flags)
    needed = run("readelf", "-d", hello)
    assert ("libsockfront.so.0" in needed) == (request.param == "shared")
    return hello


def said_by(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        client.connect(address)
        return client.makefile("rb").read()


class Serving:
    def __init__(self, root, *command):
        self.process = subprocess.Popen(
            [str(word) for word in command], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
            env={**os.environ, "LD_LIBRARY_PATH": str(root / "opt/front/lib/arch")},
            start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=10)

    def answers(self, family, address):
        def tried():
            assert self.process.poll() is None, self.process.stderr.read()
            try:
                return said_by(family, address) == b"hello\n"
            except (ConnectionRefusedError, FileNotFoundError):
                return False
        wait_until(tried, f"an answer on {address}")


def test_serves_tcp(installed, program):
    port = free_port()
    with Serving(installed, program, f"127.0.0.1:{port}") as server:
        for _ in range(3):
            server.answers(socket.AF_INET, ("127.0.0.1", port))


def test_serves_a_path(installed, program, tmp_path):
    with Serving(installed, program, tmp_path / "sock") as server:
        server.answers(socket.AF_UNIX, str(tmp_path / "sock"))


def test_serves_an_abstract_name(installed, program):
    name = f"sockfront-test-{os.getpid()}"
    with Serving(installed, program, f"@{name}") as server:
        server.answers(socket.AF_UNIX, f"\0{name}")


@pytest.fixture
def activate():
    found = shutil.which("systemd-socket-activate")
    if not found:
        pytest.skip("systemd-socket-activate is not installed")
    return found


@pytest.mark.parametrize("address, options, ports", [
    ("sd-listen", [], 1), ("sd-listen:bar", ["--fdname=foo:bar"], 2), ("sd-listen:*", [], 2),
])
def test_serves_what_systemd_passes(installed, program, activate, address, options, ports):
    listen = [free_port() for _ in range(ports)]
    words = [word for port in listen for word in ("-l", f"127.0.0.1:{port}")]
    with Serving(installed, activate, *words, *options, "-E", "LD_LIBRARY_PATH", program,
                 address) as server:
        # Of two named sockets only the second is bar.
        for port in listen[1:] if ":bar" in address else listen:
            server.answers(socket.AF_INET, ("127.0.0.1", port))


def test_serves_each_inetd_connection(installed, program, activate):
    port = free_port()
    with Serving(installed, activate, "--inetd", "-a", "-l", f"127.0.0.1:{port}", "-E",
                 "LD_LIBRARY_PATH", program, "inetd") as server:
        for _ in range(2):
            server.answers(socket.AF_INET, ("127.0.0.1", port))


def test_a_prefix_of_ones_own_needs_no_destdir(tmp_path):
    make_install(f"PREFIX={tmp_path}/own", f"UNITDIR={tmp_path}/own/units")
    told = run("pkg-config", "--cflags", "--libs", "libsockfront",
               PKG_CONFIG_PATH=f"{tmp_path}/own/lib/pkgconfig").split()
    hello = compile_example(tmp_path / "outside", told)
    refused = subprocess.run([hello, "127.0.0.1"], capture_output=True, text=True, timeout=10,
                             env={"LD_LIBRARY_PATH": f"{tmp_path}/own/lib"})
    assert refused.returncode == 2 and "a port is missing" in refused.stderr


def test_an_evhttp_program_needs_the_adapter_alone(installed, tmp_path):
    """Its header speaks of libevent: who includes it calls that, too."""
    paths = {"PKG_CONFIG_PATH": str(installed / "opt/front/lib/arch/pkgconfig"),
             "PKG_CONFIG_SYSROOT_DIR": str(installed)}
    told = run("pkg-config", "--cflags", "--libs", "libsockfront-event", **paths)
    # Debian's libevent is no part of the staged root.
    run("gcc", "-Wall", "-Werror", "-Wl,--no-undefined", "-o", tmp_path / "http",
        TOP / "lib/examples/http-server.c", *told.split())
    assert "listen" in subprocess.run(
        [tmp_path / "http"], capture_output=True, text=True, timeout=10,
        env={"LD_LIBRARY_PATH": str(installed / "opt/front/lib/arch")}).stderr


def test_a_prefix_with_a_blank(tmp_path):
    prefix = tmp_path / "my front"
    make_install(f"PREFIX={prefix}")
    told = shlex.split(run("pkg-config", "--cflags", "--libs", "libsockfront",
                           PKG_CONFIG_PATH=str(prefix / "lib/pkgconfig")))
    hello = compile_example(tmp_path / "outside", told)
    refused = subprocess.run([hello, "127.0.0.1"], capture_output=True, text=True, timeout=10,
                             env={"LD_LIBRARY_PATH": str(prefix / "lib")})
    assert refused.returncode == 2 and "a port is missing" in refused.stderr
    unit = (prefix / "lib/systemd/system/sockfront.service").read_text()
    assert f"\nExecStart={tmp_path}/my\\x20front/bin/sockfront -c " in unit
    verify = shutil.which("systemd-analyze")
    if verify:
        assert "not executable" not in subprocess.run(
            [verify, "verify", prefix / "lib/systemd/system/sockfront.service"],
            capture_output=True, text=True, timeout=60).stderr
    run("make", "-C", TOP, "uninstall", f"BUILD={BUILD}", f"PREFIX={prefix}")
    assert [path for path in prefix.rglob("*") if not path.is_dir()] == []


def test_every_page_and_header_is_installed(installed):
    front = installed / "opt/front"
    headers = {path.name for path in (TOP / "lib/include/sockfront").glob("*.h")}
    assert {path.name for path in (front / "include/sockfront").iterdir()} == headers
    pages = {path.name for folder in ("lib", "daemon") for path in (TOP / folder).rglob("*.[37]")}
    assert len(pages) >= 10
    assert {path.name for number in "37"
            for path in (front / f"share/man/man{number}").iterdir()} == pages
    for name in LIBRARIES:
        link = front / f"lib/arch/{name}.so"
        assert os.readlink(link) == f"{name}.so.0"
        assert re.fullmatch(rf"{name}\.so\.0\.\d+\.\d+", link.resolve().name)
