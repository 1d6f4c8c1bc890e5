"""Student's t distribution, of which most intervals are made."""

from __future__ import annotations


def t_quantile(probability: float, df: float) -> float:
    """The value below which Student's t with `df` degrees of freedom falls with a probability.

    >>> t_quantile(0.95, 2)
    2.9199...
    """
    from scipy import stats

    return float(stats.t.ppf(probability, df))
