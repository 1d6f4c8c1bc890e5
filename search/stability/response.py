"""How a score answers to one parameter: where it is safe, and where it falls off a cliff."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from search.space.distributions import Choice, Distribution
from search.stats.spreads import Spread, pooled_spread, resolution_sd
from search.stats.student import t_quantile

MARGIN, CLIFF = 0.02, 0.1
"""What a mean may lose and be safe, and lose from one point to the next and be no cliff: in a
share; of another column, as a share of the winner's mean."""


@dataclass(frozen=True)
class TriedValue:
    """One value of a parameter, all others at the winner's.

    Attributes:
        value: an option by its name.
        position: share of the way from low to high on the parameter's own scale; None of an option.
        scores: one a seed; failures at the floor. Empty if no model can be built with the value.
        failures: how many of the seeds failed.
        merits: the scores of the runs that did not fail, turned so that more is better.
        merit: mean over all seeds, turned likewise.
        reason: why no model can be built, else empty.
    """

    value: Any
    position: float | None
    scores: list[float]
    failures: int
    merits: list[float]
    merit: float
    reason: str = ""

    @property
    def failed(self) -> float:
        """Share of the seeds that failed; 1 where no model can be built."""
        return self.failures / len(self.scores) if self.scores else 1.0


@dataclass(frozen=True)
class Cliff:
    """Neighbouring values between which more is lost than noise explains.

    Attributes:
        near: the value nearer to the winner's.
        far: the next one.
        change: mean merit at `far` minus that at `near`.
        failed: change of the share of failed runs.
    """

    near: Any
    far: Any
    change: float
    failed: float


@dataclass(frozen=True)
class Response:
    """A parameter's points and what they say.

    Attributes:
        name: the parameter.
        scale: `log`, `linear` or `options`.
        winner: the winner's value.
        points: in the order of values.
        safe: lowest and highest value of the safe range, or the safe options.
        width: of the safe range, as a share of the whole range on the own scale; of the options.
        open: whether the safe range reaches the lowest and the highest value that was tried.
        cliffs: outward from the winner.
    """

    name: str
    scale: str
    winner: Any
    points: list[TriedValue]
    safe: list[Any]
    width: float
    open: tuple[bool, bool]
    cliffs: list[Cliff]


@dataclass(frozen=True)
class Yardstick:
    """What counts as a difference.

    Attributes:
        margin: what a mean may lose and be safe.
        cliff: what it must lose from one point to the next to be a cliff.
        spread: standard deviation between seeds, pooled over all points.
        quantile: of a difference between two means in standard errors, beyond which noise does not
            explain it; None where no point has two seeds, so that size alone decides.
    """

    margin: float
    cliff: float
    spread: Spread
    quantile: float | None

    def explains(self, first: TriedValue, second: TriedValue) -> bool:
        """Whether noise explains the difference of two points' means."""
        if self.quantile is None:
            return False
        error = self.spread.sd * math.sqrt(1 / len(first.scores) + 1 / len(second.scores))
        return abs(first.merit - second.merit) <= self.quantile * error


def yardstick(
    points: Sequence[TriedValue],
    winner: TriedValue,
    neighbours: int,
    confidence: float,
    examples: int | None,
) -> Yardstick:
    """What counts as a difference among all points of a design.

    The margin is the greater of `MARGIN` and the pooled standard error of a mean. Neighbours are
    compared by a two-sided t test with pooled variance of the runs that did not fail, at
    1 - confidence shared among all neighbours (Bonferroni).

    Args:
        neighbours: how many pairs are compared.
        examples: how many examples a share is a share of; None if the objective is no share.
    """
    spread = pooled_spread({index: p.merits for index, p in enumerate(points) if p.merits})
    sd = (
        spread.sd
        if examples is None
        else max(spread.sd, resolution_sd(abs(winner.merit), examples))
    )
    unit = 1.0 if examples is not None else abs(winner.merit)
    quantile = None
    if spread.df:
        level = 1 - (1 - confidence) / max(neighbours, 1) / 2
        quantile = t_quantile(level, spread.df)
    error = sd / math.sqrt(max(len(winner.scores), 1)) if spread.df else 0.0
    return Yardstick(max(MARGIN * unit, error), CLIFF * unit, Spread(sd, spread.df), quantile)


def response(d: Distribution, points: Sequence[TriedValue], at: int, by: Yardstick) -> Response:
    """What a parameter's points say.

    Args:
        d: the parameter.
        points: in the order of values.
        at: index of the winner's.
        by: what counts as a difference.
    """
    winner = points[at]
    if isinstance(d, Choice):
        safe = [p.value for p in points if p is winner or _is_safe(p, winner, by)]
        others = [(winner, p) for p in points if p is not winner]
        width = len(safe) / len(points)
        ends = (len(safe) == len(points),) * 2
        return Response(
            d.name, "options", winner.value, list(points), safe, width, ends, _cliffs(others, by)
        )
    low = high = at
    while low > 0 and _is_safe(points[low - 1], winner, by):
        low -= 1
    while high < len(points) - 1 and _is_safe(points[high + 1], winner, by):
        high += 1
    steps = [(points[i + 1], points[i]) for i in reversed(range(at))]
    steps += [(points[i], points[i + 1]) for i in range(at, len(points) - 1)]
    return Response(
        name=d.name,
        scale="log" if d.log else "linear",
        winner=winner.value,
        points=list(points),
        safe=[points[low].value, points[high].value],
        width=d.share(points[low].value, points[high].value),
        open=(low == 0, high == len(points) - 1),
        cliffs=_cliffs(steps, by),
    )


def _is_safe(point: TriedValue, winner: TriedValue, by: Yardstick) -> bool:
    if not point.scores:
        return False
    return point.merit >= winner.merit - by.margin and point.failed <= winner.failed


def _cliffs(pairs: Sequence[tuple[TriedValue, TriedValue]], by: Yardstick) -> list[Cliff]:
    """The pairs (near, far) that differ by more than noise and size allow, either way."""
    found = []
    for near, far in pairs:
        if not near.scores or not far.scores:
            continue
        change = far.merit - near.merit
        if abs(change) > by.cliff and not by.explains(near, far):
            found.append(Cliff(near.value, far.value, change, far.failed - near.failed))
    return found
