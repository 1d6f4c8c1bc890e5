"""The sampler that fits the space, the objectives and the budget."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from search.samplers.base import SamplerConfig
from search.samplers.cmaes import CmaesConfig
from search.samplers.gp import GpConfig
from search.samplers.history import History
from search.samplers.nsga2 import Nsga2Config
from search.samplers.nsga3 import Nsga3Config
from search.samplers.qmc import QmcConfig
from search.samplers.tpe import TpeConfig
from search.space.distributions import Choice
from search.space.space import Draw, Space

FEW, MANY = 250, 1000
MANY_OBJECTIVES = 4


class AutoConfig(SamplerConfig):
    """Quasi-random first, then the model that fits.

    | objectives | parameters                   | up to 250 candidates | to 1,000 | more    |
    |------------|------------------------------|----------------------|----------|---------|
    | 1          | numeric, none conditional    | gp                   | gp       | cmaes   |
    | 1          | choices or conditional ones  | gp                   | gp       | tpe     |
    | 2, 3       | numeric, none conditional    | gp                   | tpe      | nsga2   |
    | 2, 3       | choices or conditional ones  | tpe                  | tpe      | nsga2   |
    | 4 and more | any                          | tpe                  | tpe      | nsga3   |

    Sources: for one objective our own benchmark (`tests/benchmarks/judging`), whose sweeps plan up
    to 520 candidates, and a draw's cost, which grows little beyond 250; else the budgets for which
    Optuna's documentation of its samplers recommends each, and the 250 and the four objectives of
    OptunaHub's `AutoSampler`.
    The budget is the planned number of candidates, so a sweep that is extended may change models.

    Attributes:
        initial: quasi-random candidates; null is half the number of parameters, but at most a
            quarter of the planned ones and at least 4 (small designs serve best: Bossek, Doerr and
            Kerschke, GECCO 2020, arXiv 2003.13826). Records of a warm start count among them.
    """

    name: Literal["auto"] = "auto"
    initial: int | None = Field(default=None, ge=1)

    def check(self, space: Space, objectives: int, trials: int) -> None:
        self.chosen(space, objectives, trials).check(space, objectives, trials)

    def sees_runs(self, space: Space, objectives: int, trials: int) -> bool:
        return self.chosen(space, objectives, trials).sees_runs(space, objectives, trials)

    def draw(self, history: History, space: Space, seed: int, trials: int) -> Draw:
        drawn = history.learned + len(history.running)
        if drawn < self.first(space, trials) or not history.learned:
            return QmcConfig().draw(history, space, seed, trials)
        return self.chosen(space, len(history.directions), trials).draw(
            history, space, seed, trials
        )

    def reason(self, space: Space, objectives: int, trials: int) -> str:
        """What is chosen and why, in one sentence.

        >>> AutoConfig().reason(Space.parse({"x": {"uniform": [0, 1]}}), 1, 60)
        'gp: one objective and 60 configs, few enough for a model of every seed and curve'
        """
        name = self.chosen(space, objectives, trials).name
        judged = "one objective" if objectives == 1 else f"{objectives} objectives"
        why = {
            "gp": "few enough for a model of every seed and curve",
            "tpe": "too many for a Gaussian process, or too many objectives",
            "cmaes": "enough for an evolution strategy over numbers alone",
            "nsga2": "enough for a genetic algorithm",
            "nsga3": "enough for a genetic algorithm, along many directions",
        }
        return f"{name}: {judged} and {trials:,} configs, {why[name]}"

    def first(self, space: Space, trials: int) -> int:
        """How many candidates are drawn before a model is used."""
        if self.initial is not None:
            return self.initial
        searched = sum(len(group) for group in space.groups.values())
        return max(4, min(searched // 2, trials // 4))

    def chosen(self, space: Space, objectives: int, trials: int) -> SamplerConfig:
        """The sampler after the quasi-random candidates."""
        numeric = set(space.groups) <= {()} and not any(
            isinstance(found, Choice) for found in space.groups.get((), [])
        )
        several = numeric and objectives < MANY_OBJECTIVES and trials <= FEW
        if several or (objectives == 1 and trials <= MANY):
            return GpConfig(n_startup_trials=1)
        if trials <= MANY or (objectives == 1 and not numeric):
            return TpeConfig(n_startup_trials=1)
        if objectives == 1:
            return CmaesConfig()
        return Nsga3Config() if objectives >= MANY_OBJECTIVES else Nsga2Config()
