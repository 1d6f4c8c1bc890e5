"""Whether a driver is at work in a run folder, on what, and for how long still."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from search.config.plan import Plan
from search.engine.presence import files_in, holder_of_run
from search.ledger.book import Book
from search.ledger.files import read_json
from search.ledger.lineage import spent
from search.ledger.storage import Place
from search.ledger.trial import Trial
from search.ledger.wall_clock import TIME_FILE
from search.logs.console import duration
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
    """

    holder: str
    stage: str
    done: int
    running: int
    waiting: int
    elapsed: float | None
    left: float | None

    def text(self) -> str:
        """In a line.

        >>> Work("process 17", "explore", 5, 2, 1, 60.0, 130.0).text()
        'process 17 is at work: explore, 2 running, 1 waiting, 5 done; 1 min 0 s so far, about \
2 min 10 s left'
        """
        words = f"{self.holder} is at work: {self.stage}"
        if self.stage != "starting":
            words += f", {self.running} running, {self.waiting} waiting, {self.done} done"
        if self.elapsed is not None:
            words += f"; {duration(self.elapsed)} so far"
            words += ", " + (
                f"about {duration(self.left)} left" if self.left else "time left unknown"
            )
        return words


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


def seconds_left(plan: Plan, book: Book, elapsed: float, at_once: int) -> float | None:
    """Seconds for the compute to come; a trial of the search takes the mean of those that ended.

    Args:
        elapsed: seconds of wall time.
        at_once: trials that the driver runs at once; 0 if it has not said so.
    """
    compute, seconds = spent(book.trials)
    if not compute or not elapsed:
        return None
    trials = list(book.trials.values())
    searched = [trial for trial in trials if trial.searches]
    confirmed = [trial for trial in trials if not trial.searches]
    ended = [trial for trial in searched if trial.ended and trial.attempts]
    mean = sum(trial.compute for trial in ended) / len(ended) if ended else _likely(plan)
    runs = 0.0
    if not any(trial.ablates for trial in trials):
        # The reference recipe's runs may begin beside the search.
        if not any(trial.stage in ("confirm", "promise") for trial in trials):
            over = sum(trial.ended for trial in searched)
            begun = sum(min(t.compute, mean) for t in searched if not t.ended)
            runs += max(plan.wanted * plan.seeds - over, 0) * mean - begun
        section = plan.sections.stability
        over = sum(trial.ended for trial in confirmed)
        runs += max(section.runs() + 2 * section.promise_seeds - over, 0) * plan.budget
    else:
        runs += sum(not trial.ended for trial in confirmed) * plan.budget
    runs -= _begun(confirmed)
    # What has passed holds the start, and work that is not reported yet: early on it is most of it.
    pace = min(elapsed, seconds / at_once) if at_once and seconds else elapsed
    return max(runs, 0.0) * pace / compute


def _at_once(note: DriverNote | None) -> int:
    """Trials that a driver runs at once; 0 if it has not said so."""
    told = note.told.get("parallel") if note is not None else None
    return told if isinstance(told, int) and not isinstance(told, bool) else 0


def _likely(plan: Plan) -> float:
    """Training FLOPs of a trial of the search, before any has ended.

    Of those that a scheduler looks at early, one in `eta` goes on.
    """
    scheduler = plan.sections.search.scheduler
    eta, rungs = getattr(scheduler, "eta", None), scheduler.marks(False)
    if eta is None or not rungs:
        return plan.budget
    return plan.budget * (min(rungs) + (1.0 - min(rungs)) / float(eta))


def _begun(trials: list[Trial]) -> float:
    return sum(trial.compute for trial in trials if not trial.ended)
