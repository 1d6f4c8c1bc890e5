from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curricula.pacing import Constant, Curve, Linear
from curricula.sources import AsTheyCome, SourceMixture

SOURCES = ("a", "b", "c")


def mixture(**weights: Curve) -> SourceMixture:
    return SourceMixture(weights=weights)


def test_as_they_come_says_nothing() -> None:
    assert AsTheyCome().at(0.5, SOURCES) == ()
    AsTheyCome().check(())


@given(a=st.floats(0.0, 5.0), c=st.floats(0.01, 5.0))
def test_shares_are_weights_over_their_sum(a: float, c: float) -> None:
    shares = mixture(c=Constant(value=c), a=Constant(value=a)).at(0.3, SOURCES)
    assert shares == pytest.approx((a / (a + c), 0.0, c / (a + c)))


def test_shares_follow_their_curves() -> None:
    schedule = mixture(a=Linear(start=1.0, end=0.0), b=Linear(start=0.0, end=1.0))
    for p in (0.0, 0.25, 1.0):
        assert schedule.at(p, SOURCES) == pytest.approx((1 - p, p, 0.0))


def test_weights_that_are_all_0_leave_the_data_as_it_is() -> None:
    assert mixture(a=Linear(start=1.0, end=0.0)).at(1.0, SOURCES) == ()


def test_a_source_that_is_not_there_is_named_with_the_nearest() -> None:
    schedule = mixture(sudoku=Constant(), maze=Constant())
    schedule.check(("maze", "sudoku"))
    with pytest.raises(ValueError, match=r"^weights\.sudoku: no such source: did you mean sudoko"):
        schedule.check(("maze", "sudoko"))
    with pytest.raises(ValueError, match="the task has none"):
        schedule.check(())
