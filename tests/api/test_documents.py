# SPDX-License-Identifier: MIT
"""What is written for those who work on the sources is true of them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
DOCUMENTS = [*sorted((TOP / ".github").glob("*.md")), TOP / "README.md", TOP / "NEWS.md"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_it_names_are_there(document):
    text = document.read_text()
    named = set(re.findall(r"`((?:daemon|conf|lib|systemd|tests)/[\w./-]*)", text))
    named |= {link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link}
    missing = [name for name in sorted(named) if "NAME" not in name and not (TOP / name).exists()]
    assert not missing


def test_news_has_this_version():
    version = re.search(r"^VERSION\s*:= (\S+)$", (TOP / "Makefile").read_text(), re.MULTILINE)[1]
    headings = re.findall(r"^## (.*)$", (TOP / "NEWS.md").read_text(), re.MULTILINE)
    assert version in headings[:2], "below Unreleased at the most"


def test_clangd_can_compile_every_file():
    """With compile_flags.txt; an example that wants glib aside, which has flags of its own."""
    if not shutil.which("clang"):
        pytest.skip("clang is not installed")
    sources = [path for folder in ("lib", "conf", "daemon", "tests/unit", "tests/bench")
               for path in sorted((TOP / folder).rglob("*.c")) if path.name != "echo-glib.c"]
    assert len(sources) > 80
    flags = (TOP / "compile_flags.txt").read_text().split("\n")
    done = subprocess.run(["clang", "-fsyntax-only", *filter(None, flags), *sources], cwd=TOP,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
