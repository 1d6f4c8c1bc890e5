"""What NSGA-II and NSGA-III share: generations as a function of the history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.samplers import BaseGASampler
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field

from search.samplers.base import SamplerConfig, draw_seed, prior_share, single_value
from search.samplers.history import History
from search.samplers.tpe import fit
from search.samplers.view import View, next_trial, study_of, view_of
from search.space.distributions import Condition, Distribution
from search.space.space import Draw, Space
from trm.errors import UserError

SMALLEST, LARGEST = 8, 50


class GeneticConfig(SamplerConfig):
    """Crossover and mutation of the best of the generation before, with Optuna's operators.

    Generation g is made of the candidates that were drawn g-th in groups of `population_size`
    (infeasible draws, which cost nothing, not counted): as Optuna has it in a serial run, and in a
    parallel one too whatever the order in which they end. Its parents are chosen from what has
    ended of the generation before and of that one's parents; warm-start records stand as the
    generation before the first. Parameters that occur together are crossed over together, among
    the parents that have them. Where there are no parents, and where a value mutates, it comes
    from the prior.

    `population_size`: null is a tenth of the planned candidates, from 8 to 50. `crossover_prob`:
    of two parents, rather than a copy of one. `mutation_prob`: of each value; null is one
    over their number.
    """

    population_size: int | None = Field(default=None, ge=4)
    crossover_prob: float = Field(default=0.9, ge=0.0, le=1.0)
    mutation_prob: float | None = Field(default=None, ge=0.0, le=1.0)

    def population(self, trials: int) -> int:
        """Candidates of one generation."""
        return self.population_size or min(max(trials // 10, SMALLEST), LARGEST)

    def check(self, space: Space, objectives: int, trials: int) -> None:
        if self.population(trials) > trials:
            raise UserError(
                "search.sampler.population_size", self.population(trials),
                f"is more than the {trials} candidates of the sweep: lower it, or use tpe",
            )  # fmt: skip

    def operators(self, seed: int, population: int) -> ByNumber:
        """Optuna's sampler."""
        raise NotImplementedError(self.name)

    def propose(
        self, history: History, space: Space, seed: int, trials: int, attempt: int = 0
    ) -> Draw:
        number = len(history.records)
        entropy = draw_seed(seed, number, attempt)
        rng = np.random.default_rng(entropy)
        generations = self._generations(history, space, seed, trials)
        parents = generations.parents()
        if parents and space.has_prior and rng.random() < prior_share(number, trials):
            return space.sample(rng)
        sampler = self.operators(entropy, generations.size)
        study = study_of([], history.directions, sampler)
        trial = next_trial(number)
        translator = generations.view.translator
        drawn: dict[Condition, dict[str, Any]] = {}

        def suggest(name: str, distribution: Distribution) -> Any:
            if distribution.count == 1:
                return single_value(distribution)
            group = distribution.condition
            if group not in drawn:
                wanted = translator.search_space(space.groups[group])
                able = [parent for parent in parents if wanted.keys() <= parent.params.keys()]
                # Crossover takes two different ones.
                sampler.parents = able if len(able) > 1 else []
                drawn[group] = sampler.sample_relative(study, trial, wanted)
            if name in drawn[group]:
                return fit(distribution, drawn[group][name])
            if distribution.confidence is not None:
                return distribution.sample(rng)
            (optunas,) = translator.search_space([distribution]).values()
            return fit(distribution, sampler.sample_independent(study, trial, name, optunas))

        return space.draw(suggest)

    def _generations(self, history: History, space: Space, seed: int, trials: int) -> Generations:
        size = self.population(trials)
        key = (self.name, id(space), seed, size)
        if key not in history.views:
            view = view_of(history, space, as_pruned=False)
            history.views[key] = Generations(
                history, view, size, lambda number: self.operators(draw_seed(seed, number), size)
            )
        generations: Generations = history.views[key]
        return generations


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
