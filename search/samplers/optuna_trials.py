"""Records of candidates in Optuna's terms.

How outcomes reach Optuna 5, whose samplers rank trials as complete by value (or by dominance), then
pruned by (last step, value), then those with violated constraints by the sum of violations:

    completed                          COMPLETE with its values and its constraints
    pruned, of one objective           PRUNED with its rung scores
    pruned, of several                 COMPLETE with its values, `pruned` violated by 1 - progress
    diverged, collapsed, oom, crashed  COMPLETE at the floor, `failure` violated by 2
    infeasible                         PRUNED without a value, `failure` violated by 3
    stopped                            as pruned; FAIL (ignored by samplers) if it has no score
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.samplers.history import PastTrial, finite_rungs
from search.space.distributions import Choice, Distribution
from search.space.space import Space

FAILURE = "failure"
"""Name of the constraint that a candidate violates when it failed or cannot exist."""

PRUNED = "pruned"
"""Name of the constraint that a pruned candidate of several objectives violates."""

FAILURE_VIOLATION, INFEASIBLE_VIOLATION = 2.0, 3.0


def to_optuna(distribution: Distribution) -> BaseDistribution:
    """The same distribution in Optuna's terms, without its prior; options are their names."""
    if isinstance(distribution, Choice):
        return CategoricalDistribution(distribution.options)
    low, high, step = distribution.low, distribution.high, distribution.step
    if distribution.integer:
        return IntDistribution(int(low), int(high), distribution.log, int(step or 1))
    return FloatDistribution(low, high, distribution.log, step)


class Translator:
    """Turns records of one space into Optuna's trials."""

    def __init__(self, space: Space, *, as_pruned: bool) -> None:
        """
        Args:
            as_pruned: whether pruned candidates become PRUNED trials, as only one objective allows.
        """
        self.space = space
        self.as_pruned = as_pruned
        self._distributions = {name: to_optuna(d) for name, d in space.parameters.items()}

    def search_space(self, distributions: Iterable[Distribution]) -> dict[str, BaseDistribution]:
        """Some of the space's distributions by name."""
        return {found.name: self._distributions[found.name] for found in distributions}

    def trial(
        self,
        record: PastTrial,
        number: int,
        constraints: Mapping[str, float] | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> FrozenTrial:
        """A record as Optuna's trial `number`.

        Args:
            constraints: what a completed record violates; None takes the record's violations.
            attributes: user attributes.

        Raises:
            ValueError: the record's parameters do not fit the space.
        """
        state, violated = self._state(record)
        if record.outcome == "completed":
            violated = dict(record.violations if constraints is None else constraints)
        parameters = self.space.parameters
        trial = create_trial(
            state=state,
            values=list(record.values) if state == TrialState.COMPLETE else None,
            value=self._pruned_value(record) if state == TrialState.PRUNED else None,
            params={name: parameters[name].cast(value) for name, value in record.params.items()},
            distributions={name: self._distributions[name] for name in record.params},
            intermediate_values={} if record.outcome is None else finite_rungs(record),
            constraints=violated or None,
            user_attrs=dict(attributes or {}),
        )
        trial.number = number
        return trial

    def _state(self, record: PastTrial) -> tuple[TrialState, dict[str, float]]:
        if record.outcome is None:
            return TrialState.RUNNING, {}
        if not record.counts:
            return TrialState.FAIL, {}
        if record.failed:
            return TrialState.COMPLETE, {FAILURE: FAILURE_VIOLATION}
        if record.outcome == "infeasible":
            return TrialState.PRUNED, {FAILURE: INFEASIBLE_VIOLATION}
        if record.outcome == "completed":
            return TrialState.COMPLETE, {}
        if self.as_pruned:
            return TrialState.PRUNED, {}
        if record.values:
            return TrialState.COMPLETE, {PRUNED: 1.0 - min(record.progress, 0.99)}
        return TrialState.FAIL, {}

    @staticmethod
    def _pruned_value(record: PastTrial) -> float | None:
        scores = finite_rungs(record)
        return scores[max(scores)] if scores else None
