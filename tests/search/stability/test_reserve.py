"""What a limited sweep keeps back for confirming: a share of what it has searched."""

from __future__ import annotations

import pytest

from search.config.plan import Plan
from search.config.sections import StabilityConfig
from search.ledger.book import Book
from search.ledger.trial import Trial
from search.stability.confirm import finalists, rank
from search.stability.confirm_race import ConfirmRace, rules
from search.stability.reserve import SHARE, afforded, granted
from tests.support.planned import SIXTY, planned


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planned(SIXTY)


@pytest.fixture(scope="module")
def limited() -> Plan:
    return planned({**SIXTY, "search": {"limits": {"hours": 5.0}}})


def explored(plan: Plan, runs: int) -> dict[int, Trial]:
    return {
        n: Trial(n, "explore", n, 0, {}, {}, compute=plan.budget, outcome="completed")
        for n in range(runs)
    }


@pytest.mark.parametrize(
    ("searched", "candidates", "seeds", "runs"),
    [(0, 1, 1, 1), (31.9, 1, 1, 1), (32, 2, 2, 4), (47, 2, 2, 5), (48, 3, 2, 6), (72, 3, 2, 9),
     (1000, 3, 2, 9)],
)  # fmt: skip
def test_it_grows_with_the_search(searched: float, candidates: int, seeds: int, runs: int) -> None:
    found = afforded(StabilityConfig(), searched)
    assert (found.candidates, found.seeds, found.runs()) == (candidates, seeds, runs)
    assert runs <= max(SHARE * searched, 1)


def test_what_the_file_says_and_sweeps_without_limits_are_left_alone(
    plan: Plan, limited: Plan
) -> None:
    for section in (StabilityConfig(budget=7), StabilityConfig(trials=[3, 4])):
        assert afforded(section, 0) == section
    few = explored(plan, 4)
    assert granted(plan, few) == plan.sections.stability
    assert granted(limited, few).candidates == 1
    assert granted(limited, few, ahead=44).candidates == 3
    assert rules(plan, 3, few).budget == 9
    assert rules(limited, 1, few).budget == 1


def test_a_small_limited_sweep_confirms_its_best_once(limited: Plan) -> None:
    """The only candidate is the winner, whose fresh seed has a place in the table."""
    book = Book()
    for cycles in range(1, 9):
        params = {"model.L_cycles": cycles}
        trial = book.add_trial(
            stage="explore", params=params, config=limited.space.apply(params), seed=0
        )
        book.begin_attempt(trial.id)
        book.finish(trial.id, "completed", cycles / 10)
    [best] = finalists(limited, book)
    assert best.params == {"model.L_cycles": 8}
    race = ConfirmRace(limited, book, [best], 10)
    run = race.next()
    assert run is not None
    book.begin_attempt(run.id)
    book.finish(run.id, "completed", 0.75)
    assert race.next() is None
    [candidate] = rank(limited, book, 10)
    assert (candidate.trial, candidate.scores, candidate.best) == (best.id, [0.75], 1.0)
