"""What other tasks or budgets say of configs, if it proves itself.

A process over the candidates of other runs foresees those of this one up to a scale. A prior from a
related task halves what is lost, a useless one doubles it. So it is used while it makes this
sweep's own results likelier, each foretold by the others (Rasmussen and Williams, "Gaussian
Processes for Machine Learning", section 5.4.2), and from the first few on: before, the other runs'
best configs are tried anyway.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from search.samplers.gaussian.encoding import Encoding
from search.samplers.gaussian.observations import Observation, Scale, observations
from search.samplers.gaussian.process import GaussianProcess, Trend
from search.samplers.history import History

FloatArray = npt.NDArray[np.float64]

FEWEST = 5
"""Own observations from which on a prior can prove itself."""
MARGIN = 1.0
"""By how much it must raise the log likelihood: what one parameter more raises it by, by chance
(Akaike, IEEE Transactions on Automatic Control 19, 1974)."""
MOST = 250
"""Observations of other runs."""


class Prior:
    """What other runs say of points, on no scale of its own."""

    def __init__(self, history: History, encoding: Encoding) -> None:
        other = History(history.directions, (), history.prior, history.bounds)
        scale = Scale(other)
        known = observations(other, scale)[0]
        known = sorted(known, key=lambda one: (-one.target, one.number))[:: -(-len(known) // MOST)]
        rows = np.stack([encoding.shares(other.records[one.number].params) for one in known])
        self._process = GaussianProcess(
            encoding.points(rows),
            np.array([one.target for one in known]),
            encoding.owner,
            np.array([one.extra for one in known]),
            np.array([one.common for one in known]),
            spread=scale.spread,
        )

    def says(self, points: FloatArray) -> FloatArray:
        """The function of the other runs at points `[m, columns]`, `[m]`."""
        return self._process.posterior(points)[0]


def earned(
    prior: Prior, points: FloatArray, known: list[Observation], plain: GaussianProcess
) -> GaussianProcess:
    """The process over the prior, if it foretells own observations better than the plain one.

    Args:
        points: of the observations, `[n, columns]`.
        plain: the process without the prior.
    """
    if len(known) < FEWEST:
        return plain
    targets = np.array([one.target for one in known])
    said = prior.says(points)
    spread = float(said.var())
    slope = float(np.cov(said, targets, bias=True)[0, 1]) / spread if spread > 0.0 else 0.0
    if slope <= 0.0:
        return plain
    trend: Trend = lambda found: slope * prior.says(found)  # noqa: E731
    informed = plain.over(trend)
    return informed if informed.foretold() > plain.foretold() + MARGIN else plain
