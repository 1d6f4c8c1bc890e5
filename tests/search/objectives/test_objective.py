"""Directions, floors and what several seeds come to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from search.objectives.objective import (
    Objective,
    aggregate,
    check_objectives,
    parse_objectives,
)
from trm.report import COLUMNS

SHARES = [name for name, column in COLUMNS.items() if column.is_share]


def objectives(value: Any) -> list[Objective]:
    return [Objective.model_validate(entry) for entry in parse_objectives(value)]


def test_a_name_a_mapping_and_a_list_are_all_read() -> None:
    assert objectives("exact_accuracy") == [Objective(column="exact_accuracy")]
    assert [o.column for o in objectives(["valid_rate", {"column": "latency"}])] == [
        "valid_rate",
        "latency",
    ]


def test_columns_know_their_better_end() -> None:
    objectives = {name: Objective(column=name) for name, about in COLUMNS.items() if about.better}
    assert {name for name, objective in objectives.items() if objective.maximizes} == set(SHARES)
    assert objectives["lm_loss"].bounds == (0.0, math.inf)
    assert objectives["halt_auc"].bounds == (0.0, 1.0)
    assert Objective(column="parameters", direction="maximize").maximizes


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"column": "exact"}, "did you mean exact_accuracy"),
        ({"column": "diverged"}, "no column of the reports"),
        ({"column": "H_cycles"}, "say direction"),
        ({"column": "lm_loss", "floor": math.inf}, "finite"),
        ({"column": "exact_accuracy", "floor": -1.0}, "floor -1: .* values from 0 to 1"),
        ({"column": "lm_loss", "floor": -9.0}, "floor -9: .* values of at least 0"),
    ],
)
def test_nonsense_is_refused(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Objective.model_validate(entry)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "at least one"),
        (["latency"], "needs? a floor|give it a floor"),
        (["valid_rate", "valid_rate"], "2 times"),
    ],
)
def test_a_list_of_nonsense_is_refused(value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_objectives(objectives(value))


def test_a_floor_makes_a_cost_a_first_objective() -> None:
    check_objectives(objectives({"column": "lm_loss", "floor": 10.0}))
    check_objectives(objectives(["exact_accuracy", "latency", "memory", "parameters", "compute"]))


def test_failures_score_the_worst_value() -> None:
    worst = {name: Objective(column=name).worst(0.2) for name in SHARES}
    assert worst.pop("exact_accuracy") == 0.2
    assert set(worst.values()) == {0.0}
    assert Objective(column="exact_accuracy", direction="minimize").worst(0.2) == 1.0
    assert Objective(column="lm_loss", floor=7.0).worst(0.2) == 7.0


def test_aggregates_against_scipy() -> None:
    rng = np.random.default_rng(0)
    values = list(rng.normal(0.6, 0.05, size=5))
    accuracy, loss = Objective(column="exact_accuracy"), Objective(column="lm_loss")
    assert aggregate(values, accuracy, "mean") == pytest.approx(np.mean(values))
    assert aggregate(values, accuracy, "worst") == min(values)
    assert aggregate(values, loss, "worst") == max(values)
    low, high = stats.t.interval(0.8, 4, np.mean(values), stats.sem(values))
    assert aggregate(values, accuracy, "lower", confidence=0.9) == pytest.approx(low)
    assert aggregate(values, loss, "lower", confidence=0.9) == pytest.approx(high)


def test_a_lower_bound_stays_inside_the_column_and_is_defined_for_equal_seeds() -> None:
    accuracy = Objective(column="exact_accuracy")
    assert aggregate([1.0, 0.0], accuracy, "lower") == 0.0
    assert aggregate([0.5, 0.5], accuracy, "lower") == 0.5
    assert aggregate([0.5], accuracy, "lower") == 0.5
    assert aggregate([1.0, 1.0], accuracy, "lower", examples=100) < 1.0
    parameters = Objective(column="parameters")
    assert aggregate([1000.0, 1000.0], parameters, "lower", examples=100) == 1000.0


def test_merit_is_its_own_inverse_and_greater_is_better() -> None:
    for objective in (Objective(column="exact_accuracy"), Objective(column="latency")):
        assert objective.merit(objective.merit(0.3)) == 0.3
    assert Objective(column="latency").merit(1.0) > Objective(column="latency").merit(2.0)


def test_a_probed_share_is_one_of_fewer_examples() -> None:
    assert Objective(column="exact_accuracy").counted(500, probed=32) == 500
    assert Objective(column="exact_accuracy_4x").counted(500, probed=32) == 32
    assert Objective(column="settled").counted(20, probed=32) == 20
    assert Objective(column="settled").counted(None, probed=32) == 32
    assert Objective(column="exact_accuracy").counted(None, probed=32) is None
    assert Objective(column="lm_loss").counted(500, probed=32) is None
    assert Objective(column="spectral_radius").counted(500, probed=32) is None
