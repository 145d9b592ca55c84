# SPDX-License-Identifier: MIT
"""/metrics and /status.json: what happened, to the connection and to the byte, whatever the process went through."""

import json
import os
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest

from support.backend import Reserved, echo, servers
from support.configuration import section
from support.metrics import overview, parse, scrape, value, wait_value
from support.proc import free_address, free_port, wait_until
from support.stage import address_of, need
from support.status import status_section, with_status
from support.streams import both_ways, read_exactly, reset

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.abspath(os.path.join(HERE, "../../.."))


def converse(stage, address, data=b"hello"):
    """A whole connection with an echo."""
    client = stage.connect(address)
    client.sendall(data)
    assert read_exactly(client, len(data)) == data
    stage.sockets.remove(client)
    client.close()


def served(stage, *options, backend=None, **more):
    backend = backend or stage.backend(echo)
    proxy, (status,) = with_status(stage, section(backend, "127.0.0.1:0", options="\n".join(options)),
                                   "127.0.0.1:0", **more)
    return proxy, backend, proxy.listening[0], status


# ---- the formats ----


@pytest.mark.parametrize("open_metrics", [False, True])
def test_promtool_has_nothing_to_say(stage, open_metrics):
    """It lints the text format; of OpenMetrics it is Prometheus itself that reads it, below."""
    proxy, _, front, status = served(stage)
    converse(stage, front)
    text = scrape(stage, status, open_metrics)
    if open_metrics:
        assert text.endswith("# EOF\n") and text.count("# EOF") == 1
        assert "# TYPE sockfront_proxy_accepted counter" in text
        text = text.replace("# EOF\n", "")
        assert parse(text).keys() == parse(scrape(stage, status)).keys()
        return
    done = subprocess.run([need("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_rules_and_dashboard_name_metrics_that_there_are(stage):
    _, _, front, status = served(stage)
    converse(stage, front)
    names = {name for name, _ in parse(scrape(stage, status))}
    directory = os.path.join(REPOSITORY, "systemd/examples/prometheus")
    rules = os.path.join(directory, "sockfront.rules.yml")
    done = subprocess.run([need("promtool"), "check", "rules", rules], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("sockfront.rules.yml", "sockfront-dashboard.json"):
        with open(os.path.join(directory, name)) as file:
            used = set(re.findall(r"\b(?:sockfront|process)_[a-z_]+", file.read()))
        used -= {"sockfront_dashboard"}
        assert used and used <= names, used - names


def test_the_manual_names_each(stage):
    _, _, front, status = served(stage)
    text = scrape(stage, status)
    told = re.findall(r"^# TYPE (\S+)", text, re.M)
    with open(os.path.join(REPOSITORY, "conf/sockfront.conf.5")) as file:
        manual = file.read()
    words = " ".join(manual.split())
    listed = re.findall(r"^\.It Li ((?:sockfront|process)_\w+)$", manual, re.M)
    assert listed == told
    for line in re.findall(r"^# HELP \S+ (.*)", text, re.M):
        assert line in words, line


# ---- what is counted ----


def test_connections_and_bytes(stage):
    proxy, backend, front, status = served(stage)
    for number in range(20):
        converse(stage, front, b"x" * (1000 + number))
    total = sum(1000 + number for number in range(20))
    wait_value(stage, status, 20, "sockfront_proxy_ended_total", proxy="a", reason="closed")
    samples = parse(scrape(stage, status))

    def of(name, **labels):
        return samples[name, frozenset({"proxy": "a", **labels}.items())]

    assert of("sockfront_proxy_accepted_total") == 20
    assert of("sockfront_listener_accepted_total", listener=front) == 20
    assert of("sockfront_server_connected_total", server=backend.address) == 20
    for direction in ("up", "down"):
        assert of("sockfront_proxy_bytes_total", direction=direction) == total
        assert of("sockfront_server_bytes_total", server=backend.address, direction=direction) == total
    assert of("sockfront_proxy_connections") == 0
    assert of("sockfront_proxy_duration_seconds_count") == 20
    assert of("sockfront_proxy_duration_seconds_bucket", le="+Inf") == 20
    assert of("sockfront_server_connect_seconds_count", server=backend.address) == 20
    assert 0 < of("sockfront_proxy_duration_seconds_sum") < 100
    data = overview(stage, status)
    assert data["connections"]["accepted"] == 20 and data["connections"]["open"] == 0
    (web,) = data["proxies"]
    assert web["bytes"] == {"up": total, "down": total} and web["ended"] == 20


def test_open_connections_count_while_they_are_open(stage):
    """In bulk, by splice, as well."""
    proxy, backend, front, status = served(stage, backend=stage.backend())
    client, connection = stage.live_pair(backend, front)
    before = {"up": 1, "down": 0}
    both_ways(client, connection, 3_000_000)
    for direction, bytes_before in before.items():
        wait_value(stage, status, bytes_before + 3_000_000, "sockfront_proxy_bytes_total", proxy="a",
                   direction=direction)
    assert value(stage, status, "sockfront_proxy_connections", proxy="a") == 1
    assert value(stage, status, "sockfront_connections") == 1
    assert overview(stage, status)["proxies"][0]["open"] == 1


@pytest.mark.parametrize("workers", [1, 4])
def test_every_worker_counts(stage, workers):
    file = stage.file("a.conf", f"[sockfront]\nworkers = {workers}\n"
                      + section(stage.backend(echo), "127.0.0.1:0") + status_section("127.0.0.1:0"))
    proxy = stage.proxy("-c", file)
    (line,) = proxy.wait_log("status on ")
    status = line.split("status on ")[1]
    clients = [stage.connect(proxy.listening[0]) for _ in range(40)]
    for client in clients:
        client.sendall(b"12345")
    for client in clients:
        assert read_exactly(client, 5) == b"12345"
    wait_value(stage, status, 200, "sockfront_proxy_bytes_total", proxy="a", direction="down")
    assert value(stage, status, "sockfront_workers") == workers
    assert value(stage, status, "sockfront_proxy_connections", proxy="a") == 40


def test_how_connections_end(stage):
    backend = stage.backend()
    proxy, _, front, status = served(stage, "idle-timeout = 300ms", backend=backend)
    stage.live_pair(backend, front)
    wait_value(stage, status, 1, "sockfront_proxy_ended_total", proxy="a", reason="idle-timeout")
    client, connection = stage.live_pair(backend, front)
    reset(client)
    wait_value(stage, status, 1, "sockfront_proxy_ended_total", proxy="a", reason="client-failed")
    client, connection = stage.live_pair(backend, front)
    reset(connection)
    wait_value(stage, status, 1, "sockfront_proxy_ended_total", proxy="a", reason="backend-failed")


def test_who_is_refused(stage):
    backend = stage.backend(echo)
    denied = section(backend, "127.0.0.1:0", name="denied", options="deny = loopback")
    limited = section(backend, stage.path("limited"), name="limited", options="max-connections-per-source = 1")
    headers = section(backend, stage.path("headers"), name="headers",
                      options="accept-proxy-protocol = unix\nproxy-protocol-timeout = 200ms")
    proxy, (status,) = with_status(stage, denied + limited + headers, "127.0.0.1:0", sockets=3)
    front = next(address for address in proxy.listening if address.startswith("127"))
    stage.visit(front)
    wait_value(stage, status, 1, "sockfront_proxy_refused_total", proxy="denied", reason="access")
    first = stage.connect(stage.path("limited"))
    first.sendall(b"x")
    read_exactly(first, 1)
    stage.visit(stage.path("limited"))
    wait_value(stage, status, 1, "sockfront_proxy_refused_total", proxy="limited",
               reason="max-connections-per-source")
    stage.visit(stage.path("headers"))
    wait_value(stage, status, 1, "sockfront_proxy_refused_total", proxy="headers", reason="proxy-protocol")
    samples = parse(scrape(stage, status))
    for name, accepted in [("denied", 1), ("limited", 2), ("headers", 1)]:
        assert samples["sockfront_proxy_accepted_total", frozenset({("proxy", name)})] == accepted
        assert samples["sockfront_proxy_connections", frozenset({("proxy", name)})] == (name == "limited")


def test_servers_that_fail(stage):
    (good,) = servers(stage, 1)
    dead = Reserved(stage)
    text = f"[proxy a]\nlisten = 127.0.0.1:0\nbackend = {dead.address}\nbackend = {good.address}\nbalance = first\n"
    proxy, (status,) = with_status(stage, text, "127.0.0.1:0")
    for _ in range(5):
        client = stage.connect(proxy.listening[0])
        assert read_exactly(client, 1) == b"a"
    wait_value(stage, status, 0, "sockfront_server_up", proxy="a", server=dead.address)
    assert value(stage, status, "sockfront_server_up", proxy="a", server=good.address) == 1
    failed = value(stage, status, "sockfront_server_connect_failures_total", proxy="a", server=dead.address,
                   reason="refused")
    assert failed >= 3
    assert value(stage, status, "sockfront_proxy_connect_retries_total", proxy="a") >= 3
    states = {server["address"]: server["state"] for server in overview(stage, status)["proxies"][0]["servers"]}
    assert states == {dead.address: "down", good.address: "up"}


def test_clients_that_are_held(stage):
    dead = Reserved(stage)
    proxy, (status,) = with_status(stage, section(dead, "127.0.0.1:0", options="connect-timeout = 1s"), "127.0.0.1:0")
    stage.connect(proxy.listening[0])
    wait_value(stage, status, 1, "sockfront_proxy_connections_held", proxy="a")
    assert value(stage, status, "sockfront_connections_held") == 1
    wait_value(stage, status, 0, "sockfront_proxy_connections_held", proxy="a")
    assert value(stage, status, "sockfront_proxy_ended_total", proxy="a", reason="no-backend") == 1


def test_a_thousand_proxies(stage):
    """In pieces, and whole."""
    backend = stage.backend(echo)
    text = "".join(section(backend, stage.path(f"s{number}"), name=f"proxy-{number}") for number in range(1000))
    proxy, (status,) = with_status(stage, text, "127.0.0.1:0", sockets=1000)
    converse(stage, stage.path("s777"))
    wait_value(stage, status, 1, "sockfront_proxy_ended_total", proxy="proxy-777", reason="closed")
    samples = parse(scrape(stage, status))
    accepted = {dict(labels)["proxy"]: count for (name, labels), count in samples.items()
                if name == "sockfront_proxy_accepted_total"}
    assert len(accepted) == 1000 and sum(accepted.values()) == accepted["proxy-777"] == 1
    names = [one["name"] for one in overview(stage, status)["proxies"]]
    assert names == [f"proxy-{number}" for number in range(1000)]


def test_sockets_of_one_name_are_told_of_once(stage):
    """Two queues of one port; each counts, and a reload does not lose them."""
    backend = stage.backend(echo)
    first, second = socket.socket(), socket.socket()
    for sock in (first, second):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    first.bind(("127.0.0.1", 0))
    second.bind(first.getsockname())
    for sock in (first, second):
        sock.listen(16)
        stage.listeners.append(sock)
    file = stage.file("sockfront.conf", section(backend, "sd-listen:*") + status_section(stage.path("status")))
    proxy = stage.handed([first, second], "-c", file, listening=2)
    front, status = address_of(first), stage.path("status")
    for accepted in (20, 40):
        for _ in range(20):
            converse(stage, front)
        wait_value(stage, status, accepted, "sockfront_listener_accepted_total", proxy="a", listener=front)
        listeners = overview(stage, status)["proxies"][0]["listeners"]
        assert [one["address"] for one in listeners] == [front]
        assert "reloaded" in proxy.reload()


def test_names_are_escaped(stage):
    """A path may hold anything but a NUL."""
    path = stage.path('a"b\\c=d')
    backend = stage.backend(echo)
    proxy, (status,) = with_status(stage, section(backend, path), "127.0.0.1:0", sockets=1)
    converse(stage, path)
    listeners = {dict(labels)["listener"] for (name, labels) in parse(scrape(stage, status))
                 if name == "sockfront_listener_accepted_total"}
    assert listeners == {path}
    assert overview(stage, status)["proxies"][0]["listeners"][0]["address"] == path


# ---- over a reload and an upgrade ----


def test_a_reload_counts_on(stage):
    backend = stage.backend(echo)
    proxy, (status,) = with_status(stage, section(backend, stage.path("front")), "127.0.0.1:0")
    proxy.before = None
    kept = stage.connect(stage.path("front"))
    kept.sendall(b"one")
    assert read_exactly(kept, 3) == b"one"
    text = section(backend, stage.path("front")) + section(backend, stage.path("more"), name="b")
    stage.file("sockfront.conf", text + status_section("127.0.0.1:0"))
    assert "reloaded" in proxy.reload()
    kept.sendall(b"two")
    assert read_exactly(kept, 3) == b"two"
    converse(stage, stage.path("front"))
    converse(stage, stage.path("more"))
    wait_value(stage, status, 11, "sockfront_proxy_bytes_total", proxy="a", direction="up")
    assert value(stage, status, "sockfront_proxy_accepted_total", proxy="a") == 2
    assert value(stage, status, "sockfront_proxy_accepted_total", proxy="b") == 1
    assert value(stage, status, "sockfront_reloads_total", result="success") == 1
    stage.file("sockfront.conf", "nonsense")
    assert "failed" in proxy.reload()
    wait_value(stage, status, 1, "sockfront_reloads_total", result="failure")


def test_a_status_that_a_reload_adds(stage):
    """Connections that were there before are not counted; nothing becomes less than nothing."""
    backend = stage.backend(echo)
    text = section(backend, stage.path("front"))
    proxy = stage.proxy("-c", stage.file("sockfront.conf", text))
    proxy.before = None
    old = stage.connect(stage.path("front"))
    old.sendall(b"x")
    read_exactly(old, 1)
    stage.file("sockfront.conf", text + status_section(stage.path("status")))
    proxy.reload()
    old.sendall(b"x")
    read_exactly(old, 1)
    old.close()
    converse(stage, stage.path("front"))
    status = stage.path("status")
    wait_value(stage, status, 1, "sockfront_proxy_accepted_total", proxy="a")
    wait_value(stage, status, 0, "sockfront_proxy_connections", proxy="a")
    assert value(stage, status, "sockfront_proxy_bytes_total", proxy="a", direction="up") == 5


def upgrade(proxy):
    proxy.followed(proxy.after_signal(signal.SIGUSR2, "takes over"))


def test_upgrades_count_on(stage):
    """Three in a row, while each process before still relays: what any of them does is told by the last."""
    backend = stage.backend(echo)
    proxy, (status,) = with_status(stage, section(backend, stage.path("front")), stage.path("status"))
    clients, said = [], 0
    for number in range(3):
        client = stage.connect(stage.path("front"))
        client.sendall(b"first")
        assert read_exactly(client, 5) == b"first"
        clients.append(client)
        said += 5
        upgrade(proxy)
        wait_until(lambda n=number: value(stage, status, "sockfront_draining_processes") == n + 1,
                   "the old process drains")
        assert value(stage, status, "sockfront_upgrades_total", result="success") == number + 1
        for other in clients:
            other.sendall(b"more")
            assert read_exactly(other, 4) == b"more"
            said += 4
        wait_value(stage, status, said, "sockfront_proxy_bytes_total", proxy="a", direction="up")
        assert value(stage, status, "sockfront_proxy_connections", proxy="a") == number + 1
        assert value(stage, status, "sockfront_proxy_accepted_total", proxy="a") == number + 1
    for left, client in zip((2, 1, 0), clients):
        client.close()
        wait_value(stage, status, left, "sockfront_draining_processes")
        wait_value(stage, status, left, "sockfront_proxy_connections", proxy="a")
    assert value(stage, status, "sockfront_proxy_ended_total", proxy="a", reason="closed") == 3
    assert value(stage, status, "sockfront_proxy_bytes_total", proxy="a", direction="up") == said


def test_an_old_process_that_is_killed(stage):
    """What it had counted stays, and what it had open is open no more."""
    backend = stage.backend(echo)
    proxy, (status,) = with_status(stage, section(backend, stage.path("front")), stage.path("status"))
    client = stage.connect(stage.path("front"))
    client.sendall(b"hello")
    read_exactly(client, 5)
    old = proxy.pid
    upgrade(proxy)
    wait_value(stage, status, 1, "sockfront_proxy_connections", proxy="a")
    os.kill(old, signal.SIGKILL)
    wait_value(stage, status, 0, "sockfront_draining_processes")
    wait_value(stage, status, 0, "sockfront_proxy_connections", proxy="a")
    assert value(stage, status, "sockfront_proxy_bytes_total", proxy="a", direction="up") == 5
    (killed,) = proxy.replaced
    assert killed.wait() == -signal.SIGKILL
    proxy.replaced.clear()


# ---- with a real one ----


class Prometheus:
    """Debian's own, which scrapes each address once a second."""

    def __init__(self, stage, *targets):
        self.stage = stage
        directory = stage.path("prometheus")
        os.mkdir(directory)
        config = stage.file("prometheus.yml", "global: {scrape_interval: 1s}\nscrape_configs:\n" + "".join(
            f"  - job_name: job{number}\n    static_configs: [{{targets: ['{target}']}}]\n"
            for number, target in enumerate(targets)))
        self.port = free_port()
        self.process = subprocess.Popen(
            [need("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={directory}",
             f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=error"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def query(self, text):
        """The value, or None."""
        url = f"http://127.0.0.1:{self.port}/api/v1/query?" + urllib.parse.urlencode({"query": text})
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                found = json.load(answer)["data"]["result"]
        except (urllib.error.URLError, ConnectionError):
            return None
        return float(found[0]["value"][1]) if found else None

    def wait(self, text, wanted):
        wait_until(lambda: self.query(text) == wanted, f"{text} is {wanted}, not {self.query(text)}", 60, 0.5)

    def stop(self):
        self.process.kill()
        self.process.wait()


class PlainText:
    """Asks the status address in the text format, whatever Prometheus would rather have."""

    def __init__(self, stage, status):
        def handler(connection):
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(4096)
            body = scrape(stage, status).encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n"
                               + b"Content-Length: %d\r\n\r\n" % len(body) + body)

        self.address = stage.backend(handler).address


@pytest.mark.parametrize("text_format", [False, True])
def test_prometheus_knows_what_happened(stage, text_format):
    """To the connection and to the byte, over a reload and an upgrade, in both formats."""
    backend = stage.backend(echo)
    front = stage.path("front")
    proxy, (status,) = with_status(stage, section(backend, front), free_address())
    proxy.before = None
    target = PlainText(stage, status).address if text_format else status
    prometheus = Prometheus(stage, target)
    try:
        prometheus.wait('up{job="job0"}', 1)
        for _ in range(30):
            converse(stage, front, b"x" * 100)
        prometheus.wait('sockfront_proxy_ended_total{reason="closed"}', 30)
        kept = stage.connect(front)
        kept.sendall(b"y" * 7)
        read_exactly(kept, 7)
        stage.file("sockfront.conf", section(backend, front) + section(backend, stage.path("b"), name="b")
                   + status_section(status))
        assert "reloaded" in proxy.reload()
        upgrade(proxy)
        for _ in range(30):
            converse(stage, front, b"x" * 100)
        kept.sendall(b"y" * 7)
        read_exactly(kept, 7)
        prometheus.wait('sockfront_proxy_accepted_total{proxy="a"}', 61)
        prometheus.wait('sockfront_proxy_bytes_total{proxy="a",direction="down"}', 6014)
        assert prometheus.query('resets(sockfront_proxy_bytes_total{proxy="a",direction="down"}[5m])') == 0
        assert prometheus.query('sockfront_proxy_connections{proxy="a"}') == 1
        prometheus.wait('sum(sockfront_upgrades_total)', 1)
        assert prometheus.query('count(sockfront_build_info)') == 1
    finally:
        prometheus.stop()
