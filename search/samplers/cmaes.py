"""Covariance matrix adaptation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from search.samplers.base import SamplerConfig, draw_seed, prior_share, single_value
from search.samplers.history import History, PastTrial, standing
from search.samplers.tpe import TpeConfig
from search.space.distributions import Distribution, Range
from search.space.space import Draw, Params, Space
from trm.errors import UserError

if TYPE_CHECKING:
    from cmaes import CMAwM

FloatArray = npt.NDArray[np.float64]

DEVIATION = 0.25
"""Initial standard deviation of a parameter without a prior, as a share of its range."""

RESOLUTION = 1e-4
"""The share of a range below which values are as good as equal."""

WARM_SHARE = 0.1
"""The best share of warm-start records, from which the first distribution is estimated."""


class CmaesConfig(SamplerConfig):
    """CMA-ES with margin, for many candidates of one objective in a numeric space.

    Moves a normal distribution over the numeric parameters that every candidate has, each on its
    own scale (Hansen, arXiv 1604.00772; for stepped ones Hamano et al., GECCO 2022, arXiv
    2205.13482). Choices, and the parameters that only some options have, come from TPE. Only where
    candidates stand within a generation counts, so pruned, failed and infeasible ones have a place.

    Generation g is made of consecutive candidates and is learned from once all of them have ended;
    until then draws come from the last distribution learned. Candidates that did not come from
    the distribution of their generation (first points, draws from a prior, early draws of a
    parallel run) are pulled towards its mean to the length that its own have (Hansen, "Injecting
    External Solutions Into CMA-ES", arXiv 1110.4181, equation 4). When a distribution has collapsed
    another one starts with twice the generation (Auger and Hansen, CEC 2005).

    The first distribution is the priors' and, of parameters without one, centred on the default;
    with enough warm-start records it is that of their best tenth (Nomura et al., AAAI 2021,
    arXiv 2012.06932). Later candidates come from the prior as often as with `tpe`.

    Attributes:
        population_size: candidates of a generation; null is 4 + 3 log(parameters).
    """

    name: Literal["cmaes"] = "cmaes"
    population_size: int | None = Field(default=None, ge=4, le=10_000)

    def check(self, space: Space, objectives: int, trials: int) -> None:
        if objectives > 1:
            raise UserError(
                "search.sampler", self.name,
                f"takes one objective, not {objectives}: use tpe, nsga2 or auto",
            )  # fmt: skip
        numeric = _numeric(space)
        if not numeric:
            raise UserError(
                "search.sampler", self.name,
                "needs a numeric parameter that every candidate has: use tpe or auto",
            )  # fmt: skip
        size = self.population(len(numeric))
        if size > trials:
            raise UserError(
                "search.sampler.population_size", size,
                f"is more than the {trials} candidates of the sweep: lower it, or use tpe",
            )  # fmt: skip

    def population(self, dimensions: int) -> int:
        """Candidates of the first generations."""
        return self.population_size or 4 + math.floor(3 * math.log(dimensions))

    def propose(
        self, history: History, space: Space, seed: int, trials: int, attempt: int = 0
    ) -> Draw:
        number = len(history.records)
        entropy = draw_seed(seed, number, attempt)
        rng = np.random.default_rng(entropy)
        key = ("cmaes", id(space), seed, self.population_size)
        if key not in history.views:
            history.views[key] = _Evolution(self, history, space, seed)
        evolution: _Evolution = history.views[key]
        evolution.catch_up()
        begun = number > evolution.size
        if begun and space.has_prior and rng.random() < prior_share(number, trials):
            return space.sample(rng)
        found = evolution.ask(number, attempt)
        rest = any(d.name not in found for group in space.groups.values() for d in group)
        others = TpeConfig().suggest(history, space, entropy) if rest and history.learned else None

        def suggest(name: str, distribution: Distribution) -> Any:
            if name in found:
                return found[name]
            if distribution.count == 1:
                return single_value(distribution)
            return distribution.sample(rng) if others is None else others(name, distribution)

        return space.draw(suggest)


def _numeric(space: Space) -> list[Range]:
    """The ranges that every draw has."""
    return [found for found in space.groups.get((), []) if isinstance(found, Range)]


@dataclass(frozen=True)
class _Start:
    """Where a distribution starts, in shares of the ranges."""

    mean: FloatArray
    deviation: float
    covariance: FloatArray


class _Evolution:
    """The distribution after every generation that has ended; derived from the history."""

    def __init__(self, config: CmaesConfig, history: History, space: Space, seed: int) -> None:
        self._history = history
        self._space = space
        self._ranges = _numeric(space)
        self._seed = seed
        self._first = 0
        self.size = config.population(len(self._ranges))
        self._cma = self._begin(self._first_start())

    def catch_up(self) -> None:
        """Learn from the generations that have ended since the last call."""
        records = self._history.records
        while self._first + self.size <= len(records):
            members = records[self._first : self._first + self.size]
            if any(member.outcome is None for member in members):
                return
            self._learn(members)

    def ask(self, number: int, attempt: int = 0) -> Params:
        """The numeric parameters of a candidate, from the present distribution."""
        encoded, _ = self._sample(number, attempt)
        return self._params(encoded)

    def _learn(self, members: list[PastTrial]) -> None:
        direction = self._history.directions[0]
        ranked = sorted(
            members,
            key=lambda m: (standing(m, direction) if m.counts else (5.0, 0.0, 0.0), m.number),
        )
        points = [(self._point(member), float(place)) for place, member in enumerate(ranked)]
        self._cma.tell(points)
        self._first += self.size
        if self._cma.should_stop() or self._deviation() < RESOLUTION:
            self.size *= 2
            rng = np.random.default_rng(draw_seed(self._seed, self._first))
            start = self._prior_start()
            mean = np.array([found.position(found.sample(rng)) for found in self._ranges])
            self._cma = self._begin(_Start(mean, start.deviation, start.covariance))

    def _point(self, member: PastTrial) -> FloatArray:
        """A member as a point for learning: as it was drawn, or pulled towards the mean."""
        for attempt in range(2):
            encoded, point = self._sample(member.number, attempt)
            if all(member.params[name] == value for name, value in self._params(encoded).items()):
                return point
        place = np.array([found.position(member.params[found.name]) for found in self._ranges])
        step = place - self._cma.mean
        dimensions = len(self._ranges)
        # C^(-1/2) y / sigma of Hansen's equation 4, whose length is near sqrt(n) for own draws.
        length = self._length(step)
        limit = math.sqrt(dimensions) + 2 * dimensions / (dimensions + 2)
        return np.asarray(self._cma.mean + step * min(1.0, limit / max(length, 1e-12)))

    def _length(self, step: FloatArray) -> float:
        """The Mahalanobis length of a step from the mean."""
        return float(np.sqrt(max(float(step @ np.linalg.solve(self._covariance(), step)), 0.0)))

    def _deviation(self) -> float:
        """The largest standard deviation of any parameter, as a share of its range."""
        return float(np.sqrt(np.diag(self._covariance()).max()))

    def _covariance(self) -> FloatArray:
        inner = self._cma._cma  # the package shows the mean alone
        return np.asarray(inner._sigma**2 * inner._C)

    def _sample(self, number: int, attempt: int) -> tuple[FloatArray, FloatArray]:
        self._cma.reseed_rng(draw_seed(self._seed, number, attempt))
        encoded, point = self._cma.ask()
        return np.asarray(encoded), np.asarray(point)

    def _params(self, point: FloatArray) -> Params:
        return {
            found.name: found.at(float(share))
            for found, share in zip(self._ranges, point, strict=True)
        }

    def _begin(self, start: _Start) -> CMAwM:
        from cmaes import CMAwM

        # A stepped linear range has its values in the middle of equal shares.
        steps = np.array([1.0 / r.count if r.step and not r.log else 0.0 for r in self._ranges])
        bounds = np.stack([steps / 2, 1.0 - steps / 2], axis=1)
        mean = np.clip(start.mean, bounds[:, 0], bounds[:, 1])
        return CMAwM(
            mean=mean,
            sigma=start.deviation,
            bounds=bounds,
            steps=steps,
            cov=start.covariance,
            population_size=self.size,
        )

    def _first_start(self) -> _Start:
        direction = self._history.directions[0]
        known = [record for record in self._history.warm if record.counts]
        if WARM_SHARE * len(known) < len(self._ranges) + 1:
            return self._prior_start()
        from cmaes import get_warm_start_mgd

        ranked = sorted(known, key=lambda r: (standing(r, direction), r.number))
        places = [
            (
                np.array([found.position(r.params[found.name]) for found in self._ranges]),
                float(rank),
            )
            for rank, r in enumerate(ranked)
        ]
        return _Start(*get_warm_start_mgd(places, gamma=WARM_SHARE))

    def _prior_start(self) -> _Start:
        mean = np.array([found.position(found.first()) for found in self._ranges])
        deviations = np.array(
            [
                DEVIATION if found.confidence is None else (1.0 - found.confidence) / 2
                for found in self._ranges
            ]
        )
        overall = float(np.exp(np.log(deviations).mean()))
        return _Start(mean, overall, np.diag((deviations / overall) ** 2))
