"""Student's t is scipy's, to the last bit."""

from __future__ import annotations

import pytest
from scipy import stats

from search.stats.student import t_quantile


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 30, 2.5, 17.3, 1e6])
def test_quantiles_are_those_of_scipy_stats(df: float) -> None:
    for probability in (1e-9, 0.05, 0.3, 0.5, 0.8, 0.9, 0.95, 0.975, 1 - 1e-9, 1.0):
        assert t_quantile(probability, df) == float(stats.t.ppf(probability, df))
