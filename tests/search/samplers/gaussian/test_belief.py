"""What seeds, curves and failures say of candidates."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from search.samplers.gaussian.belief import Belief, belief_of
from search.samplers.gaussian.observations import Scale, observations
from search.samplers.history import OBJECTIVE, History, PastRun, PastTrial
from search.space.space import Space

SPACE = Space.parse({"x": {"uniform": [0, 1]}, "c": {"choice": ["a", "b"]}})
SHARE = (0.0, 1.0)


def truth(params: dict[str, Any]) -> float:
    return float(0.9 - 1.5 * (params["x"] - 0.6) ** 2 - 0.3 * (params["c"] == "b"))


def curve(end: float, rng: np.random.Generator, upto: int = 4) -> dict[int, dict[str, float]]:
    """Of exact accuracy nothing is seen before the end; the loss tells it early."""
    return {
        step: {OBJECTIVE: end if step == 3 else 0.0, "lm_loss": 2 - end + 0.02 * rng.random()}
        for step in range(upto)
    }


def completed(end: float, rng: np.random.Generator) -> PastRun:
    return PastRun("completed", end, curve(end, rng))


def searched(count: int = 20, seed: int = 0) -> tuple[History, np.random.Generator]:
    rng = np.random.default_rng(seed)
    history = History(bounds=SHARE)
    for number in range(count):
        params, _ = SPACE.sample(rng)
        end = min(max(truth(params) + 0.03 * float(rng.standard_normal()), 0.0), 1.0)
        history.begin(params)
        history.end(PastTrial(number, params, "completed", (end,), runs=(completed(end, rng),)))
    return history, rng


@pytest.mark.parametrize(("direction", "value"), [("maximize", 0.3), ("minimize", 0.3)])
def test_shares_are_modelled_by_arcsines(direction: Any, value: float) -> None:
    scale = Scale(History((direction,), bounds=SHARE))
    share = value if direction == "maximize" else 1 - value
    assert scale.target(value) == pytest.approx(math.asin(math.sqrt(share)))
    assert scale.value(scale.target(value)) == pytest.approx(value)
    assert scale.floor <= 0.0


def test_other_columns_keep_their_order_and_come_back() -> None:
    losses = [1e9, 3.0, 2.0, 1.5, 1.0]
    records = [PastTrial(n, {"x": 0.1}, "completed", (v,)) for n, v in enumerate(losses)]
    scale = Scale(History(("minimize",), records=records))
    targets = [scale.target(loss) for loss in losses]
    assert targets == sorted(targets)
    assert targets[1] - targets[0] < 5
    assert [scale.value(t) for t in targets] == pytest.approx(losses)


def test_every_seed_is_an_observation() -> None:
    history = History(bounds=SHARE)
    rng = np.random.default_rng(0)
    for number, ends in enumerate([(0.9,), (0.5, 0.52, 0.48, 0.5)]):
        params = {"x": 0.1 + 0.8 * number, "c": "a"}
        history.begin(params)
        runs = tuple(completed(end, rng) for end in ends)
        history.end(PastTrial(number, params, "completed", (float(np.mean(ends)),), runs=runs))
    known, pending = observations(history, Scale(history))
    assert [one.number for one in known] == [0, 1, 1, 1, 1]
    assert pending == []
    belief = Belief(history, SPACE, None)
    assert belief.deviation[1] < belief.deviation[0]


def test_a_run_under_way_counts_as_its_curve_foresees() -> None:
    history, rng = searched()
    params = {"x": 0.05, "c": "b"}  # where configs are bad
    number = history.begin(params)
    before = Belief(history, SPACE, None)
    history.see(number, [PastRun(None, None, curve(0.95, rng, 2))])
    after = Belief(history, SPACE, None)
    assert after.mean[after.place(number)] > before.mean[before.place(number)] + 0.02
    [seen] = [one for one in observations(history, after.scale)[0] if one.number == number]
    assert seen.target == pytest.approx(after.scale.target(0.95), abs=0.15)
    assert seen.extra > 0.0
    assert not seen.settled


def test_what_fails_or_breaks_a_constraint_stands_below_all() -> None:
    history, _ = searched()
    for outcome, values, broken in (
        ("diverged", (0.0,), {}),
        ("infeasible", (), {}),
        ("completed", (0.99,), {"mean_steps <= 6": 1.0}),
    ):
        params, _ = SPACE.sample(np.random.default_rng(len(history.records)))
        number = history.begin(params)
        history.end(PastTrial(number, params, outcome, values, violations=broken))
    known, _ = observations(history, Scale(history))
    worst = min(one.target for one in known[:20])
    assert all(one.target < worst for one in known[20:])


def test_another_seed_is_worth_most_where_it_may_change_who_leads() -> None:
    history, _ = searched()
    belief = Belief(history, SPACE, None)
    order = np.argsort(-belief.mean)
    leader, last = belief.seen[int(order[0])], belief.seen[int(order[-1])]
    assert belief.gain(leader) > 100 * belief.gain(last)


def test_it_is_kept_until_the_history_changes() -> None:
    history, _ = searched()
    first = belief_of(history, SPACE, None)
    assert belief_of(history, SPACE, None) is first
    history.begin({"x": 0.5, "c": "a"})
    assert belief_of(history, SPACE, None) is not first


def test_a_search_of_which_nothing_has_come_yet_is_believed_alike_everywhere() -> None:
    """All that was begun runs or was stopped, and no curve can be read yet."""
    history = History(bounds=SHARE)
    for number in range(3):
        params, _ = SPACE.sample(np.random.default_rng(number))
        history.begin(params)
        if number:
            run = PastRun("pruned", None, {0: {OBJECTIVE: 0.1}})
            history.end(PastTrial(number, params, "pruned", (0.1,), {0: 0.1}, runs=(run,)))
    belief = Belief(history, SPACE, None)
    assert np.ptp(belief.mean) == 0.0
    row, gain = belief.propose(1)
    assert gain > 0.0
    assert SPACE.apply(belief.encoding.draw(row)[0])
