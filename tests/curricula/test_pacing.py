"""Curves: bounds, ends, warm-up and hold, breakpoints, and published closed forms."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from curricula.conformance import check
from curricula.pacing import (
    CURVES,
    Constant,
    Cosine,
    Exponential,
    Linear,
    Milestone,
    Piecewise,
    Polynomial,
    Ramp,
    Root,
    Segments,
    Step,
    ValueSegment,
)
from tests.support.strategies import sections

WIDE = (-1e6, 1e6)
RAMPS = [kind for kind in CURVES.values() if issubclass(kind, Ramp)]


@pytest.mark.parametrize("kind", CURVES.values(), ids=CURVES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_curves_of_any_range_conform(kind: Any, data: Any) -> None:
    check(data.draw(sections(kind, WIDE)))


@pytest.mark.parametrize("kind", CURVES.values(), ids=CURVES)
@given(data=st.data(), p=st.floats(0.0, 1.0))
@settings(max_examples=100, deadline=None)
def test_values_stay_within_bounds_at_any_progress(kind: Any, data: Any, p: float) -> None:
    curve = data.draw(sections(kind, WIDE))
    low, high = curve.bounds
    assert low <= curve.at(p) <= high


@pytest.mark.parametrize("kind", RAMPS)
@given(data=st.data(), p=st.floats(0.0, 1.0), q=st.floats(0.0, 1.0))
@settings(max_examples=100, deadline=None)
def test_ramps_are_monotone_between_any_two_points(
    kind: Any, data: Any, p: float, q: float
) -> None:
    curve = data.draw(sections(kind, WIDE))
    assert curve.monotone
    first, second = sorted((p, q))
    rise = curve.at(second) - curve.at(first)
    assert rise * (curve.end - curve.start) >= 0.0


@pytest.mark.parametrize("kind", RAMPS)
@given(data=st.data(), share=st.floats(0.0, 1.0))
@settings(max_examples=100, deadline=None)
def test_warm_up_and_hold_are_kept_for_any_pair_of_shares(
    kind: Any, data: Any, share: float
) -> None:
    curve = data.draw(sections(kind, WIDE))
    assume((1.0 - curve.warmup) * (1.0 - curve.hold) > 1e-6)  # else shorter than rounding
    assert curve.at(0.0) == curve.at(share * curve.warmup) == curve.start
    held = 1.0 - curve.hold * (1.0 - curve.warmup)
    assert curve.at(1.0) == curve.at(held + share * (1.0 - held)) == curve.end


def test_the_change_begins_after_the_warm_up_and_ends_before_the_hold() -> None:
    line = Linear(start=2.0, end=4.0, warmup=0.2, hold=0.5)  # moves from 0.2 to 0.6
    assert [line.at(p) for p in (0.2, 0.3, 0.4, 0.5, 0.6)] == pytest.approx([2, 2.5, 3, 3.5, 4])


@given(x=st.floats(0.001, 0.999), a=st.floats(0.1, 10.0), b=st.floats(0.1, 10.0))
@settings(max_examples=100, deadline=None)
def test_shapes_by_their_formulas(x: float, a: float, b: float) -> None:
    def between(share: float) -> float:
        return a + (b - a) * share

    near = {"rel": 1e-9, "abs": 1e-9}
    assert Linear(start=a, end=b).at(x) == pytest.approx(between(x), **near)
    sine = math.sin(math.pi * x / 2) ** 2
    assert Cosine(start=a, end=b).at(x) == pytest.approx(between(sine), **near)
    assert Polynomial(start=a, end=b, power=3.0).at(x) == pytest.approx(between(x * x * x), **near)
    late = (math.exp(2.5 * x) - 1) / (math.exp(2.5) - 1)
    assert Exponential(start=a, end=b, rate=2.5).at(x) == pytest.approx(between(late), **near)
    assert Exponential(start=a, end=b, rate=0.0).at(x) == pytest.approx(between(x), **near)
    assert Constant(value=a).at(x) == a


@given(x=st.floats(0.0, 1.0), a=st.floats(0.1, 10.0), b=st.floats(0.1, 10.0))
@settings(max_examples=60, deadline=None)
def test_the_exponential_is_geometric_at_the_rate_of_the_ratio(
    x: float, a: float, b: float
) -> None:
    curve = Exponential(start=a, end=b, rate=math.log(b / a))
    assert curve.at(x) == pytest.approx(a * (b / a) ** x, rel=1e-6)


@given(t=st.floats(0.0, 1.0), c0=st.floats(0.001, 0.9), hold=st.floats(0.0, 0.9))
@settings(max_examples=100, deadline=None)
def test_the_root_is_the_competence_of_platanios(t: float, c0: float, hold: float) -> None:
    length = 1.0 - hold
    expected = min(1.0, math.sqrt(t * (1 - c0**2) / length + c0**2))
    assert Root(start=c0, end=1.0, hold=hold).at(t) == pytest.approx(expected, rel=1e-9)


def test_the_square_root_competence_from_one_in_a_hundred() -> None:
    curve = Root(start=0.01, end=1.0)
    assert curve.at(0.0) == 0.01
    assert curve.at(0.25) == pytest.approx(math.sqrt(0.25 * 0.9999 + 0.0001), rel=1e-12)
    assert curve.at(1.0) == 1.0
    assert Root(start=0.0, end=0.0).at(0.5) == 0.0
    assert Root(start=1.0, end=0.0, power=1.0).at(0.25) == pytest.approx(0.75)


@pytest.mark.parametrize("levels", [2, 3, 7, 10, 49])
@pytest.mark.parametrize(("warmup", "hold"), [(0.0, 0.0), (0.3, 0.0), (0.1, 0.3)])
def test_steps_are_equal_in_length_and_height(levels: int, warmup: float, hold: float) -> None:
    curve = Step(start=0.0, end=1.0, levels=levels, warmup=warmup, hold=hold)
    begin, length = Fraction(str(warmup)), (1 - Fraction(str(warmup))) * (1 - Fraction(str(hold)))
    for level in range(levels):
        at = begin + length * Fraction(level, levels)
        assert curve.at(float(at)) == pytest.approx(level / (levels - 1))
        if level:
            assert curve.at(float(at) - 1e-6) == pytest.approx((level - 1) / (levels - 1))


def piecewise(interpolate: str, *points: tuple[float, float]) -> Piecewise:
    milestones = [Milestone(at=at, value=value) for at, value in points]
    return Piecewise.model_validate({"milestones": milestones, "interpolate": interpolate})


def test_milestones_hold_or_are_joined_by_lines() -> None:
    points = ((0.0, 1.0), (0.3, 2.0), (0.6, -1.0))
    held, joined = piecewise("hold", *points), piecewise("linear", *points)
    for p, hold, line in [
        (0.0, 1.0, 1.0), (0.15, 1.0, 1.5), (0.3, 2.0, 2.0), (0.45, 2.0, 0.5), (0.6, -1.0, -1.0),
        (1.0, -1.0, -1.0),
    ]:  # fmt: skip
        assert held.at(p) == hold
        assert joined.at(p) == pytest.approx(line)
    assert held.bounds == joined.bounds == (-1.0, 2.0)


@given(values=st.lists(st.floats(-9, 9), min_size=2, max_size=4), p=st.floats(0.0, 1.0))
@settings(max_examples=100, deadline=None)
def test_a_line_between_equal_values_is_flat(values: list[float], p: float) -> None:
    assume(values[0] != 0.0)
    count = len(values)
    curve = piecewise("linear", *[(i / count, values[0]) for i in range(count)])
    assert curve.at(p) == values[0]


@given(lengths=st.lists(st.floats(0.01, 10.0), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_segments_are_milestones_at_the_shares_of_their_lengths(lengths: list[float]) -> None:
    parts = [ValueSegment(length=length, value=float(i)) for i, length in enumerate(lengths)]
    curve = Segments(segments=parts)
    starts = [math.fsum(lengths[:i]) / math.fsum(lengths) for i in range(len(lengths))]
    for index, (start, end) in enumerate(pairwise([*starts, 1.0])):
        assert curve.at(start) == index
        assert curve.at((start + end) / 2) == index


@pytest.mark.parametrize("count", [3, 7, 10, 11, 100])
def test_sums_of_flops_do_not_miss_a_breakpoint(count: int) -> None:
    curve = Segments(segments=[ValueSegment(value=float(i)) for i in range(count)])
    flops = 1.1e12 / 3
    budget, spent, seen = count * flops, 0.0, []
    for _ in range(count):
        seen.append(curve.at(spent / budget))
        spent += flops
    assert seen == list(range(count))
