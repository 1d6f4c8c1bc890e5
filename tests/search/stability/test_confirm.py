"""Finalists, ranking over seeds and promises, from a ledger filled by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from search.config.plan import Plan
from search.config.seeds import REFERENCE
from search.engine.source import FixedTrials
from search.ledger.book import Book
from search.ledger.ledger import Ledger
from search.ledger.trial import Trial
from search.stability.confirm import finalists, promise, promise_trials, rank
from search.stability.confirm_race import ConfirmRace
from search.stats.intervals import prediction_interval
from search.stats.spreads import Spread
from tests.support.planned import planned

TREE: dict[str, Any] = {
    "name": "confirmed",
    "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 40,
             "valid_examples": 10, "test_examples": 10},
    "model": {"hidden_size": 16, "num_heads": 2, "L_cycles": {"int": [1, 6]}},
    "train": {"budget": {"steps": 10}, "seed": 7},
    "stability": {"candidates": 3, "seeds": 3, "racing": False, "promise_seeds": 3},
}  # fmt: skip


@pytest.fixture
def plan() -> Plan:
    return planned(TREE)


@pytest.fixture
def ledger(tmp_path: Path, plan: Plan) -> Iterator[Ledger]:
    """Explore scores by L_cycles; one trial repeats a config, one failed."""
    with Ledger.create(tmp_path / "run") as opened:
        for cycles, score in [(3, 0.5), (1, 0.9), (2, 0.8), (1, 0.7), (5, 0.6), (6, None)]:
            params = {"model.L_cycles": cycles}
            trial = opened.add_trial(
                stage="explore", params=params, config=plan.space.apply(params), seed=7
            )
            opened.begin_attempt(trial.id)
            outcome = "completed" if score is not None else "crashed"
            opened.finish(trial.id, outcome, 0.0 if score is None else score)
        yield opened


def racing(plan: Plan, ledger: Book) -> ConfirmRace:
    return ConfirmRace(plan, ledger, finalists(plan, ledger), 1000)


def confirm_trials(plan: Plan, ledger: Book) -> list[Trial]:
    """All that the confirm stage hands out before anything has ended."""
    race = racing(plan, ledger)
    while race.next() is not None:
        pass
    return race.trials()


def finish(ledger: Ledger, trials: list[Trial], scores: dict[int, list[float]]) -> None:
    for trial in trials:
        if trial.outcome is None:
            ledger.begin_attempt(trial.id)
            score = scores[trial.candidate].pop(0)
            ledger.finish(trial.id, "completed" if score >= 0 else "diverged", max(score, 0.0))


def end(book: Book, trial: Trial, score: float, parameters: float) -> None:
    """One report and the end; a negative score is a failure."""
    row = {"mark": 1, "compute": 1.0, "steps": 1, "exact_accuracy": score, "parameters": parameters}
    book.acknowledge(trial.id, book.begin_attempt(trial.id), row)
    book.finish(trial.id, "completed" if score >= 0 else "diverged", max(score, 0.0))


def test_finalists_are_the_best_completed_configs_once_each(plan: Plan, ledger: Ledger) -> None:
    assert [trial.params["model.L_cycles"] for trial in finalists(plan, ledger)] == [1, 2, 5]


def test_the_winner_is_the_robust_one_not_the_lucky_one(plan: Plan, ledger: Ledger) -> None:
    trials = confirm_trials(plan, ledger)
    assert {trial.seed for trial in trials} == {8, 9, 10}
    assert all(trial.config["train"]["seed"] == trial.seed for trial in trials)
    first, second, third = (trial.id for trial in finalists(plan, ledger))
    # The best explored one fails on one seed of three: a mean over survivors would choose it.
    finish(ledger, trials, {first: [0.95, -1.0, 0.95], second: [0.8, 0.8, 0.8], third: [0.5] * 3})
    ranked = rank(plan, ledger, examples=1000)
    assert ranked[0].trial == second
    lucky = next(candidate for candidate in ranked if candidate.trial == first)
    assert lucky.failures == 1
    assert lucky.mean == pytest.approx(1.9 / 3)
    assert lucky.explored == 0.9


def test_more_seeds_keep_the_old_ones(plan: Plan, ledger: Ledger) -> None:
    trials = confirm_trials(plan, ledger)
    finish(ledger, trials, {trial.candidate: [0.5] * 3 for trial in trials})
    count = len(ledger.trials)
    assert confirm_trials(plan, ledger) == trials
    assert len(ledger.trials) == count
    source = FixedTrials(confirm_trials(plan, ledger), plan.objective, 0.0)
    assert source.exhausted()


def test_promises_come_from_seeds_of_their_own(plan: Plan, ledger: Ledger) -> None:
    winner = finalists(plan, ledger)[0]
    promised, reference = promise_trials(plan, ledger, winner)
    seeds = {trial.seed for trial in promised}
    assert seeds == {trial.seed for trial in reference}
    assert not seeds & {trial.seed for trial in confirm_trials(plan, ledger)}
    assert {trial.candidate for trial in reference} == {REFERENCE}
    finish(ledger, [*promised, *reference], {winner.id: [0.8, 0.9, 0.85], REFERENCE: [0.1] * 3})
    result = promise(plan, ledger, promised, [0.7] * 3, examples=1000)
    interval = prediction_interval([0.8, 0.9, 0.85], 0.9, examples=1000)
    assert (result.low, result.high) == (interval.low, interval.high)
    assert result.mean == pytest.approx(0.85)
    assert result.test_mean == pytest.approx(0.7)
    finish(ledger, confirm_trials(plan, ledger),
           {winner.id: [0.9, 0.8, 0.7], 2: [0.5, 0.5, 0.8], 4: [0.4, 0.5, 0.6]})  # fmt: skip
    raced = rank(plan, ledger, examples=1000)
    assert raced[0].trial == winner.id
    known = promise(plan, ledger, promised, [0.7] * 3, 1000, raced)
    assert known.mean == result.mean, "the race has no say in it"
    # Squares: 0.005 of the promise, half of the race's 0.02; the others' (0.06 + 0.02) / 4 as one.
    interval = prediction_interval(
        [0.8, 0.9, 0.85], 0.9, spread=Spread(math.sqrt(0.035 / 4), 4), examples=1000
    )
    assert (known.low, known.high) == pytest.approx((interval.low, interval.high))
    assert known.mean_low is not None
    assert known.low < known.mean_low < known.mean


def test_the_reference_recipe_as_the_winner_is_not_run_twice(plan: Plan, ledger: Ledger) -> None:
    default = next(t for t in ledger.trials.values() if t.params["model.L_cycles"] == 3)
    assert plan.space.default()[0] == default.params
    promised, reference = promise_trials(plan, ledger, default)
    assert promised == reference


def test_a_config_that_breaks_a_constraint_ranks_below_all_but_what_never_worked() -> None:
    tree = {**TREE, "search": {"sampler": "tpe", "constraints": ["parameters <= 1e9"]}}
    plan = planned(tree)
    book = Book()
    for cycles, score in [(1, 0.9), (2, 0.8), (5, 0.6)]:
        params = {"model.L_cycles": cycles}
        trial = book.add_trial(
            stage="explore", params=params, config=plan.space.apply(params), seed=7
        )
        end(book, trial, score, parameters=1e6)
    scores = {0: ([0.9] * 3, 2e9), 1: ([-1.0] * 3, 1e6), 2: ([0.5] * 3, 1e6)}
    race = ConfirmRace(plan, book, finalists(plan, book), 1000)
    while (trial := race.next()) is not None:
        assert trial.candidate is not None
        values, parameters = scores[trial.candidate]
        end(book, trial, values.pop(), parameters)
    ranked = rank(plan, book, examples=1000)
    assert [candidate.trial for candidate in ranked] == [2, 0, 1]
    assert [candidate.reservation for candidate in ranked] == [
        "",
        "over fresh seeds breaks parameters <= 1e+09",
        "every seed failed",
    ]


@pytest.mark.parametrize(("scores", "learned"), [([0.0] * 3, False), ([0.0, 0.0, 0.1], True)])
def test_a_winner_that_learned_nothing_is_named_as_such(
    plan: Plan, ledger: Ledger, scores: list[float], learned: bool
) -> None:
    confirm = confirm_trials(plan, ledger)
    finish(ledger, confirm, {trial.candidate: list(scores) for trial in confirm})
    first = rank(plan, ledger, examples=1000)[0]
    assert (first.works, first.feasible, first.learned) == (True, True, learned)
    said = "" if learned else "every seed scored 0.000, the worst that there is"
    assert first.reservation == said


def test_a_cost_on_which_all_seeds_agree_is_promised_as_it_is() -> None:
    tree = {**TREE, "search": {"objective": {"column": "parameters", "floor": 1e9}}}
    plan = planned(tree)
    book = Book()
    params = {"model.L_cycles": 2}
    winner = book.add_trial(stage="explore", params=params, config=plan.space.apply(params), seed=7)
    book.begin_attempt(winner.id)
    book.finish(winner.id, "completed", 5e4)
    trials = [*confirm_trials(plan, book), *promise_trials(plan, book, winner)[0]]
    for trial in trials:
        book.begin_attempt(trial.id)
        book.finish(trial.id, "completed", 5e4)
    (ranked,) = rank(plan, book, examples=1000)
    promised = promise(plan, book, trials[-3:], [0.5] * 3, examples=1000)
    assert (ranked.mean_low, ranked.mean_high) == (5e4, 5e4)
    assert (promised.low, promised.high) == (5e4, 5e4), "not 0 to 50,000"
    assert (promised.mean_low, promised.mean_high) == (5e4, 5e4)
