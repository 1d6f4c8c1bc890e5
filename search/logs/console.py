"""What a person sees on a terminal. Off a terminal nothing is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from search.stats.intervals import share_interval
from trm.report import Report, ReportRow, report_json

console = Console(stderr=True)


def note(text: str) -> None:
    """A side remark for a person, on the error stream."""
    if console.is_terminal:
        console.print(f"[dim]{text}[/dim]", highlight=False)


def say(text: str) -> None:
    """A line that a person has asked for, on the error stream, also off a terminal."""
    console.print(f"trm: {text}", highlight=False, markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """A line that a person should see, on the error stream, also off a terminal."""
    console.print(f"trm: warning: {text}", highlight=False, markup=False, soft_wrap=True)
    for listener in tuple(warned):
        listener(text)


warned: list[Callable[[str], None]] = []
"""Are told each warning."""


@contextmanager
def task_progress() -> Iterator[Callable[[str, float], None] | None]:
    """A progress bar for making a task's data; nothing off a terminal."""
    if not console.is_terminal:
        yield None
        return
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(),
        console=console, transient=True,
    ) as progress:  # fmt: skip
        bars: dict[str, int] = {}

        def show(what: str, share: float) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=1.0)
            progress.update(bars[what], completed=share)  # type: ignore[arg-type]

        yield show


def duration(seconds: float) -> str:
    """A time in words.

    >>> duration(7325.0)
    '2 h 2 min'
    """
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes} min"
        if hours
        else f"{minutes} min {rest} s"
        if minutes
        else f"{rest} s"
    )


class TrainDisplay:
    """A line per report, and a bar with the time left; JSON lines instead where asked for."""

    def __init__(self, name: str, *, json_lines: bool) -> None:
        self._json = json_lines
        self._making = ExitStack()
        self._data: Callable[[str, float], None] | None = None
        self._bar: Progress | None = None
        if console.is_terminal and not json_lines:
            self._bar = Progress(
                TextColumn(name), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
                console=console, transient=True,
            )  # fmt: skip
            self._task = self._bar.add_task(name, total=1.0)

    def __enter__(self) -> Self:
        self._data = self._making.enter_context(task_progress())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._making.close()
        if self._bar:
            self._bar.stop()

    def data(self, what: str, share: float) -> None:
        """Move the bar of a part of the task's data."""
        if self._data:
            self._data(what, share)

    def begin(self, step: int, changed: Sequence[str]) -> None:
        """The data is there; training begins, or goes on from a step.

        Args:
            changed: plug-ins whose code is not that with which the run was begun.
        """
        self._making.close()
        for name in changed:
            warn(f"plug-in {name}: the run was begun with other code of it; it goes on with this")
        if step:
            note(f"going on from step {step}")
        if self._bar:
            self._bar.start()

    def moved(self, progress: float) -> None:
        """Move the bar to a share of the compute budget."""
        if self._bar:
            self._bar.update(self._task, completed=progress)

    def show(self, report: Report) -> None:
        """Take in one report."""
        if self._json:
            print(report_json(report), flush=True)
        elif self._bar:
            self._bar.update(self._task, completed=report.progress)
            self._bar.console.print(report_line(report), highlight=False)


def exact_text(row: ReportRow) -> str:
    """A report's exact accuracy, with the interval (90 %) that its examples leave.

    >>> exact_text({"exact_accuracy": 0.25, "evaluated": 200})
    'exact 0.250 (0.20 to 0.30)'
    """
    text = f"exact {row['exact_accuracy']:.3f}"
    if not row.get("evaluated"):
        return text
    found = share_interval(row["exact_accuracy"], row["evaluated"])
    return f"{text} ({found.low:.2f} to {found.high:.2f})"


def report_line(report: Report) -> str:
    """One report as one line of a log."""
    return (
        f"step {report.step:>7,}  {report.progress:4.0%}  {exact_text(report.row())}  "
        f"cells {report.cell_accuracy:.3f}  loss {report.train_loss:8.4f}  "
        f"halts at {report.mean_steps:.2f}  auc {report.halt_auc:.2f}  "
        f"H{report.H_cycles} L{report.L_cycles}  lr {report.learning_rate:.1e}  "
        f"{report.seconds:6.1f} s"
    )
