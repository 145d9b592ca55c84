# SPDX-License-Identifier: MIT
"""The path of an inherited UNIX socket is not ours to mend, but whoever lost it hears of it."""

import os
import socket

import pytest

from support.proxy import clean_environment


def unix_listener(stage, name):
    path = stage.path(name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    listener = stage.keep(socket.socket(socket.AF_UNIX))
    listener.bind(path)
    listener.listen()
    return path, listener


@pytest.mark.parametrize("how", ["removed", "replaced", "renamed"])
def test_a_path_that_goes_is_said_once(stage, how):
    path, listener = unix_listener(stage, "web.sock")
    proxy = stage.handed([listener], "sd-listen", stage.backend().address)
    if how == "renamed":
        os.rename(path, f"{path}.old")
    else:
        os.unlink(path)
    if how == "replaced":
        unix_listener(stage, "web.sock")
    line, = proxy.wait_log("path of this inherited socket was removed or replaced")
    assert path in line and ".socket unit" in line


def test_what_else_happens_to_it_is_not(stage):
    path, listener = unix_listener(stage, "web.sock")
    proxy = stage.handed([listener], "sd-listen", stage.backend().address)
    os.chmod(path, 0o600)
    os.link(path, f"{path}.link")
    os.unlink(f"{path}.link")
    proxy.assert_rests(0.3)
    assert not proxy.grep("removed or replaced")
    os.unlink(path)
    proxy.wait_log("removed or replaced")


@pytest.mark.parametrize("directories, warned", [
    ("{run}", True), ("/elsewhere:{run}", True), ("{run}:/elsewhere", True), ("{top}", True),
    ("{run}/deeper", False), ("{run}/web", False), ("", False), (None, False),
])
def test_a_path_that_systemd_will_remove_is_warned_of_at_the_start(stage, directories, warned):
    path, listener = unix_listener(stage, "run/web.sock")
    extra = {}
    if directories is not None:
        extra["RUNTIME_DIRECTORY"] = directories.format(run=os.path.dirname(path),
                                                        top=stage.directory)
    proxy = stage.handed([listener], "sd-listen", stage.backend().address,
                         environment=clean_environment(extra))
    lines = proxy.grep("RuntimeDirectory=")
    assert len(lines) == warned
    for line in lines:
        assert path in line and "ListenStream=" in line and "RuntimeDirectoryPreserve=" in line
