"""Draws of parallel sweeps again, from what the run folder says was known at each."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.config.plan import Plan
from search.explore.asks import Asks
from search.explore.explore import Explore
from search.explore.warm_start import Warm
from search.ledger import ledger as ledgers
from search.ledger.book import Book
from search.ledger.ledger import Ledger
from search.ledger.reader import read_book
from search.ledger.trial import Trial
from search.samplers import SAMPLERS
from search.simulator.replay import Replay, replayed
from tests.search.explore.test_explore import FIRST, TREE, quality, row
from tests.support.planned import planned, replanned
from trm.errors import UserError

WORKERS = 3
SEARCHES: dict[str, dict[str, Any]] = {
    **{name: {"sampler": name} for name in SAMPLERS},
    "cmaes": {"sampler": {"name": "cmaes", "population_size": 4}},
    "tpe": {"sampler": {"name": "tpe", "n_startup_trials": 3}, "scheduler": "halving"},
    "gp": {"sampler": {"name": "gp", "n_startup_trials": 3}, "seeds": 2},
    "nsga2": {"sampler": {"name": "nsga2", "population_size": 4},
              "objective": ["exact_accuracy", "mean_steps"]},
    "nsga3": {"sampler": {"name": "nsga3", "population_size": 4},
              "objective": ["exact_accuracy", "mean_steps"]},
    "auto": {"sampler": "auto", "scheduler": "none"},
    "learned": {"sampler": {"name": "gp", "n_startup_trials": 3}, "scheduler": "learned"},
}  # fmt: skip


def searching(**search: Any) -> Plan:
    return planned({**TREE, "search": {"trials": 14, **search}})


def play(plan: Plan, book: Book, chance: random.Random, most: int = 10**9, **more: Any) -> None:
    """Several workers whose reports come in any order, until all is done or a kill."""
    explore = Explore(plan, book, 0.0, **more)
    running: list[Trial] = []
    for _ in range(most):
        while len(running) < WORKERS and (trial := explore.next()) is not None:
            book.begin_attempt(trial.id)
            running.append(trial)
        if not running:
            assert explore.exhausted()
            return
        trial = chance.choice(running)
        share = plan.marks[trial.mark]
        score = (quality(trial) + chance.gauss(0, 0.1)) * share
        report = row(trial.mark + 1, share, score) | {"mean_steps": chance.random()}
        assert book.acknowledge(trial.id, trial.attempts, report)
        if chance.random() < 0.05:
            book.finish(trial.id, "crashed", 0.0, "a fault")
        elif (decision := explore.on_report(trial, report)) == "pause":
            book.pause(trial.id)
            running.remove(trial)
        elif decision == "stop" or share == 1.0:
            ended = "completed" if share == 1.0 else "pruned"
            book.finish(trial.id, ended, explore.score(report))
        if trial.ended:
            running.remove(trial)
            explore.on_end(trial)


def drawn_in(book: Book) -> list[Trial]:
    return [t for t in book.trials.values() if t.explores and t.candidate == t.id]


def all_same(found: Replay, book: Book, given: int = 1) -> bool:
    assert found.given == given
    assert found.unknown == 0
    assert [one.trial for one in found.draws] == [t.id for t in drawn_in(book)][given:]
    return found.same == len(found.draws)


@pytest.mark.parametrize("name", SEARCHES)
def test_a_killed_resumed_and_extended_sweep_is_drawn_again(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "COMPACT_EVERY", 11)
    plan, chance = searching(**SEARCHES[name]), random.Random(name)
    with Ledger.create(tmp_path / "run") as ledger:
        play(plan, ledger, chance, most=17)
    with Ledger.open(tmp_path / "run") as ledger:
        play(plan, ledger, chance)
    extended = replanned(plan, {"search": {**plan.tree["search"], "trials": 20}})
    with Ledger.open(tmp_path / "run") as ledger:
        play(extended, ledger, chance)
    book = read_book(tmp_path / "run")
    assert all_same(replayed(extended, book), book)
    assert {trial.outcome for trial in drawn_in(book)} >= {"completed", "infeasible"}


def test_what_comes_in_another_order_is_drawn_otherwise() -> None:
    """The order is what makes the draws: without it a replay could not be right."""
    plan = searching(**SEARCHES["tpe"])
    book = Book()
    play(plan, book, random.Random(0))
    assert all_same(replayed(plan, book), book)
    for trial in drawn_in(book)[5:]:
        since = trial.asked["since"]
        trial.asked["since"] = [[number, mark, None] for number, mark, _ in since]
    assert replayed(plan, book).same < len(drawn_in(book)) - 1
    with pytest.raises(AssertionError):
        assert all_same(replayed(searching(sampler="random"), book), book)


def test_first_points_are_given_and_not_drawn() -> None:
    plan = searching(sampler="random")
    book = Book()
    start = Warm(first=(plan.space.default()[0], FIRST))
    play(plan, book, random.Random(1), start=start)
    assert all_same(replayed(plan, book, start), book, given=2)


def test_an_outcome_that_was_taken_back_counted_until_then(tmp_path: Path) -> None:
    """Draws before the retry knew of a failure, which the trial has no more."""
    plan = searching(sampler={"name": "tpe", "n_startup_trials": 2}, scheduler="none")
    with Ledger.create(tmp_path / "run") as ledger:
        explore = Explore(plan, ledger, 0.0)
        for number in range(8):
            trial = explore.next()
            assert trial is not None
            _run(plan, ledger, explore, trial, crash=number == 3)
    failed = next(t for t in ledger.trials.values() if t.outcome == "crashed")
    with Ledger.open(tmp_path / "run") as ledger:
        ledger.retry(failed.id)
        explore = Explore(plan, ledger, 0.0)
        while (trial := explore.next()) is not None:
            _run(plan, ledger, explore, trial)
    book = read_book(tmp_path / "run")
    assert book.trials[failed.id].completed
    assert all_same(replayed(plan, book), book)
    states = [s for t in drawn_in(book) for n, _, s in t.asked["since"] if n == failed.id]
    assert states == ["crashed", "completed"]


def _run(plan: Plan, book: Book, explore: Explore, trial: Trial, *, crash: bool = False) -> None:
    attempt = book.begin_attempt(trial.id)
    for mark, share in enumerate(plan.marks, start=1):
        if mark <= trial.mark:
            continue
        report = row(mark, share, quality(trial) * share)
        assert book.acknowledge(trial.id, attempt, report)
        if crash:
            book.finish(trial.id, "crashed", 0.0, "a fault")
            break
        assert explore.on_report(trial, report) == "continue"
    if not trial.ended:
        book.finish(trial.id, "completed", explore.score(report))
    explore.on_end(trial)


def test_an_ask_notes_no_more_than_is_new() -> None:
    plan = searching(sampler="random", trials=60)
    book = Book()
    play(plan, book, random.Random(2))
    noted = sum(len(trial.asked["since"]) for trial in drawn_in(book))
    reports = sum(trial.mark for trial in book.trials.values())
    assert noted <= reports + len(book.trials)
    assert Asks(book).note(60)["since"] == Asks(book).note(60)["since"]
    again = Asks(book)
    again.note(60)
    assert again.note(60) == {"planned": 60, "since": []}


def test_an_older_run_says_that_it_does_not_know_and_goes_on_to_know() -> None:
    plan, chance = searching(sampler={"name": "tpe", "n_startup_trials": 2}), random.Random(3)
    book = Book()
    play(plan, book, chance, most=8)
    old = len(book.trials)
    for number, trial in book.trials.items():
        book.trials[number] = replace(trial, asked={})
    with pytest.raises(UserError, match="not on record: an older version"):
        replayed(plan, book)
    play(plan, book, chance)
    found = replayed(plan, book)
    assert found.unknown == sum(trial.id < old for trial in drawn_in(book)) > 2
    assert found.same == len(found.draws) == len(drawn_in(book)) - found.unknown > 2
