# SPDX-License-Identifier: MIT
"""
Tries what sockfront.service must not be able to do, in its place and under its
settings (test_installed.py): a line "may: WHAT" for all that went well.
"""

import ctypes
import os
import socket


def write(path):
    def attempt():
        with open(path, "w", encoding="ascii") as file:
            file.write("x")

    return attempt


def give(path, uid):
    def attempt():
        with open(path, "w", encoding="ascii") as file:
            os.fchown(file.fileno(), uid, -1)

    return attempt


def call(name, *arguments):
    def attempt():
        if ctypes.CDLL(None, use_errno=True)[name](*arguments) < 0:
            raise OSError(ctypes.get_errno(), name)

    return attempt


ATTEMPTS = {
    "write to /etc": write("/etc/vm-probe"),
    "write to /usr": write("/usr/vm-probe"),
    "write to /var/lib": write("/var/lib/vm-probe"),
    "write to /run": write("/run/vm-probe"),
    "write to /sys": write("/sys/kernel/mm/transparent_hugepage/enabled"),
    "write to /proc/sys": write("/proc/sys/net/core/somaxconn"),
    "read the processes of others": lambda: os.stat("/proc/1"),
    "read root's home": lambda: os.listdir("/root"),
    "become root": lambda: os.setuid(0),
    "give a file to root": give("/run/sockfront/vm-probe-owner", 0),
    "open a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "open a netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "bind a privileged port": lambda: socket.socket().bind(("127.0.0.1", 21)),
    "make a namespace": call("unshare", 0x10000000),
    "mount": call("mount", b"none", b"/tmp", b"tmpfs", 0, None),
    "reboot": call("reboot", 0),
    # What it needs goes well.
    "write to /run/sockfront": write("/run/sockfront/vm-probe"),
    "open a vsock socket": lambda: socket.socket(socket.AF_VSOCK).close(),
    "open a UNIX socket": lambda: socket.socket(socket.AF_UNIX).close(),
}

for what, attempt in ATTEMPTS.items():
    try:
        attempt()
    except OSError:
        continue
    print(f"may: {what}", flush=True)
print("all tried", flush=True)
