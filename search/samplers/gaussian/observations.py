"""What a process is told of candidates: every seed is an observation, whole or foreseen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search.objectives.objective import Direction
from search.samplers.gaussian.warping import warped
from search.samplers.history import OBJECTIVE, History, PastRun, PastTrial
from search.stats.foresight import FEWEST, Foresight, foresight

FloatArray = npt.NDArray[np.float64]

_DOUBT = 0.06
"""Variance of a forecast's error before any was seen: a sixth of the range of a share's scale."""
_SPREAD = 0.4
"""Deviation of a share's targets before any was seen: a quarter of their range."""
_GAP = 0.25
"""How far below the worst value a failure stands, in standard deviations of the values."""


@dataclass(frozen=True)
class Observation:
    """One seed of a candidate, or a failure of it.

    Attributes:
        number: the candidate's.
        target: more is better, on the scale of `Scale`.
        extra: variance of the target beyond a seed's noise.
        common: deviation of an error that it shares with the others that have one.
        settled: whether nothing more of it comes by itself.
    """

    number: int
    target: float
    extra: float = 0.0
    common: float = 0.0
    settled: bool = True


class Scale:
    """The scale on which values of the first objective are modelled, more is better.

    Attributes:
        floor: where failures stand.
        doubt: variance of a forecast's error before any was seen.
        spread: of configs before any was seen; 0 if nothing is known of it.

    A share p is arcsin sqrt p, whose noise is the same everywhere if it is that of counting
    (Anscombe, "The Transformation of Poisson, Binomial and Negative-Binomial Data", Biometrika 35,
    1948). Other columns keep the better half of their values and have the others by rank
    (`warped`).
    """

    def __init__(self, history: History) -> None:
        self._direction: Direction = history.directions[0]
        self._share = history.bounds == (0.0, 1.0)
        self._from: FloatArray = np.zeros(1)
        self._to: FloatArray = np.zeros(1)
        values = [
            run.value
            for record in (*history.warm, *history.records)
            for run in runs_of(record)
            if run.value is not None and math.isfinite(run.value)
        ]
        self.doubt, self.spread = _DOUBT, _SPREAD
        if self._share:
            self.floor = 0.0 - _GAP * float(np.std([self.target(v) for v in values] or [0.0]))
            return
        if values:
            sign = 1.0 if self._direction == "maximize" else -1.0
            ranked = sorted(values, key=lambda value: -sign * value)
            records = [PastTrial(i, {}, "completed", (value,)) for i, value in enumerate(ranked)]
            self._to = warped(records, self._direction)[::-1]
            self._from = sign * np.array(ranked[::-1])
        self.doubt, self.spread = 0.1 * float(self._to.var()), 0.0
        self.floor = float(self._to[0] - _GAP * self._to.std())

    def target(self, value: float) -> float:
        """A value of the objective on the scale."""
        if self._share:
            share = value if self._direction == "maximize" else 1.0 - value
            return math.asin(math.sqrt(min(max(share, 0.0), 1.0)))
        merit = value if self._direction == "maximize" else -value
        return float(np.interp(merit, self._from, self._to))

    def merits(self, targets: FloatArray) -> FloatArray:
        """The values of the objective that have targets, turned so that more is better."""
        if self._share:
            return np.asarray(np.square(np.sin(np.clip(targets, 0.0, math.pi / 2))))
        return np.asarray(np.interp(targets, self._to, self._from))

    def value(self, target: float) -> float:
        """The value of the objective that has a target."""
        if self._share:
            share = math.sin(min(max(target, 0.0), math.pi / 2)) ** 2
            return share if self._direction == "maximize" else 1.0 - share
        merit = float(np.interp(target, self._to, self._from))
        return merit if self._direction == "maximize" else -merit


def runs_of(record: PastTrial) -> tuple[PastRun, ...]:
    """A candidate's seeds; where they are not known one by one, one that stands for them all."""
    if record.runs:
        return record.runs
    if record.outcome is None:
        return ()
    value = record.values[0] if record.values and record.outcome == "completed" else None
    curve = {step: {OBJECTIVE: score} for step, score in record.rungs.items()}
    return (PastRun(record.outcome, value, curve),)


def observations(history: History, scale: Scale) -> tuple[list[Observation], list[int]]:
    """Every seed that says anything, by candidate; and the candidate of each that runs and does
    not.
    """
    forecasts = Forecasts(history, scale)
    found: list[Observation] = []
    pending: list[int] = []
    for record in sorted((*history.warm, *history.records), key=lambda one: one.number):
        broken = record.outcome == "completed" and record.excess > 0
        if record.outcome == "infeasible" or record.failed or broken:
            found.append(Observation(record.number, scale.floor - record.excess))
            continue
        if record.outcome is None and not record.runs:
            pending.append(record.number)
        for run in runs_of(record):
            if run.value is not None:
                found.append(Observation(record.number, scale.target(run.value)))
            elif run.outcome is not None and run.outcome not in ("pruned", "stopped"):
                found.append(Observation(record.number, scale.floor))
            elif (foreseen := forecasts.of(run)) is not None:
                settled = run.outcome is not None or run.paused
                found.append(Observation(record.number, *foreseen, settled=settled))
            elif run.outcome is None:
                pending.append(record.number)
    return found, pending


class Forecasts:
    """What the curves of runs that have not ended foresee, by those that have."""

    def __init__(self, history: History, scale: Scale) -> None:
        self._scale = scale
        self._history = history
        self._ended = [
            (run.curve, scale.target(run.value))
            for record in sorted((*history.warm, *history.records), key=lambda one: one.number)
            for run in runs_of(record)
            if run.value is not None and run.curve
        ]
        self._columns = sorted(
            {name for curve, _ in self._ended for row in curve.values() for name in row}
        )
        self._made: dict[int, Foresight | None] = {}

    def of(self, run: PastRun) -> tuple[float, float, float] | None:
        """The target foreseen for a run, its variance, and the deviation of what it shares with
        others; None if too few have ended.
        """
        if not run.curve:
            return None
        step = max(run.curve)
        if step not in self._made:
            known = [(c, target) for c, target in self._ended if step in c]
            self._made[step] = None
            if len(known) >= FEWEST:
                features = np.stack([self._features(curve, step) for curve, _ in known])
                self._made[step] = foresight(features, np.array([target for _, target in known]))
        made = self._made[step]
        return None if made is None else made.at(self._features(run.curve, step), self._scale.doubt)

    def standing(self, run: PastRun) -> float:
        """The share of all runs, as they stood where this one stands, that promised more."""
        step = max(run.curve)
        if self.of(run) is None:
            return 0.0
        made = self._made[step]
        assert made is not None
        found = [
            made.at(self._features(other.curve, step))[0]
            for record in (*self._history.warm, *self._history.records)
            for other in runs_of(record)
            if step in other.curve
        ]
        own = made.at(self._features(run.curve, step))[0]
        return sum(one > own for one in found) / len(found)

    def _features(self, curve: Mapping[int, Mapping[str, float]], step: int) -> FloatArray:
        """Of a curve up to a step: each column there and how it has changed, `[features]`."""
        before = max((earlier for earlier in curve if earlier < step), default=step)
        here = [self._feature(name, curve[step]) for name in self._columns]
        there = [self._feature(name, curve[before]) for name in self._columns]
        now = np.array(here)
        return np.concatenate([now, now - np.array(there)])

    def _feature(self, name: str, row: Mapping[str, float]) -> float:
        value = row.get(name, math.nan)
        if not math.isfinite(value):
            return 0.0
        if name == OBJECTIVE:
            return self._scale.target(value)
        # Losses and gradients span orders of magnitude, shares do not.
        return math.log(value + 1e-3) if value >= 0 else value
