"""Asynchronous successive halving, as decisions on shares of the compute budget.

The stopping form of ASHA (Li et al., "A System for Massively Parallel Hyperparameter Tuning",
MLSys 2020, arXiv 1810.05934; stopping instead of promoting as in syne-tune): a trial that reaches a
rung goes on if its score is among the top 1/eta of the scores seen at that rung so far, its own
included. It never waits, so the first eta - 1 trials of a rung always go on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from trm.component import Component

SLOW_START_SHARE = 0.25
"""The least first rung when parameters that act late are searched (low rungs punish them)."""

SLOW_START_KEYS = frozenset(
    {"curriculum", "schedule", "lr_schedule", "decay", "lr_decay", "lr_floor", "lr_min_ratio"}
)
"""Keys whose effect shows late in training."""

ROUNDING = 1e-9
"""A mark of rung * budget, divided by the budget again, may miss the rung by this much."""

Trial = int | str

Decision = Literal["continue", "stop"]


def rungs(min_share: float, eta: float) -> tuple[float, ...]:
    """Shares min_share * eta^k of the budget, ended by 1.

    A rung within a factor sqrt(eta) of the end is left out: stopping there saves little.

    >>> [round(share, 3) for share in rungs(1 / 9, 3)], rungs(0.25, 3)
    ([0.111, 0.333, 1.0], (0.25, 1.0))
    """
    assert 0 < min_share <= 1, min_share
    assert eta > 1, eta
    shares = []
    while min_share * math.sqrt(eta) < 1:
        shares.append(min_share)
        min_share *= eta
    return (*shares, 1.0)


def starts_slowly(parameters: Iterable[str]) -> bool:
    """Whether any searched parameter acts late in training (a curriculum, a learning-rate decay).

    >>> starts_slowly(["optimizer.weight_decay"]), starts_slowly(["curriculum.depth[cgar].at"])
    (False, True)
    """
    return any(
        SLOW_START_KEYS.intersection(name.replace("[", ".").replace("]", "").split("."))
        for name in parameters
    )


@dataclass
class Asha:
    """The state of the rungs; a pure function of the reports it was given, in order.

    Attributes:
        rungs: rising shares of the budget, the last of which is the end and stops nothing.
        eta: one in eta trials goes on.
        mode: whether the larger or the smaller score is better.
        scores: by rung, each trial's score at its first report at or past it.
        stopped: trials that were told to stop.
    """

    rungs: tuple[float, ...]
    eta: float = 3.0
    mode: Literal["max", "min"] = "max"
    scores: list[dict[Trial, float]] = field(init=False)
    stopped: set[Trial] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        assert list(self.rungs) == sorted(set(self.rungs)), self.rungs
        assert self.rungs, "at least the end"
        self.scores = [{} for _ in self.rungs]

    def decide(self, trial: Trial, progress: float, score: float | None) -> Decision:
        """What becomes of a trial that reports `score` at `progress`, its share of the budget.

        A rung is decided once, at the trial's first report at or past it; a report that passes
        several at once counts at the highest. Repeated and late reports change nothing. A score
        that is None or not finite stops the trial and enters no rung.
        """
        if trial in self.stopped:
            return "stop"
        rung = self._enter(trial, progress, score)
        if score is None or not math.isfinite(score):
            self.stopped.add(trial)
            return "stop"
        if rung is None or rung == len(self.rungs) - 1 or self._is_top(trial, rung):
            return "continue"
        self.stopped.add(trial)
        return "stop"

    def replay(
        self, rows: Iterable[tuple[Trial, float, float | None]], stopped: Iterable[Trial] = ()
    ) -> None:
        """Take in rows that were decided on before, and the trials that were told to stop.

        Decides nothing: what became of a trial then is known, and need not be what would become
        of it now. So only the order of each trial's own rows matters.
        """
        for trial, progress, score in rows:
            self._enter(trial, progress, score)
        self.stopped.update(stopped)

    def _enter(self, trial: Trial, progress: float, score: float | None) -> int | None:
        """Enter a score at the rung that it is the trial's first to reach; which one, if any."""
        reached = sum(progress >= rung - ROUNDING for rung in self.rungs)
        if score is None or not math.isfinite(score) or reached == 0:
            return None
        if any(trial in seen for seen in self.scores[reached - 1 :]):
            return None
        self.scores[reached - 1][trial] = score
        return reached - 1

    def _is_top(self, trial: Trial, rung: int) -> bool:
        """Ties with the last of the top go on: nothing tells them apart."""
        seen = self.scores[rung]
        if len(seen) < self.eta:
            return True
        sign = 1 if self.mode == "max" else -1
        ranked = sorted((sign * score for score in seen.values()), reverse=True)
        return sign * seen[trial] >= ranked[math.floor(len(seen) / self.eta) - 1]


class SchedulerConfig(Component):
    """How training is cut up and steered. Subclasses fix `name`."""

    name: str

    def marks(self, slow_start: bool) -> tuple[float, ...]:
        """Shares of the budget at which the scheduler needs a report, the last 1.

        Args:
            slow_start: searched parameters act late in training.
        """
        raise NotImplementedError(self.name)


class EarlyStoppingConfig(SchedulerConfig):
    """Which trials end early."""

    def build(self, slow_start: bool, mode: Literal["max", "min"] = "max") -> Asha:
        """The decisions; `slow_start` as in `marks`."""
        raise NotImplementedError(self.name)

    def marks(self, slow_start: bool) -> tuple[float, ...]:
        return self.build(slow_start).rungs


class AshaConfig(EarlyStoppingConfig):
    """Asynchronous successive halving.

    `eta`: one in eta trials survives a rung. `min_share`: the first rung's share of the budget
    (at least a quarter when a curriculum or a learning-rate decay is searched).
    """

    name: Literal["asha"] = "asha"
    eta: float = Field(default=3.0, ge=2.0, allow_inf_nan=False)
    min_share: float = Field(default=1 / 9, gt=0.0, lt=1.0)

    def build(self, slow_start: bool, mode: Literal["max", "min"] = "max") -> Asha:
        least = SLOW_START_SHARE if slow_start else 0.0
        return Asha(rungs(max(self.min_share, least), self.eta), self.eta, mode)


class NoSchedulerConfig(EarlyStoppingConfig):
    """Every trial runs to its end unless its score is not finite."""

    name: Literal["none"] = "none"

    def build(self, slow_start: bool, mode: Literal["max", "min"] = "max") -> Asha:
        return Asha((1.0,), mode=mode)
