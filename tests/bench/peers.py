# SPDX-License-Identifier: MIT
"""Who is measured, and how each is told to relay from a front to the backend.

Every peer runs with one thread and with its defaults, but for limits that would
end the comparison early (connections, backlog).  Started by tests/bench/run.
"""

import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

SOCKET_PROXYD = "/usr/lib/systemd/systemd-socket-proxyd"
STREAM_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")

PIPES = 400  # for HAProxy: it counts them against its descriptors


@dataclass(frozen=True)
class Place:
    """What a peer is started with."""

    front: str  # 127.0.0.1:PORT, or a path
    backend: str  # 127.0.0.1:PORT
    directory: Path
    descriptors: int  # the limit

    @property
    def is_unix(self):
        return self.front.startswith("/")


@dataclass(frozen=True)
class Peer:
    name: str
    role: str  # "peer", "ours", or "reference" (not counted among the best)
    command: Callable  # Place -> words; None: no proxy at all
    needs: tuple = ()  # programs and files
    most: Callable = lambda descriptors: (descriptors - 400) // 2  # connections at once
    only: str = ""  # measured in workloads that begin so

    def missing(self):
        """Why it cannot run here, or None."""
        for need in self.needs:
            if shutil.which(str(need)) is None and not Path(need).exists():
                return f"{need} is not installed"
        return None


def socket_proxyd(place):
    """systemd-socket-activate execs it at the first connection, which stays queued for it."""
    return [
        "systemd-socket-activate",
        f"--listen={place.front}",
        SOCKET_PROXYD,
        f"--connections-max={place.descriptors}",
        place.backend,
    ]


def haproxy(place, splice=False):
    most = (place.descriptors - 2 * PIPES - 400) // 2
    bind = f"unix@{place.front}" if place.is_unix else place.front
    lines = [
        "global",
        f"    maxconn {most}",
        f"    maxpipes {PIPES}",
        "    nbthread 1",
        "listen relay",
        "    mode tcp",
        "    timeout connect 5s",
        "    timeout client 1h",
        "    timeout server 1h",
        f"    maxconn {most}",
        f"    bind {bind} backlog 4096",
        f"    server backend {place.backend}",
    ]
    if splice:
        lines += ["    option splice-request", "    option splice-response"]
    config = place.directory / "haproxy.cfg"
    config.write_text("\n".join(lines) + "\n")
    return ["haproxy", "-db", "-q", "-f", config]


def haproxy_splice(place):
    return haproxy(place, splice=True)


def nginx(place, half_close=False):
    """Half-close is off unless asked for: no workload needs it, and nginx's default saves it work."""
    listen = f"unix:{place.front}" if place.is_unix else place.front
    config = place.directory / "nginx.conf"
    config.write_text(
        (f"load_module {STREAM_MODULE};\n" if STREAM_MODULE.exists() else "")
        + f"""
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile {place.descriptors};
pid {place.directory}/nginx.pid;
error_log {place.directory}/nginx.log crit;
events {{ worker_connections {place.descriptors - 100}; }}
stream {{
    server {{
        listen {listen} backlog=4096;
        proxy_pass {place.backend};
        proxy_connect_timeout 5s;
        proxy_timeout 1h;
        proxy_half_close {"on" if half_close else "off"};
    }}
}}
"""
    )
    return ["nginx", "-p", place.directory, "-c", config, "-e", place.directory / "nginx.log"]


def nginx_half_close(place):
    return nginx(place, half_close=True)


def socat(place):
    if place.is_unix:
        front = f"UNIX-LISTEN:{place.front},fork,backlog=4096"
    else:
        host, port = place.front.split(":")
        front = f"TCP-LISTEN:{port},bind={host},fork,reuseaddr,backlog=4096"
    return ["socat", front, f"TCP:{place.backend}"]


def sockfront(words):
    return lambda place: [*words, "--log-level", "error", place.front, place.backend]


def default_pipe_size(sockfront_path):
    """sockfront's own, from its help, so that the raw relay uses the same."""
    command = [sockfront_path, "--help"]
    help_text = subprocess.run(command, text=True, capture_output=True, check=True).stdout
    unwrapped = re.sub(r"\n {10,}", " ", help_text)
    number, unit = re.search(r"--pipe-size .*default (\d+)([KM]?)", unwrapped).groups()
    return int(number) * {"": 1, "K": 1 << 10, "M": 1 << 20}[unit]


def all_peers(sockfront_path, relay_path, pipe_size, variants):
    """@variants: NAME=COMMAND each, further sockfronts to compare."""
    stream = (STREAM_MODULE,)
    peers = [
        Peer("direct", "reference", None),
        Peer("sockfront", "ours", sockfront([sockfront_path]), (sockfront_path,)),
    ]
    for variant in variants:
        name, _, command = variant.partition("=")
        words = shlex.split(command)
        words[0] = str(Path(shutil.which(words[0]) or words[0]).resolve())
        peers.append(Peer(name, "ours", sockfront(words), (words[0],)))
    return peers + [
        Peer(
            "raw-epoll",
            "reference",
            lambda place: [relay_path, place.front, place.backend, str(pipe_size)],
            (relay_path,),
        ),
        Peer(
            "socket-proxyd",
            "peer",
            socket_proxyd,
            ("systemd-socket-activate", SOCKET_PROXYD),
            most=lambda descriptors: (descriptors - 100) // 6,
        ),
        Peer("haproxy", "peer", haproxy, ("haproxy",)),
        Peer("haproxy-splice", "peer", haproxy_splice, ("haproxy",)),
        Peer("nginx", "peer", nginx, ("nginx", *stream)),
        Peer("nginx-half-close", "peer", nginx_half_close, ("nginx", *stream), only="connect"),
        # A process for each connection.
        Peer("socat", "peer", socat, ("socat",), most=lambda descriptors: 300),
    ]
