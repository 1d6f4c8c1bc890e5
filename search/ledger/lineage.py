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


def device_seconds(trials: Mapping[int, Trial], devices: float, *, gpus: bool) -> float:
    """The same seconds, each times the devices that its trial had.

    Args:
        devices: GPUs of a trial, or CPU cores, unless it says that it had others.
        gpus: whether devices are GPUs.
    """
    total = 0.0
    for trial in trials.values():
        seconds = trial.seconds
        parent = trial.params.get(PARENT) if trial.breeds else None
        if parent is not None and trial.mark:
            seconds -= trials[parent].seconds
        total += seconds * devices_had(trial, devices, gpus=gpus)
    return total


def devices_had(trial: Trial, devices: float, *, gpus: bool) -> float:
    """GPUs that a trial had, or CPU cores: its part of one, or its threads, if it said so."""
    if not gpus:
        return max(devices, float(trial.threads or 0))
    part = float(trial.provenance.get("gpu_part", 0.0))
    return devices if not part else part if part < 1.0 else max(devices, 1.0)


def settings_of(trial: Trial) -> dict[str, float]:
    return {
        name.removeprefix(SETTING): value
        for name, value in trial.params.items()
        if name.startswith(SETTING)
    }
