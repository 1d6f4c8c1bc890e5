"""The words about a race, and whose numbers they are."""

from __future__ import annotations

import pytest

from search.analysis.result_text import race_line
from search.stability.result import RaceSummary


@pytest.mark.parametrize(
    ("race", "seeds", "line"),
    [
        (RaceSummary(True, 6, 6, "separated"), [3, 3],
         "race: 6 trials of a budget of 6; one finalist was left: the others were behind by the "
         "rule of the race"),
        (RaceSummary(True, 14, 5, "budget"), [6, 5, 3],
         "race: 14 trials so far, budget 5; the budget is spent, and more seeds could still change "
         "the order"),
        (RaceSummary(True, 3, 2, "separated"), [3], "no race, there is one candidate: 3 trials"),
        (RaceSummary(False, 1, 1, "budget"), [1], "no race, there is one candidate: 1 trial"),
        (RaceSummary(False, 6, 9, "seeds"), [3, 3], "as many seeds for each: 6 trials"),
        (RaceSummary(False, 14, 9, "seeds"), [6, 5, 3], "no race now: 14 trials so far"),
    ],
)  # fmt: skip
def test_a_race_in_words(race: RaceSummary, seeds: list[int], line: str) -> None:
    assert race_line(race, seeds) == line
