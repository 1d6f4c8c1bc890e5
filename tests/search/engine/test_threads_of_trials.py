"""Sweeps on nodes of CPUs: what trials at once leave of the cores are threads of theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.engine.packing.packings import read_paces
from search.ledger.lineage import device_seconds
from search.ledger.reader import read_book
from tests.support.on_nodes import Sweep, nodes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FACTORY = "tests.support.threaded_training:ThreadedTraining"


def threads(run: Path) -> set[tuple[str, str]]:
    """Threads and cores that attempts had."""
    lines = (run / "threads.txt").read_text().splitlines()
    return {(line.split()[1], line.split()[2]) for line in lines}


def test_few_trials_share_the_cores_as_threads(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with nodes({"num_cpus": 8}) as cluster:
        more = {"factory": FACTORY, "fastest": 1.0, "parallel": 2}
        sweep = Sweep(run, cluster.address, [{"sleep": 0.2}] * 2, **more)
        assert sweep.wait() == 0, sweep.errors
    (found,) = read_paces(run)
    assert [one.threads for one in found.pace.paced] == [1, 2, 3, 4], found.text()
    assert found.pace.why == "no more than 4 were to be tried"
    assert threads(run) == {("4", "4")}
    book = read_book(run)
    assert {trial.threads for trial in book.trials.values()} == {4}
    assert [line["note"] for line in sweep.said("note")] == [found.text()]
    assert sweep.said("resized")[-1]["resized"] == 2
    assert found.pace.memory == 1e9
    seconds = sum(trial.seconds for trial in book.trials.values())
    assert device_seconds(book.trials, 1.0, gpus=False) == pytest.approx(4 * seconds)


def test_memory_decides_how_many_run_at_once(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with nodes({"num_cpus": 8, "memory": 5_000_000_000}) as cluster:
        configs = [{"sleep": 0.2}] * 8
        sweep = Sweep(run, cluster.address, configs, factory=FACTORY, fastest=1.0)
        assert sweep.wait() == 0, sweep.errors
    assert max(line["resized"] for line in sweep.said("resized")) == 4
    assert threads(run) == {("2", "2")}, "four at once leave two cores each"


def test_what_the_file_says_is_what_trials_have(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with nodes({"num_cpus": 8}) as cluster:
        more = {"factory": FACTORY, "fastest": 1.0, "cpus_per_trial": 2}
        sweep = Sweep(run, cluster.address, [{}] * 2, **more)
        assert sweep.wait() == 0, sweep.errors
    assert threads(run) == {("None", "2")}
    assert not (run / "measured.txt").exists()


def test_a_short_sweep_measures_nothing(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with nodes({"num_cpus": 8}) as cluster:
        sweep = Sweep(run, cluster.address, [{}] * 2, factory=FACTORY)
        assert sweep.wait() == 0, sweep.errors
    assert threads(run) == {("None", "1")}
    assert not (run / "measured.txt").exists()
