"""How far a value stands above the median of those just before it."""

from __future__ import annotations

from statistics import median


def ratio_to_recent(recent: list[float], value: float, window: int, floor: float = 0.0) -> float:
    """value / max(median of `recent`, floor); then `value` joins `recent`, cut to `window` values.

    1.0 until `window` values are there: the first steps of a run have nothing to be held against.

    >>> seen = [1.0, 3.0, 2.0]
    >>> ratio_to_recent(seen, 8.0, window=3)
    4.0
    >>> seen
    [3.0, 2.0, 8.0]
    """
    ratio = 1.0
    if len(recent) >= window:
        middle = max(median(recent), floor)
        ratio = value / middle if middle > 0.0 else 1.0
    recent.append(value)
    del recent[:-window]
    return ratio
