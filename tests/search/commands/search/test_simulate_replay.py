"""`trm simulate --replay` as its user runs it, on a small parallel run."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.config.plan import read_plan, write_plan
from search.ledger.ledger import Ledger
from search.ledger.reader import read_trials
from tests.search.simulator.test_replay import play, searching
from tests.support.folders import RUNS_V1
from tests.support.planned import replanned


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "mine"
    plan = searching(sampler={"name": "tpe", "n_startup_trials": 3})
    with Ledger.create(folder) as ledger:
        play(plan, ledger, random.Random(0))
    write_plan(folder, plan)
    return folder


def test_it_says_of_each_trial_whether_it_is_the_same(cli: Any, run: Path) -> None:
    found = cli("simulate", run, "--replay")
    assert found.code == 0
    *lines, last = found.out.splitlines()
    drawn = [n for n, t in read_trials(run).items() if t.explores][1:]
    assert lines == [f"trial {number:>5}  same" for number in drawn]
    assert last == f"{len(drawn)} of {len(drawn)} draws are the same; first points, which nobody " \
        "drew: 1"  # fmt: skip
    tree = json.loads(cli("simulate", run, "--replay", "--json").out)
    assert tree["same"] is True
    assert all(draw["same"] and draw["again"] == draw["drawn"] for draw in tree["draws"])


def test_a_draw_that_differs_ends_with_1(cli: Any, run: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(run, changed)
    sampler = {"name": "tpe", "n_startup_trials": 9}
    write_plan(changed, replanned(read_plan(run), {"search": {"trials": 14, "sampler": sampler}}))
    found = cli("simulate", changed, "--replay")
    assert found.code == 1
    assert "different: " in found.out
    assert ", now " in found.out


def test_other_samplers_say_what_they_would_have_tried(cli: Any, run: Path) -> None:
    words = ("simulate", run, "--replay", "--samplers", "random,tpe")
    found = cli(*words, "--set", "search.sampler.n_startup_trials=2")
    assert found.code == 2, "random has no such setting"
    found = cli(*words)
    assert found.code == 0
    assert "random, at each draw" in found.out
    tree = json.loads(cli(*words, "--json").out)
    drawn = [t for t in read_trials(run).values() if t.explores][1:]
    assert [one["trial"] for one in tree["random"]] == [trial.id for trial in drawn]
    assert all(
        one["again"] == trial.params for one, trial in zip(tree["tpe"], drawn, strict=True)
    ), "the run's own sampler keeps its settings"
    whole = {t.id: t.score for t in read_trials(run).values() if t.completed}
    assert all(one["nearest"] in whole for one in tree["random"])
    assert all(one["score"] == whole[one["nearest"]] for one in tree["random"])
    changed = json.loads(
        cli("simulate", run, "--replay", "--set", "search.sampler.n_startup_trials=9", "--json").out
    )
    assert any(one["again"] != other["again"] for one, other in zip(changed["tpe"], tree["tpe"],
                                                                     strict=True))  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--schedulers", "asha"], "samplers and settings alone"),
        (["--samplers", "tpo"], "did you mean tpe"),
        (["--samplers", "nsga3"], "needs several objectives"),
        (["--set", "stability.seeds=3"], "must be key=value under search"),
    ],
)
def test_bad_input_is_one_line(
    refused: Callable[..., str], run: Path, words: list[str], message: str
) -> None:
    assert message in refused("simulate", run, "--replay", *words)


def test_an_older_run_folder_says_so(refused: Callable[..., str]) -> None:
    assert "not on record" in refused("simulate", RUNS_V1 / "finished", "--replay")
