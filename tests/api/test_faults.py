# SPDX-License-Identifier: MIT
"""Each row of tests/FAULTS.md names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
REFERENCE = re.compile(r'(\w+(?:/\w+)?)/(\w+):(\w+)(?:\["(.+)"\])?')


def path_of(area, name):
    if area == "vm":
        return TOP / f"tests/vm/guest/test_{name}.py"
    if area.split("/")[0] == "unit":
        return TOP / f"tests/{area}/test_{name}.c"
    return TOP / f"tests/system/{area}/test_{name}.py"


def rows():
    """(what happens, its last column) of every table row, the headings aside."""
    for line in (TOP / "tests/FAULTS.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("|") and cells[0] != "fault" and not cells[0].startswith("---"):
            assert len(cells) == 3, line
            yield pytest.param(cells[2], id=cells[0][:50])


def functions(path):
    if path.suffix == ".c":
        return set(re.findall(r"^static void (?:test_)?(\w+)\(void", path.read_text(), re.MULTILINE))
    return {node.name.removeprefix("test_") for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def table_rows(path):
    """The names in the ROWS of a file."""
    return {key.value for node in ast.parse(path.read_text()).body if isinstance(node, ast.Assign)
            and node.targets[0].id == "ROWS" for key in node.value.keys}


@pytest.mark.parametrize("tests", rows())
def test_row_names_tests_that_exist(tests):
    named = re.findall(r"`([^`]+)`", tests)
    assert named, "a row without a test"
    for reference in named:
        area, name, function, row = REFERENCE.fullmatch(reference).groups()
        path = path_of(area, name)
        assert path.exists(), reference
        assert function in functions(path), reference
        assert row is None or row in table_rows(path), reference


def test_there_are_rows():
    assert len(list(rows())) > 40
