# SPDX-License-Identifier: MIT
"""
Starts a program as a supervisor would; run as a script, it becomes that program.

    handover.py [--move FROM:TO]... [--listen N] [--names A:B] [--pid PID] [--deny-vsock]
                [--bind-over FILE:TARGET] PROGRAM ARGS...

--move puts descriptors at their numbers, --listen and --names set LISTEN_FDS,
LISTEN_FDNAMES and LISTEN_PID (to this process unless --pid says otherwise),
--deny-vsock makes socket(AF_VSOCK) fail as on a kernel without it, --bind-over
shows FILE in place of TARGET in a mount namespace of its own.
"""

import argparse
import ctypes
import errno
import os
import platform
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)

SYS_SOCKET = {"x86_64": 41, "aarch64": 198}
AF_VSOCK = 40


def deny_vsock():
    """A seccomp filter: socket(AF_VSOCK, ...) fails with EAFNOSUPPORT, all else is allowed."""
    load, jump_if_equal, give = 0x20, 0x15, 0x06
    nr, first_argument = 0, 16
    refuse, allow = 0x00050000 | errno.EAFNOSUPPORT, 0x7FFF0000
    program = b"".join(
        struct.pack("HBBI", *row)
        for row in (
            (load, 0, 0, nr),
            (jump_if_equal, 0, 3, SYS_SOCKET[platform.machine()]),
            (load, 0, 0, first_argument),
            (jump_if_equal, 0, 1, AF_VSOCK),
            (give, 0, 0, refuse),
            (give, 0, 0, allow),
        )
    )
    text = ctypes.create_string_buffer(program)
    rules = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(text))
    set_no_new_privileges, set_seccomp, mode_filter = 38, 22, 2
    if libc.prctl(set_no_new_privileges, 1, 0, 0, 0) or libc.prctl(set_seccomp, mode_filter, rules, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def bind_over(file, target):
    new_mounts, bind, private = 0x00020000, 4096, 1 << 18 | 1 << 14
    if libc.unshare(new_mounts) or libc.mount(None, b"/", None, private, None):
        raise OSError(ctypes.get_errno(), "a mount namespace")
    if libc.mount(os.fsencode(file), os.fsencode(target), None, bind, None):
        raise OSError(ctypes.get_errno(), f"bind mount over {target}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--move", action="append", default=[])
    parser.add_argument("--listen")
    parser.add_argument("--names")
    parser.add_argument("--pid")
    parser.add_argument("--deny-vsock", action="store_true")
    parser.add_argument("--bind-over", action="append", default=[])
    parser.add_argument("program", nargs=argparse.REMAINDER)
    args = parser.parse_args()

    # By way of high numbers, so that no move overwrites what a later one needs.
    pairs = [tuple(map(int, move.split(":"))) for move in args.move]
    high = [(os.dup2(source, 1000 + i), target) for i, (source, target) in enumerate(pairs)]
    for source, _ in pairs:
        if source > 2:
            os.close(source)
    for source, target in high:
        os.dup2(source, target)
        os.close(source)

    if args.listen:
        os.environ["LISTEN_FDS"] = args.listen
        os.environ["LISTEN_PID"] = args.pid or str(os.getpid())
    if args.names is not None:
        os.environ["LISTEN_FDNAMES"] = args.names
    for pair in args.bind_over:
        bind_over(*pair.split(":", 1))
    if args.deny_vsock:
        deny_vsock()
    os.execv(args.program[0], args.program)


if __name__ == "__main__":
    sys.exit(main())
