"""Forecasts of how curves end, against leaving runs out one by one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from search.stats.foresight import _fitted, foresight


def runs(seed: int, count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Four features, of which the second foresees the end and the fourth is of no use at all."""
    rng = np.random.default_rng(seed)
    ends = rng.random(count)
    noise = rng.standard_normal((count, 4))
    columns = [ends + noise[:, 0], ends + 0.05 * noise[:, 1], noise[:, 2], np.ones(count)]
    return np.stack(columns, axis=1), ends


@pytest.mark.parametrize("seed", range(3))
def test_its_errors_are_those_of_leaving_each_run_out(seed: int) -> None:
    features, ends = runs(seed, 15)
    made = _fitted(features, ends, (0, 1), 0.3)
    known = (features[:, :2] - features[:, :2].mean(0)) / features[:, :2].std(0)
    for out in range(15):
        # The mean and the scale are those of all runs, and the mean is fitted without penalty.
        kept = np.arange(15) != out
        ridge = Ridge(alpha=0.3 * np.sqrt(15)).fit(known[kept], ends[kept])
        expected = float(ridge.predict(known[[out]])[0])
        assert made.forecasts[out] == pytest.approx(expected, abs=2e-3)


def test_the_run_s_own_data_decide_which_columns_count() -> None:
    features, ends = runs(0)
    made = foresight(features, ends)
    assert made.columns[0] == 1
    assert 3 not in made.columns
    found, own, shared = made.at(np.array([9.0, 0.7, 9.0, 1.0]))
    assert found == pytest.approx(0.7, abs=0.1)
    assert own + shared**2 < 0.02


def test_a_forecast_is_as_sure_as_runs_like_it_were() -> None:
    rng = np.random.default_rng(0)
    early = rng.random(200)
    ends = np.where(early > 0.5, early + 0.3 * rng.standard_normal(200), 0.5 * early)
    made = foresight(early[:, None], ends)
    low, high = made.at(np.array([0.1]))[1], made.at(np.array([0.9]))[1]
    assert high > 4 * low


def test_runs_that_all_failed_alike_leave_doubt() -> None:
    features = np.random.default_rng(0).random((6, 2))
    made = foresight(features, np.zeros(6))
    assert made.at(features[0])[1] == 0.0
    _, own, shared = made.at(features[0], least=0.06)
    assert own + shared**2 > 0.01


def test_what_lies_far_from_all_runs_is_less_sure() -> None:
    features, ends = runs(1)
    made = foresight(features, ends)
    near, far = features.mean(0), features.mean(0) + 4 * features.std(0)
    assert made.at(far)[2] > 2 * made.at(near)[2]
