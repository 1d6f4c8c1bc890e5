"""Forecasts of a search's gain are judged by what came."""

from __future__ import annotations

import math

from tests.benchmarks.prospects import ASKED, SPACE, Forecast, World, swept, table


def test_a_sweep_is_the_same_again_and_its_truth_bears_no_luck() -> None:
    assert swept(0) == swept(0)
    assert [one.after for one in swept(0)] == [*ASKED]
    params = SPACE.default()[0]
    assert World(3).truth(params) == World(3).truth(params) != World(4).truth(params)


def test_the_table_counts_what_was_held() -> None:
    found = [
        Forecast(sweep, after, 0.02, 0.0, 0.05, 0.01 if sweep else 0.2)
        for sweep in range(4)
        for after in ASKED
    ]
    lines = list(table(found))
    assert len(lines) == 2 + len(ASKED) + 2
    last = lines[-2].split("|")
    assert math.isclose(float(last[3]), 0.02)
    assert math.isclose(float(last[4]), 0.0575)
    assert last[6].strip().startswith("75.0%")
    assert lines[-1].strip().startswith("20 forecasts in 4 sweeps")
