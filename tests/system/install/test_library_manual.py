# SPDX-License-Identifier: MIT
"""What the library's manual pages show is what its headers say, and their examples compile and run."""

import os
import re
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("SOCKFRONT", TOP / "build/sockfront")).resolve().parent
PAGES = sorted([*(TOP / "lib").glob("*.3"), *(TOP / "lib").glob("*/*.3")])
HEADERS = sorted((TOP / "lib/include/sockfront").glob("*.h"))
SANITIZE = os.environ.get("SOCKFRONT_SANITIZE")
DECLARATION = r"^(?:struct|enum) \w+ \{\n.*?^\};$"


def shown(page):
    """What a page displays as it is, block by block."""
    found = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [block.replace("\\e", "\\").replace("\\-", "-") for block in found]


def bare(text):
    """Without comments, and with one blank between two words."""
    return re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)).replace("( ", "(")


DECLARED = {bare(declaration) for header in HEADERS
            for declaration in re.findall(DECLARATION, header.read_text(), re.MULTILINE | re.DOTALL)}
SHOWN = [(page, declaration) for page in PAGES for block in shown(page)
         for declaration in re.findall(DECLARATION, block, re.MULTILINE | re.DOTALL)]


@pytest.mark.parametrize("page, declaration", SHOWN, ids=lambda value: str(value).split("{")[0].split("/")[-1])
def test_declaration_is_that_of_the_header(page, declaration):
    assert bare(declaration) in DECLARED


def test_declarations_that_programs_fill_are_shown():
    names = {declaration.split(" {")[0] for _, declaration in SHOWN}
    assert names >= {"struct sfront_acceptor_calls", "struct sfront_evhttp_calls", "struct sfront_listener_ops",
                     "struct sfront_ini", "struct sfront_argp", "enum sfront_argp_shape", "struct sfront_connection",
                     "struct sfront_credentials", "struct sfront_error"}


# What is around the examples of a page, %s where each of them stands; what the program then says.
INCLUDES = """
#include <argp.h>
#include <err.h>
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <ini.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>
#include <sockfront/argp.h>
#include <sockfront/event.h>
#include <sockfront/getopt.h>
#include <sockfront/inih.h>
#include <sockfront/listener.h>
#include <sockfront/memory.h>
#include <sockfront/proxy_protocol.h>
"""

PROGRAMS = {
    "sockfront_memory.3": ("""
static void serve_one(struct sfront_listener *listener)
{
    struct sfront_connection connection;
    char text[5] = "";

    sfront_listener_accept(listener, &connection);
    while (read(connection.read_fd, text, 4) < 0)
        ;
    puts(text);
    sfront_connection_close(&connection);
}

int main(void)
{
    %s
    close(client);
    sfront_listener_close(listener);
}
""", [], "ping\n"),
    "sockfront_connection.3": ("""
static void greet(struct sfront_connection connection)
{
    %s
    puts("welcome");
    sfront_connection_close(&connection);
}

int main(void)
{
    struct sfront_connection connection;
    struct sfront_listener *listener;
    int client;

    sfront_memory_listener_new(&listener, NULL);
    client = sfront_memory_connect(listener);
    sfront_listener_accept(listener, &connection);
    greet(connection);
    close(client);
    sfront_listener_close(listener);
}
""", [], "welcome\n"),
    "sockfront_event.3": ("""
%s
int main(void)
{
    struct event_base *base = event_base_new();
    struct sfront_listener *listener;
    char text[32] = "";
    int client;

    sfront_memory_listener_new(&listener, NULL);
    client = sfront_memory_connect(listener);
    start(base, listener);
    event_base_loop(base, EVLOOP_ONCE);
    if (read(client, text, sizeof(text) - 1) > 0)
        fputs(text, stdout);
    _exit(fflush(stdout));
}
""", [], "hello from me\n"),
    "sockfront_argp.3": ("""
int main(int argc, char **argv)
{
    struct sfront_options *options = sfront_options_new();
    struct sfront_address addresses[8];
    char text[SFRONT_ADDRESS_TEXT_SIZE];

    %s
    error_t parse(int key, char *arg, struct argp_state *state)
    {
        if (key != ARGP_KEY_INIT)
            return ARGP_ERR_UNKNOWN;
        %s
        return 0;
    }
    const struct argp argp = { .parser = parse, .children = children };

    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    for (size_t i = 0; i < listen.n_addresses; i++) {
        sfront_address_format(&addresses[i], text, sizeof(text));
        puts(text);
    }
    sfront_options_free(options);
}
""", ["-l", ":80", "--listen-address=@app", "--tcp-listen-backlog=7"], "*:80\n@app\n"),
    "sockfront_getopt.3": ("""
static void usage(void)
{
    exit(2);
}

int main(int argc, char **argv)
{
    struct sfront_options *options = sfront_options_new();
    struct sfront_error err;
    bool verbose = false;
    int value, r;

    %s
    printf("%%d %%d\\n", verbose, sfront_options_is_set(options, "tcp-listen-backlog"));
    sfront_options_free(options);
}
""", ["-v", "--tcp-listen-backlog=7"], "1 1\n"),
    "sockfront_inih.3": ("""
static const char text[] = "%s";

int main(void)
{
    struct sfront_options *options = sfront_options_new();
    struct sfront_address addresses[8];
    FILE *file = fopen("server.ini", "w");
    int line;

    fputs(text, file);
    fclose(file);
    %s
    printf("%%zu %%d\\n", ini.n_addresses, sfront_options_is_set(options, "unix-listen-chmod"));
    sfront_options_free(options);
}
""", [], "2 1\n"),
    "sockfront_proxy_protocol.3": ("""
static size_t n_tlvs;

static void handle(unsigned int type, const void *value, size_t size)
{
    n_tlvs += value && type == 5 && size == 3;
}

static void send_all(int fd, const void *buf, ssize_t size)
{
    struct sfront_proxy_header header;

    if (fd == 1 && sfront_proxy_parse(buf, (size_t)size, &header, NULL, NULL) > 0)
        printf("%%zu %%zd\\n", n_tlvs, size);
}

static void forward(int fd, struct sfront_proxy_header header, struct sfront_connection connection,
                    struct sfront_sockaddr own)
{
    %s
}

static void count(struct sfront_proxy_header header)
{
    %s
}

int main(void)
{
    static const unsigned char bytes[] = "\\r\\n\\r\\n\\0\\r\\nQUIT\\n\\x21\\x11\\0\\x12"
                                         "\\1\\2\\3\\4\\5\\6\\7\\x8\\0\\x50\\0\\x51\\5\\0\\3abc";
    struct sfront_proxy_header header;
    struct sfront_connection connection = { .is_proxied = true };
    struct sfront_sockaddr own = { 0 };

    if (sfront_proxy_parse(bytes, sizeof(bytes) - 1, &header, NULL, NULL) < 0)
        return 1;
    connection.peer = header.source;
    count(header);
    forward(1, header, connection, own);
}
""", [], "1 34\n"),
}


def examples(page):
    """Blocks that are no declaration."""
    return [block for block in shown(page) if not re.search(DECLARATION, block, re.MULTILINE | re.DOTALL)]


def test_each_page_with_an_example_is_run():
    with_one = {page.name for page in PAGES if examples(page)}
    assert with_one == {*PROGRAMS, "sockfront.3"}  # that one in test_installed_library.py


@pytest.mark.parametrize("name", PROGRAMS)
def test_example(tmp_path, name):
    template, arguments, says = PROGRAMS[name]
    (page,) = [page for page in PAGES if page.name == name]
    blocks = examples(page)
    if name == "sockfront_inih.3":
        blocks[0] = blocks[0].replace("\n", "\\n")
    if name == "sockfront_proxy_protocol.3":
        blocks.reverse()
    (tmp_path / "example.c").write_text(INCLUDES + template % tuple(blocks))
    # A function within another one is called by way of the stack, which has to be the real one.
    flags = ["-fsanitize=address,undefined", "--param=asan-use-after-return=0"] if SANITIZE == "address" else []
    done = subprocess.run(
        ["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wno-unused-result", "-Werror", *flags, "-I", TOP / "lib/include",
         "-o", tmp_path / "example", tmp_path / "example.c", BUILD / "libsockfront-event.a", BUILD / "libsockfront.a",
         "-levent_extra", "-levent_core", "-linih", "-lsystemd", "-pthread"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([tmp_path / "example", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, says), done.stderr
