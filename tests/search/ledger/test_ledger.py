"""The ledger: nothing acknowledged is lost or repeated, wherever the driver dies."""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

import search.ledger.ledger
import search.ledger.state
from search.ledger.ledger import Ledger
from search.ledger.parquet import BLOCK
from search.ledger.reader import read_curves, read_trials
from trm.errors import UserError
from trm.report import COLUMNS

ZERO: dict[str, Any] = {"int": 0, "float": 0.0, "bool": False}


def row(mark: int, **values: Any) -> dict[str, Any]:
    base = {name: ZERO[column.kind] for name, column in COLUMNS.items()}
    return {**base, "mark": mark, "step": 10 * mark, "compute": 1e9 * mark, "seconds": mark / 4} | (
        values
    )


def crash(ledger: Ledger) -> None:
    """What a kill leaves: the files as they are, the lock free."""
    ledger._lock.release()
    ledger._journal.close()


def fill(ledger: Ledger, trials: int, marks: int) -> None:
    for _ in range(trials):
        trial = ledger.add_trial(
            stage="explore", params={"lr": 0.1}, config={"model": {"hidden_size": 8}}, seed=3
        )
        attempt = ledger.begin_attempt(trial.id)
        for mark in range(1, marks + 1):
            ok = ledger.acknowledge(
                trial.id, attempt, row(mark), f"checkpoints/{trial.id}/1/{mark}", {"torch": "2"}
            )
            assert ok
        if trial.id % 2 == 0:
            ledger.finish(trial.id, "completed", 0.5 + trial.id)


def state(ledger: Ledger) -> dict[str, Any]:
    curves = {number: ledger.curve(number) for number in ledger.trials}
    return {"trials": {n: asdict(t) for n, t in ledger.trials.items()}, "curves": curves}


def assert_unique(folder: Path) -> None:
    for name, key in (("trials", ["id"]), ("curves", ["trial", "mark"])):
        table = ds.dataset(folder / name).to_table().select(key).to_pydict()
        keys = list(zip(*table.values(), strict=True))
        assert len(keys) == len(set(keys)), name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


def test_everything_survives_a_crash_and_a_clean_close(folder: Path) -> None:
    ledger = Ledger.create(folder)
    fill(ledger, 3, 4)
    before = state(ledger)
    assert [r["mark"] for r in before["curves"][1]] == [1, 2, 3, 4]
    assert before["trials"][0]["outcome"] == "completed"
    assert before["trials"][1]["outcome"] is None
    assert before["trials"][1]["checkpoint"] == "checkpoints/1/1/4"
    assert before["trials"][1]["provenance"] == {"torch": "2"}
    crash(ledger)
    ledger = Ledger.open(folder)
    assert state(ledger) == before
    ledger.close()
    assert len(list((folder / "log").iterdir())) == 1
    with Ledger.open(folder) as ledger:
        assert state(ledger) == before
        assert ledger.begin_attempt(1) == 2
        assert ledger.acknowledge(1, 2, row(5))
    assert [r["attempt"] for r in read_curves(folder).to_pylist() if r["trial"] == 1] == [1] * 4 + [
        2
    ]


def test_only_new_reports_of_the_last_attempt_count(folder: Path) -> None:
    with Ledger.create(folder) as ledger:
        trial = ledger.add_trial(stage="confirm", params={}, config={}, seed=0, candidate=7)
        assert trial.candidate == 7
        first = ledger.begin_attempt(trial.id)
        assert ledger.acknowledge(trial.id, first, row(1), "a")
        assert not ledger.acknowledge(trial.id, first, row(1), "b")
        second = ledger.begin_attempt(trial.id)
        assert not ledger.acknowledge(trial.id, first, row(2), "c")
        assert not ledger.preempt(trial.id, first, "gone")
        assert ledger.preempt(trial.id, second, "gone")
        assert ledger.acknowledge(trial.id, second, row(2))
        assert trial.checkpoint == "a"
        assert trial.preempted == 1
        ledger.finish(trial.id, "pruned", 0.25, "below the\nrung")
        assert not ledger.acknowledge(trial.id, second, row(3))
        assert trial.reason == "below the rung"
        with pytest.raises(AssertionError):
            ledger.finish(trial.id, "completed", 0.5)
        other = ledger.add_trial(stage="explore", params={}, config={}, seed=0)
        assert other.candidate == other.id
        with pytest.raises(AssertionError, match="NaN"):
            ledger.finish(other.id, "diverged", math.nan)
        assert other.outcome is None


def test_rows_are_typed_and_plain_readers_see_them(folder: Path) -> None:
    with Ledger.create(folder) as ledger:
        assert ds.dataset(folder / "trials").to_table().num_rows == 0
        fill(ledger, 2, 2)
        nan = row(3, lm_loss=math.nan, grad_norm=math.inf, diverged=True, extra="kept out")
        assert ledger.acknowledge(1, 1, nan)
        del nan["halt_auc"]
        assert ledger.acknowledge(1, 1, {**nan, "mark": 4})
    curves = ds.dataset(folder / "curves").to_table()
    assert curves.schema.names == ["trial", "attempt", *COLUMNS]
    kinds = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
    assert all(
        curves.schema.field(name).type == kinds[column.kind] for name, column in COLUMNS.items()
    )
    third, fourth = curves.to_pylist()[-2:]
    assert math.isnan(third["lm_loss"])
    assert third["grad_norm"] == math.inf
    assert third["diverged"] is True
    assert fourth["halt_auc"] is None
    trials = ds.dataset(folder / "trials").to_table()
    assert trials.schema.metadata[b"schema_version"] == b"2"
    assert json.loads(trials["config"][0].as_py()) == {"model": {"hidden_size": 8}}
    assert trials["outcome"].to_pylist() == ["completed", None]
    assert trials["score"].to_pylist() == [0.5, None]


def test_a_torn_last_line_is_dropped_at_every_byte(folder: Path, tmp_path: Path) -> None:
    ledger = Ledger.create(folder)
    fill(ledger, 2, 2)
    before = state(ledger)
    segment = folder / "log" / "000001.jsonl"
    intact = segment.stat().st_size
    assert ledger.acknowledge(1, 1, row(3))
    after = state(ledger)
    crash(ledger)
    whole = segment.read_bytes()
    last = len(whole) - intact
    for cut in [*range(0, last, 40), last - 2, last - 1, last]:
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        (copy / "log" / segment.name).write_bytes(whole[: intact + cut])
        with Ledger.open(copy) as torn:
            assert state(torn) == (after if cut == last else before)
            if cut < last:
                assert torn.acknowledge(1, 1, row(3))
            assert state(torn) == after
        with Ledger.open(copy) as torn:
            assert state(torn) == after
        assert_unique(copy)
        shutil.rmtree(copy)


def test_a_torn_header_is_no_obstacle(folder: Path) -> None:
    ledger = Ledger.create(folder)
    fill(ledger, 1, 1)
    before = state(ledger)
    crash(ledger)
    (folder / "log" / "000002.jsonl").write_bytes(b'{"schema')
    with Ledger.open(folder) as ledger:
        assert state(ledger) == before


def test_damage_in_the_middle_is_refused_with_its_line(folder: Path) -> None:
    ledger = Ledger.create(folder)
    fill(ledger, 1, 2)
    crash(ledger)
    segment = folder / "log" / "000001.jsonl"
    lines = segment.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][:9] + b"\n"
    segment.write_bytes(b"".join(lines))
    with pytest.raises(UserError, match=r"000001\.jsonl:3: is damaged"):
        Ledger.open(folder)
    newer = b'{"schema_version":99,"next":1}\n'
    segment.write_bytes(newer)
    with pytest.raises(UserError, match="99 is a newer schema_version"):
        Ledger.open(folder)


class Fault(OSError):
    pass


def failing(name: str, call: int) -> Iterator[tuple[str, Any]]:
    """`os.<name>` that fails before or after doing its work on its `call`-th call."""
    real = getattr(os, name)
    for after in (False, True):
        counter = itertools.count()

        def function(
            *args: Any, _after: bool = after, _counter: Any = counter, **kwargs: Any
        ) -> Any:
            fails = next(_counter) == call
            if fails and not _after:
                raise Fault(name)
            result = real(*args, **kwargs)
            if fails:
                raise Fault(name)
            return result

        yield f"{name}[{call}] {'after' if after else 'before'}", function


@pytest.mark.parametrize(
    ("name", "again"),
    [
        pytest.param("replace", False, id="replace-reopened"),
        pytest.param("unlink", True, id="unlink-compacted-again"),
        pytest.param("replace", True, id="replace-compacted-again", marks=pytest.mark.slow),
        pytest.param("unlink", False, id="unlink-reopened", marks=pytest.mark.slow),
        pytest.param("fsync", False, id="fsync-reopened", marks=pytest.mark.slow),
        pytest.param("fsync", True, id="fsync-compacted-again", marks=pytest.mark.slow),
    ],
)
def test_compaction_survives_a_fault_at_every_step(
    name: str, again: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("ledger", "parquet", "reader", "state"):
        monkeypatch.setattr(f"search.ledger.{module}.BLOCK", 2)
    ledger = Ledger.create(folder)
    fill(ledger, 3, 2)
    ledger.compact()
    crash(ledger)
    original = folder.with_name("original")
    faults = 0  # two for each call that compaction makes
    for call in itertools.count():
        if 2 * call > faults:
            break
        for label, function in failing(name, call):
            if original.exists():
                shutil.rmtree(folder)
            else:
                shutil.copytree(folder, original)
                shutil.rmtree(folder)
            shutil.copytree(original, folder)
            ledger = Ledger.open(folder)
            assert ledger.acknowledge(1, 1, row(3), "late")
            assert ledger.preempt(1, 1, "gone")
            fill(ledger, 1, 2)
            before = state(ledger)
            raised = False
            with monkeypatch.context() as patch:
                patch.setattr(os, name, function)
                try:
                    ledger.compact()
                except Fault:
                    raised = True
            faults += raised
            assert_unique(folder)
            assert {n: asdict(t) for n, t in read_trials(folder).items()} == before["trials"], label
            assert read_curves(folder).num_rows == sum(map(len, before["curves"].values())), label
            if again and not ledger._journal.closed:
                ledger.compact()
                assert_unique(folder)
                assert state(ledger) == before, label
            crash(ledger)
            with Ledger.open(folder) as ledger:
                assert state(ledger) == before, label
            assert_unique(folder)
            with Ledger.open(folder) as ledger:
                assert state(ledger) == before, label
    assert faults >= 2


def test_a_failed_append_is_not_acknowledged_and_nothing_follows_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger.create(folder)
    fill(ledger, 2, 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", next(f for label, f in failing("fsync", 0)))
        with pytest.raises(Fault):
            ledger.acknowledge(1, 1, row(2))
    with pytest.raises(OSError, match="closed by an earlier error"):
        ledger.acknowledge(1, 1, row(2))
    ledger.close()
    with Ledger.open(folder) as ledger:
        assert ledger.trials[1].mark in (1, 2)
        assert len(ledger.curve(1)) == ledger.trials[1].mark


def test_it_compacts_by_itself_and_readers_agree_at_every_record(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search.ledger.ledger, "COMPACT_EVERY", 5)
    with Ledger.create(folder) as ledger:
        for number in range(4):
            fill(ledger, 1, 3)
            assert {n: asdict(t) for n, t in read_trials(folder).items()} == state(ledger)["trials"]
            rows = read_curves(folder).select(["trial", "mark"]).to_pylist()
            expected = [{"trial": t, "mark": m} for t in range(number + 1) for m in (1, 2, 3)]
            assert sorted(rows, key=lambda r: (r["trial"], r["mark"])) == expected
        assert len(ledger._tail) < 4
    assert ds.dataset(folder / "curves").count_rows() == 12


def test_a_reader_misses_nothing_when_compaction_runs_between_its_reads(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.create(folder) as ledger:
        fill(ledger, 2, 3)
        before = state(ledger)
        real = search.ledger.state.read_journal

        def then_compact(path: Path) -> Any:
            records = real(path)
            ledger.compact()
            return records

        monkeypatch.setattr(search.ledger.state, "read_journal", then_compact)
        assert {n: asdict(t) for n, t in read_trials(folder).items()} == before["trials"]
        assert ledger.acknowledge(1, 1, row(4))
        assert read_curves(folder).num_rows == 7


def test_files_hold_blocks_of_trials(folder: Path) -> None:
    with Ledger.create(folder) as ledger:
        for _ in range(BLOCK + 1):
            ledger.add_trial(stage="explore", params={}, config={}, seed=0)
        ledger.begin_attempt(BLOCK)
        ledger.acknowledge(BLOCK, 1, row(1))
    assert sorted(path.name for path in (folder / "trials").iterdir()) == [
        "000000.parquet",
        "000256.parquet",
    ]
    with Ledger.open(folder) as ledger:
        assert len(ledger.trials) == BLOCK + 1
        assert len(ledger.curve(BLOCK)) == 1
        assert ledger.curve(0) == []


def test_bad_folders_are_refused_in_one_line(folder: Path) -> None:
    with pytest.raises(UserError, match="Unrecognized filesystem type"):
        Ledger.create("s4://bucket/run")
    with pytest.raises(UserError, match="holds no run"):
        Ledger.open(folder)
    with pytest.raises(UserError, match="holds no run"):
        read_trials(folder)
    Ledger.create(folder).close()
    with pytest.raises(UserError, match="already holds a run"):
        Ledger.create(folder)
    Ledger.open(folder).close()
    file = folder.parent / "file"
    file.write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        Ledger.create(file / "run")
