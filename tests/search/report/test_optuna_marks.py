"""What Optuna's dashboard is told of a run is what its result says."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.report.optuna_marks import OptunaMarks, unknown_line
from search.stability.result import read_result
from tests.support.reported import made


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("marked") / "run", 30)


def test_the_notes_name_the_winner_and_what_is_not_known(run: Path) -> None:
    result = read_result(run)
    assert result is not None
    marks = OptunaMarks(run)()
    assert marks.winner == result.winner
    for note in (marks.study, marks.trial):
        assert f"Trial {result.winner} of the run won" in note
        assert f"promised {result.promise.low:.3f} to {result.promise.high:.3f}" in note
    assert "knows nothing of the runs over fresh seeds" in marks.study
    assert f"the winner is trial {result.winner}" in unknown_line(run, result)


def test_a_result_that_comes_later_is_told(tmp_path: Path) -> None:
    run = made(tmp_path / "run", 30)
    (run / "result.json").rename(tmp_path / "later")
    (run / "spare" / "result.json").unlink()
    marks = OptunaMarks(run)
    assert marks().winner is None
    assert marks().study.startswith("No winner yet")
    (tmp_path / "later").rename(run / "result.json")
    assert marks().winner is not None
