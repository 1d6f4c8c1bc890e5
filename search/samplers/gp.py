"""Gaussian process."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from search.samplers.base import LearningSamplerConfig, single_value
from search.samplers.history import History
from search.samplers.tpe import TpeConfig, fit
from search.space.distributions import Distribution
from search.space.space import Draw, Space
from trm.errors import UserError

MOST_OBJECTIVES = 3


class GpConfig(LearningSamplerConfig):
    """Gaussian process with log expected improvement: for few, costly candidates.

    One objective: a process over all parameters at once, those of options not drawn among them,
    with a length scale each, and noise that is learned: the best candidate is the one of highest
    mean, not the luckiest. It sees where candidates stand, as normal scores (the quantiles
    (rank - 1/2) / n of a normal; the copula transform of Salinas, Shen and Perrone, ICML 2020,
    arXiv 1909.13595): so pruned, failed and infeasible ones have their place below the completed
    ones, and no failure's floor distorts the rest. Running candidates count as what is expected of
    them.

    Several objectives: Optuna's `GPSampler` on their values, with one constraint for what is
    violated; parameters that only some candidates have come from TPE.

    Attributes:
        max_observations: ended candidates that the model sees at most, as for `tpe`; null is
            all of them. A draw costs time in proportion to the third power of their number.
    """

    name: Literal["gp"] = "gp"
    max_observations: int | None = Field(default=250, ge=50)

    def check(self, space: Space, objectives: int, trials: int) -> None:
        if objectives > MOST_OBJECTIVES:
            raise UserError(
                "search.sampler", self.name,
                f"takes at most {MOST_OBJECTIVES} objectives, not {objectives}: use tpe or nsga3",
            )  # fmt: skip

    def sees_runs(self, space: Space, objectives: int, trials: int) -> bool:
        return objectives == 1

    def model(self, history: History, space: Space, entropy: int) -> Draw:
        if len(history.directions) == 1:
            from search.samplers.gaussian.proposal import proposed

            return proposed(history, space, entropy, self.max_observations)
        return self._of_several(history, space, entropy)

    def _of_several(self, history: History, space: Space, entropy: int) -> Draw:
        from search.samplers.gp_model import modelled

        wanted = space.groups.get((), [])
        found = modelled(history, space, wanted, entropy, self.max_observations) if wanted else {}
        others = TpeConfig().suggest(history, space, entropy)

        def suggest(name: str, distribution: Distribution) -> Any:
            if distribution.count == 1:
                return single_value(distribution)
            if name in found:
                return fit(distribution, found[name])
            return others(name, distribution)

        return space.draw(suggest)
