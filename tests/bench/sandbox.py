# SPDX-License-Identifier: MIT
"""A network of our own, and processes in it that never outlive the bench.

Between tests/bench/run and the kernel: run starts everything through here.
"""

import ctypes
import fcntl
import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1

LOCAL_ROUTE = "table local proto kernel scope host src 127.0.0.1 congctl cubic"

# Where listening sockets go; ephemeral ports begin above in a network of our own,
# and do on most machines.
FIRST_PORT = 2000


def raise_descriptor_limit():
    """The proxies inherit it.  Returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack_from("H", fcntl.ioctl(control, SIOCGIFFLAGS, request), 16)[0]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def write_sysctl(name, value):
    try:
        Path("/proc/sys/net/ipv4", name).write_text(value)
        return True
    except OSError:
        return False


def use_cubic():
    """Where cubic is not the default, a namespace may not make it so; a route may name it."""
    if write_sysctl("tcp_congestion_control", "cubic") or not shutil.which("ip"):
        return
    for destination in "127.0.0.0/8", "127.0.0.1":
        subprocess.run(
            ["ip", "route", "replace", "local", destination, "dev", "lo", *LOCAL_ROUTE.split()],
            stderr=subprocess.DEVNULL,
            check=False,
        )


def congestion_in_force():
    """Asked of a real connection, which is what counts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            name = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
            return name.rstrip(b"\0").decode()


def enter_network():
    """Moves this process to a network of its own, if it may.  Returns what to say of it."""
    if libc.unshare(CLONE_NEWNET) != 0:
        problem = os.strerror(ctypes.get_errno())
        what = f"the machine's own loopback (no network namespace: {problem})"
        return f"{what}, {congestion_in_force()}"
    prepare_network()
    return f"loopback in a network namespace of its own, {congestion_in_force()}"


def prepare_network():
    loopback_up()
    use_cubic()
    write_sysctl("ip_local_port_range", "10000 65535")


def enter(network):
    """Moves this thread to the network that a descriptor is for."""
    if libc.setns(network, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def new_network():
    """Returns a descriptor for it; it is gone once that is closed and nobody is in it."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        try:
            prepare_network()
            return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            enter(here)
    finally:
        os.close(here)


def free_ports():
    """Ports that nobody listens on, each once."""
    for port in range(FIRST_PORT, 65536):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port


def descendants(pid):
    """The process and everything below it."""
    pids = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            pids += descendants(int(child))
    return pids


def run_time(pids):
    """Nanoseconds on a processor, so far."""
    total = 0
    for pid in pids:
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                total += int(path.read_text().split()[0])
            except OSError:
                pass
    return total


def begin_child(network):
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if network is not None:
        enter(network)


class Process:
    """One program, in a process group of its own so that what it forks ends with it.

    @network: where it runs, as new_network() returns it; None: where we are
    """

    running = []

    def __init__(
        self, command, directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, network=None
    ):
        self.name = Path(command[0]).name
        self.log = Path(directory) / f"{self.name}.log"
        with open(self.log, "ab") as log:
            self.popen = subprocess.Popen(
                [str(word) for word in command],
                cwd=directory,
                stdin=stdin,
                stdout=stdout if stdout is not None else log,
                stderr=log,
                text=True,
                start_new_session=True,
                preexec_fn=lambda: begin_child(network),
            )
        self.pid = self.popen.pid
        Process.running.append(self)

    def has_ended(self):
        """Without reaping it: until then its number, and its group's, stay its own."""
        if self.popen.returncode is not None:
            return True
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def said(self):
        return self.log.read_text(errors="replace").strip()

    def stop(self, patience=0.5):
        if self not in Process.running:
            return
        if self.popen.returncode is None:
            os.kill(self.pid, signal.SIGTERM)
            due = time.monotonic() + patience
            while not self.has_ended() and time.monotonic() < due:
                time.sleep(0.002)
            os.killpg(self.pid, signal.SIGKILL)
            self.popen.wait()
        for stream in self.popen.stdin, self.popen.stdout:
            if stream is not None:
                stream.close()
        Process.running.remove(self)


def stop_all():
    for process in list(Process.running):
        process.stop(patience=0)
