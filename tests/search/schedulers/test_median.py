"""The median rule against its definition, worked out with numpy."""

from __future__ import annotations

import numpy as np
import pytest

from search.schedulers.median import Median, MedianConfig, even_shares

SHARES = (0.25, 0.5, 0.75, 1.0)


def test_shares_start_at_the_grace() -> None:
    assert even_shares(0.4, 2) == pytest.approx((0.4, 0.7, 1.0))
    assert MedianConfig(grace=0.5, decisions=1).build(False).shares == (0.5, 1.0)


@pytest.mark.parametrize("sign", [1, -1])
def test_it_decides_as_the_definition_says(sign: int) -> None:
    rng = np.random.default_rng(3)
    rule = Median(SHARES, min_trials=5, mode="max" if sign == 1 else "min")
    told: dict[int, list[float]] = {}
    curves = rng.random((40, 8))
    alive, decisions = set(range(40)), 0
    for report in range(8):
        share = (report + 1) / 8
        for trial in rng.permutation(sorted(alive)).tolist():
            told.setdefault(trial, []).append(curves[trial, report])
            decision = rule.on_report(trial, share, sign * curves[trial, report])
            expected = "continue"
            if share in SHARES and share < 1:
                peers = [v[: report + 1] for t, v in told.items() if t != trial and len(v) > report]
                if len(peers) >= 5 and max(told[trial]) < np.median([np.mean(v) for v in peers]):
                    expected = "stop"
                    alive.remove(trial)
                decisions += 1
            assert decision == expected, (trial, report)
    assert decisions > 50
    assert len(alive) < 40


def test_it_waits_for_enough_others() -> None:
    rule = Median(SHARES, min_trials=3)
    for trial in range(3):
        assert rule.on_report(trial, 0.25, 0.9) == "continue"
    assert rule.on_report(3, 0.2, 0.1) == "continue", "before the grace ends"
    assert rule.on_report(3, 0.25, 0.1) == "stop"
