"""Faults of the machine on a real Ray: nothing is lost, and only what was lost is done again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from search.engine.attempts.guilt import NoNodeError
from search.ledger.ledger import Ledger
from search.ledger.reader import read_book
from tests.search.engine.test_ray_tune import assert_undisturbed, sweep
from tests.support.small_disk import fill, small_disk
from tests.support.sources import FixedSource, add_trials
from tests.support.troubled_training import FACTORY
from trm.blame import StorageError

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, "3m") as folder:
        yield folder


def run(ledger: Ledger, configs: list[dict[str, Any]], **more: Any) -> None:
    if not ledger.trials:
        add_trials(ledger, configs)
    sweep(ledger, FixedSource(ledger), factory=FACTORY, **more)


def full_for(disk: Path, folder: Path, marks: int, seconds: float) -> threading.Thread:
    """Fills a disk once so many reports are known, and frees it seconds later."""

    def trouble() -> None:
        while sum(trial.mark for trial in read_book(folder).trials.values()) < marks:
            time.sleep(0.05)
        filler = fill(disk)
        time.sleep(seconds)
        filler.unlink()

    thread = threading.Thread(target=trouble)
    thread.start()
    return thread


def test_a_disk_that_is_full_and_freed_costs_nothing(ray_cluster: Any, disk: Path) -> None:
    lines: list[str] = []
    folder = disk / "run"
    with Ledger.create(folder) as ledger:
        ledger.wait_for_storage(120.0, lines.append)
        add_trials(ledger, [{"pad": 100_000, "sleep": 0.4}] * 6)
        trouble = full_for(disk, folder, 4, 6.0)
        run(ledger, [])
        trouble.join()
        assert {trial.outcome for trial in ledger.trials.values()} == {"completed"}
        assert not ledger.attempts, "nothing was done twice"
        assert {trial.attempts for trial in ledger.trials.values()} == {1}
        assert_undisturbed(ledger, list(ledger.trials.values()), disk)
        lie = {str(p.relative_to(folder)) for p in folder.glob("checkpoints/*/*/*")}
        assert lie == {trial.checkpoint for trial in ledger.trials.values()}
        assert not list(folder.glob("checkpoints/*/*/.*"))
    assert len(lines) >= 2
    assert "No space left on device" in lines[0]
    assert lines[-1].endswith("the sweep goes on")


def test_a_disk_that_stays_full_ends_the_sweep_so_that_it_goes_on_later(
    ray_cluster: Any, disk: Path
) -> None:
    folder = disk / "run"
    with Ledger.create(folder) as ledger:
        ledger.wait_for_storage(3.0, lambda line: None)
        add_trials(ledger, [{"pad": 100_000, "sleep": 0.4}] * 3)
        trouble = full_for(disk, folder, 3, 12.0)
        with pytest.raises(StorageError, match="nothing is lost"):
            run(ledger, [])
    trouble.join()
    known = {number: trial.mark for number, trial in read_book(folder).trials.items()}
    with Ledger.open(folder) as ledger:
        assert not any(trial.ended for trial in ledger.trials.values() if trial.mark < 4)
        run(ledger, [])
        assert {trial.outcome for trial in ledger.trials.values()} == {"completed"}
        assert_undisturbed(ledger, list(ledger.trials.values()), disk)
        for number, mark in known.items():
            rows = ledger.curve(number)
            assert all(row["attempt"] == 1 for row in rows[:mark]), "a report was made twice"


def test_a_broken_worker_is_replaced_and_ends_nobody(ray_cluster: Any, tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "run") as ledger:
        run(ledger, [{"sleep": 0.3}, {"break": "once"}, *[{"sleep": 0.1}] * 6])
        trials = ledger.trials
        assert {trial.outcome for trial in trials.values()} == {"completed"}
        assert list(ledger.attempts) == [1], "one fault, one attempt"
        lost = ledger.attempts[1][0]
        assert (lost.cause, lost.mark) == ("machine", 1)
        assert lost.reason.startswith("AcceleratorError: CUDA error: an illegal memory access")
        assert lost.host
        assert lost.node
        assert lost.pid
        assert_undisturbed(ledger, list(trials.values()), tmp_path)


def test_a_config_that_breaks_every_device_is_given_up_alone(
    ray_cluster: Any, tmp_path: Path
) -> None:
    with Ledger.create(tmp_path / "run") as ledger:
        run(ledger, [{"break": "always"}, *[{"sleep": 0.1}] * 8], parallel=1)
        outcomes = [trial.outcome for trial in ledger.trials.values()]
        assert outcomes == ["crashed", *["completed"] * 8]
        assert ledger.trials[0].reason.startswith("wherever it ran: AcceleratorError")


def test_a_machine_on_which_everything_fails_loses_no_trial(
    ray_cluster: Any, tmp_path: Path
) -> None:
    with Ledger.create(tmp_path / "run") as ledger:
        with pytest.raises(NoNodeError, match=r"4 faults in a row.*no other node is left"):
            run(ledger, [{"break": "always", "at": 1}] * 4)
        assert not any(trial.ended for trial in ledger.trials.values())
        assert sum(map(len, ledger.attempts.values())) >= 4
