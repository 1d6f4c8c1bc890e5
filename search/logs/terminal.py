"""The live display of a sweep: trials by outcome, best so far, time left, what each worker does."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from search.ledger.trial import Trial
from search.logs.console import console, duration, task_progress

_REFRESH_PER_SECOND = 4
_SHOWN_PARAMETERS = 4


@dataclass
class _Running:
    """What one worker is doing."""

    trial: Trial
    worker: str
    progress: float = 0.0
    score: float | None = None


class SweepDisplay:
    """Takes in what happens in a sweep and draws it on a terminal; draws nothing elsewhere.

    Args:
        quiet: draw nothing even on a terminal.

    Attributes:
        maximizes: whether more of the score is better.
        at_once: trials that the cluster has room for now; None if it is not known yet.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet or not console.is_terminal
        self.maximizes = True
        self.at_once: int | None = None
        self._live: Live | None = None
        self._stage = "preparing"
        self._wanted = 0
        self._outcomes: Counter[str] = Counter()
        self._running: dict[int, _Running] = {}
        self._paused: dict[int, float] = {}
        self._best: tuple[float, Trial] | None = None
        self._progress_done = 0.0
        self._begun = time.monotonic()

    def preparing(self) -> AbstractContextManager[Callable[[str, float], None] | None]:
        """Progress of making the task's data, before the sweep itself is drawn."""
        return _nothing() if self._quiet else task_progress()

    def __enter__(self) -> Self:
        if not self._quiet:
            self._live = Live(
                get_renderable=self.render,
                console=console,
                refresh_per_second=_REFRESH_PER_SECOND,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def note(self, line: str) -> None:
        """A line that stays."""
        if not self._quiet:
            console.print(line, highlight=False)

    def stage(self, name: str, wanted: int, done: int = 0) -> None:
        """A new stage of `wanted` trials begins, `done` of which ended in an earlier run."""
        self._stage, self._wanted = name, wanted
        self._outcomes = Counter({"done before": done} if done else {})
        self._running = {n: r for n, r in self._running.items() if r.trial.stage == "reference"}
        self._paused.clear()
        self._progress_done = 0.0
        self._begun = time.monotonic()

    def started(self, trial: Trial, worker: str) -> None:
        """A worker (host and process) begins or resumes a trial."""
        self._running[trial.id] = _Running(trial, worker, self._paused.pop(trial.id, 0.0))

    def reported(self, trial: Trial, row: Mapping[str, Any], score: float) -> None:
        """A report was acknowledged."""
        running = self._running.get(trial.id)
        if running:
            if self._counts(trial):
                self._progress_done += max(row["progress"] - running.progress, 0.0)
            running.progress, running.score = row["progress"], score

    def paused(self, trial: Trial) -> None:
        """A trial waits until it is gone on with."""
        running = self._running.pop(trial.id, None)
        self._paused[trial.id] = running.progress if running else 0.0

    def ended(self, trial: Trial) -> None:
        """A trial has its outcome."""
        self._running.pop(trial.id, None)
        self._paused.pop(trial.id, None)
        if self._counts(trial):
            self._outcomes[str(trial.outcome)] += 1
        completed = trial.completed and trial.score is not None
        if completed and self._is_best(trial.score or 0.0):
            self._best = (trial.score or 0.0, trial)

    def _counts(self, trial: Trial) -> bool:
        """Whether a trial is of the stage that is drawn; the reference recipe's may run early."""
        return trial.stage != "reference" or self._stage == "promise"

    def _is_best(self, score: float) -> bool:
        if self._best is None:
            return True
        return score > self._best[0] if self.maximizes else score < self._best[0]

    def seconds_left(self) -> float | None:
        """Estimate for this stage, from the share of trials' budgets that is spent; None early on.

        A trial that ended early counts with what it used, so a stage with pruning is estimated
        from the mean cost of the trials so far.
        """
        ended = sum(n for outcome, n in self._outcomes.items() if outcome != "done before")
        ended += len(self._paused)  # few of them go on
        spent = time.monotonic() - self._begun
        if not ended or not self._progress_done:
            return None
        running = sum(r.progress for r in self._running.values() if self._counts(r.trial))
        mean = max((self._progress_done - running) / ended, 0.05)
        left = self._wanted - sum(self._outcomes.values()) - len(self._paused)
        share_left = max(left * mean - running, 0.0)
        return spent / self._progress_done * share_left

    def render(self) -> RenderableType:
        """The picture as it is now."""
        ended = sum(self._outcomes.values())
        counts = {**self._outcomes, "waiting": len(self._paused)}
        outcomes = "  ".join(f"{name} {n}" for name, n in sorted(counts.items()) if n)
        left = self.seconds_left()
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(self._stage, style="bold"),
            ProgressBar(total=max(self._wanted, 1), completed=ended, width=30),
            f"{ended} of {self._wanted}",
            "" if left is None else f"about {duration(left)} left",
            "" if self.at_once is None else f"{self.at_once} at once",
        )
        lines: list[RenderableType] = [head, Text(outcomes, style="dim")]
        if self._best:
            score, trial = self._best
            lines.append(Text(f"best {score:.4f}  trial {trial.id}  {parameters(trial)}"))
        table = Table(box=None, header_style="dim")
        for column in ("worker", "trial", "seed", "progress", "score", "parameters"):
            table.add_column(column)
        for running in self._running.values():
            table.add_row(
                running.worker,
                str(running.trial.id),
                str(running.trial.seed),
                f"{running.progress:.0%}",
                "" if running.score is None else f"{running.score:.4f}",
                parameters(running.trial),
            )
        return Group(*lines, table) if self._running else Group(*lines)


def parameters(trial: Trial, most: int = _SHOWN_PARAMETERS) -> str:
    """A trial's parameters in few words.

    >>> parameters(Trial(0, "explore", 0, 0, {"optimizer.lr": 0.00123, "model.H_cycles": 2}, {}))
    'lr=0.00123 H_cycles=2'
    """
    shown = []
    for name, value in trial.params.items():
        text = f"{value:.3g}" if isinstance(value, float) else str(value)
        shown.append(f"{name.rpartition('.')[2]}={text}")
    more = f" +{len(shown) - most}" if len(shown) > most else ""
    return " ".join(shown[:most]) + more


@contextmanager
def _nothing() -> Iterator[None]:
    yield None
