"""A sampler: most values of the best candidate so far, and a few drawn anew."""

from typing import Any, Literal

import numpy as np
from pydantic import Field

from search.samplers import SAMPLERS
from search.samplers.base import LearningSamplerConfig
from search.samplers.history import History
from search.space.distributions import Distribution
from search.space.space import Draw, Space


class NearbyConfig(LearningSamplerConfig):
    """Changes of the best; the base class draws the first candidates.

    Attributes:
        keep: chance of each value to stay.
    """

    name: Literal["nearby"] = "nearby"
    keep: float = Field(default=0.8, ge=0.0, lt=1.0)

    def model(self, history: History, space: Space, entropy: int) -> Draw:
        rng = np.random.default_rng(entropy)
        sign = 1.0 if history.directions[0] == "maximize" else -1.0
        ended = sorted(history.ended, key=lambda trial: trial.number)
        scored = [trial for trial in ended if trial.values and not trial.failed]
        best = max(scored, key=lambda trial: sign * trial.values[0]).params if scored else {}

        def value(name: str, distribution: Distribution) -> Any:
            # A parameter may exist under other options than the best one had.
            kept = name in best and rng.random() < self.keep
            return best[name] if kept else distribution.sample(rng)

        return space.draw(value)


SAMPLERS["nearby"] = NearbyConfig
