# SPDX-License-Identifier: MIT
"""make dist, make deb, make rpm: what is in the packages, and what they do to a machine."""

import fcntl
import os
import re
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.stage import need

TOP = Path(__file__).resolve().parents[3]
PACKAGING = TOP / "systemd/packaging"
WORK = TOP / "build/packages"
VERSION = re.search(r"^VERSION +:= (\S+)$", (TOP / "Makefile").read_text(), re.MULTILINE)[1]
PACKAGES = ["sockfront", "libsockfront0", "libsockfront-event0", "libsockfront-dev"]

pytestmark = pytest.mark.plain_only("is built anew")


def run(*command, seconds=120, **more):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=seconds, **more)
    assert done.returncode == 0, f"{command}\n{done.stdout[-8000:]}"
    return done.stdout


def make(target, build, *variables, top=TOP, **environment):
    kept = {name: value for name, value in os.environ.items()
            if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "SOURCE_DATE_EPOCH")}
    return run("make", "-s", "-C", top, target, f"BUILD={build}", *variables, seconds=800,
               env={**kept, **environment})


@contextmanager
def once(name, run_id):
    """True for the first of all workers of a run, whom the others wait for."""
    WORK.mkdir(parents=True, exist_ok=True)
    with open(WORK / f"{name}.run", "a+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        is_first = file.read() != run_id
        yield is_first
        file.truncate(0)
        file.write(run_id)


@pytest.fixture(scope="module")
def run_id(request):
    return request.config.workerinput["testrunuid"] if hasattr(request.config, "workerinput") else os.urandom(8).hex()


@pytest.fixture(scope="module")
def debs(run_id):
    """Where the packages lie; they are built once."""
    need("dpkg-buildpackage")
    need("dh")
    with once("deb", run_id) as is_first:
        if is_first:
            make("deb", WORK, DEB_BUILD_OPTIONS="nocheck")
    return WORK / "deb"


def deb(debs, package):
    (found,) = debs.glob(f"{package}_{VERSION}-1_*.deb")
    return found


# ---- what they are made of ---------------------------------------------------------------------


def test_versions_agree():
    assert (PACKAGING / "debian/changelog").read_text().startswith(f"sockfront ({VERSION}-")
    assert re.search(rf"^Version: +{VERSION}$", (PACKAGING / "rpm/sockfront.spec").read_text(), re.MULTILINE)


@pytest.mark.parametrize("library", ["libsockfront", "libsockfront-event"])
def test_symbols_are_those_that_are_exported(library):
    """A new one is added with the version that brings it."""
    exported = re.findall(r"^\t(sfront_\w+);", (TOP / f"lib/{library}.map").read_text(), re.MULTILINE)
    listed = re.findall(r"^ (sfront_\w+)@\w+ \d+\.\d+\.\d+$",
                        (PACKAGING / f"debian/{library}0.symbols").read_text(), re.MULTILINE)
    assert sorted(exported) == listed


def test_the_tarball_is_the_same_each_time(tmp_path):
    name = f"sockfront-{VERSION}.tar.gz"
    for build in ("one", "two"):
        make("dist", tmp_path / build)
    first = (tmp_path / "one" / name).read_bytes()
    assert first == (tmp_path / "two" / name).read_bytes()
    run("tar", "-C", tmp_path, "-xf", tmp_path / "one" / name)
    unpacked = tmp_path / f"sockfront-{VERSION}"
    make("dist", "build", top=unpacked)
    assert first == (unpacked / "build" / name).read_bytes(), "from an unpacked tarball"
    make("dist", "build", top=unpacked, SOURCE_DATE_EPOCH="86400")
    assert "1970-01-02" in run("tar", "-tvf", unpacked / "build" / name, env={**os.environ, "TZ": "UTC"})


# ---- the packages ------------------------------------------------------------------------------


def test_lintian_is_silent(debs):
    """But for what only a bug in Debian's tracker would change; nothing is overridden."""
    need("lintian")
    (changes,) = debs.glob("*.changes")
    said = run("lintian", "--fail-on", "none", "--allow-root", changes, seconds=600)
    tags = [line for line in said.splitlines() if re.match("[EW]: ", line)]
    assert [tag for tag in tags if "initial-upload-closes-no-bugs" not in tag] == []
    assert not list(PACKAGING.rglob("*lintian-overrides*"))


def files_of(package):
    return {line.split(maxsplit=5)[5].split(" -> ")[0][1:] for line in run("dpkg-deb", "-c", package).splitlines()
            if not line.startswith("d")}


def test_each_file_is_in_its_package(debs):
    files = {package: files_of(deb(debs, package)) for package in PACKAGES}
    for name in ("/etc/sockfront/sockfront.conf", "/usr/bin/sockfront", "/lib/systemd/system/sockfront.service",
                 "/lib/systemd/system/sockfront@.socket", "/usr/lib/systemd/user/sockfront@.service",
                 "/usr/share/man/man8/sockfront.8.gz", "/usr/share/man/man7/sockfront_address.7.gz",
                 "/usr/share/man/man7/sockfront-migrate.7.gz",
                 "/usr/share/doc/sockfront/examples/prometheus/sockfront.rules.yml",
                 "/usr/share/bash-completion/completions/sockfront",
                 "/usr/share/zsh/vendor-completions/_sockfront",
                 "/usr/share/fish/vendor_completions.d/sockfront.fish"):
        assert name in files["sockfront"]
    for library in ("libsockfront", "libsockfront-event"):
        assert any(name.endswith(f"/{library}.so.0") for name in files[f"{library}0"])
        for suffix in (".a", ".so"):
            assert any(name.endswith(f"/{library}{suffix}") for name in files["libsockfront-dev"])
        assert any(name.endswith(f"/pkgconfig/{library}.pc") for name in files["libsockfront-dev"])
    for header in (TOP / "lib/include/sockfront").glob("*.h"):
        assert f"/usr/include/sockfront/{header.name}" in files["libsockfront-dev"]
    conffiles = run("dpkg-deb", "-I", deb(debs, "sockfront"), "conffiles")
    assert conffiles.split() == ["/etc/sockfront/sockfront.conf"]


# ---- a machine ---------------------------------------------------------------------------------


class Machine:
    """This machine's files under others that lie in memory, and what is done to them."""

    SCRIPT = """
        mount -t tmpfs none "$0" && mkdir "$0/upper" "$0/work" "$0/root" &&
        mount -t overlay overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0/root" &&
        mount -t proc proc "$0/root/proc" && mount --rbind /dev "$0/root/dev" &&
        mount -t tmpfs none "$0/root/tmp" && mount -t tmpfs none "$0/root/run" && echo ready && exec sleep infinity
    """

    def __init__(self, place):
        self.root, self.upper = place / "root", place / "upper"
        self.holder = subprocess.Popen(["unshare", "-m", "sh", "-c", self.SCRIPT, place], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "ready\n":
            pytest.skip(f"no file system can be laid over this one: {self.holder.communicate()[1].strip()}")

    def run(self, *command, **environment):
        return run("nsenter", "-t", self.holder.pid, "-m", "chroot", self.root, "env", "DEBIAN_FRONTEND=noninteractive",
                   *(f"{name}={value}" for name, value in environment.items()), *command, seconds=300)

    def copy(self, file):
        run("nsenter", "-t", self.holder.pid, "-m", "cp", "-r", file, self.root / "tmp")
        return f"/tmp/{Path(file).name}"

    def changed(self):
        """What is other than on the machine below, but for what the package system keeps for itself."""
        said = run("nsenter", "-t", self.holder.pid, "-m", "find", self.upper, "(", "-path", "*/var/lib/dpkg", "-o",
                   "-path", "*/var/log", "-o", "-path", "*/var/cache", ")", "-prune", "-o", "!", "-type", "d",
                   "-printf", "%P\n")
        return set(said.split("\n")) - {"", "etc/ld.so.cache"}

    def close(self):
        self.holder.kill()
        self.holder.communicate()


@pytest.fixture
def machine(debs, tmp_path):
    need("unshare")
    need("nsenter")
    (tmp_path / "machine").mkdir()
    machine = Machine(tmp_path / "machine")
    try:
        machine.run("dpkg", "-i", *(machine.copy(deb(debs, package)) for package in PACKAGES))
        yield machine
    finally:
        machine.close()


def next_version(debs, place):
    """The same package under a higher version."""
    run("dpkg-deb", "-R", deb(debs, "sockfront"), place / "next")
    control = place / "next/DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {VERSION}-1\n", f"Version: {VERSION}-2\n"))
    run("dpkg-deb", "--root-owner-group", "-b", place / "next", place / "next.deb")
    return place / "next.deb"


def test_installed_upgraded_and_purged(debs, machine, tmp_path):
    conf = "/etc/sockfront/sockfront.conf"
    assert machine.run("sockfront", "--version").strip().endswith(VERSION)
    machine.run("sockfront", "--check", "-c", conf)
    wants = "/etc/systemd/system/multi-user.target.wants"
    assert "sockfront" not in machine.run("sh", "-c", f"ls {wants}; true"), "nobody has enabled it"

    machine.run("sed", "-i", "s/^backend = .*/backend = 127.0.0.1:9/", conf)
    machine.run("dpkg", "-i", machine.copy(next_version(debs, tmp_path)))
    assert machine.run("dpkg-query", "-W", "-f", "${Version}", "sockfront") == f"{VERSION}-2"
    assert "\nbackend = 127.0.0.1:9\n" in machine.run("cat", conf), "what was edited stays"

    assert any("sockfront" in name for name in machine.changed())
    machine.run("dpkg", "--purge", *PACKAGES)
    assert machine.changed() == set()


@pytest.mark.parametrize("test", ["serves", "library"])
def test_autopkgtest(machine, test):
    """Those of debian/tests/ that need no systemd; the virtual machine has that."""
    for part in ("lib", "systemd/packaging/debian/tests"):
        machine.copy(TOP / part)
    machine.run("mkdir", "/tmp/scratch")
    machine.run("sh", "-c", f"cd /tmp && exec tests/{test}", AUTOPKGTEST_TMP="/tmp/scratch")


# ---- RPM ---------------------------------------------------------------------------------------


def test_rpm(tmp_path):
    need("rpmbuild")
    make("rpm", tmp_path, "RPM=--nodeps --quiet")
    rpms = {package.name.rsplit("-", 2)[0]: package for package in (tmp_path / "rpm").rglob(f"*-{VERSION}-1.*64.rpm")}
    assert set(rpms) == {"sockfront", "libsockfront", "libsockfront-devel"}
    listed = run("rpm", "-qlp", rpms["sockfront"]).split()
    assert {"/etc/sockfront/sockfront.conf", "/usr/bin/sockfront",
            "/usr/lib/systemd/system/sockfront.service"} <= set(listed)
    assert run("rpm", "-qp", "--configfiles", rpms["sockfront"]).split() == ["/etc/sockfront/sockfront.conf"]
    need("rpmlint")
    spec = PACKAGING / "rpm/sockfront.spec"
    said = run("rpmlint", "-c", PACKAGING / "rpm/rpmlint.toml", spec, *rpms.values())
    assert " 0 errors, 0 warnings," in said, said
