"""NSGA-III."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from search.samplers.genetic import GeneticConfig
from search.space.space import Space
from trm.errors import UserError

if TYPE_CHECKING:
    from search.samplers.generations import ByNumber


class Nsga3Config(GeneticConfig):
    """NSGA-III: as NSGA-II, but spread along reference directions: for three and more objectives.

    Source: Deb and Jain, IEEE Transactions on Evolutionary Computation 18(4), 2014.

    Attributes:
        dividing_parameter: divisions of each objective between reference points.
    """

    name: Literal["nsga3"] = "nsga3"
    dividing_parameter: int = Field(default=3, ge=1, le=100)

    def check(self, space: Space, objectives: int, trials: int) -> None:
        if objectives < 2:
            raise UserError(
                "search.sampler", self.name, "needs several objectives: use nsga2, tpe or auto"
            )
        super().check(space, objectives, trials)

    def operators(self, seed: int, population: int) -> ByNumber:
        import optuna

        from search.samplers.generations import Nsga3

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return Nsga3(
                population_size=population,
                crossover_prob=self.crossover_prob,
                mutation_prob=self.mutation_prob,
                dividing_parameter=self.dividing_parameter,
                seed=seed,
            )
