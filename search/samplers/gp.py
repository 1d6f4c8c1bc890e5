"""Gaussian process."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import optuna
import torch
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import Field
from scipy.special import ndtri

from search.samplers.base import LearningSamplerConfig, single_value
from search.samplers.history import History
from search.samplers.ranking import SingleRanking, violation
from search.samplers.tpe import TpeConfig, fit
from search.samplers.view import EXCESS, View, next_trial, study_of, view_of
from search.space.distributions import Distribution
from search.space.space import Draw, Space
from trm.errors import UserError

MOST_OBJECTIVES = 3


class GpConfig(LearningSamplerConfig):
    """Gaussian process with log expected improvement: for few, costly candidates.

    Parameters that every candidate has are modelled together, choices by whether they are equal;
    those that only some have come from TPE.

    It is Optuna's `GPSampler`. Of one objective it sees where candidates stand, as normal scores
    (the quantiles (rank - 1/2) / n of a normal; the copula transform of Salinas, Shen and Perrone,
    ICML 2020, arXiv 1909.13595): so pruned, failed and infeasible ones have their place below the
    completed ones, and no failure's floor distorts the rest. Of several objectives it sees values,
    and one constraint for what is violated.

    `n_startup_trials`: draws from the prior before the model is used. `max_observations`: ended
    candidates that the model sees at most, as for `tpe`; null is all of them. A draw costs time in
    proportion to the third power of their number: a second for a few hundred.
    """

    name: Literal["gp"] = "gp"
    max_observations: int | None = Field(default=250, ge=50)

    def check(self, space: Space, objectives: int, trials: int) -> None:
        if objectives > MOST_OBJECTIVES:
            raise UserError(
                "search.sampler", self.name,
                f"takes at most {MOST_OBJECTIVES} objectives, not {objectives}: use tpe or nsga3",
            )  # fmt: skip

    def model(self, history: History, space: Space, entropy: int) -> Draw:
        wanted = space.groups.get((), [])
        found = self._modelled(history, space, wanted, entropy) if wanted else {}
        others = TpeConfig().suggest(history, space, entropy)

        def suggest(name: str, distribution: Distribution) -> Any:
            if distribution.count == 1:
                return single_value(distribution)
            if name in found:
                return fit(distribution, found[name])
            return others(name, distribution)

        return space.draw(suggest)

    def _modelled(
        self, history: History, space: Space, wanted: list[Distribution], entropy: int
    ) -> dict[str, Any]:
        view = view_of(history, space, as_pruned=len(history.directions) == 1)
        trials = view.trials(self.max_observations)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.GPSampler(seed=entropy, n_startup_trials=1)
        if isinstance(view.ranking, SingleRanking):
            study = study_of(_as_scores(trials, view.ranking), ("maximize",), sampler)
        else:
            study = study_of(_as_values(trials, history, view), history.directions, sampler)
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


def _as_scores(trials: list[FrozenTrial], ranking: SingleRanking) -> list[FrozenTrial]:
    """The trials as completed ones whose value is their normal score; equal ones share theirs."""
    shown = {trial.number for trial in trials}
    order = [entry for entry in ranking.order if entry[1] in shown]
    places: dict[Any, list[int]] = {}
    for place, (standing, _) in enumerate(order):
        places.setdefault(standing, []).append(place)
    middle = {standing: float(np.mean(found)) for standing, found in places.items()}
    scores = {
        number: -float(ndtri((middle[standing] + 0.5) / len(order))) for standing, number in order
    }
    return [
        trial if trial.state == TrialState.RUNNING else _completed(trial, [scores[trial.number]])
        for trial in trials
    ]


def _as_values(trials: list[FrozenTrial], history: History, view: View) -> list[FrozenTrial]:
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
