"""What confirming may take of a sweep that is limited: a share of what the search had.

A reserve that is the same for all sweeps leaves little of a small one to search with, and who has
searched little has little to confirm.
"""

from __future__ import annotations

from collections.abc import Mapping

from search.config.plan import Plan
from search.config.sections import StabilityConfig
from search.ledger.trial import Trial

SHARE = 1 / 8
"""Full runs of the confirm stage, at most, for each one that a limited search has had."""


def granted(plan: Plan, trials: Mapping[int, Trial], ahead: float = 0.0) -> StabilityConfig:
    """The `stability` section as far as a sweep's limits leave room for it.

    A pure function of the ledger: what the search has had does not change once it has ended.

    Args:
        trials: of the run.
        ahead: full runs that the search is to have beyond.
    """
    if not plan.sections.search.limits.cost:
        return plan.sections.stability
    had = sum(trial.compute for trial in trials.values() if trial.searches) / plan.budget
    return afforded(plan.sections.stability, had + ahead)


def afforded(section: StabilityConfig, searched: float) -> StabilityConfig:
    """The section for a limited search of so many full runs; what says `budget` stays as it is.

    With one candidate left there is nothing to decide: it gets one seed.

    >>> found = afforded(StabilityConfig(), 40)
    >>> found.candidates, found.seeds, found.budget
    (2, 2, 5)
    >>> afforded(StabilityConfig(), 100) == StabilityConfig()
    True
    """
    runs = int(SHARE * searched)
    if section.budget is not None or section.trials is not None or runs >= section.runs():
        return section
    candidates = min(section.candidates, runs // section.seeds)
    if candidates < 2:
        return section.model_copy(update={"candidates": 1, "seeds": 1, "budget": 1})
    return section.model_copy(update={"candidates": candidates, "budget": runs})
