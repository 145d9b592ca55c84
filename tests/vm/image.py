# SPDX-License-Identifier: MIT
"""
An initial RAM disk made of this machine's own files, for tests/vm/boot.

The archive (cpio, "newc") is written as it is: nothing is unpacked first, and
nobody needs to be root, since owners and device nodes are only numbers in it.
"""

import os
import re
import shutil
import stat
import subprocess

MERGED = ("/bin/", "/sbin/", "/lib/", "/lib64/")


def in_usr(path):
    """Where a path of this machine lies in the image: all of /bin, /sbin and /lib* in /usr."""
    return "/usr" + path if path.startswith(MERGED) else path


class Image:
    def __init__(self):
        self.entries = {}  # path -> (mode, mtime, device, bytes or the path of the file that has them)
        for link in MERGED:
            self.link(link.rstrip("/"), "usr" + link.rstrip("/"))

    def _parents(self, path):
        parent = os.path.dirname(path)
        if parent not in ("/", "") and parent not in self.entries:
            self.directory(parent)

    def _add(self, path, entry):
        self._parents(path)
        self.entries[path] = entry

    def directory(self, path, mode=0o755):
        self._add(path, (stat.S_IFDIR | mode, 0, (0, 0), b""))

    def link(self, path, target):
        self._add(path, (stat.S_IFLNK | 0o777, 0, (0, 0), target.encode()))

    def node(self, path, major, minor):
        self._add(path, (stat.S_IFCHR | 0o600, 0, (major, minor), b""))

    def text(self, path, text, mode=0o644):
        self._add(path, (stat.S_IFREG | mode, 0, (0, 0), text.encode()))

    def file(self, source, path=None):
        """A file with what it contains, under the name that was asked for."""
        source = os.fspath(source)
        found = os.stat(source)
        # The time too: Python compares it with what its compiled files say.
        self._add(in_usr(path or os.path.abspath(source)),
                  (found.st_mode, int(found.st_mtime), (0, 0), source))

    def program(self, name):
        """A program that is in the path, or what is missing as an error."""
        path = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        if not path:
            raise FileNotFoundError(f"{name} is not installed")
        self.file(path)

    def tree(self, source, path=None, leave_out=()):
        """A folder, without those below it whose names begin with one of some words."""
        source = os.path.abspath(source)
        for folder, names, files in os.walk(source):
            names[:] = [name for name in names if not name.startswith(tuple(leave_out))]
            inside = in_usr((path or source) + folder[len(source):])
            for name in files:
                if os.path.exists(os.path.join(folder, name)):
                    self.file(os.path.join(folder, name), f"{inside}/{name}")

    def libraries(self):
        """The shared libraries of everything that is in the image by now."""
        binaries = {content for *_, content in self.entries.values()
                    if isinstance(content, str) and _content(content).startswith(b"\x7fELF")}
        listed = subprocess.run(["ldd", *sorted(binaries)], capture_output=True, text=True,
                                check=False)
        for library in sorted(set(re.findall(r"(/\S+\.so\S*) \(0x", listed.stdout))):
            if in_usr(library) not in self.entries:
                self.file(library)

    def write(self, target):
        with open(target, "wb") as archive:
            for number, path in enumerate(sorted(self.entries), 1):
                mode, mtime, device, content = self.entries[path]
                _put(archive, path.lstrip("/"), number, mode, mtime, device, _content(content))
            _put(archive, "TRAILER!!!", 0, 0, 0, (0, 0), b"")


def _content(content):
    if isinstance(content, bytes):
        return content
    with open(content, "rb") as file:
        return file.read()


def _put(archive, name, number, mode, mtime, device, content):
    name = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, mtime, len(content), 0, 0, *device, len(name), 0)
    archive.write(b"070701" + b"".join(b"%08X" % field for field in fields) + name)
    archive.write(bytes(-archive.tell() % 4) + content)
    archive.write(bytes(-archive.tell() % 4))
