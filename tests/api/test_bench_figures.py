# SPDX-License-Identifier: MIT
"""What `make bench` says of a ratio holds: its intervals cover the truth, its verdicts follow from them."""

import json
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))

import interval
import peers as peer_table
import readme_table
import report
import workloads
from workloads import LINKS, Metric, all_workloads

README = Path(__file__).resolve().parents[2] / "README.md"


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
        ((0.981, 0.998), True, "equal"),
        ((0.97, 0.998), True, "worse"),
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


def test_the_table_of_figures_is_of_workloads_that_there_are():
    known = {workload.name: workload for workload in all_workloads(3000)}
    for label, front, name, keys in readme_table.ROWS_ALONE:
        assert front in known[name].fronts, label
        metrics = {metric.key: metric for metric in known[name].metrics}
        assert all(key in metrics and not metrics[key].compared for key in keys), label


def test_the_readme_has_a_place_for_the_figures():
    text = README.read_text()
    assert text.count(readme_table.BEGIN) == text.count(readme_table.END) == 1
    assert text.index(readme_table.BEGIN) < text.index(readme_table.HEADER) < text.index(readme_table.END)


def test_the_table_says_what_was_found(tmp_path):
    found = {"median": 3.0, "ratio": 0.871, "best_peer": "nginx", "interval": [0.82, 0.914], "verdict": "better"}
    unsure = {**found, "interval": [0.97, 1.1], "verdict": ""}
    delays = {"delay_p50_ms": {"median": 1.2}, "delay_p99_ms": {"median": 1.9}}
    results = [
        {"front": "tcp", "workload": "connect-1", "peer": "sockfront", "metrics": {"cpu_us": found}},
        {"front": "tcp", "workload": "connect-16", "peer": "sockfront", "metrics": {"cpu_us": unsure}},
        {"front": "tcp", "workload": "link-1Gbit-up-1", "peer": "haproxy-splice", "metrics": delays},
        {"front": "tcp", "workload": "fair-1024", "peer": "nginx", "metrics": {"fairness": {"median": 1.1}}},
    ]
    document = tmp_path / "results.json"
    about = {"machine": "A machine, 2 CPUs, Linux 6.1.2-build", "measured_rounds": 3}
    document.write_text(json.dumps({**about, "results": results}))
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n\n{readme_table.BEGIN}| old |{readme_table.END}\n\nafter\n")
    for _ in range(2):
        readme_table.put(document, readme)
    text = readme.read_text()
    assert "| connections, 1 at a time | 0.87 (0.82-0.91) of nginx: better |  |  |" in text
    assert "| connections, 16 at a time | 0.87 (0.97-1.10) of nginx |  |  |" in text
    assert "| delay of 1 stream up over 1 Gbit/s, p50 and p99, ms |  |  | 1.20 and 1.90 |  |" in text
    assert "| 1,024 connections, most over fewest requests in 5 s |  |  |  | 1.10 |" in text
    assert "Linux 6.1.2;" in text.replace("\n", " ")
    assert "| old |" not in text and text.startswith("before\n") and text.endswith("\n\nafter\n")


@pytest.mark.parametrize("fewest, most, ratio", [(500, 500, 1), (400, 520, 1.3), (0, 700, 700)])
def test_fairness_is_the_most_over_the_fewest(fewest, most, ratio):
    assert workloads.fairness(fewest, most) == pytest.approx(ratio)


def test_figures_are_made_of_what_the_load_prints():
    second = {"ns": 2 * 10**9, "p50_ns": 1000, "p99_ns": 2500, "p999_ns": 9000}
    asked = workloads.figures_of({**second, "requests": 100, "fewest": 10, "most": 12})
    assert (asked["requests_per_s"], asked["fairness"], asked["p99_us"]) == (50, 1.2, 2.5)
    visited = workloads.figures_of({**second, "connections": 10, "streamed": 4 << 30})
    assert (visited["connections_per_s"], visited["streams_gib_per_s"]) == (5, 2)
    paced = workloads.figures_of({**second, "pieces": 7, "cpu_ns": 1, "resting_cpu_ns": 0})
    assert paced == {"delay_p50_ms": 0.001, "delay_p99_ms": 0.0025}


def samples_of(workload, figures):
    """@figures: {peer: [figures of each slice]}"""
    peers = peer_table.all_peers("sockfront", "relay", 0, [])
    samples = report.Samples(peers)
    for peer in peers:
        for number, found in enumerate(figures.get(peer.name, [])):
            samples.add("tcp", workload, peer, (0, number), dict(found))
    return samples


WORKLOADS = {workload.name: workload for workload in all_workloads(3000)}


def test_a_delay_is_what_it_is_over_direct():
    workload = WORKLOADS["link-1Gbit-up-1"]
    samples = samples_of(
        workload,
        {
            "direct": [{"delay_p50_ms": 1.0}, {"delay_p50_ms": 3.0}],
            "sockfront": [{"delay_p50_ms": 2.5}, {"delay_p50_ms": 3.5}],
        },
    )
    samples.less_direct("tcp", workload)
    metric = workloads.DELAY_P50
    assert samples.median("tcp", workload, "direct", metric) == 2.0
    assert list(samples.values("tcp", workload, "sockfront", metric).values()) == [0.5, 1.5]


def test_without_direct_there_is_no_delay():
    workload = WORKLOADS["link-1Gbit-up-1"]
    samples = samples_of(workload, {"nginx": [{"delay_p50_ms": 2.5}]})
    samples.less_direct("tcp", workload)
    assert samples.median("tcp", workload, "nginx", workloads.DELAY_P50) is None


def test_a_goal_of_a_figure_alone_names_the_peers():
    workload = WORKLOADS["fair-1024"]
    samples = samples_of(
        workload,
        {name: [{"fairness": value}] for name, value in (("sockfront", 1.31), ("nginx", 1.2), ("raw-epoll", 1.1))},
    )
    [check] = report.goals(samples, ["tcp"], [workload])
    assert not check["met"] and check["others"] == {"nginx": 1.2}
    [line] = report.goal_lines([check])
    assert "MISSED" in line and line.endswith("(at most 1.30)  nginx 1.20")


def test_a_newcomer_waits_no_longer_than_with_nginx():
    """... whoever else is faster."""
    workload = WORKLOADS["connect-behind-64"]
    waits = {"sockfront": 500, "nginx": 600, "haproxy": 400}
    samples = samples_of(workload, {name: [{"p99_us": wait}] for name, wait in waits.items()})
    [check] = report.goals(samples, ["tcp"], [workload])
    assert check["met"] and check["against"] == "of nginx"


def test_what_is_usual_gets_intervals_in_three_rounds():
    """... in which each has three slices, or fewer of its own; what is measured once has none."""
    usual = [workload for workload in WORKLOADS.values() if workload.usual and not workload.once]
    assert all(3 * min(3, workload.slices or 3) >= interval.FEWEST for workload in usual)
    assert all(workload.usual for workload in WORKLOADS.values() if workload.quick)


def test_links_show_one_and_eight_streams():
    for name in "100Mbit", "1Gbit", "10Gbit":
        usual = [w for w in WORKLOADS.values() if w.usual and w.name.startswith((f"link-{name}-up", f"link-{name}-down"))]
        assert {workload.connections for workload in usual} == {1, 8}
        assert {workload.then.rate for workload in usual} == {0.9 * LINKS[name].bits / 8}


def test_every_workload_has_plots_of_its_own_kind():
    assert {workload.kind for workload in WORKLOADS.values()} == set(report.PLOT_TITLES)
    for name, kind in (("connect-behind-64", "connect-behind"), ("connect-16", "connect"), ("fair-1024", "fair")):
        assert WORKLOADS[name].kind == kind


def test_a_plot_has_a_height():
    """Also where all that is over direct is nothing, or less."""
    script = report.plot_script("x.svg", "delay", "ms", ["a"], [("link", [-0.3]), ("other", [None])])
    assert f"set yrange [0:{report.LEAST * 1.05}]" in script


@pytest.mark.parametrize("name", LINKS)
def test_a_link_takes_what_tc_takes(name):
    """The bucket holds a whole packet of the kernel's offload at each rate that is fast enough for one."""
    words = LINKS[name].qdisc()
    if words[0] == "tbf":
        assert int(words[words.index("burst") + 1]) >= 16384
        assert words[words.index("rate") + 1] == LINKS[name].rate
    else:
        assert {"delay", "loss"} & set(words)
