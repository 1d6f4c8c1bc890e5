"""Generations of a genetic sampler as a function of the history, and Optuna's operators on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import optuna
from optuna.samplers import BaseGASampler, NSGAIIISampler, NSGAIISampler
from optuna.trial import FrozenTrial, TrialState

from search.samplers.history import History
from search.samplers.view import View, study_of


class ByNumber(BaseGASampler):
    """Takes the place of the bookkeeping that Optuna's genetic samplers do in storage.

    Mixed into one of them. `members` and `parents` are of the generation before the one that is
    drawn or whose parents are selected.
    """

    members: Sequence[FrozenTrial] = ()
    parents: Sequence[FrozenTrial] = ()

    def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:
        return 1

    def get_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        return [*self.members]

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        return [*self.parents]


class Nsga2(ByNumber, NSGAIISampler):
    """Optuna's NSGA-II, with generations by number."""


class Nsga3(ByNumber, NSGAIIISampler):
    """Optuna's NSGA-III, with generations by number."""


class Generations:
    """Who belongs to which generation, and the parents of each; derived from the history."""

    def __init__(
        self, history: History, view: View, size: int, selector: Callable[[int], ByNumber]
    ) -> None:
        """
        Args:
            size: candidates of a generation.
            selector: Optuna's sampler for selecting, seeded from the number of the first member.
        """
        self.view = view
        self.size = size
        self._history = history
        self._selector = selector
        self._settled: list[tuple[list[int], list[FrozenTrial]]] = []

    def parents(self) -> list[FrozenTrial]:
        """The parents of the next candidate, by number; none if nothing is known."""
        self.view.catch_up()
        history = self._history
        numbers = [r.number for r in history.records if r.outcome != "infeasible"]
        generations = [[record.number for record in history.warm]]
        whole = len(numbers) // self.size * self.size
        generations += [numbers[at : at + self.size] for at in range(0, whole, self.size)]
        parents: list[FrozenTrial] = []
        for index, members in enumerate(generations):
            if index < len(self._settled) and self._settled[index][0] == members:
                parents = self._settled[index][1]
                continue
            del self._settled[index:]
            parents = self._select(index, self._trials(members), parents)
            # What is chosen among changes while members run.
            known = len(self._settled) == index
            if known and history.running.keys().isdisjoint(members):
                self._settled.append((members, parents))
        return parents

    def _select(
        self, generation: int, members: list[FrozenTrial], parents: list[FrozenTrial]
    ) -> list[FrozenTrial]:
        if not members and not parents:
            return []
        selector = self._selector(generation * self.size)
        selector.members, selector.parents = members, parents
        study = study_of([], self._history.directions, selector)
        return sorted(selector.select_parent(study, 1), key=lambda trial: trial.number)

    def _trials(self, numbers: Iterable[int]) -> list[FrozenTrial]:
        found = (self.view.ended(number) for number in numbers)
        return [t for t in found if t is not None and t.state == TrialState.COMPLETE]
