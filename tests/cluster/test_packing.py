"""Packing on synthetic curves of throughput and memory."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.packing import FILL, GAIN, Packing, Probed, ladder, pack
from cluster.resources import Share

GB = 1e9


def curve(rate: Callable[[int], float], each: float, other: float = 0.0) -> Callable[[int], Probed]:
    return lambda copies: Probed(copies, rate(copies), other + copies * each)


def test_it_packs_while_the_total_grows() -> None:
    # A device that is busy from the fourth copy on.
    found = pack(curve(lambda n: 10.0 * min(n, 4), GB), memory=80 * GB)
    assert found.copies == 4
    assert [one.copies for one in found.probes] == [1, 2, 3, 4, 6]
    assert found.why == "6 are not 10% faster together"


def test_a_device_that_one_fills_is_not_shared() -> None:
    assert pack(curve(lambda n: 10.0, GB), memory=80 * GB).copies == 1
    # Copies that stand in each other's way.
    assert pack(curve(lambda n: 10.0 / n, GB), memory=80 * GB).copies == 1


def test_memory_ends_it_before_anything_runs_out() -> None:
    asked: list[int] = []

    def measure(copies: int) -> Probed:
        asked.append(copies)
        return Probed(copies, 10.0 * copies, copies * 3 * GB)

    found = pack(measure, memory=16 * GB)
    assert (found.copies, asked) == (4, [1, 2, 3, 4])
    assert found.why == "6 would take 18.0 of 16.0 GB"


def test_what_else_is_on_the_device_is_counted_once() -> None:
    # 5 GB are another's: 5 + 6 fit beside them, 6 alone would not tell.
    found = pack(curve(lambda n: 10.0 * n, GB, other=5 * GB), memory=16 * GB, most=8)
    assert found.copies == 8


def test_memory_that_grows_faster_than_expected_is_not_used() -> None:
    def measure(copies: int) -> Probed:
        return Probed(copies, 10.0 * copies, GB * copies**3)

    found = pack(measure, memory=16 * GB)
    assert found.copies == 2  # 3 took 27
    assert found.why == "3 would take 15.0 of 16.0 GB"
    found = pack(measure, memory=25 * GB)
    assert (found.copies, found.why) == (2, "3 took 27.0 of 25.0 GB")


@pytest.mark.parametrize("at", [1, 2, 4])
def test_a_measurement_that_fails_leaves_what_was_found(at: int) -> None:
    def measure(copies: int) -> Probed | str:
        return "it ran out of memory" if copies >= at else Probed(copies, 10.0 * copies, GB)

    found = pack(measure, memory=80 * GB)
    assert (found.copies, found.why) == (max(at - 1, 1), "it ran out of memory")
    assert len(found.probes) == at - 1


def test_a_throughput_that_is_no_number_is_no_gain() -> None:
    assert pack(curve(lambda n: float("nan"), GB), memory=80 * GB).copies == 1


def test_numbers_that_are_tried_end_with_the_most() -> None:
    assert list(ladder(1)) == list(ladder(0)) == [1]
    assert list(ladder(2)) == [1, 2]
    assert list(ladder(32)) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32]
    assert list(ladder(20)) == [1, 2, 3, 4, 6, 8, 12, 16, 20]


@given(
    seed=st.integers(0, 10**6),
    each=st.floats(0.01, 60.0),
    other=st.floats(0.0, 20.0),
    memory=st.floats(1.0, 140.0),
    most=st.integers(1, 64),
    noise=st.floats(0.0, GAIN / (2 + GAIN)),
)
def test_no_curve_makes_it_unsafe(
    seed: int, each: float, other: float, memory: float, most: int, noise: float
) -> None:
    rng = random.Random(seed)
    # What copies add to the total, each less or more than the one before, or even less than nothing
    true = [10.0]
    while len(true) < 64:
        true.append(max(true[-1] + rng.uniform(-3.0, 10.0), 0.1))

    def measure(copies: int) -> Probed | str:
        taken = other + copies * each
        if taken > memory:
            return "it ran out of memory"
        measured = true[copies - 1] * rng.uniform(1.0 - noise, 1.0 + noise)
        return Probed(copies, measured, taken * GB)

    found = pack(measure, memory=memory * GB, most=most)
    assert 1 <= found.copies <= max(most, 1)
    if found.copies > 1:
        assert other + found.copies * each <= FILL * memory * (1 + 1e-9)
    assert true[found.copies - 1] >= true[0] * (1 - 1e-9)
    assert found.why


@given(st.integers(1, 64))
def test_as_many_as_were_found_fit_on_a_device(copies: int) -> None:
    gpus = Share(gpus=Packing(copies).gpus).request()["GPU"]
    assert round(gpus * 1e4) * copies <= 10_000 < round(gpus * 1e4) * (copies + 1)
