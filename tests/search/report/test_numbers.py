"""The report's own arithmetic against formulas by hand."""

from __future__ import annotations

import numpy as np
import pytest

from search.objectives.objective import Objective
from search.report.association import explained, thin
from search.report.depth import _change
from search.report.facts import ConfigPoint
from search.report.slices import GRID, smoothed
from search.space.distributions import Choice, Range


def points(values: list[object]) -> list[ConfigPoint]:
    return [ConfigPoint(n, {"x": value}, "completed", 0.0, 1.0) for n, value in enumerate(values)]


def test_what_a_choice_explains_is_adjusted_r_squared() -> None:
    rng = np.random.default_rng(0)
    options = rng.choice(["a", "b", "c"], 40)
    scores = rng.normal(0, 1, 40) + 1.5 * (options == "b")
    dummies = np.column_stack([options == option for option in ("a", "b", "c")]).astype(float)
    fit = dummies @ np.linalg.lstsq(dummies, scores, rcond=None)[0]
    r2 = 1 - ((scores - fit) ** 2).sum() / ((scores - scores.mean()) ** 2).sum()
    expected = 1 - (1 - r2) * 39 / 37
    choice = Choice("x", (), ("a", "b", "c"))
    assert explained(choice, points(list(options)), list(scores)) == pytest.approx(expected)


def test_what_has_no_influence_explains_nothing() -> None:
    rng = np.random.default_rng(1)
    wide = Range("x", (), "loguniform", 1e-4, 1e-1)
    shares = []
    for _ in range(50):
        values = [wide.at(float(share)) for share in rng.random(60)]
        shares.append(explained(wide, points(values), list(rng.normal(0, 1, 60))))
    assert np.mean(shares) < 0.05
    assert explained(wide, points(values), [1.0] * 60) == 0.0
    assert explained(wide, points(values), [np.log(v) for v in values]) > 0.9


def test_the_surface_is_a_kernel_regression() -> None:
    rng = np.random.default_rng(2)
    places, values = rng.random((30, 2)), rng.random(30)
    found = smoothed(places, values)
    assert found.shape == (GRID, GRID)
    width = places.std(axis=0) * 30 ** (-1 / 6)
    row, column = 7, 21
    at = np.array([column, row]) / (GRID - 1)
    kernel = np.exp(-0.5 * (((at - places) / width) ** 2).sum(axis=1))
    assert found[row, column] == pytest.approx((kernel * values).sum() / kernel.sum())
    corner = smoothed(0.1 * places, values)
    assert np.isnan(corner[-1, -1]), "nothing is near"
    assert np.isfinite(corner[0, 0])


def test_a_crowd_keeps_its_best() -> None:
    rng = np.random.default_rng(3)
    crowd = [
        ConfigPoint(n, {}, "completed", float(score), 1.0)
        for n, score in enumerate(rng.random(900))
    ]
    for column, best in (("exact_accuracy", max), ("lm_loss", min)):
        kept = thin(crowd, Objective(column=column), most=90)
        assert len(kept) == 90
        assert [point.trial for point in kept] == sorted(point.trial for point in kept)
        assert best(point.score for point in kept) == best(point.score for point in crowd)
    assert thin(crowd[:50], Objective(column="exact_accuracy"), most=90) == crowd[:50]


@pytest.mark.parametrize(
    ("trained", "deep", "words"),
    [
        (0.0, 0.0, "solves none of them at any depth"),
        (0.9, 0.899, "keeps the accuracy at 4x"),
        (0.9, 0.5, "loses 0.400 at 4x"),
        (0.0, 0.2, "gains 0.200 at 4x"),
    ],
)
def test_depth_in_words(trained: float, deep: float, words: str) -> None:
    assert _change("winner", 4, trained, deep) == f"the winner {words}"
