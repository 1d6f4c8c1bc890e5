"""Population decisions: who is replaced, by whom, and that nothing but the inputs matters."""

from __future__ import annotations

import math
from random import getstate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curricula.learned import Knob, KnobName, knobs_of
from curricula.stage import Stage
from search.schedulers.pbt import PbtConfig, next_generation
from trm.errors import UserError
from trm.validation import validate

KNOBS = {
    name: knob
    for name, knob in knobs_of(Stage(4, 4)).items()
    if name in ("H_cycles", "learning_rate")
}
SCORES = st.one_of(st.none(), st.just(math.nan), st.floats(0, 1))


def knobs_for(count: int) -> dict[int, dict[KnobName, Knob]]:
    return dict.fromkeys(range(count), KNOBS)


def settings_of(count: int) -> dict[int, dict[str, float]]:
    return {member: {"H_cycles": 2, "learning_rate": 1.0 + member} for member in range(count)}


def test_the_worst_take_over_the_best_and_change_the_rest_go_on() -> None:
    scores = dict(enumerate([0.1, 0.9, 0.5, 0.6, 0.2, 0.8, 0.4, 0.3]))
    config = PbtConfig(members=8, quantile=0.25)
    steps = next_generation(config, knobs_for(8), settings_of(8), scores, "0/1")
    for member in (1, 2, 3, 5, 6, 7):
        assert steps[member].parent == member
        assert steps[member].settings == settings_of(8)[member]
    for member in (0, 4):
        assert steps[member].parent in (1, 5)
        assert steps[member].settings != settings_of(8)[steps[member].parent]


def test_a_failed_member_is_always_replaced() -> None:
    scores = {0: None, 1: 0.4, 2: math.nan, 3: None}
    config = PbtConfig(members=4, quantile=0.25)
    steps = next_generation(config, knobs_for(4), settings_of(4), scores, "0/1")
    assert [steps[member].parent for member in range(4)] == [1, 1, 1, 1]
    assert steps[1].settings == settings_of(4)[1]


def test_nobody_left_is_an_error() -> None:
    with pytest.raises(ValueError, match="every member"):
        next_generation(PbtConfig(members=2), knobs_for(2), settings_of(2), {0: None, 1: None}, "0")


@given(st.lists(SCORES, min_size=2, max_size=12), st.floats(0.01, 0.5), st.integers(0, 99))
def test_decisions_depend_on_the_inputs_alone(
    values: list[float | None], quantile: float, seed: int
) -> None:
    scores = dict(enumerate(values))
    alive = [s for s in values if s is not None and math.isfinite(s)]
    if not alive:
        return
    config = PbtConfig(members=len(values), quantile=quantile)
    knobs, settings = knobs_for(len(values)), settings_of(len(values))
    before = getstate()
    steps = next_generation(config, knobs, settings, scores, f"{seed}/1")
    turned = dict(reversed(scores.items()))
    assert steps == next_generation(config, knobs, settings, turned, f"{seed}/1")
    assert getstate() == before
    assert sorted(steps) == sorted(scores)
    for member, step in steps.items():
        parent = scores[step.parent]
        assert parent is not None
        if step.parent != member:
            best = sorted(alive)[::-1][: max(1, math.floor(quantile * len(values)))]
            assert parent in best


def test_a_member_explores_within_what_its_parents_model_allows() -> None:
    knobs: dict[int, dict[KnobName, Knob]] = {
        member: {"L_cycles": knobs_of(Stage(1, depth))["L_cycles"]}
        for member, depth in enumerate((2, 9, 2, 2))
    }
    settings = {member: {"L_cycles": 9.0 if member == 1 else 1.0} for member in range(4)}
    scores: dict[int, float | None] = {0: 0.1, 1: 0.9, 2: 0.5, 3: 0.6}
    config = PbtConfig(members=4, resample=0.0)
    steps = next_generation(config, knobs, settings, scores, "0/1")
    assert steps[0].parent == 1
    assert steps[0].settings["L_cycles"] in (8, 9)


@pytest.mark.parametrize(
    ("learn", "message"),
    [
        (["H_cycles", "H_cycles"], "H_cycles stands there 2 times"),
        (["difficulty_position"], "needs difficulty_width"),
        (["depth"], "H_cycles"),
        ([], "at least 1"),
    ],
)
def test_knobs_that_make_no_sense_are_refused(learn: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        validate(PbtConfig, {"learn": learn})
