"""A run as an object: how it shows itself, its tables, and the notebook of the guide."""

from __future__ import annotations

import ast
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from search.explore.enough import FEWEST
from search.guide.pages import folder
from search.ledger.reader import read_book, read_trials
from search.sweep.run import Run
from tests.support.folders import RUNS_V1
from tests.support.weighted import with_weights
from tests.support.widened import widened
from trm.errors import UserError

DONE = RUNS_V1 / "finished"


def test_it_shows_itself_in_a_prompt_and_a_notebook() -> None:
    done = Run(DONE)
    text, html = repr(done), done._repr_html_()
    result = done.best()
    assert result is not None
    for shown in (text, html):
        assert str(DONE) in shown
        assert f"trial {result.winner}" in shown
        assert f"{result.promise.low:.4f} to {result.promise.high:.4f}" in shown
        assert f"{result.promise.mean:.4f} over {len(result.promise.seeds)} fresh seeds" in shown
        assert f"{result.reference.mean:.4f} over the same seeds" in shown
        assert "optimizer.lr = " in shown
    assert html.count("<tr>") == html.count("</tr>") == len(text.splitlines()) - 1
    assert "winner: none yet" in repr(Run(RUNS_V1 / "unfinished"))


def test_a_damaged_run_shows_what_is_wrong_with_it(tmp_path: Path) -> None:
    run = Run(shutil.copytree(DONE, tmp_path / "<run>"))
    assert "&lt;run&gt;" in run._repr_html_()
    (tmp_path / "<run>" / "result.json").write_text("{")
    assert "damaged: " in repr(run)


def test_its_trials_and_curves_are_tables() -> None:
    trials, curves = Run(DONE).trials(), Run(DONE).curves()
    known, book = read_trials(DONE), read_book(DONE)
    assert list(trials.index) == sorted(known)
    for number, trial in known.items():
        row = trials.loc[number]
        assert (row.stage, row.outcome, row.score) == (trial.stage, trial.outcome, trial.score)
        assert {name: row[name] for name in trial.params} == trial.params
        assert row.finished == pd.Timestamp(trial.finished or "")
        own = curves[curves.trial == number]
        assert list(own.mark) == [one["mark"] for one in book.curve(number)]
        assert list(own.cell_accuracy) == [one["cell_accuracy"] for one in book.curve(number)]
    assert Run(DONE).trial(3).params == known[3].params
    with pytest.raises(UserError, match="trial: 99 is none of"):
        Run(DONE).trial(99)


def test_times_written_to_the_second_and_to_its_thousandth_are_one_column(tmp_path: Path) -> None:
    widened(shutil.copytree(DONE, tmp_path / "run"), FEWEST)
    known, trials = read_trials(tmp_path / "run"), Run(tmp_path / "run").trials()
    assert len({len(trial.finished or "") for trial in known.values()}) == 2
    for number, trial in known.items():
        assert trials.loc[number].finished == pd.Timestamp(trial.finished or "")


def test_without_pandas_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    for table in (Run(DONE).trials, Run(DONE).curves):
        with pytest.raises(UserError, match="`pip install pandas`"):
            table()


def executed(path: Path) -> list[Any]:
    """What each code cell of a notebook shows, run in order."""
    names: dict[str, Any] = {"__name__": "__main__"}
    shown = []
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] != "code":
            continue
        body = ast.parse(cell["source"]).body
        last = body.pop() if isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), cell["id"], "exec"), names)
        if last is not None:
            shown.append(eval(compile(ast.Expression(last.value), cell["id"], "eval"), names))
    return shown


def test_the_notebook_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_weights(shutil.copytree(DONE, tmp_path / "runs" / "mine"))
    monkeypatch.chdir(tmp_path)
    shown = executed(folder() / "run.ipynb")
    assert isinstance(shown[0], Run)
    assert all(len(table) for table in shown if isinstance(table, pd.DataFrame))
    assert sum(isinstance(table, pd.DataFrame) for table in shown) == 4
    assert "optimizer" in capsys.readouterr().out


def test_the_notebook_is_stored_without_outputs() -> None:
    notebook = json.loads((folder() / "run.ipynb").read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(ids) == len(set(ids))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
