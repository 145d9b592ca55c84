# SPDX-License-Identifier: MIT
"""A backend's name may stand for several addresses; whichever answers is used."""

import subprocess
import time

import pytest

from support.backend import Deaf, Reserved
from support.modes import need_ipv6
from support.proxy import HANDOVER
from support.streams import exchange

HOSTS = "127.0.0.1 localhost\n::1 localhost\n127.0.0.1 both.test\n::1 both.test\n"


@pytest.fixture
def names(stage):
    """Options that show the proxy a machine with these names and no other source of them."""
    hosts = stage.file("hosts", HOSTS)
    switch = stage.file("nsswitch.conf", "hosts: files\nservices: files\npasswd: files\ngroup: files\n")
    options = ["--bind-over", f"{hosts}:/etc/hosts", "--bind-over", f"{switch}:/etc/nsswitch.conf"]
    if subprocess.run([*HANDOVER, *options, "/bin/true"], capture_output=True).returncode:
        pytest.skip("no mount namespace may be made here (not root?)")
    return options


@pytest.mark.parametrize("name", ["both.test", "localhost"])
@pytest.mark.parametrize("answering, refusing", [("127.0.0.1", "::1"), ("::1", "127.0.0.1")])
def test_only_one_answers(stage, names, answering, refusing, name):
    need_ipv6()
    port = Reserved(stage, refusing).port
    backend = stage.backend(host=answering, port=port)
    proxy = stage.proxy(
        "--connect-retry=no", "127.0.0.1:0", f"{name}:{port}", handover=names, sockets=1
    )
    for turn in range(3):
        client = stage.connect(proxy.listening[0])
        exchange(client, backend.accept(5), seed=turn, size=1000)
        client.close()


def test_name_that_does_not_exist(stage, names):
    """The proxy runs; its clients are told by an abort, and the log names the host."""
    proxy = stage.proxy("--connect-timeout=2s", "127.0.0.1:0", "nobody.test:80", handover=names)
    assert stage.visit(proxy.listening[0], 15) == (b"", "reset")
    proxy.wait_log("nobody.test")
    proxy.assert_rests(1.0)


def test_service_name(stage, names):
    """A port of a backend may be a service's name."""
    proxy = stage.proxy("--connect-timeout=1s", "127.0.0.1:0", "127.0.0.1:http", handover=names)
    assert "http" in proxy.log or ":80" in proxy.log


def test_listening_on_a_name_binds_each_address(stage, names):
    need_ipv6()
    backend = stage.backend()
    proxy = stage.proxy("both.test:0", backend.address, handover=names, sockets=2)
    assert sorted(address.rpartition(":")[0] for address in proxy.listening) == ["127.0.0.1", "[::1]"]
    for address in proxy.listening:
        client = stage.connect(address)
        exchange(client, backend.accept(), seed=1, size=1000)


def test_listening_on_a_name_that_does_not_exist(stage, names):
    proxy = stage.proxy("nobody.test:0", "127.0.0.1:80", handover=names, sockets=0)
    assert proxy.wait() == 1
    assert "nobody.test" in proxy.log


def test_last_good_answer_is_kept(stage, names):
    """A name that has stopped resolving still leads where it last did, long after the answer is stale."""
    backend = stage.backend()
    proxy = stage.proxy("127.0.0.1:0", f"both.test:{backend.port}", handover=names)
    exchange(stage.connect(proxy.listening[0]), backend.accept(5), seed=1, size=1000)
    stage.file("hosts", "127.0.0.1 localhost\n")
    time.sleep(11)  # an answer is fresh for ten seconds
    exchange(stage.connect(proxy.listening[0]), backend.accept(5), seed=2, size=1000)


def test_one_that_is_silent_leaves_time_for_the_next(stage, names):
    """Each gets its share of connect-timeout: here a half."""
    silent = Deaf(stage)
    port = int(silent.address.rpartition(":")[2])
    backend = stage.backend(host="127.0.0.2", port=port)
    stage.file("hosts", "127.0.0.1 localhost two.test\n127.0.0.2 two.test\n")
    options = ["--connect-timeout=12s", "--connect-retry=no"]
    proxy = stage.proxy(*options, "127.0.0.1:0", f"two.test:{port}", handover=names)
    exchange(stage.connect(proxy.listening[0]), backend.accept(9), seed=1, size=1000)


def test_answer_is_used_for_a_while(stage, names):
    """A name is not looked up for each client."""
    first = stage.backend()
    second = stage.backend(host="127.0.0.2", port=first.port)
    stage.file("hosts", "127.0.0.1 localhost moving.test\n")
    proxy = stage.proxy("127.0.0.1:0", f"moving.test:{first.port}", handover=names)
    exchange(stage.connect(proxy.listening[0]), first.accept(5), seed=1, size=1000)
    stage.file("hosts", "127.0.0.1 localhost\n127.0.0.2 moving.test\n")
    exchange(stage.connect(proxy.listening[0]), first.accept(5), seed=2, size=1000)
    time.sleep(11)  # and after ten seconds it is
    exchange(stage.connect(proxy.listening[0]), second.accept(5), seed=3, size=1000)
