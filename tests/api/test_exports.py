# SPDX-License-Identifier: MIT
"""Headers, version scripts, shared libraries and manual pages name the same functions."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from headers import (BUILD, HEADERS, LIBRARIES, ROOMS, TOP, constants, normal, prototypes,  # noqa: E402
                     structures)

PAGES = sorted((TOP / "lib").rglob("*.[37]"))


def names_of_map(library):
    text = (TOP / f"lib/{library}.map").read_text()
    assert re.search(r"^local:\n\t\*;\n\};", text, re.MULTILINE), "everything else stays inside"
    return re.findall(r"^\t(sfront_\w+);$", text, re.MULTILINE)


def section(page, name):
    found = re.search(rf"^\.Sh {name}\n(.*?)(?=^\.Sh |\Z)", page.read_text(),
                      re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def synopsis(page):
    """Each function's name and declaration, put together from .Ft, .Fo and .Fa."""
    found = {}
    for kind, name, arguments in re.findall(
            r'^\.Ft "?([^"\n]*)"?\n\.Fo (\w+)\n((?:\.Fa .*\n)*)\.Fc', section(page, "SYNOPSIS"),
            re.MULTILINE):
        words = re.findall(r'^\.Fa "?([^"\n]*)"?$', arguments, re.MULTILINE)
        found[name] = normal(f"{kind} {name}({', '.join(words)})")
    return found


@pytest.mark.parametrize("library", LIBRARIES)
def test_version_script_names_what_the_headers_declare(library):
    named = names_of_map(library)
    assert [name for name, n in Counter(named).items() if n > 1] == []
    assert set(named) == set(prototypes(LIBRARIES[library]))


@pytest.mark.parametrize("library", LIBRARIES)
def test_shared_library_exports_what_the_headers_declare(library):
    listed = subprocess.run(["nm", "-D", "--defined-only", BUILD / f"{library}.so"], check=True,
                            capture_output=True, text=True).stdout
    exported = {line.split()[2].split("@")[0] for line in listed.splitlines()
                if line.split()[1] != "A"}
    assert exported == set(prototypes(LIBRARIES[library]))


@pytest.mark.parametrize("library", LIBRARIES)
def test_shared_library_has_its_soname_and_needs_little(library):
    listed = subprocess.run(["readelf", "-d", BUILD / f"{library}.so"], check=True,
                            capture_output=True, text=True).stdout
    assert re.findall(r"SONAME.*\[(.*)\]", listed) == [f"{library}.so.0"]
    needed = {name.split(".so")[0] for name in re.findall(r"NEEDED.*\[(.*)\]", listed)}
    own = {"libsockfront": {"libsystemd"},
           "libsockfront-event": {"libsockfront", "libevent_core-2.1", "libevent_extra-2.1"}}
    assert needed - {"libc", "libasan", "libubsan", "libpthread"} <= own[library]


def test_every_function_is_in_one_page_as_it_is_declared():
    documented, twice = {}, []
    for page in PAGES:
        for name, declaration in synopsis(page).items():
            twice += [name] if name in documented else []
            documented[name] = declaration
    declared = prototypes(HEADERS)
    assert twice == []
    assert sorted(set(declared) - set(documented)) == [], "in no page's SYNOPSIS"
    assert sorted(set(documented) - set(declared)) == [], "in a page, but in no header"
    assert documented == declared


def test_the_index_of_a_header_lists_its_sections_and_functions():
    text = (TOP / "lib/include/sockfront/listener.h").read_text()
    index = re.search(r"Sections of this file:\n \*\n(.*?)\n \*\n", text, re.DOTALL)[1]
    rows = re.findall(r"^ \*\t(\S.*?) {2,}(.*(?:\n \*\t {5,}.*)*)", index, re.MULTILINE)
    listed = {name: set(re.findall(r"\w+", functions)) for name, functions in rows}
    sections = re.split(r"^/\* --- (.*) --- \*/$", text, flags=re.MULTILINE)[1:]
    assert list(listed) == sections[::2]
    for name, section in zip(sections[::2], sections[1::2]):
        there = {re.sub("^sfront_(listener|connection)_", "", function) for function in
                 re.findall(r"^\w[\w ]*[ *](sfront_\w+)\(", section, re.MULTILINE)}
        assert there <= listed[name], name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_describes_what_its_synopsis_lists(page):
    listed = set(synopsis(page))
    text = section(page, "DESCRIPTION") + section(page, "RETURN VALUES")
    assert listed <= set(re.findall(r"\bsfront_\w+", text)), "listed, and not described"
    if listed:
        assert listed == set(re.findall(r"^\.Nm (sfront_\w+)", section(page, "NAME"),
                                        re.MULTILINE)), "what man -k finds"


def test_pages_name_nothing_that_is_not_there():
    there = set(prototypes(HEADERS)) | set(structures(HEADERS)) | set(constants(HEADERS))
    there |= set(re.findall(r"\bsfront_\w+", "".join(path.read_text() for path in HEADERS)))
    for page in PAGES:
        words = set(re.findall(r"\bsfront_\w+|\bSFRONT_\w+", page.read_text()))
        assert sorted(words - there) == [], page.name


def test_every_structure_and_constant_is_in_a_page():
    text = "".join(page.read_text() for page in PAGES)
    words = set(re.findall(r"\bsfront_\w+|\bSFRONT_\w+", text))
    # Not for programs: how many there are, for tables inside the library.
    assert sorted((set(structures(HEADERS)) | set(constants(HEADERS))) - words) == []


def test_pages_refer_to_pages_that_are_there():
    installed = {(page.stem, page.suffix[1:]) for page in PAGES}
    installed |= {("sockfront", "8"), ("sockfront.conf", "5")}
    for page in PAGES:
        for name, number in re.findall(r"^\.Xr (\S+) (\d)", page.read_text(), re.MULTILINE):
            if name.startswith("sockfront"):
                assert (name, number) in installed, page.name


def symbols(path, *options):
    listed = subprocess.run(["nm", *options, path], check=True, capture_output=True,
                            text=True).stdout
    return {line.split()[-1] for line in listed.splitlines() if re.search(r" [A-Za-z] \S+$", line)}


@pytest.mark.parametrize("archive", ["conf.a", *(f"daemon/{room}.a" for room in ROOMS), "daemon/main.o",
                                     "libsockfront-event.a"])
def test_customers_of_the_library_call_public_functions_alone(archive):
    called = {name for name in symbols(BUILD / archive, "-u") if name.startswith("sfront_")}
    public = set(prototypes(HEADERS))
    inside = symbols(BUILD / archive, "--defined-only")
    assert called - inside <= public


# Calls that cannot fail, or of which no failure can be told.
# ptsname_r() and poll() are asked what kind of thing a descriptor is: failing says "no such thing".
HARMLESS = set("""
    fclose fgets freeaddrinfo gai_strerror getenv getpid if_indextoname inet_aton inet_ntop
    inet_pton memchr memcmp memcpy memmove memset pthread_mutex_destroy pthread_mutex_lock
    pthread_mutex_unlock pthread_once snprintf strcasecmp strchr strcmp strcspn strerror
    strlen strncasecmp strncmp strnlen strrchr strsep strspn strtol strtoul strtoull vsnprintf
    argp_error poll qsort tdelete tfind ptsname_r fscanf __isoc99_fscanf sscanf __isoc99_sscanf geteuid time __errno_location 
    _GLOBAL_OFFSET_TABLE_ __stack_chk_fail
""".split())


@pytest.mark.skipif("SOCKFRONT_SANITIZE" in __import__("os").environ,
                    reason="the sanitizers add calls of their own")
def test_each_call_of_the_library_is_made_to_fail():
    """
    Or stands above as one that cannot: tests/unit/test_failures.c does it.  What others
    call, control/test_config_failures.c makes fail in the same way.
    """
    called = {name for library in LIBRARIES for name in symbols(BUILD / f"{library}.a", "-u")
              if not re.match(r"sfront_|bridge_|ev(buffer|connlistener|ent|http|util)_|bufferevent_", name)}
    wrapped = set((TOP / "tests/unit/test_failures.wrap").read_text()
                  .replace("--wrap=", "").split())
    wrapped -= {f"{name}64" for name in wrapped}  # the same where a pointer has 32 bits
    assert sorted(called - wrapped - HARMLESS) == []
    for archive in ("conf.a", *(f"daemon/{room}.a" for room in ROOMS)):
        called |= symbols(BUILD / archive, "-u")
    assert sorted(wrapped - called) == [], "nobody calls that any more"


USES = """
#include <stdio.h>
{includes}
int main({void})
{{
    {type} functions[] = {{ {casts} }};
    unsigned n = 0;
    for (unsigned i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
        n += functions[i] != 0;
    printf("%u", n);
    return 0;
}}
"""


@pytest.mark.parametrize("compiler", [["gcc", "-x", "c", "-std=c99", "-pedantic"],
                                      ["gcc", "-x", "c", "-std=gnu11", "-Wconversion"],
                                      ["clang", "-x", "c", "-std=gnu17"],
                                      ["g++", "-x", "c++", "-std=c++11", "-pedantic",
                                       "-Wold-style-cast"],
                                      ["g++", "-x", "c++", "-std=c++20"]],
                         ids=" ".join)
@pytest.mark.skipif("SOCKFRONT_SANITIZE" in __import__("os").environ,
                    reason="the library would need the sanitizer in front")
def test_a_program_can_link_every_function(compiler, tmp_path):
    functions = sorted(prototypes(HEADERS))
    plus = "c++" in compiler
    cast = "reinterpret_cast<generic>({})" if plus else "(generic){}"
    source = tmp_path / "uses"
    source.write_text(USES.format(
        includes="".join(f"#include <sockfront/{path.name}>\n" for path in HEADERS)
        + "typedef void (*generic)(void);",
        type="generic", void="" if plus else "void",
        casts=", ".join(cast.format(name) for name in functions)))
    program = tmp_path / "program"
    done = subprocess.run(
        [*compiler, "-Wall", "-Wextra", "-Werror", "-I", TOP / "lib/include", source, "-x", "none",
         "-o", program, "-L", BUILD, "-lsockfront-event", "-lsockfront",
         f"-Wl,-rpath,{BUILD}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert subprocess.run([program], capture_output=True, text=True).stdout == str(len(functions))
