"""Every sentence about significance that page, card and terminal print, and what makes it true.

A sentence is printed by `claim`, from here alone; `trm guide claims` shows the table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """A sentence, and when it may be printed.

    Attributes:
        text: the sentence, with fields in braces.
        rule: what makes it true.
        wrong: how often it is wrong, as far as the rule says.
    """

    text: str
    rule: str
    wrong: str


_TEST = (
    "one-sided t tests of the means over the race's seeds, each config with a spread of its own; "
    "half of what the confidence leaves is shared by all comparisons (Bonferroni) and by all looks "
    "of the race (Pocock)"
)
_WELCH = "Welch's interval of the difference between the means over the same promise seeds"
_NO_CLAIM = "it claims nothing"
_HALF = "at a confidence of 90 %, in at most 1 sweep in 10"

CLAIMS: dict[str, Claim] = {
    "finalists_ahead": Claim(
        "ahead of {others} ({sure})",
        f"every finalist that may win is below the winner by {_TEST}",
        _HALF,
    ),
    "finalists_open": Claim(
        "not ahead of {others}: more seeds could still make {them} the best",
        f"some finalist that may win is not below the winner by {_TEST}",
        _NO_CLAIM,
    ),
    "no_rival": Claim(
        "nothing to be ahead of: no other finalist {why}",
        "one finalist alone is there, or alone keeps the constraints",
        _NO_CLAIM,
    ),
    "best_with": Claim(
        "the best finalist with probability {probability}",
        "the share of 20,000 draws from the posterior of the means in which its is the highest",
        "as often as the probability says, if scores are normal",
    ),
    "defaults_ahead": Claim(
        "ahead of your defaults ({sure}): better by {low} to {high}",
        f"{_WELCH} is above 0",
        "at a confidence of 90 %, in at most 1 sweep in 20",
    ),
    "defaults_open": Claim(
        "not ahead of your defaults: the difference is {low} to {high} ({sure})",
        f"{_WELCH} holds 0",
        _NO_CLAIM,
    ),
    "defaults_behind": Claim(
        "behind your defaults ({sure}): worse by {low} to {high}",
        f"{_WELCH} is below 0",
        "at a confidence of 90 %, in at most 1 sweep in 20",
    ),
    "defaults_unknown": Claim(
        "not ahead of your defaults: the promise seeds show no spread to tell by",
        "one of the two has a single promise seed, or none of its seeds differ",
        _NO_CLAIM,
    ),
    "defaults_won": Claim(
        "your defaults themselves: the search found nothing that ranks before them",
        "the winner's values are the file's default values",
        _NO_CLAIM,
    ),
    "little": Claim(
        "even {high} of {objective} is less than half, and the search found nothing that is ahead "
        "of your defaults: train longer, or search another space",
        "the objective is an accuracy, the promise's upper end is below 0.5, and the winner is the "
        "defaults or not ahead of them by the interval above",
        "at a confidence of 90 %, more than half is reached by at most 1 fresh seed in 20",
    ),
    "beats_defaults": Claim(
        "a seed of it beats one of your defaults with probability {low} to {high} ({sure}; "
        "{share} of the pairs did)",
        "Newcombe's interval (method 5) of Mann and Whitney's share over the promise seeds, ties "
        "half",
        "the interval leaves out the truth in at most 1 of 10 at a confidence of 90 %",
    ),
    "promised": Claim(
        "a fresh seed of it reaches {objective} {low} to {high} ({sure})",
        "Student's t prediction interval about the mean of seeds that took no part in the choice",
        "the table of how often that is right is in `trm guide statistics`",
    ),
    "failure_rate": Claim(
        "{failed} of {trials} trials of it failed, a rate of {low} to {high} ({sure})",
        "Clopper and Pearson's interval",
        "the interval leaves out the truth in at most 1 of 10 at a confidence of 90 %",
    ),
    "race_separated": Claim(
        "one finalist was left: the others were behind by the rule of the race",
        "all others are below the leader by the same tests, which share the whole of what the "
        "confidence leaves: enough to give no more seeds, and not enough to be ahead",
        "the best is dropped in at most 1 race in 10 at a confidence of 90 %",
    ),
    "race_budget": Claim(
        "the budget is spent, and more seeds could still change the order",
        "some finalist is not behind by the rule of the race",
        _NO_CLAIM,
    ),
    "race_seeds": Claim(
        "every finalist that is left has all its seeds, and more could still change the order",
        "some finalist is not behind by the rule of the race",
        _NO_CLAIM,
    ),
    "out_behind": Claim(
        "out: behind by the rule of the race",
        "below the leader at that look by the race's test",
        "the best is dropped in at most 1 race in 10 at a confidence of 90 %",
    ),
    "luck": Claim(
        "explored scores less fresh seeds: {mean} on average ({low} to {high}, {sure})",
        "Student's t interval over the finalists",
        "it is of finalists that share a search, so it is a description more than a test",
    ),
    "run_ahead": Claim(
        "{ahead} is ahead of {behind} ({sure})",
        "of two runs: Welch's interval of the difference between the means over the promise seeds "
        "leaves out 0",
        "at a confidence of 90 %, in at most 1 comparison in 10",
    ),
    "runs_open": Claim(
        "undecided",
        "of two runs: the same interval holds 0, or has no spread to be made of",
        _NO_CLAIM,
    ),
    "run_beats": Claim(
        "one fresh seed of {ahead} beats one of {behind} with probability {probability}",
        "of two configs with seeds of their own: P(x > y) of two posterior predictive t "
        "distributions",
        "as often as the probability says, if scores are normal",
    ),
    "ablation_worse": Claim(
        "worse than the base ({sure} each): {names}",
        "Welch's interval of the difference leaves out 0, for each ablation by itself",
        "each in at most 1 of 20 at a confidence of 90 %: of many, some by chance",
    ),
    "ablation_better": Claim(
        "better than the base ({sure} each): {names}",
        "Welch's interval of the difference leaves out 0, for each ablation by itself",
        "each in at most 1 of 20 at a confidence of 90 %: of many, some by chance",
    ),
    "rung_misranks": Claim(
        "at {share} of a run {metric} ranks configs {how}: rank correlation with the end {value} "
        "({sure} interval {low} to {high}, {trials} trials)",
        "the correlation is below 0, or its interval lies below 0.5, by 8 trials or more",
        "it is a warning: the interval is a bootstrap's, made wider where few trials are left",
    ),
}
"""By name, in the order of the table."""


def claim(name: str, **values: str) -> str:
    """A sentence with its numbers.

    >>> claim("finalists_ahead", others="the other finalist", sure="90%")
    'ahead of the other finalist (90%)'
    """
    return CLAIMS[name].text.format(**values)


def odds(probability: float) -> str:
    """A probability as everything prints it: never certain, since no number of seeds is.

    >>> odds(0.958), odds(0.9999), odds(0.0)
    ('0.96', 'above 0.99', 'below 0.01')
    """
    if probability > 0.99:
        return "above 0.99"
    return "below 0.01" if probability < 0.01 else f"{probability:.2f}"


def measured(value: float) -> str:
    """A score, three decimals where it is of the order of 1.

    >>> measured(0.93125), measured(1234567.0), measured(0.0)
    ('0.931', '1.235e+06', '0.000')
    """
    small = value == 0.0 or 1e-3 <= abs(value) < 100.0
    return f"{value:.3f}" if small and math.isfinite(value) else f"{value:.4g}"
