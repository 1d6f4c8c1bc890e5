"""Failed trials that are run again: which, from where, and what stays on record."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.cli import main
from search.engine.attempts.retry import parse_retry, retry_trials
from search.ledger.files import TEST_FILE, read_json
from search.ledger.ledger import Ledger
from search.ledger.reader import read_book
from tests.search.ledger.test_ledger import row
from tests.support.folders import RUNS_V1
from trm.errors import UserError


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A run of version 1: trial 0 has a checkpoint and crashed, 1 completed, 2 was killed."""
    folder = Path(shutil.copytree(RUNS_V1 / "unfinished", tmp_path / "run"))
    with Ledger.open(folder) as ledger:
        ledger.finish(0, "crashed", 0.0, "OSError: [Errno 28] No space left on device")
        ledger.begin_attempt(2)
        ledger.finish(2, "oom", 0.0, "worker died")
        for outcome in ("diverged", "crashed"):
            trial = ledger.add_trial(stage="promise", params={}, config={}, seed=9, candidate=1)
            ledger.begin_attempt(trial.id)
            ledger.acknowledge(trial.id, 1, row(1), f"checkpoints/{trial.id}/1/1")
            ledger.finish(trial.id, outcome, 0.0, "x")  # type: ignore[arg-type]
        (folder / "test.json").write_text('{"4": 0.0, "1": 0.5}')
        yield ledger


def again(ledger: Ledger, *words: str) -> list[int]:
    return [trial.id for trial in retry_trials(ledger, parse_retry(words))]


def test_by_outcome_from_the_last_checkpoint(ledger: Ledger) -> None:
    assert again(ledger, "crashed") == [0, 4]
    first, afresh = ledger.trials[0], ledger.trials[4]
    assert (first.outcome, first.mark, first.checkpoint) == (None, 2, "checkpoints/0/1/2")
    assert (afresh.outcome, afresh.mark, afresh.checkpoint) == (None, 1, None), "it was gone"
    assert ledger.trials[2].outcome == "oom"
    assert read_json(ledger.folder / TEST_FILE, own=True) == {"1": 0.5}
    kept = read_book(ledger.folder).attempts[0][-1]
    assert (kept.outcome, kept.cause) == ("crashed", "retried")
    assert kept.reason == "OSError: [Errno 28] No space left on device"
    assert again(ledger, "crashed") == [], "the same command goes on with them"


def test_by_number_and_several_at_once(ledger: Ledger) -> None:
    assert again(ledger, "oom,0") == [0, 2]
    ledger.begin_attempt(0)
    ledger.finish(0, "completed", 0.5)
    assert again(ledger, "0", "2") == [], "a queue may give the same command again"


def test_what_is_no_machines_fault_is_refused(ledger: Ledger) -> None:
    for word, words in (
        ("1", "--retry: 1 is completed, which its config would be again"),
        ("3", "--retry: 3 is diverged"),
        ("99", "--retry: 99 is no trial of"),
        ("diverged", "--retry: 'diverged' must be crashed or oom, or a trial's number"),
        ("-1", "--retry: '-1' must be"),
        ("1" * 5000, "--retry: '111"),
        ("", "--retry: '' must be"),
    ):
        with pytest.raises(UserError, match=words[:60].replace("(", r"\(")):
            again(ledger, word)
    assert not [one for many in ledger.attempts.values() for one in many if one.cause == "retried"]


def test_a_stretch_whose_parent_is_gone_stays_as_it_is(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    child = ledger.add_trial(
        stage="population", params={}, config={}, seed=1, checkpoint="checkpoints/77/1/1"
    )
    ledger.begin_attempt(child.id)
    ledger.finish(child.id, "crashed", 0.0, "x")
    assert child.id not in again(ledger, "crashed")
    assert f"trial {child.id}: what it goes on from was not kept" in capsys.readouterr().err


def test_it_needs_a_run_to_go_on_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    for command in ("sweep", "ablate"):
        assert main([command, "arrows4", "--out", str(out), "--retry", "crashed"]) == 2
        assert "--retry: 'crashed' needs --resume" in capsys.readouterr().err
    assert not out.exists()
