"""Runs that version 1 of the schema wrote: they open, read, go on and are refused by nobody.

`run_v1/finished` is a sweep of its `sweep.yaml`, without checkpoints; `run_v1/unfinished` is one
with longer trials whose driver was killed: nothing is compacted, and of trial 0's checkpoints the
last is there.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from search.cli import main
from search.ledger.ledger import Ledger
from search.ledger.parquet import TRIALS
from search.ledger.reader import read_curves, read_trials
from search.ledger.trial import Trial
from search.sweep.run import Run
from tests.support.folders import RUNS_V1
from trm.errors import UserError


@pytest.fixture(params=["finished", "unfinished"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(RUNS_V1 / request.param, tmp_path / request.param))


def version(path: Path) -> bytes:
    return pq.read_schema(path).metadata[b"schema_version"]  # type: ignore[no-any-return]


def plain(trials: dict[int, Trial]) -> dict[int, dict[str, Any]]:
    return {number: asdict(trial) for number, trial in trials.items()}


def test_it_reads(capsys: pytest.CaptureFixture[str]) -> None:
    finished, unfinished = RUNS_V1 / "finished", RUNS_V1 / "unfinished"
    assert version(finished / "trials" / "000000.parquet") == b"1"
    assert "paused" not in pq.read_schema(finished / "trials" / "000000.parquet").names
    trials = read_trials(finished)
    assert list(trials) == ds.dataset(finished / "trials").to_table()["id"].to_pylist()
    assert [t.outcome for t in trials.values() if t.stage == "explore"] == [
        "completed", "completed", "pruned", "completed",
    ]  # fmt: skip
    assert not any(trial.paused for trial in trials.values())
    assert read_curves(finished).num_rows == sum(trial.mark for trial in trials.values()) > 40
    result = Run(finished).best()
    assert result is not None
    assert result.winner == 3
    # The log of a killed driver.
    trials = read_trials(unfinished)
    assert [(t.outcome, t.mark, t.attempts, t.paused) for t in trials.values()] == [
        (None, 2, 1, False), ("completed", 3, 1, False), (None, 0, 0, False),
    ]  # fmt: skip
    assert trials[0].checkpoint == "checkpoints/0/1/2"
    assert (unfinished / trials[0].checkpoint / "checkpoint.json").is_file()
    rows = read_curves(unfinished).select(["trial", "mark"]).to_pylist()
    assert sorted((r["trial"], r["mark"]) for r in rows) == [
        (0, 1), (0, 2), (1, 1), (1, 2), (1, 3),
    ]  # fmt: skip
    assert main(["status", str(finished)]) == 0
    assert "winner: trial 3" in capsys.readouterr().out
    assert main(["status", str(unfinished)]) == 0
    assert "1 completed, 1 unfinished" in capsys.readouterr().out


def test_it_opens_grows_and_is_then_of_this_version(run: Path) -> None:
    before = plain(read_trials(run))
    with Ledger.open(run) as ledger:
        assert plain(ledger.trials) == before
        assert {n: len(rows) for n, rows in ledger.curves()} == {
            number: trial["mark"] for number, trial in before.items()
        }
        new = ledger.add_trial(stage="explore", params={}, config={"a": 1}, seed=7)
        attempt = ledger.begin_attempt(new.id)
        old = read_curves(run).to_pylist()[0]
        assert ledger.acknowledge(new.id, attempt, {**old, "mark": 1})
        ledger.pause(new.id)
    after = plain(read_trials(run))
    assert after.pop(new.id)["paused"] is True
    assert after == before
    for name in ("trials", "curves"):
        assert version(run / name / "000000.parquet") == b"2"
    assert ds.dataset(run / "trials").to_table().schema.names == TRIALS.names
    marks = sum(trial["mark"] for trial in before.values()) + 1
    assert read_curves(run).num_rows == marks


def test_what_a_newer_version_wrote_is_refused_in_one_line(run: Path) -> None:
    part = run / "trials" / "000000.parquet"
    table = pq.read_table(part)
    pq.write_table(
        table.replace_schema_metadata({**table.schema.metadata, b"schema_version": b"3"}), part
    )
    for read in (read_trials, read_curves, Ledger.open):
        with pytest.raises(UserError, match=r"000000\.parquet: 3 is a newer schema_version"):
            read(run)
    assert main(["status", str(run)]) == 2


@pytest.mark.slow
def test_a_sweep_goes_on_from_where_version_1_left_it(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRM_CACHE", str(tmp_path / "cache"))
    before, curves = plain(read_trials(run)), read_curves(run).to_pylist()
    words = ["sweep", str(run / "sweep.yaml"), "--out", str(run), "--resume", "--trials", "5"]
    assert main(words) == 0
    trials = read_trials(run)
    assert sum(trial.stage == "explore" for trial in trials.values()) == 5
    assert {trial.outcome for trial in trials.values()} <= {"completed", "pruned"}
    assert all(
        asdict(trials[number]) == trial for number, trial in before.items() if trial["outcome"]
    )
    rows = read_curves(run).to_pylist()
    assert all(row in rows for row in curves)
    if run.name == "unfinished":
        assert [(row["mark"], row["attempt"]) for row in rows if row["trial"] == 0] == [
            (1, 1), (2, 1), (3, 2),
        ]  # fmt: skip
    assert Run(run).best() is not None
