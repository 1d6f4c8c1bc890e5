"""Student's t distribution, of which most intervals are made."""

from __future__ import annotations


def t_quantile(probability: float, df: float) -> float:
    """The value below which Student's t with `df` degrees of freedom falls with a probability.

    Args:
        probability: above 0, at most 1.

    >>> t_quantile(0.95, 2)
    2.9199...
    """
    # What scipy.stats.t itself calls; scipy.stats takes three times as long to import.
    from scipy.special import stdtrit

    assert 0 < probability <= 1, probability
    return float(stdtrit(df, probability))
