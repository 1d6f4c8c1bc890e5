"""Fronts against optuna's own, which is written independently."""

from __future__ import annotations

import numpy as np
import optuna
import pytest

from search.stats.pareto import front, ranked, spread_out


def optunas_front(points: np.ndarray) -> set[int]:
    study = optuna.create_study(directions=["maximize"] * points.shape[1])
    for point in points:
        study.add_trial(optuna.trial.create_trial(values=[float(v) for v in point]))
    return {trial.number for trial in study.best_trials}


@pytest.mark.parametrize("objectives", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_the_front_is_optunas(objectives: int, seed: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Few different values, so that ties and duplicates occur.
    points = np.random.default_rng(seed).integers(0, 6, size=(40, objectives)).astype(float)
    assert set(front(dict(enumerate(points.tolist())))) == optunas_front(points)


def test_each_front_is_that_of_the_rest_and_all_are_ranked() -> None:
    points = np.random.default_rng(3).normal(size=(30, 2))
    fronts = ranked(dict(enumerate(points.tolist())))
    assert sorted(key for members in fronts for key in members) == list(range(30))
    left = dict(enumerate(points.tolist()))
    for members in fronts:
        assert set(front(left)) == set(members)
        assert [left[key][0] for key in members] == sorted(
            (left[key][0] for key in members), reverse=True
        )
        for key in members:
            del left[key]


def test_a_part_of_a_front_keeps_its_ends_and_spreads() -> None:
    line = {index: (float(index), float(-index)) for index in range(11)}
    assert set(spread_out(line, 2)) == {0, 10}
    crowded = {"left": (0.0, 1.0), "a": (0.5, 0.5), "b": (0.51, 0.49), "right": (1.0, 0.0)}
    assert {"left", "right"} < set(spread_out(crowded, 3))
    assert spread_out(crowded, 9) == front(crowded)
    assert spread_out({}, 3) == []
