"""What further runs would bring, and the search that ends once that is too little."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from search.config.plan import Plan
from search.explore import outlook as module
from search.explore.enough import FEWEST
from search.explore.explore import Explore
from search.explore.outlook import another_hour, hindsight, outlook, outlook_text
from search.ledger.book import Book
from search.samplers.history import History, PastRun, PastTrial
from search.space.space import Space
from tests.support.planned import SIXTY, planned
from trm.errors import UserError

SPACE = Space.parse({f"x{i}": {"uniform": [0, 1]} for i in range(4)})


def truth(params: dict[str, Any]) -> float:
    return float(0.95 - sum((params[f"x{i}"] - 0.3) ** 2 for i in range(4)))


def searched(count: int, seed: int = 0, width: float = 1.0) -> History:
    """Random configs, within a distance of the best one along each axis."""
    rng = np.random.default_rng(seed)
    history = History(bounds=(0.0, 1.0))
    for number in range(count):
        params = {f"x{i}": 0.3 + width * (float(rng.random()) - 0.3) for i in range(4)}
        score = min(max(truth(params) + 0.01 * float(rng.standard_normal()), 0.0), 1.0)
        history.begin(params)
        runs = (PastRun("completed", score),)
        history.end(PastTrial(number, params, "completed", (score,), runs=runs))
    return history


def test_more_runs_bring_more_and_the_same_history_says_the_same() -> None:
    history = searched(12)
    one, many = outlook(history, SPACE, 1), outlook(history, SPACE, 30)
    assert one is not None
    assert many is not None
    assert 0.0 < one.gain < many.gain
    assert many.low <= many.gain <= many.high
    assert outlook(searched(12), SPACE, 30) == many


def test_less_is_left_to_gain_where_the_best_is_known() -> None:
    before, after = searched(12), searched(12)
    rng = np.random.default_rng(1)
    for number in range(12, 40):
        params = {f"x{i}": 0.3 + 0.05 * float(rng.standard_normal()) for i in range(4)}
        after.begin(params)
        runs = (PastRun("completed", truth(params)),)
        after.end(PastTrial(number, params, "completed", (truth(params),), runs=runs))
    first, last = outlook(before, SPACE, 10), outlook(after, SPACE, 10)
    assert first is not None
    assert last is not None
    best = max(truth(dict(record.params)) for record in before.records)
    assert first.low - 0.02 <= 0.95 - best, "no more is promised than there is, by far"
    assert last.gain < 0.01 < first.gain


def test_too_few_configs_say_nothing() -> None:
    assert outlook(searched(FEWEST - 1), SPACE, 10) is None
    assert outlook(searched(20), SPACE, 0) is None


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planned(SIXTY)


def played(plan: Plan, score: Any) -> Book:
    """A search whose runs end at once, one after another."""
    book = Book()
    explore = Explore(plan, book, 0.0)
    while (trial := explore.next()) is not None:
        book.begin_attempt(trial.id)
        book.finish(trial.id, "completed", score(trial.params["model.L_cycles"]))
        explore.on_end(trial)
    return book


def test_a_search_ends_once_what_is_left_is_worth_less_than_its_limit() -> None:
    def explored(score: Any, **limits: float) -> int:
        search = {"sampler": "random", "scheduler": "none", "trials": 40, "limits": limits}
        return len(played(planned({**SIXTY, "search": search}), score).trials)

    def flat(cycles: int) -> float:
        return 0.8 + 0.001 * (cycles % 3)

    def steep(cycles: int) -> float:
        return cycles / 61

    assert explored(flat) == explored(steep) == 40
    assert FEWEST <= explored(flat, gain=0.01) < 20
    assert explored(steep, gain=0.01) > explored(flat, gain=0.01)


def test_another_hour_is_said_at_the_runs_own_pace(plan: Plan) -> None:
    book = played(plan, lambda cycles: 0.5 + cycles / 200)
    for trial in book.trials.values():
        trial.compute, trial.seconds = plan.budget, 60.0
    found = another_hour(plan, book, elapsed=60.0 * len(book.trials))
    assert found is not None
    assert found.runs == 60
    text = outlook_text(found, plan.objective)
    assert text.startswith("another hour of searching (60 full runs) would raise exact_accuracy by")
    assert another_hour(plan, book, None) is None


def test_a_gain_is_of_one_objective() -> None:
    several = {"objective": ["exact_accuracy", "mean_steps"], "limits": {"gain": 0.01}}
    with pytest.raises(UserError, match=r"limits.gain 0.01 is of one objective .* leave it out"):
        planned({**SIXTY, "search": several})


def test_looking_back_is_what_was_said_at_the_half_and_what_the_model_has_now(plan: Plan) -> None:
    """The optimum lies where the search only comes to in its later half."""
    space = plan.space.parameters["model.L_cycles"]
    assert space.count == 60

    def score(cycles: int) -> float:
        return cycles / 100

    def looked(*cycles: int) -> Book:
        book = Book()
        for number, value in enumerate(cycles):
            params = {**plan.space.default()[0], "model.L_cycles": value}
            trial = book.add_trial(
                stage="explore", params=params, config=plan.space.apply(params), seed=0,
                candidate=number,
            )  # fmt: skip
            book.begin_attempt(trial.id)
            book.finish(trial.id, "completed", score(value))
        return book

    early, late = list(range(1, 1 + FEWEST)), list(range(45, 45 + FEWEST))
    found = hindsight(plan, looked(*early, *late))
    assert found is not None
    assert (found.after, found.foreseen.runs) == (FEWEST, FEWEST)
    assert found.came == pytest.approx(score(late[-1]) - score(early[-1]), abs=0.05)
    alone = looked(*early)
    history = module.searched(plan, alone)[0]
    assert found.foreseen == outlook(history, plan.space, FEWEST)
    nothing = hindsight(plan, looked(*late, *early))
    assert nothing is not None
    assert nothing.came == pytest.approx(0.0, abs=0.05)
    assert hindsight(plan, looked(*early, *late[1:])) is None


def test_of_a_crowd_the_best_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    history = searched(30)
    whole = outlook(history, SPACE, 5)
    monkeypatch.setattr(module, "MOST_PICKS", 12)
    some = outlook(history, SPACE, 5)
    assert whole is not None
    assert some is not None
    assert some.gain == pytest.approx(whole.gain, abs=0.02)
    assert some != whole
