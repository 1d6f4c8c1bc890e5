"""Runs side by side, on run folders with known scores."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.analysis.compare import compare, differing
from search.analysis.compare_text import comparison_text
from search.cli import main
from search.config.plan import write_plan
from search.ledger.ledger import Ledger
from search.stability.claims import odds
from search.stability.result import Finalist, Promise, Result
from search.stats.intervals import difference
from tests.support.planned import planned
from trm.errors import UserError
from trm.report import COLUMNS

Tiny = Callable[..., dict[str, Any]]
Make = Callable[..., Path]


@pytest.fixture
def make(tiny: Tiny, tmp_path: Path) -> Make:
    """A run folder whose winner has these promise scores; without them it is unfinished."""

    def run(name: str, scores: list[float] | None = None, data: str = "d", **changes: Any) -> Path:
        changes = {path.replace("__", "."): value for path, value in changes.items()}
        lr = {"optimizer.lr": {"loguniform": [1e-3, 1e-1]}, "search.trials": 2}
        tree = tiny({**lr, "stability.confidence": 0.8, **changes})
        plan = planned(tree)
        folder = tmp_path / name
        with Ledger.create(folder) as ledger:
            write_plan(folder, plan)
            for number, score in enumerate((0.3, 0.6)):
                params, config = plan.space.default()
                ledger.add_trial(stage="explore", params=params, config=config, seed=0)
                row = {**dict.fromkeys(COLUMNS, 0), "mark": 1, "compute": 5.0, "seconds": 30.0}
                ledger.begin_attempt(number)
                provenance = {"data_hash": data, "torch": f"2.{len(name)}", "host": name}
                ledger.acknowledge(number, 1, row, provenance=provenance)
                ledger.finish(number, "completed", score)
            ledger.add_trial(stage="explore", params={}, config={}, seed=0)
            ledger.begin_attempt(2)
            ledger.finish(2, "crashed", 0.0, "boom")
        if scores is not None:
            promised = Promise([1], scores, sum(scores) / len(scores), 0.4, 0.9, [0.5])
            candidate = Finalist(1, 0.6, 0.55, 0.58, [0.5, 0.66], 0)
            Result(1, "exact_accuracy", 0.8, [candidate], promised, promised).save(folder)
        return folder

    return run


GOOD, BAD = [0.80, 0.82, 0.84], [0.60, 0.62, 0.67]


def test_the_winner_and_how_sure(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = make("a", BAD), make("b", GOOD, model__L_cycles=1)
    found = compare([a, b])
    assert found.confidence == 0.8
    assert found.hindrance == ""
    assert found.pairs == {"B": difference(BAD, GOOD, 0.8, examples=40)}
    assert main(["compare", str(a), str(b)]) == 0
    text = capsys.readouterr().out
    pair = found.pairs["B"]
    interval = f"{-pair.high:.3f} to {-pair.low:.3f}"
    said = f"0.820 against 0.630, 0.190 better (80% interval {interval})\n"
    assert text.startswith(f"B is ahead of A (80%): exact_accuracy {said}")
    assert f"use it: trm export {b} --out best.yaml" in text
    assert f"fresh seed of B beats one of A with probability {odds(1 - (pair.wins or 0))}" in text
    assert re.search(r"model.L_cycles\n    A  2\n    B  1\n", text)
    assert re.search(r"trials +2 completed, 1 crashed +2 completed, 1 crashed\n", text)
    assert re.search(r"promise seeds +0.600 0.620 0.670 +0.800 0.820 0.840\n", text)
    assert re.search(r"worker minutes +1.0 +1.0\n", text)
    assert "winner's optimizer.lr" in text


def test_what_is_not_settled_says_what_would_settle_it(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    close = [0.79, 0.80, 0.85]
    a, b = make("a", GOOD), make("b", close)
    assert main(["compare", str(a), str(b), "--confidence", "0.95"]) == 0
    text = capsys.readouterr().out
    seeds = difference(GOOD, close, 0.95, examples=40).seeds
    assert seeds is not None
    assert text.startswith("undecided: A is 0.007 better than B so far (95% interval -")
    assert "ahead" not in text
    assert f"about {seeds - 3:,} more seeds each would settle" in text
    assert f"trm stability {b} --promise-seeds {seeds}\n" in text
    assert "nothing differed in the configs" in text


def test_a_setting_in_words_and_one_that_is_missing(make: Make) -> None:
    a = make("a", GOOD)
    b = make("b", GOOD, optimizer__lr={"choice": [0.1, 0.01]}, optimizer__weight_decay=0.2)
    found = compare([a, b]).differences
    assert found == {
        "optimizer.lr": {
            "A": "loguniform [0.001, 0.1], default 0.01", "B": "choice of 0.1, 0.01, default 0.1"
        },
        "optimizer.weight_decay": {"A": 0.1, "B": 0.2},
    }  # fmt: skip
    d = make("d", GOOD, optimizer__lr=0.05)
    table = comparison_text(compare([a, d]))
    assert re.search(r"winner's optimizer.lr +0.01 +0.05\n", table), "fixed where not searched"
    c = make("c", GOOD, optimizer__name="adam_atan2", log__tensorboard=True)
    found = compare([a, c]).differences
    assert found["optimizer.name"] == {"A": "adamw", "B": "adam_atan2"}
    assert not any(path.startswith("log.") for path in found)
    assert differing({"A": {"x": 1}, "B": {"x": 1.0, "y": None}}) == {
        "x": {"A": 1, "B": 1.0}, "y": {"B": None}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"search__objective": "cell_accuracy"},
            "different objectives: exact_accuracy against cell_",
        ),
        ({"task__visited": [3, 4]}, "different tasks (task.visited)"),
        ({"train__valid_examples": 20}, "are judged on 40 and 20 valid examples"),
        ({"data": "e"}, "different data, although their tasks read the same"),
    ],
)
def test_what_does_not_compare_gets_no_verdict(
    changes: dict[str, Any], reason: str, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = make("a", GOOD), make("b", BAD, **changes)
    assert compare([a, b]).pairs == {}
    assert main(["compare", str(a), str(b)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("no verdict: A and B")
    assert reason in text
    assert "better than" not in text
    assert "0.820" in text


def test_an_unfinished_run_shows_its_best_and_no_verdict(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = make("a", GOOD), make("b")
    assert main(["compare", str(a), str(b)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("no verdict on A and B: B has no confirmed winner yet; the best expl")
    assert f"\n  trm stability {b}\n" in text
    assert re.search(r"best explored +0.600 +0.600\n", text)
    assert "optimistic" in text


def test_a_single_seed_says_nothing_of_the_spread(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(make("a", [0.8])), str(make("b", GOOD))]) == 0
    said = "undecided: B is 0.020 better than A so far; how sure that is, is unknown"
    assert capsys.readouterr().out.startswith(said)


def test_three_runs_are_compared_with_the_first(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [str(make("a", GOOD)), str(make("b", BAD)), str(make("c", GOOD))]
    assert main(["compare", *folders, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["pairs"]) == {"B", "C"}
    assert found["pairs"]["C"]["mean"] == 0.0
    assert found["pairs"]["C"]["seeds"] is None
    assert [run["result"]["winner"] for run in found["runs"]] == [1, 1, 1]
    assert found["versions"] == {}
    assert main(["compare", *folders]) == 0
    text = capsys.readouterr().out
    assert "A is ahead of B" in text
    assert "undecided: A and C are equal so far" in text


def test_versions_differ_where_they_do_and_hosts_do_not_matter(make: Make) -> None:
    found = compare([make("a", GOOD), make("long", GOOD)])
    assert found.versions == {"torch": {"A": "2.1", "B": "2.4"}}


def test_bad_words_are_one_line(make: Make, tmp_path: Path) -> None:
    a = make("a", GOOD)
    with pytest.raises(UserError, match="takes 2 to 26 run folders"):
        compare([a])
    with pytest.raises(UserError, match="is the same run as another"):
        compare([a, a])
    with pytest.raises(UserError, match="holds no sweep"):
        compare([a, tmp_path])
