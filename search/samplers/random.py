"""Independent draws."""

from __future__ import annotations

from typing import Literal

import numpy as np

from search.samplers.base import SamplerConfig, draw_seed
from search.samplers.history import History
from search.space.space import Draw, Space


class RandomConfig(SamplerConfig):
    """Independent draws from each parameter's prior, uniform on its own scale if it has none."""

    name: Literal["random"] = "random"

    def propose(
        self, history: History, space: Space, seed: int, trials: int, attempt: int = 0
    ) -> Draw:
        entropy = draw_seed(seed, len(history.records), attempt)
        return space.sample(np.random.default_rng(entropy))
