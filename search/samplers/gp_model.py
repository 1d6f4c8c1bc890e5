"""One draw of Optuna's Gaussian process, of several objectives."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import optuna
import torch
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.samplers.history import History
from search.samplers.ranking import violation
from search.samplers.view import EXCESS, next_trial, study_of, view_of
from search.space.distributions import Distribution
from search.space.space import Space


def modelled(
    history: History, space: Space, wanted: list[Distribution], entropy: int, most: int | None
) -> dict[str, Any]:
    """A draw of the distributions wanted, which every candidate has, in Optuna's values.

    Args:
        most: ended candidates that the model sees; None is all of them.
    """
    view = view_of(history, space, as_pruned=False)
    trials = view.trials(most)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.GPSampler(seed=entropy, n_startup_trials=1)
    study = study_of(_as_values(trials, history), history.directions, sampler)
    trial = next_trial(len(history.records))
    with _one_thread(), _without_hints():
        return sampler.sample_relative(study, trial, view.translator.search_space(wanted))


@contextmanager
def _one_thread() -> Iterator[None]:
    """The trials that are training need the cores, and threads that wait for them cost 10 times."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _without_hints() -> Iterator[None]:
    """Optuna advises a package that would make its search for the best point a little faster."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _as_values(trials: list[FrozenTrial], history: History) -> list[FrozenTrial]:
    """The trials that have values, with the same one constraint, if any violates one."""
    numbered = {record.number: record for record in (*history.warm, *history.records)}
    kept = [t for t in trials if t.state == TrialState.RUNNING or t.values is not None]
    excess = {
        trial.number: violation(numbered[trial.number])
        for trial in kept
        if trial.state != TrialState.RUNNING
    }
    if not any(excess.values()):
        return kept
    return [
        _completed(trial, trial.values, {EXCESS: excess[trial.number]})
        if trial.number in excess
        else trial
        for trial in kept
    ]


def _completed(
    trial: FrozenTrial, values: list[float], constraints: dict[str, float] | None = None
) -> FrozenTrial:
    made = create_trial(
        params=trial.params,
        distributions=trial.distributions,
        values=values,
        constraints=constraints,
    )
    made.number = trial.number
    return made
