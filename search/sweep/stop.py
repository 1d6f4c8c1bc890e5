"""Ask the driver at work in a run folder to stop, from any machine that sees the folder."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from search.engine.presence import files_in, holder_of_run
from search.ledger.files import RUN_FILE
from search.ledger.reader import holds_ledger, read_trials
from search.ledger.storage import Place, place
from search.logs.console import duration
from trm.errors import UserError
from trm.files.driver_note import STOP_FILE, DriverNote, ask_to_stop, asked_to_stop, read_note

WAIT = 120.0
"""Seconds that a driver has to end, unless somebody says otherwise."""


@dataclass(frozen=True)
class StopReport:
    """What came of a request to stop.

    Attributes:
        run: the run folder.
        driver: whom it was put to, as `process 17 on elsewhere`; empty where nobody is at work.
        stopped: whether no driver is at work now.
        heard: whether the driver said that it has heard the request.
        problem: why it has not stopped, in words; empty if it has, or nobody waited.
        holds: what the run holds, in words.
        resume: how to go on with it, as far as the driver said so.
        seconds: until it had ended.
    """

    run: str
    driver: str
    stopped: bool
    heard: bool
    problem: str
    holds: str
    resume: str
    seconds: float

    def text(self) -> str:
        """In lines for a person."""
        if not self.driver:
            line = f"no driver is at work in {self.run}"
        elif self.stopped:
            line = f"{self.driver} has ended after {duration(self.seconds)}"
        elif self.problem:
            line = f"{self.driver}: {self.problem}"
        else:
            line = f"{self.driver} is asked to stop; `trm status {self.run}` says when it has ended"
        lines = [line, self.holds] if self.driver else [f"{line}: {self.holds}"]
        if self.resume and (self.stopped or not self.driver):
            lines.append(self.resume)
        return "\n".join(filter(None, lines))


def stop_run(
    folder: Place | str,
    *,
    wait: float | None = WAIT,
    say: Callable[[str], None] = lambda line: None,
) -> StopReport:
    """Ask the driver of a run folder for a clean end, as a signal does, and wait for it.

    >>> stop_run(unfinished_run).text().partition(": ")[2]
    '3 trials: 1 completed, 2 unfinished'

    Args:
        folder: of a sweep, a stability run, ablations or a training; a path or a URI.
        wait: seconds that it has; None does not wait.
        say: is told how it goes.

    Raises:
        UserError: no run is there.
    """
    where = place(folder).absolute()
    files = files_in(where)
    begun = time.monotonic()
    note, holder = read_note(files), holder_of_run(where)
    if not holder and not (note and note.lives):
        return _nobody(where, note)
    pause = 0.5 if isinstance(where, Path) else 2.0
    asked = ""
    heard = False
    while True:
        if note is not None and note.token != asked and _speaks(note, holder):
            asked = note.token
            ask_to_stop(files, asked)
            say(f"asked {note} to stop")
            if wait is None:
                return StopReport(str(where), str(note), False, False, "", "", note.line, 0.0)
        if note is not None and note.token == asked and note.state == "stopping" and not heard:
            heard = True
            say(f"{note} has heard; it ends its work")
        spent = time.monotonic() - begun
        if not holder and not (note and note.lives):
            _take_back(where, asked)
            driver = str(note) if note else "the driver"
            holds = _holds(where)
            if note is None or note.state != "ended":
                holds = f"it {_gone(note)}; {holds}"
            return StopReport(str(where), driver, True, heard, "", holds, _resume(note), spent)
        if spent > (WAIT if wait is None else wait):
            _take_back(where, asked)
            driver = holder or str(note)
            problem = _silence(note, holder, asked, heard, spent)
            return StopReport(str(where), driver, False, heard, problem, _holds(where), "", spent)
        time.sleep(pause)
        note, holder = read_note(files), holder_of_run(where)


def _speaks(note: DriverNote, holder: str) -> bool:
    """Whether a note is that of who has the run; before it has the run, nobody has."""
    return note.state != "ended" and (holder == str(note) if holder else note.lives)


def _nobody(where: Place, note: DriverNote | None) -> StopReport:
    holds = _holds(where)
    if note is not None and note.state != "ended":
        holds = f"the last one, {note}, {_gone(note)}; {holds}"
    elif note is None and not holds:
        raise UserError(str(where), None, "holds no run; check the path")
    return StopReport(str(where), "", True, False, "", holds or "nothing ran", _resume(note), 0.0)


def _gone(note: DriverNote | None) -> str:
    """Of a driver that ended without a last word."""
    if note is None:
        return "is gone"
    return (
        f"left without a word: it was killed, or its machine is gone (last heard of {_ago(note)})"
    )


def _ago(note: DriverNote) -> str:
    return f"{duration(note.age)} ago"


def _silence(note: DriverNote | None, holder: str, asked: str, heard: bool, spent: float) -> str:
    """Why a driver that was there has not ended."""
    after = f"after {duration(spent)}"
    if heard:
        return f"has heard, and has not ended {after}: ask again, or look with `trm status`"
    if not asked:
        return (
            f"has the run, but does not listen ({after}): it is of another version, or its machine "
            "hangs; stop it where it runs (Ctrl-C, or kill -TERM)"
        )
    assert note is not None
    return (
        f"does not answer {after}, and was last heard of {_ago(note)}: its machine hangs or cannot "
        "reach the run folder; nothing that was stored is lost"
    )


def _take_back(where: Place, asked: str) -> None:
    """Remove a request that nobody will answer."""
    files = files_in(where)
    if asked and asked_to_stop(files) == asked:
        files.remove(STOP_FILE)


def _resume(note: DriverNote | None) -> str:
    if note is None or not note.line or (note.state == "ended" and note.ending == "done"):
        return ""
    return note.line if note.is_here else f"{note.line}   (as on {note.host})"


def _holds(where: Place) -> str:
    """What a run holds; empty if there is none."""
    if holds_ledger(where):
        trials = read_trials(where).values()
        counts = Counter(str(trial.outcome or "unfinished") for trial in trials)
        words = ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items()))
        return f"{len(trials)} trials{': ' if words else ''}{words}"
    if (where / RUN_FILE).is_file():
        return "no trial"
    if isinstance(where, Path) and (where / "config.yaml").is_file():
        return _training(where)
    return ""


def _training(folder: Path) -> str:
    """The same of a training; `trm.run` would load torch to say it."""
    try:
        lines = (folder / "reports.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines if line.endswith("}")]
        return f"a training with {len(rows)} reports, the last at step {rows[-1]['step']}"
    except (OSError, IndexError, KeyError, ValueError):
        return "a training without a report"
