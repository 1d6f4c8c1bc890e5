"""Priors: what `confidence` means, how it is refused, and that scales and shares agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from search.space.distributions import Choice, Range
from search.space.space import Space
from trm.errors import UserError

LR = Range("lr", (), "loguniform", 1e-5, 1e-2, default=1e-4, confidence=0.75)
DEPTH = Range("depth", (), "int", 1, 8, default=3, step=1, confidence=0.5)


def test_the_prior_of_a_range_is_a_truncated_normal_on_its_scale() -> None:
    draws = [LR.sample(rng) for rng in [np.random.default_rng(0)] for _ in range(4000)]
    shares = (np.log10(draws) + 5) / 3
    centre, deviation = 1 / 3, 0.125
    expected = stats.truncnorm(-centre / deviation, (1 - centre) / deviation, centre, deviation)
    assert stats.kstest(shares, expected.cdf).pvalue > 0.01
    for share in (0.0, 0.1, 0.5, 0.9, 1.0):
        value = float(expected.ppf(share))
        assert LR.quantile(share) == pytest.approx(10 ** (3 * value - 5), rel=1e-6)


def test_a_stepped_prior_is_that_normal_over_the_values_cells() -> None:
    rng = np.random.default_rng(1)
    counts = np.bincount([DEPTH.sample(rng) for _ in range(8000)], minlength=9)[1:]
    centre, deviation = 2.5 / 8, 0.25
    expected = stats.truncnorm(-centre / deviation, (1 - centre) / deviation, centre, deviation)
    cells = np.diff(expected.cdf(np.arange(9) / 8))
    assert counts / 8000 == pytest.approx(cells, abs=0.02)


@pytest.mark.parametrize(("confidence", "likelier"), [(0.0, 0.25), (0.5, 0.625), (0.96, 0.97)])
def test_the_prior_of_a_choice(confidence: float, likelier: float) -> None:
    choice = Choice("c", (), ("a", "b", "c", "d"), "c", confidence)
    assert choice.probabilities[2] == pytest.approx(likelier)
    assert sum(choice.probabilities) == pytest.approx(1.0)
    rng = np.random.default_rng(0)
    draws = [choice.sample(rng) for _ in range(4000)]
    assert draws.count("c") / 4000 == pytest.approx(likelier, abs=0.03)
    assert choice.quantile(0.0) == "a"
    assert choice.quantile(1.0) == "d"


def test_without_confidence_all_values_are_alike() -> None:
    plain = Range("lr", (), "loguniform", 1e-5, 1e-2, default=1e-4)
    for share in (0.0, 0.2, 0.7, 1.0):
        assert plain.quantile(share) == plain.at(share)
    assert Choice("c", (), ("a", "b"), "b").probabilities == (0.5, 0.5)


ranges = st.one_of(
    st.tuples(st.floats(-100, 100), st.floats(0, 50)).map(
        lambda p: Range("x", (), "uniform", p[0], p[0] + p[1])
    ),
    st.tuples(st.floats(1e-6, 10), st.floats(1, 1e4)).map(
        lambda p: Range("x", (), "loguniform", p[0], p[0] * p[1])
    ),
    st.tuples(st.integers(-9, 9), st.integers(0, 30), st.integers(1, 4)).map(
        lambda p: Range("x", (), "int", p[0], p[0] + p[1] * p[2], step=p[2])
    ),
    st.tuples(st.integers(1, 9), st.integers(0, 300)).map(
        lambda p: Range("x", (), "logint", p[0], p[0] + p[1], step=1)
    ),
)


@settings(max_examples=200, deadline=None)
@given(found=ranges, share=st.floats(0, 1))
def test_a_share_and_a_value_are_two_names_of_one_place(found: Range, share: float) -> None:
    value = found.at(share)
    assert found.contains(value)
    assert 0 <= found.position(value) <= 1
    again = found.at(found.position(value))
    assert again == (value if found.integer else pytest.approx(value, rel=1e-9, abs=1e-9))


@settings(max_examples=100, deadline=None)
@given(found=ranges, share=st.floats(0, 1), confidence=st.floats(0, 0.999))
def test_quantiles_lie_in_the_range_and_rise(found: Range, share: float, confidence: float) -> None:
    fields = {**vars(found), "default": found.at(0.3), "confidence": confidence}
    prior = Range(**fields)
    assert prior.contains(prior.quantile(share))
    assert prior.quantile(share) <= prior.quantile(min(share + 0.2, 1.0))


def test_the_long_form_takes_a_confidence() -> None:
    body: dict[str, Any] = {"low": 1e-5, "high": 1e-2, "default": 1e-4, "confidence": 0.75}
    tree = {
        "lr": {"loguniform": body},
        "pick": {"choice": {"options": ["a", "b"], "default": "b", "confidence": 0}},
    }
    space = Space.parse(tree)
    assert space.parameters["lr"] == LR
    pick = space.parameters["pick"]
    assert isinstance(pick, Choice)
    assert (pick.default, pick.confidence) == ("b", 0.0)
    assert space.has_prior
    assert not Space.parse({"x": {"int": [1, 3]}}).has_prior
    assert "confidence 0.75" in space.describe()[0][1]


@pytest.mark.parametrize(
    ("distribution", "complaint"),
    [
        ({"uniform": {"low": 0, "high": 1, "confidence": 0.5}}, "give a `default`"),
        ({"choice": {"options": [1, 2], "confidence": 0.5}}, "give a `default`"),
        ({"uniform": {"low": 0, "high": 1, "default": 0, "confidence": 1}}, "below 1"),
        ({"int": {"low": 0, "high": 1, "default": 0, "confidence": -0.1}}, "from 0"),
        ({"int": {"low": 0, "high": 1, "default": 0, "confidence": "high"}}, "must be a number"),
        ({"choice": {"options": [1], "default": 1, "confidence": True}}, "must be a number"),
        ({"uniform": {"low": 0, "high": 1, "default": 0, "confidnce": 1}}, "mean confidence"),
        ({"loguniform": [1, 2], "confidence": 0.5}, "cannot stand beside"),
    ],
)
def test_confidences_that_are_refused(distribution: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=r"^optimizer\.lr") as caught:
        Space.parse({"optimizer": {"lr": distribution}})
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
