"""Brackets: their sizes, who is in which, and that each is an ASHA of its own."""

from __future__ import annotations

from collections import Counter

import pytest

from search.schedulers.hyperband import Hyperband, HyperbandConfig, bracket_sizes, round_of


@pytest.mark.parametrize(
    ("brackets", "eta", "sizes"),
    # The first row of table 1 of the paper: n_i of each bracket for R = 81 and eta = 3.
    [(5, 3.0, (81, 34, 15, 8, 5)), (1, 3.0, (1,)), (2, 4.0, (4, 2))],
)
def test_bracket_sizes(brackets: int, eta: float, sizes: tuple[int, ...]) -> None:
    assert bracket_sizes(brackets, eta) == sizes


def test_a_round_has_the_sizes_and_mixes_them() -> None:
    order = round_of((9, 5, 3))
    assert Counter(order) == {0: 9, 1: 5, 2: 3}
    assert set(order[:6]) == {0, 1, 2}


def test_the_bracket_depends_on_the_number_alone() -> None:
    one, other = HyperbandConfig().build(False), HyperbandConfig().build(False)
    for number in reversed(range(40)):
        other.on_report(number, 0.2, 0.5)
    brackets = [one.bracket(number) for number in range(40)]
    assert brackets == [other.bracket(number) for number in range(40)]
    assert brackets[:17] == brackets[17:34]


def test_a_trial_is_judged_by_its_bracket() -> None:
    hyperband = Hyperband((1 / 9, 1 / 3, 1.0))
    first = [n for n in range(17) if hyperband.bracket(n) == 0]
    later = [n for n in range(17) if hyperband.bracket(n) == 1]
    never = [n for n in range(17) if hyperband.bracket(n) == 2]
    for rank, number in enumerate(first):
        decision = hyperband.on_report(number, 0.12, 1.0 - rank / 10)
        # The best third so far goes on, and the first two trials of the rung.
        assert decision == ("continue" if rank < 2 else "stop"), number
    assert {hyperband.on_report(n, 0.12, 0.0) for n in later + never} == {"continue"}
    assert [hyperband.on_report(n, 0.34, 0.5 - n / 100) for n in later][2:] == ["stop"] * 3
    assert {hyperband.on_report(n, 0.9, 0.0) for n in never} == {"continue"}
