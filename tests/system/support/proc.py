# SPDX-License-Identifier: MIT
"""What the kernel says about a running process: CPU time, descriptors, wake-ups."""

import contextlib
import ctypes
import errno
import os
import random
import re
import resource
import socket
import sys
import time
import traceback


def wait_until(condition, what, within=10.0, every=0.02):
    """Polls until condition() is true; returns what it gave."""
    deadline = time.monotonic() + within
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"within {within} s this did not happen: {what}")
        time.sleep(every)


def in_a_process(work, *args):
    """Runs work(*args) in a process of its own, which shares our descriptors; returns its pid."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work(*args)
            status = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    return pid


def wait_process(pid):
    """The exit status of such a process."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


_ports_given = set()


def free_port():
    """One that is free, is not given out twice, and that nobody else binds by chance: no ephemeral one."""
    while True:
        port = random.randrange(10000, 32000)
        with socket.socket() as sock:
            if port not in _ports_given and sock.connect_ex(("127.0.0.1", port)) != 0:
                _ports_given.add(port)
                return port


def free_address():
    return f"127.0.0.1:{free_port()}"


def holds_for(condition, what, seconds):
    """Fails as soon as condition() is false within that time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), f"stopped being so within {seconds} s: {what}"
        time.sleep(0.02)


def threads(pid):
    return [int(name) for name in os.listdir(f"/proc/{pid}/task")]


def of_each_thread(pid, name):
    """Thread -> the text of /proc/PID/task/*/NAME; one may end while we look."""
    texts = {}
    for tid in threads(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{pid}/task/{tid}/{name}") as file:
                texts[tid] = file.read()
    return texts


def are_traced(pid):
    """Whether strace has every thread of the process."""
    states = of_each_thread(pid, "status").values()
    return all(re.search(r"^TracerPid:\s*[1-9]", state, re.M) for state in states)


def cpu_seconds(pid):
    """CPU time of all threads, to the nanosecond where the kernel counts it."""
    return sum(int(text.split()[0]) for text in of_each_thread(pid, "schedstat").values()) / 1e9


def wakeups_of_each(pid):
    """How often each thread of the process went to sleep by itself."""
    switches = re.compile(r"^voluntary_ctxt_switches:\s*(\d+)", re.M)
    return {tid: int(switches.search(text)[1]) for tid, text in of_each_thread(pid, "status").items()}


def wakeups(pid):
    return sum(wakeups_of_each(pid).values())


def is_asleep(pid):
    """Whether no thread runs, or would if it had a processor."""
    state = re.compile(r"^State:\s*(\w)", re.M)
    return all(state.search(text)[1] == "S" for text in of_each_thread(pid, "status").values())


def wait_asleep(pid, within=10.0):
    """Every thread has done what it had to: all sleep, and none has run between two looks."""
    last = None

    def rested():
        nonlocal last
        asleep = is_asleep(pid)
        before, last = last, wakeups_of_each(pid)
        return asleep and before == last

    wait_until(rested, "all threads sleep", within)


def descriptors(pid):
    """Descriptor number -> what it is ("socket:[123]", "pipe:[4]", "/dev/null")."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            pass
    return found


def kinds(pid):
    """How many descriptors of each kind; pipes, which a pool may keep, counted apart."""
    count = {"socket": 0, "pipe": 0, "other": 0}
    for target in descriptors(pid).values():
        # Those of past processes are closed at the next look at the counts.
        if target.startswith("/memfd:sockfront-counters"):
            continue
        kind = target.split(":")[0]
        count[kind if kind in count else "other"] += 1
    return count


def resident(pid):
    """Resident bytes of the process's own, anonymous memory."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))


def limit_descriptors(pid, soft):
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def lowest_free(pid):
    used = descriptors(pid)
    return next(number for number in range(1 << 20) if number not in used)


def borrow(pid, number):
    """A socket of another process, as one of ours."""
    pidfd_getfd = 438
    pidfd = os.pidfd_open(pid)
    try:
        ours = ctypes.CDLL(None, use_errno=True).syscall(pidfd_getfd, pidfd, number, 0)
    finally:
        os.close(pidfd)
    if ours < 0:
        raise OSError(ctypes.get_errno(), f"pidfd_getfd of {number}")
    return socket.socket(fileno=ours)


def _listeners(pid):
    """Descriptor number -> inode, of every socket of the process that listens."""
    found = {}
    for number, target in descriptors(pid).items():
        if not target.startswith("socket:"):
            continue
        try:
            with borrow(pid, number) as sock:
                if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    found[number] = int(target[8:-1])
        except OSError as error:
            if error.errno != errno.EBADF:  # it was closed meanwhile
                raise
    return found


def listener_inodes(pid):
    return set(_listeners(pid).values())


def listener_numbers(pid):
    return sorted(_listeners(pid))


def accepted_option(pid, client, option, level=socket.SOL_SOCKET):
    """What the proxy's end of a client's connection has."""
    for number, target in descriptors(pid).items():
        if not target.startswith("socket:"):
            continue
        with borrow(pid, number) as sock:
            try:
                if sock.getpeername() == client.getsockname():
                    return sock.getsockopt(level, option)
            except OSError:
                pass
    raise AssertionError("no such connection")


def is_cloexec(pid, fd):
    with open(f"/proc/{pid}/fdinfo/{fd}") as file:
        flags = int(re.search(r"^flags:\s*([0-7]+)", file.read(), re.M)[1], 8)
    return bool(flags & 0o2000000)


def parent(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def children(pid):
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if parent(int(name)) == pid:
                    found.append(int(name))
            except (FileNotFoundError, ProcessLookupError):
                pass
    return found


def command_line(pid):
    """Its words; none, if it has ended."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def state(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def _sockets(pid, tables, column, keep):
    """How many of the process's sockets have a row for which keep(row) is true."""
    inodes = set()
    for table in tables:
        try:
            # A UNIX path may hold any byte, a line feed too.
            with open(f"/proc/{pid}/net/{table}", errors="surrogateescape") as file:
                rows = [line.split() for line in file.readlines()[1:]]
        except FileNotFoundError:
            continue
        inodes |= {row[column] for row in rows if len(row) > column and keep(row)}
    return sum(target[8:-1] in inodes for target in descriptors(pid).values())


def tcp_connections(pid):
    """How many TCP sockets of the process are anything but listening."""
    return _sockets(pid, ("tcp", "tcp6"), 9, lambda row: row[3] != "0A")


def listening_sockets(pid):
    """How many TCP and UNIX sockets of the process listen."""
    tcp = _sockets(pid, ("tcp", "tcp6"), 9, lambda row: row[3] == "0A")
    return tcp + _sockets(pid, ("unix",), 6, lambda row: row[3] == "00010000")
