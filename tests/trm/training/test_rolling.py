from __future__ import annotations

import numpy as np
import pytest

from trm.training.rolling import ratio_to_recent


def test_ratios_are_those_of_a_brute_force_median() -> None:
    values = np.random.default_rng(0).lognormal(size=200)
    recent: list[float] = []
    for index, value in enumerate(values):
        ratio = ratio_to_recent(recent, float(value), window=9, floor=0.8)
        if index < 9:
            assert ratio == 1.0
        else:
            middle = max(np.median(values[index - 9 : index]), 0.8)
            assert ratio == pytest.approx(value / middle)
    assert recent == values[-9:].tolist()


def test_a_median_of_zero_is_no_measure() -> None:
    recent = [0.0] * 4
    assert ratio_to_recent(recent, 5.0, window=4) == 1.0
