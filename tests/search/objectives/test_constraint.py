from __future__ import annotations

import math
from typing import Any

import pytest

from search.objectives.constraint import Constraint, parse_constraint, violations


def constraint(text: Any) -> Constraint:
    return Constraint.model_validate(parse_constraint(text))


def test_text_and_mappings_are_read() -> None:
    found = constraint("mean_steps<=6")
    assert (found.column, found.relation, found.bound) == ("mean_steps", "<=", 6.0)
    assert constraint({"column": "valid_rate", "relation": ">=", "bound": 0.5}) == constraint(
        " valid_rate >= 5e-1 "
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mean_step <= 6", "did you mean mean_steps"),
        ("mean_steps < 6", "use <= or >="),
        ("mean_steps <= six", "must be a number"),
        ("mean_steps", "as in"),
        ("parameters <= inf", "finite"),
        ("parameters <= nan", "finite"),
    ],
)
def test_nonsense_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        constraint(text)


def test_violations_are_shares_of_the_bound_and_positive_when_broken() -> None:
    most, least = constraint("parameters <= 1e6"), constraint("valid_rate >= 0.5")
    assert most.violation(1.5e6) == pytest.approx(0.5)
    assert most.violation(1e6) == 0.0
    assert most.violation(0.5e6) < 0
    assert least.violation(0.25) == pytest.approx(0.5)
    assert constraint("lm_loss <= 0").violation(2.0) == 2.0
    assert most.violation(math.nan) == math.inf


def test_several_seeds_count_by_their_mean() -> None:
    found = violations([constraint("mean_steps <= 4")], [{"mean_steps": 2.0}, {"mean_steps": 8.0}])
    assert found == {"mean_steps <= 4": pytest.approx(0.25)}
