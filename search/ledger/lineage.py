"""A population's lines of ancestors: who took over whom, and the settings along the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from search.ledger.trial import Trial

GENERATION, MEMBER, PARENT, SETTING = "generation", "member", "parent", "setting."
PLACE = (GENERATION, MEMBER, PARENT)
"""Names under which a trial's parameters hold its place in the population, and its settings."""


def learned_history(
    trials: Mapping[int, Trial], trial: Trial, ends: Sequence[float]
) -> list[tuple[float, dict[str, float]]]:
    """The settings along a trial's line of ancestors, each with the share where it begins.

    Args:
        trials: of the run, by id.
        ends: of the generations, as shares of the budget.
    """
    line = [trial]
    while (parent := line[-1].params[PARENT]) is not None:
        line.append(trials[parent])
    starts = (0.0, *ends)
    return [(starts[ancestor.params[GENERATION]], settings_of(ancestor)) for ancestor in line[::-1]]


def spent(trials: Mapping[int, Trial]) -> tuple[float, float]:
    """Training FLOPs and seconds of all trials, those of an ancestor counted once."""
    compute = seconds = 0.0
    for trial in trials.values():
        compute, seconds = compute + trial.compute, seconds + trial.seconds
        parent = trial.params.get(PARENT) if trial.breeds else None
        if parent is not None and trial.mark:
            compute, seconds = compute - trials[parent].compute, seconds - trials[parent].seconds
    return compute, seconds


def settings_of(trial: Trial) -> dict[str, float]:
    return {
        name.removeprefix(SETTING): value
        for name, value in trial.params.items()
        if name.startswith(SETTING)
    }
