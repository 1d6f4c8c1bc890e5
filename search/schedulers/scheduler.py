"""What every scheduler answers, and the settings that most of them share.

A scheduler is a pure function of what it was told. It knows trials by their number, fidelity as a
share of a full run, and one score a report, of which more is better once `mode` says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, Self

from pydantic import Field, field_validator, model_validator

from curricula.component import Component
from search.objectives.objective import require_column
from trm.report import COLUMNS

SLOW_START_SHARE = 0.25
"""The least first rung when parameters that act late are searched (low rungs punish them)."""

SLOW_START_KEYS = frozenset(
    {"curriculum", "schedule", "lr_schedule", "decay", "lr_decay", "lr_floor", "lr_min_ratio"}
)
"""Keys whose effect shows late in training."""

Mode = Literal["max", "min"]
FidelityUnit = Literal["compute", "steps", "seconds"]

Decision = Literal["continue", "stop", "pause"]
"""Go on; end early; free the worker and wait until `promote` gives the trial."""

RungState = Literal["open", "paused", "stopped", "ended", "failed"]
"""What had become of a trial after the last report that it was judged by: it goes on, it waits,
it was told to stop, it ran to its end, or it failed for a reason of its own."""

COLUMN_OF: dict[FidelityUnit, str] = {
    "compute": "progress",
    "steps": "step",
    "seconds": "train_seconds",
}
"""The report's column that measures a fidelity."""


class Scheduler(Protocol):
    """Decides at reports which trials go on. `search.testing.schedulers` says what it promises.

    A score that is None or not finite ends its trial and leaves no trace of it. A trial is decided
    on once a rung, at its first report at or past it; other reports go on.
    """

    @property
    def shares(self) -> tuple[float, ...]:
        """Rising shares of a full run at which it decides, ended by 1."""

    def on_report(self, trial: int, share: float, score: float | None) -> Decision:
        """What becomes of a trial that reports `score` at a share of a full run."""

    def on_end(self, trial: int, *, failed: bool) -> None:
        """A trial has its outcome. One that failed leaves no trace: its place is free again."""

    def promote(self, *, last: bool = False) -> int | None:
        """The paused trial to go on with now; None if none deserves it yet.

        Args:
            last: no other trial runs or will come, so that nothing is gained by waiting.
        """

    def close(self) -> list[int]:
        """The paused trials, which are given up; to be asked once `promote(last=True)` is None."""

    def replay(
        self, trial: int, rows: Sequence[tuple[float, float | None]], standing: RungState
    ) -> None:
        """Take in a trial's reports (share, score) that were decided on before a restart.

        Decides nothing: what became of the trial is known, and need not be what would become of it
        now. Only the order of each trial's own reports matters.
        """


class SchedulerConfig(Component):
    """How training is cut up and steered. Subclasses fix `name`."""

    name: str

    def marks(self, slow_start: bool) -> tuple[float, ...]:
        """Shares of the compute budget at which the scheduler needs a report, the last 1.

        Args:
            slow_start: searched parameters act late in training.
        """
        raise NotImplementedError(self.name)


class EarlyStoppingConfig(SchedulerConfig):
    """Which trials end early, or wait.

    Attributes:
        weighs_early: whether it learns what early reports are worth, and needs no least first rung
            where parameters that act late are searched.
    """

    weighs_early: ClassVar[bool] = False

    def build(self, slow_start: bool, mode: Mode = "max") -> Scheduler:
        """The decisions; `slow_start` as in `marks`, `mode` the objective's."""
        raise NotImplementedError(self.name)

    def marks(self, slow_start: bool) -> tuple[float, ...]:
        return self.build(slow_start).shares

    def share(self, row: Mapping[str, Any]) -> float:
        """A report's fidelity as a share of a full run."""
        return float(row["progress"])

    def ranked_by(self, row: Mapping[str, Any], objective: float) -> float | None:
        """What a report is ranked by."""
        return objective


class RungConfig(EarlyStoppingConfig):
    """Deciding at rungs, which are shares of a full run.

    Attributes:
        on: what fidelity is: training `compute`, of which every trial gets the same; training
            `steps`, of which deep models get fewer; or `seconds` of training.
        full_steps: steps of a full run (null: of a run with the file's default values).
        full_seconds: training seconds of a full run, for `on: seconds`.
        reports: with `steps` and `seconds`, at how many evenly spread shares of the compute budget
            trials report. A rung is decided at the first report at or past it, so rungs are hit as
            closely as reports are dense; each costs an evaluation and a checkpoint.
        metric: the column of the reports that trials are ranked by (null: the objective; a column
            that moves early, such as `cell_accuracy`, tells more at low rungs).
        mode: whether the larger or the smaller value of `metric` is better (null: the column's own
            direction, max for accuracies and min for losses and costs; other columns need it).
    """

    on: FidelityUnit = "compute"
    full_steps: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    full_seconds: float | None = Field(default=None, gt=0.0, allow_inf_nan=False)
    reports: int = Field(default=20, ge=2, le=1_000)
    metric: str | None = None
    mode: Mode | None = None

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str | None) -> str | None:
        if metric is not None:
            require_column(metric)
        return metric

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.on == "seconds" and self.full_seconds is None:
            raise ValueError("on: seconds needs full_seconds: the training seconds of a full run")
        if self.metric is None and self.mode is not None:
            raise ValueError(f"mode: {self.mode} needs metric: without it the objective ranks")
        if self.metric and COLUMNS[self.metric].better is None and self.mode is None:
            raise ValueError(f"metric: {self.metric} needs mode: max or min")
        return self

    def marks(self, slow_start: bool) -> tuple[float, ...]:
        if self.on == "compute":
            return super().marks(slow_start)
        return tuple((index + 1) / self.reports for index in range(self.reports))

    def share(self, row: Mapping[str, Any]) -> float:
        full = {"compute": 1.0, "steps": self.full_steps, "seconds": self.full_seconds}[self.on]
        assert full is not None, f"full_{self.on} is filled in when the plan is made"
        return float(row[COLUMN_OF[self.on]]) / full

    def ranked_by(self, row: Mapping[str, Any], objective: float) -> float | None:
        if self.metric is None:
            return objective
        value = row.get(self.metric)
        return None if value is None else float(value)

    def ranking_mode(self, objective: Mode) -> Mode:
        """Whether more or less of what is ranked by is better."""
        if self.metric is None:
            return objective
        return self.mode or ("max" if COLUMNS[self.metric].better == "more" else "min")


def starts_slowly(parameters: Iterable[str]) -> bool:
    """Whether any searched parameter acts late in training (a curriculum, a learning-rate decay).

    >>> starts_slowly(["optimizer.weight_decay"]), starts_slowly(["curriculum.depth[cgar].at"])
    (False, True)
    """
    return any(
        SLOW_START_KEYS.intersection(name.replace("[", ".").replace("]", "").split("."))
        for name in parameters
    )


def sound(rows: Sequence[tuple[float, float | None]]) -> list[tuple[float, float]]:
    """A trial's reports (share, score); none at all if any score is None or not finite."""
    scores = [(share, score) for share, score in rows if score is not None and math.isfinite(score)]
    return scores if len(scores) == len(rows) else []
