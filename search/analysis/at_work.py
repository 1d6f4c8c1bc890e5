"""Whether a driver is at work in a run folder, on what, and for how long still."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from search.config.plan import Plan
from search.engine.presence import files_in, holder_of_run
from search.ledger.book import Book
from search.ledger.files import read_json
from search.ledger.storage import Place
from search.ledger.wall_clock import TIME_FILE
from search.logs.console import duration
from search.logs.deciding import decides, place_of
from search.sweep.time_left import seconds_left
from trm.errors import UserError
from trm.files.driver_note import DriverNote, read_note
from trm.files.run_folder import LOCK


@dataclass(frozen=True)
class Work:
    """What a driver is doing.

    Attributes:
        holder: the driver, as `process 17 on elsewhere`.
        stage: what it runs; `starting` before its first trial.
        done: trials of the stage that have an outcome.
        running: of those that have none, how many were begun and do not wait.
        waiting: how many are drawn, or paused.
        elapsed: seconds of wall time of the run, over all its drivers; None if that is not known.
        left: seconds to the end of the whole run at its pace so far; None while there is none.
        place: the stage's among all, as `stage 1 of 3`; empty for one that stands alone.
        decides: what the stage decides; empty where nothing is to be said.
    """

    holder: str
    stage: str
    done: int
    running: int
    waiting: int
    elapsed: float | None
    left: float | None
    place: str = ""
    decides: str = ""

    def text(self) -> str:
        """In a line.

        >>> Work("process 17", "explore", 5, 2, 1, 60.0, 130.0).text()
        'process 17 is at work: explore, 2 running, 1 waiting, 5 done; 1 min 0 s so far, about \
2 min 10 s left of all'
        """
        words = f"{self.holder} is at work: {self.stage}"
        if self.stage != "starting":
            words += f", {self.running} running, {self.waiting} waiting, {self.done} done"
        if self.elapsed is not None:
            words += f"; {duration(self.elapsed)} so far"
            words += ", " + (
                f"about {duration(self.left)} left of all" if self.left else "time left unknown"
            )
        return words

    def purpose(self) -> str:
        """What the stage is for, in a line; empty where nothing is to be said.

        >>> Work("", "confirm", 0, 1, 0, None, None, "stage 2 of 3", "which is best").purpose()
        'stage 2 of 3 decides which is best'
        """
        if not self.decides:
            return ""
        return f"{self.place or self.stage} decides {self.decides}"


def driver_of(folder: Place) -> tuple[str, DriverNote | None]:
    """Who is at work in a run folder, in words, if anybody is, and the newest driver's note."""
    note = read_note(files_in(folder))
    holder = holder_of_run(folder)
    if not holder and note is not None and note.lives:
        holder = str(note)  # it has not taken the run yet: it makes its data
    return holder, note


def at_work(folder: Place, plan: Plan, book: Book) -> Work | None:
    """What the driver of a run folder is doing; None if there is none. It is not disturbed."""
    holder, note = driver_of(folder)
    if not holder:
        return None
    trials = list(book.trials.values())
    open_trials = [trial for trial in trials if not trial.ended]
    last = (open_trials or trials)[-1:]
    stage = last[0].stage if last else "starting"
    mine = [trial for trial in trials if trial.stage == stage]
    waiting = [trial for trial in mine if not trial.ended and (trial.paused or not trial.attempts)]
    elapsed = elapsed_of(folder)
    return Work(
        holder=holder,
        stage=stage,
        done=sum(trial.ended for trial in mine),
        running=sum(not trial.ended for trial in mine) - len(waiting),
        waiting=len(waiting),
        elapsed=elapsed,
        left=None if elapsed is None else seconds_left(plan, book, elapsed, _at_once(note)),
        place=place_of(stage),
        decides=decides(stage, plan),
    )


def elapsed_of(folder: Place) -> float | None:
    """Wall time: what is stored and, of a driver at work, what has passed since, or since it came.

    None if that is not known.
    """
    try:
        stored = float(read_json(folder / TIME_FILE)["wall_seconds"])
    except (OSError, UserError, KeyError, TypeError, ValueError):
        stored = 0.0
    if not isinstance(folder, Path) or not driver_of(folder)[0]:
        return stored or None
    since = [path.stat().st_mtime for path in (folder / TIME_FILE, folder / LOCK) if path.exists()]
    return stored + max(time.time() - max(since, default=time.time()), 0.0)


def _at_once(note: DriverNote | None) -> int:
    """Trials that a driver runs at once; 0 if it has not said so."""
    told = note.told.get("parallel") if note is not None else None
    return told if isinstance(told, int) and not isinstance(told, bool) else 0
