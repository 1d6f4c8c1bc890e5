"""Sweeps on fake GPUs of unequal nodes: the probe, its parts, and a larger one after `oom`."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from search.engine.packing.packings import read_packings
from search.ledger.reader import read_book
from tests.support.on_nodes import Sweep, nodes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

FACTORY = "tests.support.packed_training:PackedTraining"
BIG = {"num_cpus": 4, "num_gpus": 1, "resources": {"big": 1}}
SMALL = {"num_cpus": 4, "num_gpus": 1, "resources": {"small": 1}}


def shares(run: Path) -> dict[int, list[tuple[float, str]]]:
    """What each trial had, attempt by attempt, and of what."""
    found = defaultdict(list)
    for line in (run / "shares.txt").read_text().splitlines():
        trial, gpus, kind, _ = line.split(maxsplit=3)
        found[int(trial)].append((float(gpus), kind))
    return found


def test_unequal_nodes_get_unequal_numbers_and_oom_a_larger_part(tmp_path: Path) -> None:
    run = tmp_path / "run"
    configs = [{"sleep": 0.4, "need": 0.0} for _ in range(14)]
    configs[3]["need"] = 0.4  # enough with half a GPU, which both kinds have after a retry
    configs[5]["need"] = 2.0  # never enough
    with nodes(BIG, SMALL) as cluster:
        sweep = Sweep(run, cluster.address, configs, factory=FACTORY)
        assert sweep.wait() == 0, sweep.errors
    kept = {one.name: one.packing.copies for one in read_packings(run)}
    assert kept == {"big": 4, "small": 2}
    notes = [line["note"] for line in sweep.said("note")]
    assert len(notes) == 2, notes
    assert max(line["resized"] for line in sweep.said("resized")) == 6
    had = shares(run)
    first = {attempts[0] for attempts in had.values()}
    assert first == {(0.25, "big"), (0.5, "small")}
    book = read_book(run)
    outcomes = {trial.id: trial.outcome for trial in book.trials.values()}
    assert outcomes.pop(5) == "oom"
    assert set(outcomes.values()) == {"completed"}
    assert book.attempts.keys() <= {3, 5}
    assert [one.cause for one in book.attempts[5]] == ["memory"]
    assert len(had[5]) == 2, "once more, and no more"
    (short, kind), (more, again) = had[5]
    assert (more, again) == (2 * short, kind)
    assert "next: RuntimeError: CUDA out of memory" in book.attempts[5][0].reason


def test_a_whole_gpu_comes_free_for_a_trial_that_needs_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    configs = [{"sleep": 0.3, "need": 0.9 if number == 1 else 0.0} for number in range(9)]
    with nodes({**BIG, "num_cpus": 8, "num_gpus": 2}) as cluster:
        sweep = Sweep(run, cluster.address, configs, factory=FACTORY, gpus_per_trial=0.5)
        assert sweep.wait() == 0, sweep.errors
    book = read_book(run)
    assert {trial.outcome for trial in book.trials.values()} == {"completed"}
    assert not read_packings(run), "where it is said, nothing is measured"
    had = shares(run)
    assert had[1] == [(0.5, "big"), (1.0, "big")]
    assert all(attempts == [(0.5, "big")] for trial, attempts in had.items() if trial != 1)


def test_packing_can_be_turned_off(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with nodes(BIG) as cluster:
        sweep = Sweep(run, cluster.address, [{}] * 3, factory=FACTORY, pack=False)
        assert sweep.wait() == 0, sweep.errors
    assert not read_packings(run)
    assert {one for attempts in shares(run).values() for one in attempts} == {(1.0, "big")}


def test_a_node_of_another_kind_that_joins_is_measured_and_used(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with nodes(BIG) as cluster:
        sweep = Sweep(run, cluster.address, [{"sleep": 1.5}] * 24, factory=FACTORY)
        sweep.until("resized", resized=4)
        sweep.until("reported", reported=0)
        cluster.add_node(**SMALL)
        sweep.until("resized", resized=6)
        assert sweep.wait() == 0, sweep.errors
    book = read_book(run)
    assert {trial.outcome for trial in book.trials.values()} == {"completed"}
    kinds = {one for attempts in shares(run).values() for one in attempts}
    assert kinds == {(0.25, "big"), (0.5, "small")}
