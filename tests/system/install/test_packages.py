# SPDX-License-Identifier: MIT
"""make dist, make deb, make rpm: what is in the packages, and what they do to a machine."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.once import once
from support.stage import need

TOP = Path(__file__).resolve().parents[3]
PACKAGING = TOP / "systemd/packaging"
WORK = TOP / "build/packages"
VERSION = re.search(r"^VERSION +:= (\S+)$", (TOP / "Makefile").read_text(), re.MULTILINE)[1]
UNPACKED = f"sockfront-{VERSION}"
PACKAGES = ["sockfront", "libsockfront0", "libsockfront-event0", "libsockfront-dev"]
NOBODY = 65534

pytestmark = pytest.mark.plain_only("is built anew")


def run(*command, seconds=120, **more):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=seconds, **more)
    assert done.returncode == 0, f"{command}\n{done.stdout[-8000:]}"
    return done.stdout


def make(target, build, *variables, top=TOP, by=(), **environment):
    kept = {name: value for name, value in os.environ.items()
            if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "SOURCE_DATE_EPOCH")}
    return run(*by, "make", "-s", "-C", top, target, f"BUILD={build}", *variables, seconds=800,
               env={**kept, **environment})


def build_by_nobody(place):
    """As where packages are built: tested, without rights, a home or a network; what was said is in a file there."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    by, environment = [], {"HOME": "/nonexistent"}
    if os.geteuid() == 0:
        assert os.stat("/tmp").st_mode & 0o002, "/tmp is for everybody"
        os.chown(place, NOBODY, NOBODY)
        by = [need("unshare"), "-n", "sh", "-c", f'{need("ip")} link set lo up && exec "$@"', "sh",
              need("setpriv"), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
        # What git has is another's: nobody may read it all the same.
        environment |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    (place / "said").write_text(make("deb", place, by=by, **environment))


@pytest.fixture(scope="module")
def debs(run_id):
    """Where the packages lie, and what they were made of; they are built once."""
    need("dpkg-buildpackage")
    need("dh")
    with once(WORK, "deb", run_id) as is_first:
        if is_first:
            build_by_nobody(WORK / "nobody")
    return WORK / "nobody/deb"


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


def test_the_unit_tests_run_where_it_is_built(debs):
    """And those say why that cannot run there.  In the virtual machine is what was built with nocheck."""
    said = (debs.parent / "said").read_text()
    total = re.search(r"^(\d+) passed, 0 failed, (\d+) skipped$", said, re.MULTILINE)
    assert total and int(total[1]) > 500
    skipped = re.findall(r"^skipped [^:\n]+: [^:\n]+: (.+)$", said, re.MULTILINE)
    assert len(skipped) == int(total[2]) and "no reason given" not in skipped


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


def build_rpm(debs, build):
    """
    Of what was compiled for the other packages: the same tarball, with the same flags.  rpmbuild
    knows no packages here, and signs as little as it does elsewhere without being told.
    """
    made = debs / UNPACKED
    flags = {name: run("dpkg-buildflags", "--get", name, cwd=made,
                       env={**os.environ, "DEB_BUILD_MAINT_OPTIONS": "hardening=+all"}).strip()
             for name in ("CFLAGS", "CPPFLAGS", "LDFLAGS")}
    macros = {"__make": f"make BUILD={made}/build", "optflags": flags.pop("CFLAGS"), "packager": "nobody"}
    make("rpm", build, "RPM=--nodeps --quiet " + " ".join(f"--define '{name} {value}'" for name, value in macros.items()),
         **flags)
    return {package.name.rsplit("-", 2)[0]: package for package in (build / "rpm").rglob(f"*-{VERSION}-1.*64.rpm")}


@pytest.fixture(scope="module")
def rpms(debs, tmp_path_factory):
    need("rpmbuild")
    return build_rpm(debs, tmp_path_factory.mktemp("rpm"))


def test_rpm(rpms):
    assert set(rpms) == {"sockfront", "libsockfront0", "libsockfront-event0", "libsockfront-devel"}
    listed = run("rpm", "-qlp", rpms["sockfront"]).split()
    assert {"/etc/sockfront/sockfront.conf", "/usr/bin/sockfront",
            "/usr/lib/systemd/system/sockfront.service"} <= set(listed)
    assert run("rpm", "-qp", "--configfiles", rpms["sockfront"]).split() == ["/etc/sockfront/sockfront.conf"]


def test_rpmlint_is_silent(rpms, tmp_path):
    """And each filter hides something, so that there is none without its reason."""
    need("rpmlint")
    config = (PACKAGING / "rpm/rpmlint.toml").read_text()
    files = [PACKAGING / "rpm/rpmlint.toml", PACKAGING / "rpm/sockfront.spec", *rpms.values()]
    said = run("rpmlint", "-c", *files)
    assert " 0 errors, 0 warnings," in said, said

    files[0] = tmp_path / "without.toml"
    files[0].write_text(config[:config.index("Filters")])
    everything = subprocess.run(["rpmlint", "-c", *files], capture_output=True, text=True, timeout=120).stdout
    filters = re.findall('^\t"(.*)",$', config, re.MULTILINE)
    assert len(filters) > 5 and [one for one in filters if not re.search(one, everything)] == []
