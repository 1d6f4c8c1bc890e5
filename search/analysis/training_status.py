"""The state of one training's folder, also while it trains: read from its small files, no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeGuard

from search.engine.presence import files_in, holder_of_run
from search.ledger.files import RUN_FILE
from search.ledger.storage import Place
from search.logs.console import duration
from search.logs.driver_log import RunEvent
from trm.errors import UserError
from trm.files.driver_note import DriverNote, read_note
from trm.files.yaml12 import read_yaml

REPORTS, CONFIG = "reports.jsonl", "config.yaml"
SHOWN = ("exact_accuracy", "cell_accuracy", "train_loss", "mean_steps", "learning_rate")
"""Columns of a report that a line has."""


@dataclass(frozen=True)
class TrainingState:
    """Where a training stands.

    Attributes:
        run: its folder.
        name: of its config.
        state: `starting`, `running` or `stopping` while somebody trains; else `completed`,
            `diverged`, `collapsed`, `stopped`, `failed`, `unfinished` (it ended without a word, or
            waits to be gone on with).
        holder: who trains, in words; empty if nobody does.
        step: steps so far, as far as they are known.
        share: of the compute budget that is spent.
        seconds: of training and evaluation.
        left: seconds to the end at the pace so far; None if it has ended or that is not known.
        mark: reports so far.
        marks: reports that there will be.
        last: the last report; empty before the first.
        driver: what its last process said of itself.
        resume: how to go on, as far as that was said.
    """

    run: str
    name: str
    state: str
    holder: str
    step: int
    share: float
    seconds: float
    left: float | None
    mark: int
    marks: int
    last: dict[str, Any]
    driver: dict[str, Any] | None
    resume: str

    def tree(self) -> dict[str, Any]:
        """As plain values; `at_work` is as in the state of a sweep."""
        works = {"holder": self.holder, "stage": "training"} if self.holder else None
        return {"kind": "training", **asdict(self), "at_work": works}

    def text(self) -> str:
        """For a person."""
        words = f"{self.holder} is at work: {self.state}" if self.holder else self.state
        done = f"step {self.step:,}, {self.share:.0%} done; {duration(self.seconds)} so far"
        left = "" if self.left is None else f", about {duration(self.left)} left"
        lines = [f"{self.name}: one training, {words}", f"  {done}{left}"]
        if self.last:
            shown = ", ".join(
                f"{name} {value:.4g}"
                for name in SHOWN
                if isinstance(value := self.last.get(name), int | float)
            )
            at = f"report {self.mark} of {self.marks}, step {self.last['step']:,}"
            lines.append(f"  {at}: {shown}")
            if self.last.get("findings"):
                lines.append(f"  {self.last['findings']} findings: `trm diagnose {self.run}`")
        else:
            lines.append(f"  no report yet, of {self.marks}")
        if not self.holder:
            lines += [f"  {line}" for line in (self._ending(), self.resume) if line]
        return "\n".join(lines)

    def _ending(self) -> str:
        driver = self.driver or {}
        who = f"process {driver.get('pid')} on {driver.get('host')}"
        when = f"{str(driver.get('renewed'))[:19].replace('T', ' ')} UTC"
        if self.state == "failed":
            return f"{who} failed {when}: {driver.get('reason')}"
        if self.state == "unfinished" and driver and driver.get("state") != "ended":
            return f"{who} left without a word: it was killed, or its machine is gone; last {when}"
        return ""


def holds_training(folder: Place) -> TypeGuard[Path]:
    """Whether a folder is that of one training."""
    own = isinstance(folder, Path) and (folder / CONFIG).is_file()
    return own and not (folder / RUN_FILE).is_file()


def training_state(folder: Path) -> TrainingState:
    """Where a training stands, also while it trains; it is not disturbed.

    Raises:
        UserError: its config is damaged, or cannot be read.
    """
    config = read_yaml(folder / CONFIG)
    train = config.get("train")
    rows = reports_in(folder)
    last = rows[-1] if rows else {}
    note, holder = read_note(files_in(folder)), holder_of_run(folder)
    if not holder and note is not None and note.lives:
        holder = str(note)
    told: Mapping[str, Any] = note.told if note is not None else {}
    # A process that is gone may have said more than it had saved.
    found = {**last, **(told if holder and told.get("compute", 0) > last.get("compute", 0) else {})}
    share, seconds = float(found.get("progress", 0.0)), float(found.get("seconds", 0.0))
    marks = int(train.get("reports", 0)) if isinstance(train, dict) else 0
    state = _state(note, holder, last, marks)
    moves = state in ("starting", "running") and share > 0.0 and seconds > 0.0
    return TrainingState(
        run=str(folder),
        name=str(config.get("name", folder.name)),
        state=state,
        holder=holder,
        step=int(found.get("step", 0)),
        share=share,
        seconds=seconds,
        left=seconds * (1.0 - share) / share if moves else None,
        mark=int(last.get("mark", 0)),
        marks=marks,
        last=last,
        driver=None if note is None else {**asdict(note), "lives": note.lives},
        resume="" if note is None or holder or state in _OVER else note.line,
    )


_OVER = ("completed", "diverged", "collapsed")


def _state(note: DriverNote | None, holder: str, last: Mapping[str, Any], marks: int) -> str:
    if holder:
        # An older version's note does not say more than that it is there.
        return note.state if note is not None and note.state != "ended" else "running"
    for name in ("diverged", "collapsed"):
        if last.get(name):
            return name
    if last and int(last.get("mark", 0)) >= marks:
        return "completed"
    if note is not None and note.ending in ("stopped", "failed"):
        return note.ending
    return "unfinished"


def reports_in(folder: Path) -> list[dict[str, Any]]:
    """The reports of a training; what is not a whole line is no report.

    Raises:
        UserError: they cannot be read.
    """
    try:
        lines = (folder / REPORTS).read_bytes().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise UserError(str(folder / REPORTS), None, problem) from error
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and {"mark", "step", "progress"} <= row.keys():
            rows.append(row)
    return rows


def training_events(folder: Path) -> list[RunEvent]:
    """What happened in a training: its reports, and what its last process said of itself."""
    found = [RunEvent("", "reported", _report_text(row)) for row in reports_in(folder)]
    note = read_note(files_in(folder))
    if note is not None:
        found.insert(0, RunEvent(note.began, "driver", f"{note} begins, or goes on"))
        if note.state == "ended":
            why = f": {note.reason}" if note.reason else ""
            found.append(RunEvent(note.renewed, "driver", f"{note} ends, {note.ending}{why}"))
    return found


def _report_text(row: Mapping[str, Any]) -> str:
    shown = ", ".join(
        f"{name} {value:.4g}" for name in SHOWN if isinstance(value := row.get(name), int | float)
    )
    after = duration(float(row.get("seconds", 0.0)))
    ending = next((f", {name}" for name in ("diverged", "collapsed") if row.get(name)), "")
    return f"report {row['mark']}, step {row['step']:,}, after {after}: {shown}{ending}"
