"""What NSGA-II and NSGA-III share: generations as a function of the history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from search.samplers.base import SamplerConfig, draw_seed, prior_share, single_value
from search.samplers.history import History
from search.samplers.tpe import fit
from search.space.distributions import Condition, Distribution
from search.space.space import Draw, Space
from trm.errors import UserError

if TYPE_CHECKING:
    from search.samplers.generations import ByNumber, Generations

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

    Attributes:
        population_size: candidates of a generation; null is a tenth of the planned ones, from 8
            to 50.
        crossover_prob: chance that a child comes of two parents, rather than as a copy of one.
        mutation_prob: chance that a value mutates; null is one over their number.
    """

    population_size: int | None = Field(default=None, ge=4, le=10_000)
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
        from search.samplers.view import next_trial, study_of

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
        from search.samplers.generations import Generations
        from search.samplers.view import view_of

        size = self.population(trials)
        key = (self.name, id(space), seed, size)
        if key not in history.views:
            view = view_of(history, space, as_pruned=False)
            history.views[key] = Generations(
                history, view, size, lambda number: self.operators(draw_seed(seed, number), size)
            )
        generations: Generations = history.views[key]
        return generations
