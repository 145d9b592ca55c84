# SPDX-License-Identifier: MIT
"""A proxy around which calls of the system fail on demand: see faults.c."""

import os
import subprocess

from support.proxy import HERE, REPOSITORY
from support.stage import need


class Faults:
    """Compiled for one test; environment is for the proxies that are to meet the faults."""

    def __init__(self, stage):
        self.directory = stage.path("faults")
        os.mkdir(self.directory)
        library = os.path.join(self.directory, "faults.so")
        source = os.path.join(HERE, "faults.c")
        command = [need("cc"), "-O1", "-shared", "-fPIC", "-D_GNU_SOURCE", "-I", REPOSITORY, "-o", library, source, "-ldl"]
        subprocess.run(command, check=True)
        self.environment = {"LD_PRELOAD": library, "FAULTS": self.directory}

    def begin(self, fault):
        with open(os.path.join(self.directory, fault), "x"):
            pass

    def end(self, fault):
        os.unlink(os.path.join(self.directory, fault))
