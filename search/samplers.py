"""Optuna as a pure function of what is known: which parameters to try next.

Every draw comes from a fresh sampler seeded from (sweep seed, trial number), over a study that
holds no more than the ledger does. So a study rebuilt from the ledger draws what the old one would
have drawn. A serial sweep is reproducible from its seed; a parallel one only up to the order in
which its trials end.

How outcomes reach Optuna 5, whose TPE ranks trials as complete by value, then pruned by (last step,
value), then those with a violated constraint by the sum of violations:

    completed                          COMPLETE with its score
    pruned                             PRUNED with its rung scores
    diverged, collapsed, oom, crashed  COMPLETE at the floor, constraint `failure` violated by 1
    infeasible                         PRUNED without a value, `failure` violated by 2
    stopped                            PRUNED with its rung scores; FAIL (ignored by TPE) if none
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import Field

from search.distributions import Choice, Distribution, Range
from search.space import Draw, Space
from trm.component import Component, by_name

FAILURES = ("diverged", "collapsed", "oom", "crashed")
OUTCOMES = ("completed", "pruned", *FAILURES, "infeasible", "stopped")
CONSTRAINT = "failure"
"""Name of the constraint that a trial violates when it failed: 0 or less would be feasible."""


class SamplerConfig(Component):
    """How parameters are drawn. Subclasses fix `name` and build an Optuna sampler."""

    name: str

    def build(self, seed: int) -> optuna.samplers.BaseSampler:
        raise NotImplementedError(self.name)


class TpeConfig(SamplerConfig):
    """Tree-structured Parzen estimator, multivariate, each conditional branch as its own group.

    Running trials count as bad ones ("constant liar"), so parallel draws spread out. Sources:
    Bergstra et al., NeurIPS 2011; Watanabe, arXiv 2304.11127.

    `n_startup_trials`: random draws before the model is used. `n_ei_candidates`: candidates of
    which the most promising is taken.
    """

    name: Literal["tpe"] = "tpe"
    n_startup_trials: int = Field(default=10, ge=1)
    n_ei_candidates: int = Field(default=24, ge=1)

    def build(self, seed: int) -> optuna.samplers.BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(
                n_startup_trials=self.n_startup_trials,
                n_ei_candidates=self.n_ei_candidates,
                multivariate=True,
                group=True,
                constant_liar=True,
                seed=seed,
            )


class RandomConfig(SamplerConfig):
    """Independent uniform draws on each parameter's own scale."""

    name: Literal["random"] = "random"

    def build(self, seed: int) -> optuna.samplers.BaseSampler:
        return optuna.samplers.RandomSampler(seed=seed)


SAMPLERS: dict[str, type[SamplerConfig]] = {"tpe": TpeConfig, "random": RandomConfig}
"""The samplers that `search.sampler` can name; `by_name` takes a bare name or a mapping."""


@dataclass(frozen=True)
class Record:
    """What the ledger knows of a trial that the sampler may use.

    Attributes:
        number: the trial's number, from 0 without gaps.
        outcome: one of `OUTCOMES`; None while the trial runs or waits to go on.
        score: the final score; the task's floor for a failure; unused for other outcomes.
        rungs: score at each rung, by a step that means the same fidelity in every trial.
    """

    number: int
    params: Mapping[str, Any]
    outcome: str | None = None
    score: float | None = None
    rungs: Mapping[int, float] = field(default_factory=dict)


def make_study(
    name: str,
    sampler: SamplerConfig | str = "tpe",
    seed: int = 0,
    direction: Literal["maximize", "minimize"] = "maximize",
    storage: BaseStorage | None = None,
) -> optuna.Study:
    """An empty study that carries its sampler's config and seed as user attributes."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name=name, direction=direction, storage=storage)
    study.set_user_attr("sampler", by_name(SAMPLERS, sampler).model_dump())
    study.set_user_attr("seed", seed)
    return study


def ask(study: optuna.Study, space: Space, number: int) -> Draw:
    """Draw trial `number`, which is RUNNING in the study from now on. Trial 0 is the default.

    Raises:
        ValueError: `number` is not the study's next one.
    """
    if number != len(study.get_trials(deepcopy=False)):
        raise ValueError(f"trial {number} cannot be drawn as number {len(study.trials)}")
    if number == 0:
        params, tree = space.default()
        study.add_trial(_frozen(space, Record(number, params)))
        return params, tree
    study.sampler = _sampler(study, number)
    trial = study.ask()
    params, tree = space.draw(lambda _, distribution: _suggest(trial, distribution))
    _forget_inactive(trial)
    return params, tree


def tell(
    study: optuna.Study,
    number: int,
    outcome: str,
    score: float | None = None,
    rungs: Mapping[int, float] | None = None,
) -> None:
    """Tell a running trial's end, once.

    Raises:
        ValueError: no such trial, told before, an unknown outcome, or a completed or failed trial
            without a finite score.
    """
    told = _told(Record(number, {}, outcome, score, rungs or {}))
    # Optuna finds a trial by its number only through these two.
    trial_id = study._storage.get_trial_id_from_study_id_trial_number(study._study_id, number)
    trial = optuna.Trial(study, trial_id)
    if study.get_trials(deepcopy=False)[number].state.is_finished():
        raise ValueError(f"trial {number} was told before")
    for step, value in told.rungs.items():
        trial.report(value, step)
    if told.violation:
        trial.set_constraint(CONSTRAINT, told.violation)
    complete = told.state == TrialState.COMPLETE
    study.tell(trial, told.value if complete else None, told.state)


def rebuild(study: optuna.Study, space: Space, records: Iterable[Record]) -> optuna.Study:
    """Fill an empty study with what the ledger knows, in any order; returns it.

    The next `ask` draws what it would have drawn in a study that asked and told the same trials.

    Raises:
        ValueError: the study is not empty, or the numbers have gaps.
        UserError: a record's parameters do not fit the space.
    """
    if study.get_trials(deepcopy=False):
        raise ValueError("only an empty study can be rebuilt")
    for number, record in enumerate(sorted(records, key=lambda record: record.number)):
        if record.number != number:
            raise ValueError(f"trial {number} is missing from the records")
        study.add_trial(_frozen(space, record))
    return study


def rebuild_journal(
    path: Path,
    name: str,
    space: Space,
    records: Iterable[Record],
    sampler: SamplerConfig | str = "tpe",
    seed: int = 0,
    direction: Literal["maximize", "minimize"] = "maximize",
) -> optuna.Study:
    """A study on a fresh journal at `path`, in place of what was there; opens in optuna-dashboard.

    A crash leaves the old journal or the new one. The journal is a view for people and tools: it
    is never read to decide anything. The caller must be the only writer.
    """
    draft = path.with_name(path.name + ".tmp")
    # A killed driver leaves its lock behind, for which Optuna would wait 30 s.
    for leftover in (draft, *(Path(f"{journal}.lock") for journal in (path, draft))):
        with suppress(FileNotFoundError):
            leftover.unlink()
    storage = JournalStorage(JournalFileBackend(str(draft)))
    rebuild(make_study(name, sampler, seed, direction, storage), space, records)
    os.replace(draft, path)
    return optuna.load_study(study_name=name, storage=JournalStorage(JournalFileBackend(str(path))))


def to_optuna(distribution: Distribution) -> BaseDistribution:
    """The same distribution in Optuna's terms; options are their names."""
    if isinstance(distribution, Choice):
        return CategoricalDistribution(distribution.options)
    low, high, step = distribution.low, distribution.high, distribution.step
    if distribution.integer:
        return IntDistribution(int(low), int(high), distribution.log, int(step or 1))
    return FloatDistribution(low, high, distribution.log, step)


@dataclass(frozen=True)
class _Told:
    """An outcome in Optuna's terms."""

    state: TrialState
    value: float | None = None
    rungs: Mapping[int, float] = field(default_factory=dict)
    violation: float = 0.0


def _told(record: Record) -> _Told:
    rungs = {
        int(step): float(score)
        for step, score in sorted(record.rungs.items())
        if math.isfinite(score)
    }
    last = rungs[max(rungs)] if rungs else None
    if record.outcome in ("completed", *FAILURES):
        if record.score is None or not math.isfinite(record.score):
            raise ValueError(f"trial {record.number} ({record.outcome}) has no finite score")
        violation = 0.0 if record.outcome == "completed" else 1.0
        return _Told(TrialState.COMPLETE, float(record.score), rungs, violation)
    if record.outcome == "infeasible":
        return _Told(TrialState.PRUNED, violation=2.0)
    if record.outcome == "pruned" or (record.outcome == "stopped" and rungs):
        return _Told(TrialState.PRUNED, last, rungs)
    if record.outcome == "stopped":
        return _Told(TrialState.FAIL)
    if record.outcome is None:
        return _Told(TrialState.RUNNING)
    raise ValueError(f"trial {record.number} has an unknown outcome {record.outcome!r}")


def _frozen(space: Space, record: Record) -> FrozenTrial:
    told = _told(record)
    space.apply(record.params)
    distributions = {name: space.parameters[name] for name in record.params}
    return create_trial(
        state=told.state,
        value=told.value,
        params={name: d.cast(record.params[name]) for name, d in distributions.items()},
        distributions={name: to_optuna(d) for name, d in distributions.items()},
        intermediate_values=dict(told.rungs),
        constraints={CONSTRAINT: told.violation} if told.violation else None,
    )


def _sampler(study: optuna.Study, number: int) -> optuna.samplers.BaseSampler:
    """A fresh sampler: nothing but the study and (seed, number) may influence a draw."""
    attributes = study.user_attrs
    entropy = np.random.SeedSequence([attributes["seed"], number]).generate_state(1)[0]
    return by_name(SAMPLERS, attributes["sampler"]).build(int(entropy))


def _suggest(trial: optuna.Trial, distribution: Distribution) -> Any:
    if isinstance(distribution, Choice):
        return trial.suggest_categorical(distribution.name, distribution.options)
    assert isinstance(distribution, Range)
    name, log, step = distribution.name, distribution.log, distribution.step
    if distribution.integer:
        low, high = int(distribution.low), int(distribution.high)
        return trial.suggest_int(name, low, high, step=int(step or 1), log=log)
    return trial.suggest_float(name, distribution.low, distribution.high, step=step, log=log)


def _forget_inactive(trial: optuna.Trial) -> None:
    """Blank TPE's note of the values that it drew for branches that the trial did not take.

    The constant liar would hold them against the branches, and the ledger does not know them.
    """
    for key in trial.storage.get_trial_system_attrs(trial._trial_id):
        if key.startswith("tpe:relative_params"):
            trial.storage.set_trial_system_attr(trial._trial_id, key, "")
