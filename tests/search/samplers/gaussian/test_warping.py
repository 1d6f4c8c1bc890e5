from __future__ import annotations

import numpy as np

from search.samplers.gaussian.warping import warped
from search.samplers.history import PastTrial, standing


def records(*values: float | str) -> list[PastTrial]:
    found = []
    for number, value in enumerate(values):
        if isinstance(value, str):
            failed = (0.0,) if value not in ("pruned", "infeasible") else ()
            rungs = {1: 0.1} if value == "pruned" else {}
            found.append(PastTrial(number, {}, value, failed, rungs=rungs))
        else:
            found.append(PastTrial(number, {}, "completed", (value,)))
    return sorted(found, key=lambda record: (standing(record, "maximize"), record.number))


def test_the_better_half_keeps_its_values_and_the_order_holds() -> None:
    ranked = records(0.9, 0.1, 0.89, 0.0, 0.88, "pruned", "diverged", "infeasible", 0.5)
    targets = warped(ranked, "maximize")
    assert targets[:5].tolist() == [0.9, 0.89, 0.88, 0.5, 0.1]
    assert (np.diff(targets) < 0).all()


def test_how_bad_the_bad_are_does_not_matter() -> None:
    mild = warped(records(0.9, 0.8, 0.7, 0.2, 0.1), "maximize")
    wild = warped(records(0.9, 0.8, 0.7, -1e6, -1e9), "maximize")
    np.testing.assert_array_equal(mild, wild)
    assert mild[-1] > 0.0


def test_equal_ones_stay_equal_where_most_fail() -> None:
    targets = warped(records(0.6, 0.3, 0.0, 0.0, 0.0, 0.0, "diverged"), "maximize")
    assert len(set(targets[2:6])) == 1
    assert targets[1] > targets[2] > targets[6]


def test_nothing_but_failures_has_an_order_too() -> None:
    targets = warped(records("diverged", "pruned", "oom", "infeasible"), "maximize")
    assert np.isfinite(targets).all()
    assert targets[0] > targets[1] == targets[2] > targets[3]


def test_of_a_loss_less_is_better() -> None:
    losses = [PastTrial(n, {}, "completed", (v,)) for n, v in enumerate([1.0, 2.0, 3.0])]
    assert warped(losses, "minimize")[:2].tolist() == [-1.0, -2.0]
