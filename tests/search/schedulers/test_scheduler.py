"""What all schedulers' settings mean: fidelity, what is ranked by, and bad input."""

from __future__ import annotations

import math
from typing import Any

import pytest

from curricula.component import by_name
from search.schedulers import SCHEDULERS
from search.schedulers.asha import AshaConfig
from search.schedulers.median import MedianConfig
from search.schedulers.rungs import GeometricConfig, Rungs
from search.schedulers.scheduler import EarlyStoppingConfig, RungConfig, starts_slowly

GEOMETRIC = [kind for kind in SCHEDULERS.values() if issubclass(kind, GeometricConfig)]


@pytest.mark.parametrize("name", list(SCHEDULERS))
def test_schedulers_are_registered_under_their_name(name: str) -> None:
    config = by_name(SCHEDULERS, name)
    assert config.name == name
    assert config.marks(False)[-1] == 1.0
    if isinstance(config, EarlyStoppingConfig):
        assert config.build(False).shares == config.marks(False)


@pytest.mark.parametrize(
    ("parameter", "slow"),
    [
        ("curriculum.depth", True),
        ("curriculum.depth.stages[0].at", True),
        ("optimizer[muon].schedule", True),
        ("optimizer.lr_floor", True),
        ("optimizer.weight_decay", False),
        ("optimizer[adamw].lr", False),
        ("model.H_cycles", False),
    ],
)
def test_slow_starters_get_a_first_rung_of_a_quarter(parameter: str, slow: bool) -> None:
    assert starts_slowly(["model.L_cycles", parameter]) == slow
    for kind in GEOMETRIC:
        first = kind().build(starts_slowly([parameter])).shares[0]
        assert first == (0.25 if slow else pytest.approx(1 / 9))
    assert MedianConfig(grace=0.1).build(slow).shares[0] == (0.25 if slow else 0.1)


def test_fidelity_is_a_share_of_a_full_run() -> None:
    row = {"progress": 0.5, "step": 30, "train_seconds": 12.0}
    assert AshaConfig().share(row) == 0.5
    assert AshaConfig(on="steps", full_steps=120).share(row) == 0.25
    assert AshaConfig(on="seconds", full_seconds=24).share(row) == 0.5


def test_other_fidelities_ask_for_dense_reports() -> None:
    config = AshaConfig(on="seconds", full_seconds=60, reports=10)
    assert config.marks(False) == pytest.approx([k / 10 for k in range(1, 11)])
    assert config.build(False).shares == pytest.approx([1 / 9, 1 / 3, 1.0])


def test_the_metric_that_ranks_is_apart_from_the_objective() -> None:
    row = {"lm_loss": 0.2, "cell_accuracy": 0.7}
    assert AshaConfig().ranked_by(row, 0.1) == 0.1
    assert AshaConfig().ranking_mode("min") == "min"
    early = AshaConfig(metric="cell_accuracy")
    assert early.ranked_by(row, 0.1) == 0.7
    assert early.ranking_mode("min") == "max"
    assert AshaConfig(metric="lm_loss").ranking_mode("max") == "min"
    assert AshaConfig(metric="lm_loss", mode="max").ranking_mode("min") == "max"
    assert AshaConfig(metric="valid_rate").ranked_by(row, 0.1) is None


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"name": "asha", "eta": 1}, "eta"),
        ({"name": "halving", "min_share": 0}, "min_share"),
        ({"name": "hyperbandd"}, "did you mean hyperband"),
        ({"name": "asha", "metric": "cell_acuracy"}, "did you mean cell_accuracy"),
        ({"name": "asha", "metric": "diverged"}, "is no column"),
        ({"name": "asha", "metric": "grad_norm"}, "needs mode: max or min"),
        ({"name": "asha", "mode": "min"}, "needs metric"),
        ({"name": "asha", "on": "seconds"}, "needs full_seconds"),
        ({"name": "asha", "on": "epochs"}, "on"),
        ({"name": "median", "grace": 1.0}, "grace"),
        ({"name": "none", "eta": 3}, "eta"),
        ({"name": "pbt", "on": "steps"}, "on"),
    ],
)
def test_bad_settings_are_named(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        by_name(SCHEDULERS, section)


def test_every_rung_config_has_the_shared_settings() -> None:
    kinds = {name for name, kind in SCHEDULERS.items() if issubclass(kind, RungConfig)}
    assert kinds == {"asha", "hyperband", "halving", "learned", "median"}


def test_ranks_and_medians_follow_the_values() -> None:
    rungs = Rungs((0.5, 1.0), mode="min")
    scores = {4: 0.3, 2: 0.1, 7: 0.1, 5: 0.9, 1: 0.6}
    for trial, score in scores.items():
        rungs.enter(trial, 0.5, score)
    assert sorted(scores, key=lambda trial: rungs.rank(trial, 0)) == [2, 7, 4, 1, 5]
    assert rungs.median_of_others(5, 0) == pytest.approx(-0.2)
    assert rungs.median_of_others(2, 0) == pytest.approx(-0.45)
    assert rungs.is_top(7, 0, 1), "a tie with the best"
    assert not rungs.is_top(4, 0, 2)
    rungs.remove(7)
    assert rungs.rank(4, 0) == 1
    assert rungs.median_of_others(4, 0) == pytest.approx(-0.6)
    assert rungs.enter(4, 0.6, 0.0) is None
    assert math.isclose(rungs.values[0][4], -0.3)
