# SPDX-License-Identifier: MIT
"""A small disk of a proxy's own, and one that is full."""

import os

import pytest

from support.stage import need


def small_disk(stage, size, run='exec "$@"'):
    """Where it is, as the proxy sees that, and what goes in front of the proxy's command line."""
    directory = stage.path("disk")
    os.mkdir(directory)
    script = f'mount -t tmpfs -o size={size} none "$0" && {run}'
    return directory, [need("unshare"), "-m", "sh", "-c", script, directory]


def fill(path):
    """Writes to that file until there is no room for more."""
    with open(path, "wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
        while True:
            filler.write(bytes(4096))
