"""The live display of a sweep: trials by outcome, best so far, time left, what each worker does."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from search.logs.parameters import parameters

_REFRESH_PER_SECOND = 4
_ASK_SECONDS = 1.0
"""Between two estimates of the time that is left of all."""
_BAR = 30


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
        order: the parameters' names in the order in which they are shown.
        whole: seconds to the end of all stages, None early on; asked after an event, at most once
            a second.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet or not console.is_terminal
        self.maximizes = True
        self.at_once: int | None = None
        self.order: Sequence[str] = ()
        self.whole: Callable[[], float | None] = lambda: None
        self._whole: tuple[float, float | None] = (0.0, None)
        self._place = self._decides = ""
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

    def stage(
        self, name: str, wanted: int, done: int = 0, *, place: str = "", decides: str = ""
    ) -> None:
        """A new stage of `wanted` trials begins, `done` of which ended before.

        Args:
            place: the stage's among all, as `stage 1 of 3`.
            decides: what it decides.
        """
        self._stage, self._wanted = name, wanted
        self._place, self._decides = place, decides
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
        self._ask()

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
        self._ask()

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

    def _ask(self) -> None:
        if not self._quiet and time.monotonic() - self._whole[0] >= _ASK_SECONDS:
            left = self.whole()
            self._whole = (time.monotonic(), left)

    def _left(self) -> str:
        """The time that is left of all stages, else of this one."""
        asked, whole = self._whole
        if whole is not None:
            return f"about {duration(max(whole - (time.monotonic() - asked), 0.0))} left of all"
        left = self.seconds_left()
        return "" if left is None else f"about {duration(left)} left of this stage"

    def render(self) -> RenderableType:
        """The picture as it is now."""
        ended = sum(self._outcomes.values())
        counts = {**self._outcomes, "waiting": len(self._paused)}
        outcomes = "  ".join(f"{name} {n}" for name, n in sorted(counts.items()) if n)
        words = [
            f"{ended} of {self._wanted}",
            self._left(),
            "" if self.at_once is None else f"{self.at_once} at once",
        ]
        name = ", ".join(filter(None, (self._stage, self._place)))
        taken = sum(len(word) + 2 for word in (name, *words))
        head = Table.grid(padding=(0, 2))
        for _ in range(5):
            head.add_column(no_wrap=True, overflow="ellipsis")
        bar = max(min(_BAR, console.width - taken), 4)
        head.add_row(
            Text(name, style="bold"),
            ProgressBar(total=max(self._wanted, 1), completed=ended, width=bar),
            *words,
        )
        lines: list[RenderableType] = [head]
        if self._decides:
            lines.append(_line(f"decides {self._decides}", "dim"))
        lines.append(_line(outcomes, "dim"))
        if self._best:
            score, trial = self._best
            best = f"best {score:.4f}  trial {trial.id}  "
            lines.append(_line(best + parameters(trial, console.width - len(best), self.order)))
        return Group(*lines, self._workers()) if self._running else Group(*lines)

    def _workers(self) -> Table:
        """What each worker does; each on one line, however narrow the terminal."""
        rows = [
            (
                one.worker,
                str(one.trial.id),
                str(one.trial.seed),
                f"{one.progress:.0%}",
                "" if one.score is None else f"{one.score:.4f}",
                one.trial,
            )
            for one in list(self._running.values())
        ]
        names = ("worker", "trial", "seed", "progress", "score")
        wide = [max(map(len, cells)) for cells in zip(names, *(r[:5] for r in rows), strict=True)]
        left = console.width - sum(width + 1 for width in wide) - 1
        table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0))
        for column in (*names, "parameters"):
            table.add_column(column, no_wrap=True, overflow="ellipsis")
        for *cells, trial in rows:
            table.add_row(*cells, parameters(trial, left, self.order))
        return table


def _line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


@contextmanager
def _nothing() -> Iterator[None]:
    yield None
