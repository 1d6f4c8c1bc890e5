"""Quasi-random draws, which cover a space more evenly than random ones."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from search.samplers.base import SamplerConfig, draw_seed
from search.samplers.history import History
from search.space.space import Draw, Space

BLOCK = 256


class QmcConfig(SamplerConfig):
    """Scrambled Sobol points, mapped by each parameter's inverse distribution function.

    Candidate n is point n of the sequence that the sweep's seed scrambles (Owen's scrambling; Owen,
    "Scrambling Sobol' and Niederreiter-Xing Points", Journal of Complexity 14, 1998). Every
    parameter has a dimension of its own, conditional ones too, so that a point means the same
    whatever is drawn. Nothing is learned.
    """

    name: Literal["qmc"] = "qmc"

    def propose(
        self, history: History, space: Space, seed: int, trials: int, attempt: int = 0
    ) -> Draw:
        number = len(history.records)
        if attempt:
            # A point that steps round to an earlier candidate; the sequence goes on without it.
            return space.sample(np.random.default_rng(draw_seed(seed, number, attempt)))
        return sobol_draw(space, seed, number)


def sobol_draw(space: Space, seed: int, number: int) -> Draw:
    """Point `number` of the sequence of a seed, as a draw."""
    names = [name for name, found in space.parameters.items() if found.count > 1]
    points = _points(max(len(names), 1), seed, number // BLOCK)
    shares = {name: float(points[number % BLOCK, index]) for index, name in enumerate(names)}
    return space.draw(lambda name, found: found.quantile(shares.get(name, 0.5)))


@lru_cache(maxsize=8)
def _points(dimensions: int, seed: int, block: int) -> npt.NDArray[np.float64]:
    """Points `block * 256` to the next block's, [256, dimensions], in [0, 1)."""
    from scipy.stats import qmc

    engine = qmc.Sobol(dimensions, scramble=True, seed=np.random.default_rng(seed))
    if block:
        engine.fast_forward(block * BLOCK)
    points: npt.NDArray[np.float64] = engine.random(BLOCK)
    return points
