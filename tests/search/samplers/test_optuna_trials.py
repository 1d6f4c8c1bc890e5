"""How candidates stand in Optuna's terms."""

from __future__ import annotations

import math

import pytest
from optuna.trial import TrialState

from search.objectives.outcome import FAILURES, OUTCOMES
from search.samplers.history import PastTrial
from search.samplers.optuna_trials import FAILURE, PRUNED, Translator, to_optuna
from search.space.space import Space
from search.testing.samplers import SPACES

SPACE = Space.parse({"x": {"uniform": [0, 1]}, "c": {"choice": ["a", {"label": "b", "k": 1}]}})
PARAMS = {"x": 0.5, "c": "b"}
RUNGS = {1: 0.1, 2: 0.2, 3: math.nan}


def test_how_each_outcome_of_one_objective_stands() -> None:
    expected = {
        "completed": (TrialState.COMPLETE, 0.5, {"mean_steps": 0.3}),
        "pruned": (TrialState.PRUNED, 0.2, {}),
        "infeasible": (TrialState.PRUNED, None, {FAILURE: 3.0}),
        "stopped": (TrialState.PRUNED, 0.2, {}),
        **{failure: (TrialState.COMPLETE, 0.5, {FAILURE: 2.0}) for failure in FAILURES},
    }
    assert set(expected) == set(OUTCOMES)
    translator = Translator(SPACE, as_pruned=True)
    for number, (outcome, (state, value, constraints)) in enumerate(expected.items()):
        bare = outcome == "infeasible"
        record = PastTrial(
            number, PARAMS, outcome, () if bare else (0.5,), {} if bare else RUNGS,
            {"mean_steps": 0.3} if outcome == "completed" else {},
        )  # fmt: skip
        trial = translator.trial(record, number)
        assert (trial.state, trial.value, trial.constraints) == (state, value, constraints)
        assert trial.number == number
        assert all(map(math.isfinite, trial.intermediate_values.values()))
        assert trial.params == PARAMS
    assert translator.trial(PastTrial(0, PARAMS, "stopped"), 0).state == TrialState.FAIL
    assert translator.trial(PastTrial(0, PARAMS), 0).state == TrialState.RUNNING


def test_pruned_ones_of_several_objectives_are_complete_and_invalid() -> None:
    translator = Translator(SPACE, as_pruned=False)
    trial = translator.trial(PastTrial(0, PARAMS, "pruned", (0.5, 6.0), progress=0.3), 0)
    assert (trial.state, trial.values) == (TrialState.COMPLETE, [0.5, 6.0])
    assert trial.constraints == {PRUNED: pytest.approx(0.7)}
    late = translator.trial(PastTrial(0, PARAMS, "pruned", (0.5, 6.0), progress=1.0), 0)
    assert late.constraints[PRUNED] > 0
    assert translator.trial(PastTrial(0, PARAMS, "pruned"), 0).state == TrialState.FAIL


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_optuna_agrees_on_what_a_distribution_holds(space: Space) -> None:
    for distribution in space.parameters.values():
        optunas = to_optuna(distribution)
        for share in (0.0, 0.3, 1.0):
            assert optunas._contains(optunas.to_internal_repr(distribution.at(share)))


def test_params_of_another_space_are_refused() -> None:
    translator = Translator(SPACE, as_pruned=True)
    with pytest.raises(ValueError, match="isn't contained"):
        translator.trial(PastTrial(0, {"x": 1.5}), 0)
