"""What cannot be known of a result says so, on every surface that would print it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.analysis.explained import explanation, one_seed_each
from search.analysis.importance import _alike
from search.analysis.result_text import promised_text, result_text
from search.cli import main
from search.config.plan import Plan, read_plan
from search.export.export import exported_config
from search.ledger.book import Book
from search.ledger.reader import read_book
from search.stability.confirm import optimism
from search.stability.result import Finalist, Promise, Result, read_result
from search.stats.intervals import difference
from search.stats.rank_correlation import correlate
from search.stats.sobol import indices, nothing_varies
from tests.support.raced import raced


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return raced(tmp_path_factory.mktemp("raced") / "run")


@pytest.fixture(scope="module")
def known(run: Path) -> tuple[Plan, Result, Book]:
    result = read_result(run)
    assert result is not None
    return read_plan(run), result, read_book(run)


def promise(scores: list[float], low: float, high: float, failures: int = 0) -> Promise:
    seeds = list(range(1001, 1001 + len(scores)))
    return Promise(seeds, scores, sum(scores) / len(scores), low, high, scores, failures=failures)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (promise([0.0] * 3, 0.0, 0.004, failures=3), "all 3 seeds failed"),
        (promise([0.5] * 3, 0.0, 1.0), "all 3 seeds have exactly 0.5, which shows no spread"),
        (promise([0.7] * 2, 0.7, 0.7), "all 2 seeds have exactly 0.7, which shows no spread"),
        # The examples of an evaluation give a floor: an interval after all.
        (promise([1.0] * 3, 0.98, 1.0), ""),
        (promise([0.5, 0.6], 0.0, 1.0), ""),
        (promise([0.0, 0.9, 0.9], 0.0, 1.0, failures=1), ""),
    ],
)
def test_a_promise_without_a_spread(
    made: Promise, why: str, run: Path, known: tuple[Plan, Result, Book], tmp_path: Path
) -> None:
    plan, result, book = known
    assert made.undefined == why
    changed = replace(result, promise=made)
    text = result_text(plan, changed, book)
    line = next(line for line in text.splitlines() if line.startswith("promised "))
    assert line.endswith(f"undefined: {why}" if why else "(90%)")
    config = exported_config(plan, book.trials[result.winner], changed)
    assert (config.promise is None) == bool(why)
    if why:
        folder = tmp_path / "run"
        _copy(run, folder)
        changed.save(folder)
        assert main(["report", str(folder), "--out", str(tmp_path / "page.html")]) == 0
        page = (tmp_path / "page.html").read_text()
        assert "undefined" in page
        assert why in page
        assert main(["export", str(folder), "--out", str(tmp_path / "best.yaml")]) == 0
        assert (
            f"promised for one fresh seed: undefined: {why}" in (tmp_path / "best.yaml").read_text()
        )


def _copy(source: Path, target: Path) -> None:
    import shutil

    shutil.copytree(source, target)


def test_one_seed_each_has_no_bound_and_no_odds(
    known: tuple[Plan, Result, Book],
) -> None:
    plan, result, book = known
    alone = [
        Finalist(c.trial, c.explored, 0.0, c.scores[0], c.scores[:1], 0, iqm=c.scores[0])
        for c in result.candidates
    ]
    assert one_seed_each(alone)
    text = result_text(plan, replace(result, candidates=alone), book)
    head, first = text.splitlines()[1:3]
    cells = dict(zip(head.split(), first.split(), strict=False))
    assert cells["robust"] == "-"
    assert "undefined: one seed each" in text
    assert "undefined: one seed each" not in result_text(plan, result, book)


def test_the_luck_of_one_candidate_has_no_range(
    known: tuple[Plan, Result, Book],
) -> None:
    plan, result, book = known
    luck = optimism(plan, result.candidates[:1], result.promise)
    assert (luck.low, luck.high) == (None, None)
    text = result_text(plan, replace(result, optimism=luck), book)
    assert "(range undefined: one candidate, or all alike)" in text
    several = optimism(plan, result.candidates, result.promise)
    assert "range undefined" not in result_text(plan, replace(result, optimism=several), book)


def test_identical_runs_have_no_difference_and_say_so() -> None:
    same = difference([0.5, 0.5], [0.5, 0.5])
    assert (same.wins, same.seeds, same.settled) == (None, None, False)
    assert not difference([0.4, 0.6], [0.4, 0.6]).settled


def test_constant_values_have_no_indices_and_values_that_vary_have() -> None:
    rng = np.random.default_rng(0)
    plain = [{"first": vars(i.first), "total": vars(i.total)} for i in indices(np.zeros((4, 8)))]
    assert nothing_varies(plain)
    found = indices(rng.normal(size=(4, 8)))
    assert not nothing_varies(
        {"first": vars(index.first), "total": vars(index.total)} for index in found
    )


def test_means_that_differ_by_rounding_are_alike() -> None:
    assert _alike([0.1, float(np.mean([0.1] * 3))])
    assert _alike([7e6, 7e6 * (1 + 1e-15)])
    assert not _alike([0.1, 0.1 + 1e-6])


def test_few_trials_have_a_wide_interval_or_none() -> None:
    two = correlate(np.arange(2.0), np.arange(2.0), np.arange(2.0), np.arange(2))
    assert two.spearman is not None
    # Half of the resamples hold one of the two twice, and say nothing.
    assert (two.spearman.low, two.spearman.high) in [(-1.0, 1.0), (1.0, 1.0)]
    one = correlate(np.arange(1.0), np.arange(1.0), np.arange(1.0), np.arange(1))
    assert one.undefined == "1 trial ran to the end"


def test_every_number_is_explained_where_it_is_printed(
    run: Path, known: tuple[Plan, Result, Book], capsys: pytest.CaptureFixture[str]
) -> None:
    plan, result, book = known
    text = result_text(plan, result, book)
    head = text.splitlines()[1].replace("90% of mean", "").split()
    for word in ("robust", "IQM", "best"):
        assert f"{word}: " in text
    assert f"for all {len(result.candidates)} at once" in text.splitlines()[0]
    explained = explanation(result, plan.objective)
    for column in head:
        assert any(line.split()[0] == column for line in explained) or column == "trial"
    assert main(["status", str(run), "--explain"]) == 0
    shown = capsys.readouterr().out
    assert all(line in shown for line in explained)
    assert "--explain says more" not in shown
    assert main(["status", str(run)]) == 0
    assert "--explain says more" in capsys.readouterr().out


def test_an_older_result_claims_nothing_for_all_at_once(
    known: tuple[Plan, Result, Book],
) -> None:
    plan, result, book = known
    older = replace(result, candidates=[replace(c, foreseen=None) for c in result.candidates])
    assert "at once" not in result_text(plan, older, book)
    assert "promises too much of the one that is chosen" in "\n".join(
        explanation(older, plan.objective)
    )
    assert "foreseen: " not in result_text(plan, older, book)


def test_what_is_foreseen_of_the_promise_stands_beside_it(
    known: tuple[Plan, Result, Book],
) -> None:
    plan, result, book = known
    foreseen = result.winning.foreseen
    assert foreseen is not None
    assert math.isfinite(foreseen)
    assert foreseen < result.winning.robust < result.winning.mean
    assert f"foreseen: at least {foreseen:.3f}" in result_text(plan, result, book)
    assert promised_text(result).endswith("(90%)")
