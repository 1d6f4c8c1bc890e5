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
    with a length scale each. Every seed of a candidate is an observation, with noise that is
    learned and may depend on the mean; shares are modelled as arcsin sqrt p, other columns with
    their worse half by rank. Failures, infeasible draws and candidates that break a constraint
    stand below all others. A run that has not ended is an observation too, as far as its curve
    foresees its end (`search.stats.foresight`). What is drawn promises to raise the best mean most,
    once a noisy value of it is known; running candidates count as what is expected of them.

    Several objectives: Optuna's `GPSampler` on their values, with one constraint for what is
    violated; parameters that only some candidates have come from TPE.

    Attributes:
        n_startup_trials: draws from the prior before the model is used.
        max_observations: observations that the model sees at most, the best half of them and an
            even spread over the others; null is all of them. A draw costs time in proportion to
            the third power of their number.
    """

    name: Literal["gp"] = "gp"
    n_startup_trials: int = Field(default=8, ge=1, le=1_000_000)
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
