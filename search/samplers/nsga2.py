"""NSGA-II."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal

from search.samplers.genetic import GeneticConfig

if TYPE_CHECKING:
    from search.samplers.generations import ByNumber


class Nsga2Config(GeneticConfig):
    """NSGA-II: the least dominated, then the least crowded, become parents.

    Source: Deb et al., IEEE Transactions on Evolutionary Computation 6(2), 2002. With one objective
    it is a plain genetic algorithm.
    """

    name: Literal["nsga2"] = "nsga2"

    def operators(self, seed: int, population: int) -> ByNumber:
        import optuna

        from search.samplers.generations import Nsga2

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return Nsga2(
                population_size=population,
                crossover_prob=self.crossover_prob,
                mutation_prob=self.mutation_prob,
                seed=seed,
            )
