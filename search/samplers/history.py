"""What is known of the candidates of a sweep: all that a sampler may use for the next one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from search.objectives.objective import Direction
from search.objectives.outcome import FAILURES, OUTCOMES

UNBOUNDED = (-math.inf, math.inf)
OBJECTIVE = "objective"
"""The name of the first objective in a run's curve."""


@dataclass(frozen=True)
class PastRun:
    """One seed of a candidate, as far as it has come.

    Attributes:
        outcome: one of `OUTCOMES`; None while it runs or waits.
        value: the first objective at its end, of a completed one.
        curve: what its reports say, by a step that means the same fidelity in every run; by the
            name of a column, the first objective's among them.
        paused: whether it waits, so that nothing more of it comes by itself.
    """

    outcome: str | None = None
    value: float | None = None
    curve: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    paused: bool = False


@dataclass(frozen=True)
class PastTrial:
    """What is known of one candidate.

    Attributes:
        number: the candidate's number, from 0 without gaps; below 0 for those of other runs.
        params: its drawn values, an option by its name.
        outcome: one of `OUTCOMES`; None while it runs or waits.
        values: the objectives, one a direction: final ones of a completed candidate, the last ones
            of a pruned or stopped one if there are any, the floor for a failure.
        rungs: scores at which it was judged, by a step that means the same fidelity in every
            record; of a single objective, in its direction.
        violations: by constraint, above 0 if a completed candidate violates it.
        progress: the share of its budget that it has had.
        runs: its seeds, where they are known one by one; samplers that do not ask for them see the
            values alone.
    """

    number: int
    params: Mapping[str, Any]
    outcome: str | None = None
    values: tuple[float, ...] = ()
    rungs: Mapping[int, float] = field(default_factory=dict)
    violations: Mapping[str, float] = field(default_factory=dict)
    progress: float = 0.0
    runs: tuple[PastRun, ...] = ()

    @property
    def failed(self) -> bool:
        return self.outcome in FAILURES

    @property
    def counts(self) -> bool:
        """Whether it has ended and says anything about its parameters."""
        if self.outcome == "stopped":
            return bool(self.rungs or self.values)
        return self.outcome is not None

    @property
    def excess(self) -> float:
        """How far it violates constraints, in [0, 1]: the mean of v / (1 + v), 0 for those kept.

        Whatever their units, the constraints count alike, and less than any failure.
        """
        broken = [max(value, 0.0) for value in self.violations.values()]
        shares = [value / (1 + value) if math.isfinite(value) else 1.0 for value in broken]
        return sum(shares) / len(shares) if shares else 0.0


class History:
    """The candidates of one sweep, by number, and those of other runs that compare with them.

    It grows by `begin`, `see` and `end`. Draws depend on what it holds, not on when it came to hold
    it: one that is rebuilt from its records gives the same draws.

    Attributes:
        directions: whether more or less of each objective is better.
        bounds: the least and the greatest value that the first objective can have.
        warm: records from other runs; their numbers are negative.
        prior: records from other runs whose values do not compare with these.
        records: one a candidate; a record's number is its index.
        ended: the warm records and those that have ended, in the order in which they did.
        learned: how many of them say anything about their parameters.
        running: numbers of those that have not.
        views: what samplers derive from the records and keep; nothing that is not derived.
        version: how often it has changed.
    """

    def __init__(
        self,
        directions: Iterable[Direction] = ("maximize",),
        warm: Iterable[PastTrial] = (),
        records: Iterable[PastTrial] = (),
        bounds: tuple[float, float] = UNBOUNDED,
        prior: Iterable[PastTrial] = (),
    ) -> None:
        """
        Args:
            records: the sweep's own, in any order.

        Raises:
            ValueError: the numbers have gaps, or a record makes no sense.
        """
        self.directions: tuple[Direction, ...] = tuple(directions)
        self.bounds = bounds
        self.version = 0
        self.warm = tuple(sorted(warm, key=lambda record: record.number))
        self.prior = tuple(prior)
        self.records: list[PastTrial] = []
        self.ended: list[PastTrial] = []
        self.learned = 0
        self.running: dict[int, None] = {}
        self.views: dict[Any, Any] = {}
        assert self.directions
        for record in self.warm:
            assert record.number < 0, record
            self._take(record)
        for number, record in enumerate(sorted(records, key=lambda record: record.number)):
            if record.number != number:
                raise ValueError(f"candidate {number} is missing from the records")
            self.begin(record.params)
            if record.outcome is not None:
                self.end(record)
            elif record.runs:
                self.see(number, record.runs)

    def begin(self, params: Mapping[str, Any]) -> int:
        """A new candidate runs; gives its number."""
        number = len(self.records)
        self.records.append(PastTrial(number, dict(params)))
        self.running[number] = None
        self.version += 1
        return number

    def see(self, number: int, runs: Iterable[PastRun]) -> None:
        """How far a candidate's seeds have come, in place of what was known of them."""
        before = self.records[number]
        self.records[number] = replace(before, runs=tuple(runs))
        if before.outcome is not None:
            self.ended[self._place_of(before)] = self.records[number]
        self.version += 1

    def amend(self, record: PastTrial) -> None:
        """Further seeds of a candidate that had ended: its record anew."""
        self._require_sense(record)
        assert record.number not in self.running, record
        before = self.records[record.number]
        self.records[record.number] = record
        self.ended[self._place_of(before)] = record
        self.learned += record.counts - before.counts
        self.views.clear()
        self.version += 1

    def end(self, record: PastTrial) -> None:
        """A candidate has ended, once.

        Raises:
            ValueError: there is no such candidate, it had ended before, the outcome is unknown, or
                a completed or failed one lacks finite values.
        """
        if record.number not in self.running:
            known = 0 <= record.number < len(self.records)
            raise ValueError(
                f"candidate {record.number} " + ("had ended before" if known else "is unknown")
            )
        assert dict(record.params) == self.records[record.number].params, record
        self._take(record)
        del self.running[record.number]
        self.records[record.number] = record
        self.version += 1

    def _place_of(self, record: PastTrial) -> int:
        return next(place for place, one in enumerate(self.ended) if one is record)

    def _take(self, record: PastTrial) -> None:
        self._require_sense(record)
        self.ended.append(record)
        self.learned += record.counts

    def _require_sense(self, record: PastTrial) -> None:
        name = f"candidate {record.number}"
        if record.outcome not in OUTCOMES:
            raise ValueError(f"{name} has an unknown outcome {record.outcome!r}")
        if record.values or record.outcome == "completed" or record.failed:
            if len(record.values) != len(self.directions):
                raise ValueError(f"{name} ({record.outcome}) has {len(record.values)} values")
            if not all(map(math.isfinite, record.values)):
                raise ValueError(f"{name} ({record.outcome}) has a value that is not finite")


RankKey = tuple[float, float, float]
"""Where a record of a single objective stands; the least is the best."""


def standing(record: PastTrial, direction: Direction) -> RankKey:
    """Where a record stands among those of one objective. As Optuna's TPE ranks them:

    completed ones by value; pruned and stopped ones by their last rung, then by their score there;
    completed ones that violate a constraint, by how much; failures; infeasible draws.
    """
    assert record.counts, record
    sign = -1.0 if direction == "maximize" else 1.0
    if record.failed:
        return 3.0, 0.0, 0.0
    if record.outcome == "infeasible":
        return 4.0, 0.0, 0.0
    if record.outcome == "completed":
        return (2.0, record.excess, 0.0) if record.excess else (0.0, sign * record.values[0], 0.0)
    scores = finite_rungs(record)
    if not scores:
        return 1.0, math.inf, 0.0
    last = max(scores)
    return 1.0, -float(last), sign * scores[last]


def finite_rungs(record: PastTrial) -> dict[int, float]:
    """A record's scores at rungs, by step, without those that are not finite."""
    return {
        int(step): float(score)
        for step, score in sorted(record.rungs.items())
        if math.isfinite(score)
    }
