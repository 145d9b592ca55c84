# SPDX-License-Identifier: MIT
"""What `make bench` says of a ratio holds: its intervals cover the truth, its verdicts follow from them."""

import json
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))

import interval
import readme_table
import report
from workloads import LINKS, Metric, all_workloads


def measured(draw, truth, rounds=5, slices=4):
    """Ratios as a machine gives them: what disturbs a round disturbs all of its slices."""
    ratios = {}
    for number in range(rounds):
        shift = draw.gauss(0, 0.02)
        for turn in range(slices):
            ratios[number, turn] = truth * (1 + shift + draw.gauss(0, 0.04))
    return ratios


def test_an_interval_covers_the_truth():
    draw = random.Random(7)
    covered = 0
    for _ in range(120):
        low, high = interval.of_median(measured(draw, 0.9))
        assert low <= high
        covered += low <= 0.9 <= high
    assert covered >= 100, "19 of 20 is meant; 5 rounds are few to draw from"


def test_the_same_figures_give_the_same_interval():
    ratios = measured(random.Random(1), 1.1)
    assert interval.of_median(ratios) == interval.of_median(dict(ratios))


def test_too_few_have_none():
    ratios = {(0, turn): 0.5 for turn in range(5)}
    assert interval.of_median(ratios) is None
    assert interval.text(ratios, False) == "0.50"
    ratios[0, 5] = 0.5
    assert interval.text(ratios, False) == "0.50 (0.50-0.50) better"


@pytest.mark.parametrize(
    "bounds, more, verdict",
    [
        ((0.80, 0.99), False, "better"),
        ((0.80, 0.99), True, "worse"),
        ((1.01, 1.20), False, "worse"),
        ((1.01, 1.20), True, "better"),
        ((0.96, 1.04), False, "equal"),
        ((0.94, 1.02), False, ""),
        ((0.98, 1.06), True, ""),
        (None, True, ""),
    ],
)
def test_a_verdict_only_where_the_interval_says_so(bounds, more, verdict):
    assert interval.verdict(bounds, more) == verdict


def test_ratios_pair_slices():
    """One that failed in a slice has no ratio there; the others are not shifted."""
    ours = {(0, 0): 2.0, (0, 1): 3.0, (1, 0): 5.0}
    theirs = {(0, 1): 1.5, (1, 0): 2.5, (1, 1): 9.0}
    assert report.ratios_of(ours, theirs) == {(0, 1): 2.0, (1, 0): 2.0}


def test_the_table_is_of_workloads_that_there_are():
    known = {workload.name: workload for workload in all_workloads(3000)}
    for label, front, name in readme_table.ROWS:
        assert front in known[name].fronts, label
        for metrics in readme_table.CPU, readme_table.RATE, readme_table.P99:
            for metric in known[name].metrics:
                assert isinstance(metric, Metric)
                if metric.key in metrics:
                    assert metric.compared, label


def test_the_table_says_what_was_found(tmp_path):
    found = {"median": 3.0, "ratio": 0.871, "best_peer": "nginx", "interval": [0.82, 0.914], "verdict": "better"}
    results = [{"front": "tcp", "workload": "connect-1", "peer": "sockfront", "metrics": {"cpu_us": found}}]
    document = tmp_path / "results.json"
    document.write_text(json.dumps({"results": results}))
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n\n{readme_table.HEADER}\n| old |\n\nafter\n")
    readme_table.put(document, readme)
    text = readme.read_text()
    assert "| connections, 1 at a time | 0.87 (0.82-0.91) of nginx: better |  |  |" in text
    assert "| old |" not in text and text.startswith("before\n") and text.endswith("\n\nafter\n")


@pytest.mark.parametrize("name", LINKS)
def test_a_link_takes_what_tc_takes(name):
    """The bucket holds a whole packet of the kernel's offload at each rate that is fast enough for one."""
    words = LINKS[name].qdisc()
    if words[0] == "tbf":
        assert int(words[words.index("burst") + 1]) >= 16384
        assert words[words.index("rate") + 1] == LINKS[name].rate
    else:
        assert {"delay", "loss"} & set(words)
