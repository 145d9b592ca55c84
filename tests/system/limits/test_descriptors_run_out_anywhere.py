# SPDX-License-Identifier: MIT
"""With any limit of open files, a proxy either says what is missing and ends, or serves, one after the other."""

import os
import resource

import pytest

from support.backend import echo
from support.proc import are_traced, cpu_seconds, limit_descriptors, lowest_free, wait_until
from support.stage import need
from support.streams import KB300, is_silent, random_bytes, read_exactly, read_to_end, send_in_background

LIMITS = range(3, 44)
LEAKS_FROM = 10  # with fewer, AddressSanitizer's search for leaks at the end has none itself, and spins
CLIENTS = 6


def limited(number):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))


def sanitized(number):
    options = os.environ.get("ASAN_OPTIONS")
    return {"ASAN_OPTIONS": f"{options}:detect_leaks=0"} if options and number < LEAKS_FROM else {}


def settled(proxy):
    return proxy.listening or not proxy.alive()


def refused(proxy):
    """Too few to load the program's libraries, or an exit status of 1 and the reason."""
    status = proxy.wait()
    return status == 127 or (status == 1 and proxy.grep("open files"))


def assert_served(stage, proxy, data):
    """All at once, each with enough for pipes to be wanted."""
    clients = [stage.connect(proxy.listening[0], 60) for _ in range(CLIENTS)]
    sending = [send_in_background(client, data) for client in clients]
    for client in clients:
        assert read_to_end(client, 60) == data
        client.close()
    for each in sending:
        each.result()
    wait_until(lambda: len(proxy.grep('reason="closed"')) == CLIENTS, "a line for each of them")


@pytest.mark.parametrize("options", [[], ["--workers=3"]])
def test_every_limit(stage, options):
    backend = stage.backend(echo)
    data = random_bytes(stage.seed, KB300)
    served = 0
    for number in LIMITS:
        proxy = stage.proxy(
            "--access-log",
            *options,
            "127.0.0.1:0",
            stage.path(f"{number}.sock"),
            backend.address,
            sockets=0,
            environment=sanitized(number),
            preexec_fn=limited(number),
        )
        wait_until(lambda: settled(proxy), f"a limit of {number} is enough or not")
        if not proxy.alive():
            assert not served, f"{number} were not enough:\n{proxy.log}"
            assert refused(proxy), f"{number}:\n{proxy.log}"
            assert not os.path.exists(stage.path(f"{number}.sock"))
            continue
        served += 1
        assert_served(stage, proxy, data)
        assert cpu_seconds(proxy.pid) < 1, f"{number}:\n{proxy.log}"
        assert len(proxy.lines) < 60, proxy.log
        proxy.finish(released=False)
        proxy.ended_as_expected = True
    assert served > 5


INJECTED = [
    "accept4=ENFILE",
    "accept4=ENOBUFS",
    "accept4=ENOMEM",
    "socket=ENFILE",
    "socket=ENOBUFS",
    "pipe2=ENFILE",
    "clone3=EAGAIN",  # the resolver's thread
]


@pytest.mark.plain_only("no leak can be looked for under strace")
@pytest.mark.parametrize("injected", INJECTED)
def test_call_that_fails_for_a_while(stage, injected):
    """Whatever the whole system is out of: clients wait meanwhile, and are served afterwards."""
    call, error = injected.split("=")
    backend = stage.backend(echo)
    name = backend.address.replace("127.0.0.1", "localhost" if call == "clone3" else "127.0.0.1")
    proxy = stage.proxy("127.0.0.1:0", name)
    calls = stage.path("calls")
    strace = [need("strace"), "-f", "-qq", "-o", calls, "-e", f"trace={call}"]
    tracer = stage.helper(*strace, "-e", f"inject={call}:error={error}:when=1..4", "-p", str(proxy.pid))
    wait_until(lambda: are_traced(proxy.pid), "strace is attached")
    data = random_bytes(stage.seed, KB300)
    clients = [stage.connect(proxy.listening[0], 60) for _ in range(3)]
    sending = [send_in_background(client, data) for client in clients]
    for client in clients:
        assert read_to_end(client, 60) == data
    for each in sending:
        each.result()
    tracer.kill()
    assert os.path.getsize(calls) > 0
    assert len(proxy.lines) < 10, proxy.log


def test_resolver_without_a_descriptor(stage):
    """It would say that there is no such name, which is no reason to try again."""
    backend = stage.backend(echo)
    proxy = stage.proxy(stage.path("app.sock"), backend.address.replace("127.0.0.1", "localhost"))
    limit_descriptors(proxy.pid, lowest_free(proxy.pid) + 1)
    client = stage.connect(proxy.listening[0])
    client.sendall(b"are you there")
    assert is_silent(client, 1)
    proxy.assert_rests(0.5)
    limit_descriptors(proxy.pid, 1024)
    assert read_exactly(client, 13) == b"are you there"
