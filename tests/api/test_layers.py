# SPDX-License-Identifier: MIT
"""Arrows point one way: daemon -> conf -> lib, and from room to room within the daemon; no two
files include each other; each header stands alone."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from headers import ROOMS  # noqa: E402

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BUILD", TOP / "build"))
# Its examples aside, which are programs.
LIBRARY = [f"lib/{folder}*.[ch]" for folder in ("", "kind/", "adapter/", "proxy_protocol/", "absent/",
                                                "include/sockfront/")]
PUBLIC = sorted((TOP / "lib/include").rglob("*.h"))
C_FLAGS = ["-std=gnu11", "-Wall", "-Wextra", "-Wstrict-prototypes", "-Werror", "-fsyntax-only"]
CXX_FLAGS = ["-std=c++11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]


def symbols(archive, *options):
    listed = subprocess.run(["nm", *options, BUILD / archive], check=True,
                            capture_output=True, text=True).stdout
    return {line.split()[-1] for line in listed.splitlines() if re.search(r" [A-Za-z] \S+$", line)}


def includes(*patterns):
    """(file, included name) for every #include in the files of these patterns."""
    found = []
    for pattern in patterns:
        for path in sorted(TOP.glob(pattern)):
            for name in re.findall(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]', path.read_text(),
                                   re.MULTILINE):
                found.append((str(path.relative_to(TOP)), name))
    assert found, patterns
    return found


def foreign(pairs, *words):
    return [pair for pair in pairs if any(re.search(word, pair[1]) for word in words)]


def test_the_library_calls_neither_libevent_nor_inih():
    undefined = symbols("libsockfront.a", "-u")
    assert "sd_listen_fds" in undefined, "nm shows no calls at all"
    foreign_names = [name for name in undefined if re.match(r"(ev|ini_|bufferevent)", name)]
    assert set(foreign_names) <= {"eventfd", "eventfd_read", "eventfd_write"}, "libc's aside"


def test_the_library_never_prints_and_never_exits():
    undefined = symbols("libsockfront.a", "-u")
    ends = {"exit", "_exit", "abort", "err", "errx", "warn", "warnx", "perror", "syslog",
            "printf", "puts", "putchar", "fprintf", "stdout", "stderr", "__printf_chk",
            "__fprintf_chk"}
    assert not undefined & ends


def test_what_the_library_defines_for_others_has_its_prefix():
    """Names shared between its own files aside: those are not in the public headers."""
    declared = set(re.findall(r"\b(sfront_\w+)\s*\(", "".join(h.read_text() for h in PUBLIC)))
    defined = symbols("libsockfront.a", "-g", "--defined-only")
    assert len(declared) > 20
    defined |= symbols("libsockfront-event.a", "-g", "--defined-only")
    assert not declared - defined, "declared, but nowhere defined"


def test_lib_includes_nothing_of_conf_or_daemon():
    pairs = includes(*LIBRARY)
    assert not foreign(pairs, r"^ini\.h", r"^(\.\./)?(conf|daemon)/")
    core = [pair for pair in pairs if not pair[0].startswith("lib/adapter/event")]
    assert not foreign(core, r"^event")


def room(name):
    """Of a file of lib/: kind, adapter, or core, which absent/ and internal.h belong to."""
    found = re.match(r"lib/(kind|adapter)/", name)
    return found[1] if found else "core"


def lib_arrows():
    """Of each file of lib/, what it includes of lib/, as paths from the top."""
    arrows = {}
    for path in (path for pattern in LIBRARY for path in sorted(TOP.glob(pattern))):
        file = str(path.relative_to(TOP))
        arrows[file] = set()
        for quote, name in re.findall(r'^\s*#\s*include\s+([<"])([^>"]+)', path.read_text(),
                                      re.MULTILINE):
            places = [TOP / "lib/include", *([path.parent, TOP] if quote == '"' else [])]
            arrows[file] |= {str((place / name).relative_to(TOP)) for place in places
                             if (place / name).exists()}
    return arrows


def circle(arrows):
    """The files of a circle of includes, or none."""
    left = {file: set(names) for file, names in arrows.items()}
    while True:
        ends = [file for file, names in left.items() if not names & set(left)]
        if not ends:
            return sorted(left)
        for file in ends:
            del left[file]


def test_a_circle_of_includes_is_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"d"}}) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"e"}}) == ["a", "b", "c"]


def test_lib_core_includes_no_kind_and_no_adapter_and_those_not_each_other():
    arrows = lib_arrows()
    assert {room(file) for file in arrows} == {"core", "kind", "adapter"}
    wrong = [(file, name) for file, names in arrows.items() for name in names
             if room(name) not in ("core", room(file))]
    assert wrong == []
    assert circle(arrows) == []


def test_lib_core_knows_of_the_kinds_their_classes_alone():
    def of(folder, *options):
        sources = [path.stem for path in sorted((TOP / "lib" / folder).glob("*.c"))]
        assert sources, folder
        return {stem: symbols(f"lib/{folder}/{stem}.o", *options) for stem in sources}

    above = set().union(*of("kind", "-g", "--defined-only").values(),
                        *of("adapter", "-g", "--defined-only").values())
    used = {file: sorted(names & above) for file, names in of("", "-u").items() if names & above}
    assert list(used) == ["listener"]
    assert all(re.fullmatch(r"sfront_\w+_class", name) for name in used["listener"])


def test_the_libevent_adapter_uses_the_library_as_others_do():
    pairs = includes("lib/adapter/event*.c", "lib/adapter/event*.h")
    assert not foreign(pairs, r"internal\.h")
    undefined = symbols("libsockfront-event.a", "-u")
    public = set(re.findall(r"\b(sfront_\w+)\s*\(", "".join(h.read_text() for h in PUBLIC)))
    own = symbols("libsockfront-event.a", "-g", "--defined-only")
    assert {name for name in undefined if name.startswith("sfront_")} <= public | own


def test_conf_includes_nothing_of_daemon_and_no_inside_of_lib():
    pairs = includes("conf/*.c", "conf/*.h")
    assert not foreign(pairs, r"^event", r"daemon/", r"^(\.\./)?lib/", r"internal\.h")


def room_of(name):
    found = re.match(r"daemon/(\w+)/", name)
    return ROOMS.index(found[1]) if found else len(ROOMS)  # main.c stands right of all


def daemon_includes():
    return includes("daemon/*.c", "daemon/*.h", "daemon/*/*.c", "daemon/*/*.h")


def test_every_file_of_the_daemon_is_in_a_room():
    rooms = {path.name for path in (TOP / "daemon").iterdir() if path.is_dir()}
    assert rooms == set(ROOMS)
    for room in ROOMS:
        assert list((TOP / "daemon" / room).glob("*.c")), room
    assert {path.name for path in (TOP / "daemon").glob("*.[ch]")} <= {
        f"{name}.{end}" for name in ("main", "help", "modes", "ask_status", "http_get") for end in "ch"}


def test_no_room_includes_one_to_its_right():
    up = [(file, name) for file, name in daemon_includes()
          if name.startswith("daemon/") and room_of(name) > room_of(file)]
    assert not up


def test_base_knows_nothing_of_proxying():
    """One plain struct of conf/ aside: where in a file something stands, for the log."""
    pairs = includes("daemon/base/*.c", "daemon/base/*.h")
    assert not foreign(pairs, r"^conf/(?!place\.h)", r"^sockfront/")


def circles(pairs):
    """Files that reach themselves over their includes; a .c file and its .h are one."""
    edges = {}
    for file, name in pairs:
        one, other = re.sub(r"\.[ch]$", "", file), re.sub(r"\.[ch]$", "", name)
        if one != other:
            edges.setdefault(one, set()).add(other)
    found = []

    def visit(node, way):
        if node in way:
            found.append(" -> ".join([*way[way.index(node):], node]))
            return
        if node in done:
            return
        for following in sorted(edges.get(node, ())):
            visit(following, [*way, node])
        done.add(node)

    done = set()
    for node in sorted(edges):
        visit(node, [])
    return found


def test_no_two_files_of_the_daemon_include_each_other():
    assert not circles(daemon_includes())


def test_no_two_files_of_conf_include_each_other():
    assert not circles(includes("conf/*.c", "conf/*.h"))


def test_circles_are_found():
    assert circles([("a.c", "b.h"), ("b.c", "c.h"), ("c.h", "a.h")]) == ["a -> b -> c -> a"]
    assert not circles([("a.c", "a.h"), ("a.c", "b.h"), ("b.c", "b.h")])


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_links_with_nothing_to_its_right(room, tmp_path):
    """The whole of it, not only what some test happens to call."""
    (tmp_path / "main.c").write_text("int main(void) { return 0; }\n")
    left = [BUILD / f"daemon/{name}.a" for name in reversed(ROOMS[:ROOMS.index(room)])]
    done = subprocess.run(
        ["cc", "-o", tmp_path / "alone", tmp_path / "main.c",
         "-Wl,--whole-archive", BUILD / f"daemon/{room}.a", "-Wl,--no-whole-archive",
         *left, BUILD / "conf.a", BUILD / "libsockfront-event.a", BUILD / "libsockfront.a",
         "-levent_extra", "-levent_core",
         "-linih", "-lsystemd", "-lresolv", "-lm", "-pthread", *os.environ.get("LDFLAGS", "").split()],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_daemon_and_examples_include_only_public_headers_of_lib():
    pairs = [*daemon_includes(), *includes("lib/examples/*.c")]
    assert not foreign(pairs, r"^(\.\./)*lib/", r"^\.\./", r"internal\.h")
    assert not foreign(daemon_includes(), r"^ini\.h")


@pytest.mark.parametrize("header", PUBLIC, ids=lambda path: path.name)
@pytest.mark.parametrize("compiler", [["gcc", "-x", "c", *C_FLAGS], ["clang", "-x", "c", *C_FLAGS],
                                      ["g++", "-x", "c++", *CXX_FLAGS]],
                         ids=["gcc", "clang", "g++"])
def test_public_header_compiles_alone(header, compiler, tmp_path):
    source = tmp_path / "alone"
    source.write_text(f"#include <sockfront/{header.name}>\n")
    done = subprocess.run([*compiler, "-I", TOP / "lib/include", source],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


INNER = sorted(path for folder in ("conf", "daemon", "lib") for path in (TOP / folder).rglob("*.h")
               if path not in PUBLIC)


@pytest.mark.parametrize("header", INNER, ids=lambda path: str(path.relative_to(TOP)))
def test_inner_header_compiles_alone(header, tmp_path):
    source = tmp_path / "alone.c"
    source.write_text(f'#include "{header}"\n')
    done = subprocess.run(["gcc", *C_FLAGS, "-D_GNU_SOURCE", "-I", TOP / "lib/include", "-I", TOP,
                           source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
