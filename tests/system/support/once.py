# SPDX-License-Identifier: MIT
"""What one of the workers of a run does for all of them, such as a build."""

import fcntl
from contextlib import contextmanager


@contextmanager
def once(place, name, run_id):
    """True for the first worker that comes, whom the others wait for.  @place: a folder that stays"""
    place.mkdir(parents=True, exist_ok=True)
    with open(place / f"{name}.run", "a+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        is_first = file.read() != run_id
        yield is_first
        file.truncate(0)
        file.write(run_id)
