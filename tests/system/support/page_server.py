# SPDX-License-Identifier: MIT
"""
Stands in for the status server: the built page under its own policy, and events that follow the
schema, about a world of which the test says what happens in it.

    python3 tests/system/support/page_server.py [demo|hostile|many] [PORT]

serves such a world to look at.
"""

import copy
import http.server
import itertools
import json
import random
import re
import subprocess
import sys
import threading
import time
import urllib.parse
from html import escape
from pathlib import Path

STATUS = Path(__file__).resolve().parents[3] / "daemon/status"
ZERO = {"up": 0, "down": 0}
HOSTILE = ["<script>hacked = 1</script>", "<img src=x onerror='hacked = 1'>", "\" onmouseover=\"hacked = 1\" x=\"",
           "</script><script>hacked = 1</script>", "javascript:hacked=1", "&lt;b&gt;", "\u202e\u0007\u0000\ufffd",
           "__proto__", "constructor", "{{7*7}}${7*7}", "long" * 90]


def built():
    """(what is before the marker, what is after it, the policy), as embed.sh makes them."""
    source = subprocess.run(["sh", STATUS / "embed.sh", STATUS / "page.html"], check=True,
                            capture_output=True, text=True).stdout

    def array(name):
        digits = re.search(name + r"\[\] = \{(.*?)\}", source, re.DOTALL)[1]
        return bytes(int(byte, 16) for byte in re.findall(r"0x(..)", digits))

    policy = re.search(r"page_policy\[\] = (.*?);\n", source, re.DOTALL)[1]
    return array("page_before"), array("page_after"), "".join(re.findall(r'"(.*?)"', policy))


def server(address, state="up", **more):
    return {"address": address, "state": state, "backup": False, "weight": 1, "open": 0, "max": None,
            "connected": 0, "failures": 0, "bytes": dict(ZERO), **more}


def proxy(name, listeners, servers, **more):
    return {"name": name, "listeners": [{"address": one, "accepted": 0} for one in listeners], "open": 0,
            "held": 0, "accepted": 0, "refused": 0, "ended": 0, "failed": 0, "bytes": dict(ZERO),
            "servers": servers, "unit": None, **more}


class World:
    """What the page is shown.  Whoever changes it has the lock."""

    def __init__(self, proxies, seed=1):
        self.lock = threading.RLock()
        self.random = random.Random(seed)
        self.proxies = proxies
        self.connections, self.ended = [], []
        self.state, self.reason = "running", None
        self.began = time.time()
        self.numbers = itertools.count(1)
        self.asked = []  # the queries of /events

    # ---- what happens ----

    def connect(self, front, back=None, client=None, rate=(0, 0), age=0.0):
        """A connection of that proxy to that server, and its bytes a second."""
        with self.lock:
            number = next(self.numbers)
            way = front["listeners"][number % len(front["listeners"])]
            client = client or f"192.0.2.{number % 250 + 1}:{1024 + number * 7 % 60000}"
            one = {"id": f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}", "client": client,
                   "proxy": front["name"], "listener": way["address"],
                   "server": back and back["address"], "up": 0, "down": 0, "rate_up": 0.0, "rate_down": 0.0,
                   "state": "relaying" if back else "connecting"}
            one.update(began=time.time() - age, rate=rate, ways=(front, back))
            for counted in (front, back):
                if counted:
                    counted["open"] += 1
            front["accepted"] += 1
            way["accepted"] += 1
            if back:
                back["connected"] += 1
            self.connections.append(one)
            return one

    def end(self, one, reason="closed"):
        with self.lock:
            self.connections.remove(one)
            front, back = one["ways"]
            for counted in (front, back):
                if counted:
                    counted["open"] -= 1
            front["ended"] += 1
            row = {key: one[key] for key in ("id", "client", "proxy", "listener", "server", "up", "down")}
            self.ended.append({**row, "duration": time.time() - one["began"], "reason": reason, "at": time.time()})

    def pass_time(self, seconds):
        """Bytes move."""
        with self.lock:
            for one in self.connections:
                for way, rate in zip(("up", "down"), one["rate"]):
                    moved = int(rate * seconds * self.random.uniform(.8, 1.2))
                    one[way] += moved
                    one["rate_" + way] = moved / seconds
                    for counted in one["ways"]:
                        if counted:
                            counted["bytes"][way] += moved

    # ---- what is said of it ----

    def status(self):
        return {"schema": 1, "version": "0.1.0", "pid": 123, "now": time.time(), "started": self.began - 8000,
                "state": self.state, "healthy": self.reason is None, "reason": self.reason,
                "connections": {"open": sum(one["open"] for one in self.proxies),
                                "held": sum(one["held"] for one in self.proxies), "max": 9471,
                                "accepted": sum(one["accepted"] for one in self.proxies)},
                "proxies": copy.deepcopy(self.proxies)}

    def rows(self, query):
        key = query.get("sort", "age")
        first, n = int(query.get("first", 0)), min(200, int(query.get("rows", 50)))
        now = time.time()
        by = {"age": lambda one: now - one["began"], "rate": lambda one: one["rate_up"] + one["rate_down"],
              "server": lambda one: one["server"] or ""}.get(key, lambda one: one[key])
        inverse = query.get("order", "desc") == "desc"
        chosen = sorted(self.connections, key=by, reverse=inverse)[first:first + n]
        hidden = ("began", "rate", "ways")
        return {"now": now, "total": len(self.connections), "first": first,
                "rows": [{**{key: value for key, value in one.items() if key not in hidden},
                          "age": now - one["began"]} for one in chosen]}


class PageServer(http.server.ThreadingHTTPServer):
    """Serves a world; every so many seconds an event of each kind."""

    daemon_threads = True

    def __init__(self, world, port=0, interval=.25):
        super().__init__(("127.0.0.1", port), Handler)
        self.world, self.interval = world, interval
        self.before, self.after, self.policy = built()
        self.paths = []       # that were asked for
        self.streams = set()  # that are open
        self.refuses = False  # events
        self.address = "127.0.0.1:%d" % self.server_address[1]
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    def end(self):
        self.end_streams()
        self.shutdown()
        self.server_close()

    def end_streams(self):
        """As if the proxy had gone."""
        for stream in list(self.streams):
            stream.ends = True

    def handle_error(self, request, address):
        """A browser that leaves is none."""


class Handler(http.server.BaseHTTPRequestHandler):
    ends = False

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.paths.append(self.path)
        path, _, query = self.path.partition("?")
        if path == "/":
            self.send_page()
        elif path == "/events" and not self.server.refuses:
            self.send_events(dict(urllib.parse.parse_qsl(query)))
        else:
            self.send_error(503 if path == "/events" else 404)

    def begin(self, kind, **headers):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def send_page(self):
        self.begin("text/html; charset=utf-8", Content_Security_Policy=self.server.policy)
        rows = "".join(f"<tr><th scope=row>{escape(one['name'])}</th><td>{one['open']}</td></tr>"
                       for one in self.server.world.proxies)
        self.wfile.write(self.server.before + f"<table>{rows}</table>\n".encode() + self.server.after)

    def send_event(self, name, data):
        self.wfile.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())

    def send_events(self, query):
        world = self.server.world
        world.asked.append(query)
        self.begin("text/event-stream")
        self.server.streams.add(self)
        last, told, before = time.time(), len(world.ended), {}
        try:
            while not self.ends:
                with world.lock:
                    world.pass_time(max(.001, time.time() - last))
                    last = time.time()
                    status = partial(world.status(), before)
                    rows, ended = world.rows(query), world.ended[told:][-100:]
                    told = len(world.ended)
                self.send_event("status", status)
                self.send_event("connections", rows)
                if ended:
                    self.send_event("ended", {"rows": ended})
                time.sleep(self.server.interval)
        except OSError:
            pass  # the page is closed
        finally:
            self.server.streams.discard(self)


def partial(status, before):
    """All proxies at first, then those that have changed, where there are many."""
    changed = [one for one in status["proxies"] if before.get(one["name"]) != one]
    is_first = not before
    before.update((one["name"], one) for one in status["proxies"])
    if is_first or len(before) < 100:
        return status
    return {**status, "partial": True, "proxies": changed}


# ---- worlds ----


def demo():
    """A machine as one may have it: some of everything."""
    world = World([
        proxy("web", ["[::]:8443", "/run/sockfront/web.sock"],
              [server("10.0.0.11:8080", weight=2), server("10.0.0.12:8080"),
               server("10.0.0.13:8080", "down", failures=3), server("/run/standby.sock", backup=True)]),
        proxy("postgres", ["127.0.0.1:5432"],
              [server("10.0.1.5:5432", max=100), server("10.0.1.6:5432", "suspect", max=100)], held=2),
        proxy("wiki", ["sd-listen:wiki", "@wiki"], [server("127.0.0.1:8090")],
              unit={"name": "wiki.service", "state": "starting"}, held=1),
        proxy("mail", ["127.0.0.1:2525"], [server("mail.internal:25")]),
        proxy("vm-ssh", ["vsock:any:22"], [server("vsock-mux:/run/firecracker/web.vsock:22", "unknown")]),
    ])
    web, postgres, _, mail, _ = world.proxies
    pick = world.random
    for number in range(64):
        fast = pick.choice([(800, 4e4), (3e3, 9e5), (120, 900), (0, 0), (2e5, 4e3), (5e4, 6e6)])
        world.connect(web, web["servers"][number % 2], rate=fast, age=pick.expovariate(1 / 400))
    for number in range(23):
        world.connect(postgres, postgres["servers"][number % 5 == 0], client=f"10.0.7.{number + 2}:{40000 + number}",
                      rate=pick.choice([(2e3, 3e4), (0, 0), (400, 1500)]), age=pick.expovariate(1 / 9000))
    world.connect(mail, mail["servers"][0], client="[2001:db8:0:17::4]:50112", rate=(90, 40), age=3)
    for front, accepted in zip(world.proxies, (184201, 9314, 77, 1204, 12)):
        front["accepted"] = front["ended"] = accepted
        for way in front["listeners"]:
            way["accepted"] = accepted // len(front["listeners"])
    web["bytes"] = {"up": 41_200_000_000, "down": 912_000_000_000}
    return world


def hostile():
    """Names that would like to be more than names."""
    proxies = [proxy(text, [text], [server(text, "down"), server(text + "2", text)],
                     unit={"name": text, "state": text}) for text in HOSTILE]
    world = World(proxies)
    for front, text in zip(proxies, HOSTILE):
        one = world.connect(front, front["servers"][0], client=text, rate=(1000, 1000))
        one.update(id=text, listener=text, state=text)
    return world


def many(proxies=1000, connections=5000):
    world = World([proxy(f"proxy-{i:04}", [f"127.0.0.1:{20000 + i}"], [server(f"10.1.{i // 250}.{i % 250}:80")])
                   for i in range(proxies)])
    for _ in range(connections):
        front = world.random.choice(world.proxies)
        rate = (10 ** world.random.uniform(0, 4), 10 ** world.random.uniform(0, 6))
        world.connect(front, front["servers"][0], rate=rate, age=world.random.expovariate(1 / 600))
    return world


def go_on(world):
    """Connections come and go, one every so often."""
    reasons = ["closed"] * 8 + ["idle timeout", "client reset", "backend reset"]
    while True:
        time.sleep(world.random.expovariate(4))
        with world.lock:
            one = world.random.choice(world.connections)
            world.end(one, world.random.choice(reasons))
            front, back = one["ways"]
            world.connect(front, back, rate=one["rate"])


if __name__ == "__main__":
    shown = {"demo": demo, "hostile": hostile, "many": many}[sys.argv[1] if len(sys.argv) > 1 else "demo"]()
    serving = PageServer(shown, int(sys.argv[2]) if len(sys.argv) > 2 else 8000, interval=1)
    print(f"http://{serving.address}/", flush=True)
    go_on(shown)
