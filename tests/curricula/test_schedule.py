from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curricula.schedule import in_force, require_rising, require_starts, starts_of

NAN = math.nan


@given(
    starts=st.lists(st.floats(0.001, 0.99), unique=True, max_size=6).map(sorted),
    progress=st.floats(0.0, 1.0),
)
def test_the_last_start_that_is_reached_is_in_force(starts: list[float], progress: float) -> None:
    starts = [0.0, *starts]
    index = in_force(starts, progress)
    assert starts[index] <= progress + 1e-9
    assert index + 1 == len(starts) or starts[index + 1] > progress


def test_a_start_is_met_in_spite_of_rounding_and_never_early() -> None:
    assert in_force([0.0, 0.3], 0.1 + 0.2) == in_force([0.0, 0.3], 0.3 - 1e-12) == 1
    assert in_force([0.0, 0.3], 0.3 - 1e-6) == 0


@given(lengths=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8))
def test_segments_start_at_0_and_rise(lengths: list[float]) -> None:
    starts = starts_of(lengths)
    assert starts[0] == 0.0
    require_starts("segment", starts)
    ends = [*starts[1:], 1.0]
    for start, end, length in zip(starts, ends, lengths, strict=True):
        assert end - start == pytest.approx(length / sum(lengths), abs=1e-12)


@pytest.mark.parametrize("shares", [[], [0.0], [0.0, 0.5], [0.2, 0.999]])
def test_rising_shares_pass(shares: list[float]) -> None:
    require_rising(shares)


@pytest.mark.parametrize(
    "shares", [[0.5, 0.5], [0.5, 0.4], [1.0], [-0.1], [NAN], [0.1, NAN], [NAN, 0.5], [0.0, 1.5]]
)
def test_shares_that_do_not_rise_within_the_run_are_refused(shares: list[float]) -> None:
    with pytest.raises(ValueError, match="must rise"):
        require_rising(shares)


@pytest.mark.parametrize("starts", [[], [0.1, 0.2], [NAN]])
def test_the_first_start_is_0(starts: list[float]) -> None:
    with pytest.raises(ValueError, match=r"the first stage must start at 0\.0"):
        require_starts("stage", starts)
