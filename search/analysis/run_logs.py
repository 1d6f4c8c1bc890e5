"""What happened in a run, in time order; and all that is known of one trial."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from search.analysis.training_status import holds_training, training_events
from search.engine.output import output_file
from search.ledger.attempts import Attempt
from search.ledger.book import Book
from search.ledger.reader import existing, read_book
from search.ledger.storage import Place, place
from search.ledger.trial import Row, Trial
from search.logs.console import exact_text
from search.logs.driver_log import RunEvent, read_driver_logs
from search.logs.parameters import parameters
from trm.errors import UserError

_TRACE = "Traceback (most recent call last):"


def run_events(folder: Place | str) -> list[RunEvent]:
    """What a run's drivers wrote down and its ledger has, in time order; also while it runs.

    >>> [event.kind for event in run_events(unfinished_run)]
    ['begun', 'begun', 'ended']

    Raises:
        UserError: no run is there.
    """
    where = place(folder).absolute()
    if holds_training(where):
        return training_events(where)
    existing(where)
    return _events(read_book(where), read_driver_logs(where))


def _existing(folder: Place | str) -> Place:
    where = place(folder).absolute()
    if holds_training(where):
        raise UserError(
            str(where), None,
            "holds one training, which has no trials: leave the number out for its reports, and "
            "`trm diagnose` says what they show",
        )  # fmt: skip
    return existing(where)


def _events(book: Book, written: list[RunEvent]) -> list[RunEvent]:
    begun = {event.trial for event in written if event.kind == "begun"}
    found = list(written)
    for trial in book.trials.values():
        if trial.started and trial.id not in begun:
            text = f"begins: {trial.stage}, candidate {trial.candidate}, seed {trial.seed}"
            found.append(RunEvent(trial.started, "begun", text, trial.id))
        if trial.finished and trial.ended:
            found.append(RunEvent(trial.finished, "ended", _ending(trial), trial.id))
    for one in (one for many in book.attempts.values() for one in many):
        if one.at:
            kind = "stopped" if one.cause == "stopped" else "lost"
            found.append(RunEvent(one.at, kind, _loss(one), one.trial))
    return sorted(found, key=lambda event: event.at)


def _ending(trial: Trial) -> str:
    score = "" if trial.score is None or trial.failed else f", score {trial.score:.4f}"
    return f"{trial.outcome}{score}{': ' if trial.reason else ''}{trial.reason}"


def _loss(one: Attempt) -> str:
    if one.outcome != "preempted":
        return f"is run again: its outcome was {one.outcome} ({one.reason or 'no reason'})"
    where = f" on {one.host}" if one.host else ""
    if one.cause == "stopped":
        return f"attempt {one.attempt}{where} was stopped and saved"
    return (
        f"attempt {one.attempt}{where} was lost ({one.cause}: {one.reason or 'no reason'}); "
        f"{one.repeated:.0f} s of work repeated at most"
    )


@dataclass(frozen=True)
class TrialStory:
    """All that is known of a trial.

    Attributes:
        trial: as the ledger has it.
        events: what happened to it, in time order.
        reports: its curve.
        output: what its attempts' processes wrote, by attempt.
        trace: the last traceback in that; empty if there is none.
    """

    trial: Trial
    events: list[RunEvent]
    reports: list[Row]
    output: dict[int, str]
    trace: str

    def tree(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def text(self, tail: int | None = None) -> str:
        """For a person.

        Args:
            tail: lines of output that are shown of each attempt; None is all.
        """
        trial = self.trial
        state = _ending(trial) if trial.ended else "paused" if trial.paused else "unfinished"
        lines = [
            f"trial {trial.id}: {trial.stage}, candidate {trial.candidate}, seed {trial.seed}: "
            f"{state}",
            f"  {parameters(trial, 10_000)}",
            f"  {trial.attempts} attempts, {len(self.reports)} reports, {trial.seconds:.0f} s",
        ]
        others = [str(one) for one in trial.provenance.get("stack", ()) if one != trial.id]
        if others:
            lines.append(f"  trained as one model with trials {', '.join(others)}")
        if trial.checkpoint:
            lines.append(f"  goes on from {trial.checkpoint}")
        lines += ["", "what happened:", *(f"  {event.line()}" for event in self.events)]
        if self.reports:
            shown = self.reports if tail is None else self.reports[-tail:]
            lines += ["", "reports:", *map(_report, shown)]
        for attempt, text in self.output.items():
            wrote = text.splitlines()
            kept = wrote if tail is None else wrote[-tail:]
            lines += ["", f"attempt {attempt} wrote:", *(f"  {line}" for line in kept)]
        if self.trace and tail is not None and self.trace not in "\n".join(lines):
            lines += ["", "what it failed by:", *(f"  {row}" for row in self.trace.splitlines())]
        return "\n".join(lines)


def trial_story(folder: Place | str, number: int) -> TrialStory:
    """All that is known of a trial, also while it runs.

    >>> story = trial_story(run, 3)
    >>> story.trial.outcome, len(story.reports), story.events[-1].text
    ('completed', 4, 'completed, score 0.6944')

    Raises:
        UserError: no run is there, or no such trial.
    """
    where = _existing(folder)
    book = read_book(where)
    if number not in book.trials:
        last = len(book.trials) - 1
        known = f"there are 0 to {last}" if book.trials else "there is none yet"
        raise UserError(f"{place(folder)}: trial", number, f"is not there: {known}")
    output = _output(where, book.trials[number])
    events = [event for event in _events(book, read_driver_logs(where)) if event.trial == number]
    trace = next((one for text in reversed(output.values()) if (one := last_trace(text))), "")
    return TrialStory(book.trials[number], events, book.curve(number), output, trace)


def _output(folder: Place, trial: Trial) -> dict[int, str]:
    found: dict[int, str] = {}
    for attempt in range(1, trial.attempts + 1):
        try:
            path = output_file(folder, trial.id, attempt)
            found[attempt] = path.read_bytes().decode("utf-8", "replace")
        except (FileNotFoundError, NotADirectoryError):
            continue
    try:  # where older versions kept it, for all attempts together
        text = (folder / "logs" / f"{trial.id}.txt").read_bytes().decode("utf-8", "replace")
        found.setdefault(trial.attempts, text)
    except (FileNotFoundError, NotADirectoryError):
        pass
    return dict(sorted(found.items()))


def last_trace(text: str) -> str:
    """The last traceback in a text, with its error; empty if there is none.

    >>> last_trace("a\\nTraceback (most recent call last):\\n  File 'x'\\nValueError: b\\n\\nc")
    "Traceback (most recent call last):\\n  File 'x'\\nValueError: b"
    """
    begin = text.rfind(_TRACE)
    if begin < 0:
        return ""
    lines = text[begin:].split("\n")
    last = next((n for n, line in enumerate(lines) if n and re.match(r"\S", line)), len(lines))
    return "\n".join(lines[: last + 1])


def _report(row: Mapping[str, Any]) -> str:
    return (
        f"  {row['mark']:>3}  step {row['step']:>7,}  {row['progress']:4.0%}  "
        f"{exact_text(row)}  cells {row['cell_accuracy']:.3f}  "
        f"loss {_number(row['train_loss'])}  {row['seconds']:.1f} s"
    )


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
