# SPDX-License-Identifier: MIT
"""What the bench's load generator counts adds up, with nothing between it and its backend."""

import json
import subprocess
import time
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
SHORT = ["--warm", "0.1", "--seconds", "0.3"]


@pytest.fixture(scope="module", name="program")
def built(tmp_path_factory):
    program = tmp_path_factory.mktemp("build") / "bench" / "load"
    command = ["make", "-s", "-C", TOP, f"BUILD={program.parents[1]}", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return program


@pytest.fixture(name="load")
def backend_and_load(program, tmp_path):
    """Calls it with a workload's words, and returns what it prints."""
    front, control = tmp_path / "front", tmp_path / "control"
    with subprocess.Popen([program, "backend", front, control], stdin=subprocess.PIPE) as backend:
        due = time.monotonic() + 60
        while not control.exists():
            assert backend.poll() is None and time.monotonic() < due
            time.sleep(0.01)

        def call(*words):
            command = [program, *words, "--to", front, "--control", control, *SHORT]
            done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        yield call
        backend.stdin.close()
        assert backend.wait(timeout=60) == 0


def test_requests_are_counted_for_each_connection(load):
    result = load("request", "--connections", 16)
    assert 0 < result["fewest"] <= result["most"]
    assert result["fewest"] * 16 <= result["requests"] <= result["most"] * 16
    alone = load("request")
    assert alone["fewest"] == alone["most"] == alone["requests"]


def test_newcomers_and_streams_are_served_at_once(load):
    result = load("connect", "--streams", 8)
    assert result["connections"] > 0 and result["streamed"] > 0
    assert "streamed" not in load("connect"), "and the streams of the one before are gone"


@pytest.mark.parametrize("direction", ["up", "down"])
def test_pieces_keep_their_pace_and_are_timed(load, direction):
    size, rate = 1000, 3_000_000
    result = load(f"delay-{direction}", "--connections", 3, "--size", size, "--rate", rate)
    assert 0 < result["p50_ns"] <= result["p99_ns"]
    # A sender that was held up catches up with 20 ms; twice as many would be another pace.
    assert 0 < result["pieces"] < 2 * rate / size * result["ns"] / 1e9
    again = load(f"delay-{direction}", "--size", size, "--rate", rate)
    assert again["pieces"] > 0, "the senders of the one before are gone"
