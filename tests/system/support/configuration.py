# SPDX-License-Identifier: MIT
"""Text of configuration files."""


def section(backend, *listen, name="a", options=""):
    """One proxy: a [proxy] section."""
    lines = [f"[proxy {name}]", *(f"listen = {address}" for address in listen), f"backend = {backend.address}", options]
    return "\n".join(lines) + "\n"


def process(*lines):
    """What is the whole process's: the [sockfront] section."""
    return "\n".join(["[sockfront]", *lines]) + "\n"
