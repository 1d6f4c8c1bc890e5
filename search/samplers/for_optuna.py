"""Our Gaussian process as a sampler of anybody's Optuna study.

>>> import optuna
>>> optuna.logging.set_verbosity(optuna.logging.WARNING)
>>> study = optuna.create_study(direction="minimize", sampler=GaussianSampler(seed=0))
>>> study.optimize(lambda trial: (trial.suggest_float("x", -1.0, 1.0) - 0.5) ** 2, n_trials=25)
>>> abs(study.best_params["x"] - 0.5) < 0.05
True
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from search.objectives.objective import Direction
from search.samplers.history import UNBOUNDED, History, PastTrial
from search.space.distributions import Choice, Condition, Distribution, Range
from search.space.space import Space


class GaussianSampler(BaseSampler):
    """What `sampler: gp` draws with, for studies of one objective.

    Every parameter that any trial has had is modelled. One that trials have exactly where they have
    an option of some choice is taken to belong to that option. Pruned trials count by what trials
    with as many reports came to, failed ones as bad.

    Args:
        seed: of the draws; None takes one of the system's.
        n_startup_trials: random ones, before the process is used.
        bounds: the least and the greatest value of the objective, if it has them; a share, (0, 1),
            is modelled on a scale of its own.
        max_observations: trials that the process sees at most.
    """

    def __init__(
        self,
        seed: int | None = None,
        n_startup_trials: int = 10,
        bounds: tuple[float, float] = UNBOUNDED,
        max_observations: int = 250,
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._random = RandomSampler(seed=int(self._rng.integers(2**31)))
        self._startup = n_startup_trials
        self._bounds = bounds
        self._most = max_observations

    def reseed_rng(self) -> None:
        """Another seed, for each of several processes."""
        self._rng = np.random.default_rng()
        self._random.reseed_rng()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Every parameter that any trial has had, as the last of them had it."""
        found: dict[str, BaseDistribution] = {}
        for one in study.get_trials(deepcopy=False):
            found.update({n: d for n, d in one.distributions.items() if not d.single()})
        return found

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The values of the process's proposal.

        Raises:
            ValueError: the study has several objectives.
        """
        if len(study.directions) > 1:
            raise ValueError("GaussianSampler takes studies of one objective: use TPESampler")
        trials = [one for one in study.get_trials(deepcopy=False) if one.number != trial.number]
        ended = sum(one.state in (TrialState.COMPLETE, TrialState.PRUNED) for one in trials)
        if not search_space or ended < self._startup:
            return {}
        from search.samplers.gaussian.belief import belief_of

        space = Space(_parameters(search_space, trials), {})
        direction: Direction = "minimize" if study.direction.name == "MINIMIZE" else "maximize"
        records = [_record(number, one, space.parameters) for number, one in enumerate(trials)]
        history = History((direction,), records=records, bounds=self._bounds)
        belief = belief_of(history, space, self._most)
        row, _ = belief.propose(int(self._rng.integers(2**31)))
        values = belief.encoding.values(row)
        return {name: _theirs(search_space[name], value) for name, value in values.items()}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A random value."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)


def _parameters(
    found: Mapping[str, BaseDistribution], trials: Sequence[FrozenTrial]
) -> dict[str, Distribution]:
    """The parameters of a study in our terms, choices by the places of their options."""
    drawn = [trial for trial in trials if trial.params]
    always = {n for n in found if all(n in trial.params for trial in drawn)}
    conditions: dict[str, Condition] = dict.fromkeys(found, ())
    for name in found:
        if name not in always:
            conditions[name] = next(_needs(name, found, always, drawn), ())
    return {name: _ours(name, one, conditions[name]) for name, one in found.items()}


def _needs(
    name: str,
    found: Mapping[str, BaseDistribution],
    always: Collection[str],
    trials: Sequence[FrozenTrial],
) -> Iterator[Condition]:
    """The options of choices that trials have exactly where they have a parameter."""
    for choice in sorted(always):
        about = found[choice]
        if isinstance(about, CategoricalDistribution):
            having = {about.choices.index(t.params[choice]) for t in trials if name in t.params}
            others = {about.choices.index(t.params[choice]) for t in trials if name not in t.params}
            if len(having) == 1 and having.isdisjoint(others):
                yield ((choice, str(having.pop())),)


def _ours(name: str, found: BaseDistribution, condition: Condition) -> Distribution:
    if isinstance(found, CategoricalDistribution):
        return Choice(name, condition, tuple(map(str, range(len(found.choices)))))
    assert isinstance(found, (FloatDistribution, IntDistribution)), found
    integer = isinstance(found, IntDistribution)
    word = ("log" if found.log else "") + ("int" if integer else "uniform")
    return Range(name, condition, word, found.low, found.high, step=found.step)


def _theirs(found: BaseDistribution, value: Any) -> Any:
    return found.choices[int(value)] if isinstance(found, CategoricalDistribution) else value


def _record(number: int, trial: FrozenTrial, known: Mapping[str, Distribution]) -> PastTrial:
    params: dict[str, Any] = {}
    for name, value in trial.params.items():
        found = trial.distributions[name]
        if isinstance(found, CategoricalDistribution):
            value = str(found.choices.index(value))
        # A study may change a range as it goes; what lies outside the last one is not modelled.
        if name in known and known[name].contains(value):
            params[name] = value
    outcome: str | None = None
    values: tuple[float, ...] = ()
    if trial.state == TrialState.COMPLETE and math.isfinite(value := trial.values[0]):
        outcome, values = "completed", (value,)
    elif trial.state == TrialState.PRUNED:
        outcome = "pruned"
    elif trial.state in (TrialState.FAIL, TrialState.COMPLETE):
        outcome, values = "crashed", (0.0,)
    return PastTrial(number, params, outcome, values, dict(trial.intermediate_values))
