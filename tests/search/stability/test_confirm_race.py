"""The race over a ledger: resumed at any moment, extended, and judged by constraints."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.config.plan import Plan
from search.config.sections import RACE_FACTOR
from search.config.seeds import CONFIRM_SEEDS, PROMISE_SEEDS
from search.ledger.book import Book
from search.ledger.ledger import Ledger
from search.ledger.trial import Trial
from search.stability.confirm import finalists, improvement, optimism, promise, promise_trials, rank
from search.stability.confirm_race import ConfirmRace, rules
from search.stats.odds import probability_of_best
from tests.support.planned import planned, replanned
from trm.errors import UserError

TREE: dict[str, Any] = {
    "name": "raced",
    "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 40,
             "valid_examples": 10, "test_examples": 10},
    "model": {"hidden_size": 16, "num_heads": 2, "L_cycles": {"int": [1, 6]}},
    "train": {"budget": {"steps": 10}},
    "stability": {"candidates": 4, "seeds": 2, "budget": 16, "promise_seeds": 3},
}  # fmt: skip
MEANS = {1: 0.9, 2: 0.88, 3: 0.5, 4: 0.3, 5: 0.1}
"""By L_cycles, a config's true mean; the last is never a finalist of four."""


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planned(TREE)


def changed(plan: Plan, **section: Any) -> Plan:
    return replanned(plan, {**plan.tree, "stability": {**plan.tree["stability"], **section}})


def explore(plan: Plan, book: Book) -> None:
    for cycles, mean in MEANS.items():
        params = {"model.L_cycles": cycles}
        trial = book.add_trial(
            stage="explore", params=params, config=plan.space.apply(params), seed=0
        )
        book.begin_attempt(trial.id)
        book.finish(trial.id, "completed", mean + 0.05)


def end(book: Book, trial: Trial) -> None:
    """Every config and seed has its score; one seed in ten fails."""
    rng = np.random.default_rng([trial.params["model.L_cycles"], trial.seed])
    fails = rng.random() < 0.1
    score = float(np.clip(MEANS[trial.params["model.L_cycles"]] + rng.normal(0, 0.04), 0, 1))
    book.begin_attempt(trial.id)
    book.finish(trial.id, "diverged" if fails else "completed", 0.0 if fails else score)


def racing(plan: Plan, book: Book) -> ConfirmRace:
    return ConfirmRace(plan, book, finalists(plan, book), examples=400)


def play(plan: Plan, book: Book, workers: int = 1, most: int = 10**6) -> None:
    """Runs end in turn; `most` is how many ends there are before the driver dies."""
    running = [trial for trial in racing(plan, book).trials() if trial.outcome is None]
    race = racing(plan, book)
    while most:
        while len(running) < workers and (trial := race.next()) is not None:
            running.append(trial)
        if not running:
            return
        end(book, running.pop(0))
        most -= 1


def outcome(book: Book) -> list[tuple[int, int, str | None, float | None]]:
    return [(t.candidate, t.seed, t.outcome, t.score) for t in book.trials.values()]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_race_that_is_stopped_anywhere_goes_on_as_if_it_had_not(plan: Plan, workers: int) -> None:
    whole = Book()
    explore(plan, whole)
    play(plan, whole, workers)
    assert len(racing(plan, whole).trials()) > 8, "it does not end with the first seeds"
    for stop in range(1, 16):
        book = Book()
        explore(plan, book)
        play(plan, book, workers, most=stop)
        play(plan, book, workers, most=2)
        play(plan, book, workers)
        assert outcome(book) == outcome(whole)


def test_seeds_come_in_order_are_the_same_for_all_and_go_where_they_matter(plan: Plan) -> None:
    book = Book()
    explore(plan, book)
    play(plan, book, workers=2)
    seeds: dict[int, list[int]] = {}
    for trial in racing(plan, book).trials():
        assert trial.config["train"]["seed"] == trial.seed
        seeds.setdefault(trial.candidate, []).append(trial.seed)
    assert all(own == list(range(1, len(own) + 1)) for own in seeds.values())
    assert [len(seeds[key]) for key in (2, 3)] < [len(seeds[0])] * 2
    assert 4 not in seeds
    summary = racing(plan, book).summary()
    assert summary.runs == sum(map(len, seeds.values())) <= summary.budget == 16


@pytest.mark.parametrize("workers", [1, 3])
def test_first_seeds_may_be_given_together_and_the_race_is_the_same(
    plan: Plan, workers: int
) -> None:
    whole = Book()
    explore(plan, whole)
    play(plan, whole, workers)
    book = Book()
    explore(plan, book)
    race, given = racing(plan, book), []
    assert race.waiting() == 8
    while len(given) < 8:
        trial = race.next()
        assert trial is not None
        given += [trial, *race.beside(trial, 5)]
    assert [trial.candidate for trial in given] == [0, 0, 1, 1, 2, 2, 3, 3]
    for one, other in zip(given[::2], given[1::2], strict=True):
        assert one.differs_in_seed_alone(other), "or they are no stack"
        assert "accuracy_x16" in one.config["thought"]["measure"]
    assert (race.waiting(), race.next(), race.beside(given[0], 5)) == (0, None, [])
    for trial in given:
        end(book, trial)
    while (trial := race.next()) is not None:
        assert race.beside(trial, 5) == [], "what comes next depends on what this one comes to"
        end(book, trial)
    if workers == 1:
        assert sorted(outcome(book)) == sorted(outcome(whole))


def test_a_budget_that_is_no_multiple_is_shared_as_one_by_one(plan: Plan) -> None:
    few = changed(plan, seeds=3, budget=10)
    book = Book()
    explore(few, book)
    race, given = racing(few, book), []
    while (trial := race.next()) is not None:
        given += [trial, *race.beside(trial, 5)]
    assert Counter(trial.candidate for trial in given) == {0: 3, 1: 3, 2: 2, 3: 2}


def test_an_extended_race_runs_nothing_twice(plan: Plan) -> None:
    book = Book()
    explore(plan, book)
    play(plan, book)
    before = outcome(book)
    more = changed(plan, candidates=5, seeds=4, budget=40)
    play(more, book, workers=4)
    assert outcome(book)[: len(before)] == before
    runs = Counter((trial.candidate, trial.seed) for trial in racing(more, book).trials())
    assert set(runs.values()) == {1}
    given = Counter(trial.candidate for trial in racing(more, book).trials())
    assert min(given.values()) >= 4
    assert set(given) == {0, 1, 2, 3, 4}
    count = len(book.trials)
    play(more, book)
    assert len(book.trials) == count


def test_named_trials_race_in_place_of_the_best(plan: Plan) -> None:
    book = Book()
    explore(plan, book)
    named = changed(plan, trials=[4, 2, 4], budget=None)
    assert [trial.id for trial in finalists(named, book)] == [4, 2]
    play(named, book)
    assert {trial.candidate for trial in racing(named, book).trials()} == {2, 4}
    assert rank(named, book, 400)[0].trial == 2
    for number in (99, len(book.trials) - 1):
        with pytest.raises(UserError, match=r"stability\.trials.* is no trial of the search"):
            finalists(changed(plan, trials=[number]), book)


def test_what_the_section_allows(plan: Plan) -> None:
    assert plan.sections.stability.runs() == 16
    auto = changed(plan, budget=None).sections.stability
    assert auto.runs() == RACE_FACTOR * 8
    assert changed(plan, racing=False).sections.stability.runs() == 8
    assert changed(plan, candidates=1).sections.stability.runs() == 2
    assert changed(plan, max_seeds=3).sections.stability.runs() == 12
    with pytest.raises(UserError, match="budget 3 is less than one trial for each of 4"):
        changed(plan, budget=3)
    with pytest.raises(UserError, match="max_seeds 1 is less than seeds 2"):
        changed(plan, max_seeds=1)


def test_the_result_says_how_sure_and_how_lucky(plan: Plan) -> None:
    book = Book()
    explore(plan, book)
    play(plan, book)
    ranked = rank(plan, book, 400)
    samples = {c.trial: c.scores for c in ranked}
    assert {c.trial: c.best for c in ranked} == pytest.approx(
        probability_of_best(dict(sorted(samples.items())), 400)
    )
    for c in ranked:
        assert c.failures == sum(score == 0.0 for score in c.scores)
        assert c.mean_low is not None
        assert c.mean_high is not None
        assert c.failure_high is not None
        assert c.mean_low <= c.mean <= c.mean_high
        assert 0.0 < c.failure_high <= 1.0
        assert c.seeds == list(range(1, len(c.scores) + 1))
    winner = book.trials[ranked[0].trial]
    promised, reference = promise_trials(plan, book, winner)
    for trial in [*promised, *reference]:
        end(book, trial)
    ours, base = (promise(plan, book, t, [0.0] * 3, 400) for t in (promised, reference))
    better = improvement(plan, ours, base)
    pairs = [(a > b) + 0.5 * (a == b) for a in ours.scores for b in base.scores]
    assert better.probability == pytest.approx(np.mean(pairs))
    assert better.low <= better.probability <= better.high
    luck = optimism(plan, ranked, ours)
    gaps = [c.explored - c.mean for c in ranked]
    assert luck.mean == pytest.approx(np.mean(gaps))
    assert luck.winner == pytest.approx(ranked[0].explored - ours.mean)


def test_who_breaks_a_constraint_leaves_the_race(tmp_path: Path) -> None:
    tree = {**TREE, "search": {"constraints": ["mean_steps <= 4"]}}
    plan = planned(tree)
    with Ledger.create(tmp_path / "run") as ledger:
        for cycles, mean in MEANS.items():
            params = {"model.L_cycles": cycles}
            config = plan.space.apply(params)
            trial = ledger.add_trial(stage="explore", params=params, config=config, seed=0)
            report(ledger, trial, mean, 3.0)
        race = racing(plan, ledger)
        while (trial := race.next()) is not None:  # type: ignore[assignment]
            cycles = trial.params["model.L_cycles"]
            report(
                ledger, trial, MEANS[cycles] + 0.05 * (trial.seed % 3), 5.0 if cycles == 1 else 3
            )
        given = Counter(trial.candidate for trial in race.trials())
        assert given[0] == 2, "the best score, but too many steps: only its first seeds"
        ranked = rank(plan, ledger, 400)
        assert ranked[0].trial == 1
        assert ranked[-1].trial == 0
        assert ranked[-1].best == 0.0


def report(ledger: Ledger, trial: Trial, score: float, steps: float) -> None:
    attempt = ledger.begin_attempt(trial.id)
    row = {"mark": 1, "step": 10, "progress": 1.0, "exact_accuracy": score, "mean_steps": steps}
    ledger.acknowledge(trial.id, attempt, row)
    ledger.finish(trial.id, "completed", score)


def test_two_seeds_of_one_config_are_one_candidate(plan: Plan) -> None:
    book = Book()
    explore(plan, book)
    params = {"model.L_cycles": 3}
    again = book.add_trial(
        stage="explore", params=params, config=plan.space.apply(params), seed=2001, candidate=2
    )
    book.begin_attempt(again.id)
    book.finish(again.id, "completed", 0.5)
    named = changed(plan, trials=[2, again.id, 1], budget=None)
    assert [trial.id for trial in finalists(named, book)] == [2, 1]
    assert racing(named, book).rules.budget == 2 * 2 * RACE_FACTOR


def test_no_candidate_gets_a_seed_of_the_promise(plan: Plan) -> None:
    many = rules(changed(plan, candidates=2, budget=2000), 2, {})
    assert many.budget == 2000
    assert many.max_seeds == PROMISE_SEEDS - CONFIRM_SEEDS == 1000
    with pytest.raises(UserError, match=r"stability\.promise_seeds"):
        changed(plan, promise_seeds=1001)


def test_the_budget_holds_without_a_race_too(plan: Plan) -> None:
    book = Book()
    explore(plan, book)
    even = changed(plan, seeds=3, racing=False, budget=6)
    play(even, book)
    runs = Counter(trial.candidate for trial in racing(even, book).trials())
    assert sorted(runs.values()) == [1, 1, 2, 2]
    assert even.sections.stability.runs() == 6


def test_a_share_that_is_minimised_is_raced_and_ranked(plan: Plan) -> None:
    objective = {"column": "halt_auc", "direction": "minimize"}
    least = replanned(plan, {**plan.tree, "search": {"objective": objective}})
    book = Book()
    explore(least, book)
    play(least, book)
    best, *_, worst = rank(least, book, 400)
    assert best.trial == 4
    assert best.mean < best.robust
    assert best.mean_low is not None
    assert worst.best < best.best


def test_one_seed_of_a_loss_says_nothing_of_how_well_its_mean_is_known(plan: Plan) -> None:
    objective = {"column": "lm_loss", "floor": 9.0}
    section = {**plan.tree["stability"], "seeds": 1, "racing": False, "budget": None}
    tree = {**plan.tree, "search": {"objective": objective}, "stability": section}
    once, book = replanned(plan, tree), Book()
    explore(once, book)
    play(once, book)
    for candidate in rank(once, book, 400):
        assert (candidate.mean_low, candidate.mean_high) == (None, None)
