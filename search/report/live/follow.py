"""Follows a run: writes its page anew when the run folder has changed and somebody looks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from search.analysis.at_work import driver_of
from search.analysis.training_status import holds_training
from search.ledger.files import REPORT_FILE
from search.ledger.storage import Place, Remote
from search.ledger.trial import Trial
from search.ledger.wall_clock import TIME_FILE
from search.report.facts import read_facts
from search.report.live.drawing import Drawing
from search.report.live.parts import Versions, taken_apart
from search.report.live.trials import trials_markup
from search.report.page import POLICY, Around
from search.report.training import training_page
from search.report.write import assembled
from trm.errors import UserError
from trm.files.driver_note import NOTES
from trm.files.run_folder import LOCK

WORDS, FIGURES, FIGURE = 0.012, 0.012, 0.003
"""Shares of one core's time: what reading the run and its words may take, all figures together, and
one section's figures. A sweep beside it loses no more."""
LEAST, LEAST_AT_STORE = 2.0, 30.0
"""Seconds between two looks at a run folder at least, on a disk and on an object store."""
LOOKED = 10.0
"""Seconds for which somebody who has asked counts as looking."""
SERVED = POLICY.replace("default-src 'none'", "default-src 'none'; connect-src 'self'")
"""The page's policy, where it may ask the server that it came from, and no other."""


class Follower:
    """The newest page of a run, for any number of viewers.

    Pages are written by one thread, however many look, and by none while nobody does.

    Args:
        folder: a run folder, local or a URI, or a training's folder.
        clock: seconds.
        spent: CPU seconds that this process has had.

    Raises:
        UserError: the folder holds no run.
    """

    def __init__(
        self,
        folder: Place,
        clock: Callable[[], float] = time.monotonic,
        spent: Callable[[], float] = time.process_time,
    ) -> None:
        self.folder = folder
        self._clock, self._spent = clock, spent
        self._drawing = Drawing(FIGURES, FIGURE, clock, spent)
        self._lock = threading.Lock()
        self._looking = threading.Condition()
        self._asked = clock()
        self._ends = False
        self._versions = Versions()
        self._stamp: Any = None
        self._problem = ""
        self._html = ""
        self._works = False
        self._written = self._next = clock()
        self._write()

    def start(self) -> None:
        """Follow the run from now on, in a thread."""
        threading.Thread(target=self._follow, daemon=True, name="follow").start()

    def end(self) -> None:
        """Follow it no longer."""
        with self._looking:
            self._ends = True
            self._looking.notify()

    def html(self) -> str:
        """The newest page, whole."""
        self._note()
        with self._lock:
            return self._html

    def changes(self, version: int) -> dict[str, Any]:
        """What a viewer lacks who has a version, and how the run stands.

        Returns:
            `version`, `frame` and `figures` as `Versions.changes`; `says`, a line on the state of
            the page; `works`, whether a driver is at work; `problem`, whether the run could not be
            read last time.
        """
        self._note()
        with self._lock:
            found = self._versions.changes(version)
            return {
                **found, "says": self._says(), "works": self._works,
                "problem": bool(self._problem),
            }  # fmt: skip

    def look(self) -> bool:
        """Look at the run if that is due; says whether there is a new version."""
        if self._clock() < self._next:
            return False
        before = self._versions.now
        self._write()
        return self._versions.now > before

    def _note(self) -> None:
        with self._looking:
            self._asked = self._clock()
            self._looking.notify()

    def _follow(self) -> None:
        while True:
            with self._looking:
                while not self._ends and self._clock() - self._asked > LOOKED:
                    self._looking.wait()
                if self._ends:
                    return
                self._looking.wait(min(max(self._next - self._clock(), 0.05), 1.0))
            self.look()

    def _write(self) -> None:
        """A new version, if the run folder is another; what fails leaves the old one."""
        least = LEAST_AT_STORE if isinstance(self.folder, Remote) else LEAST
        words, problem = 0.0, ""
        try:
            stamp = self._stamp_now()
            changed = stamp != self._stamp
            if changed:
                self._drawing.mark_stale()
            if changed or self._drawing.due():
                words = self._draw()
            self._stamp = stamp
        except (UserError, OSError) as error:
            # A driver may be writing what is read: the next look is another.
            if not self._html:
                raise
            problem = str(error).splitlines()[0]
        with self._lock:
            self._problem = problem
        self._next = self._clock() + max(least, words / WORDS)

    def _draw(self) -> float:
        """Write the page; returns the CPU seconds that it took beside its figures."""
        begun = self._spent()
        works = bool(driver_of(self.folder)[0])
        figures = 0.0
        if holds_training(self.folder):
            assert isinstance(self.folder, Path)
            version, around = self._around(works, {})
            html = training_page(self.folder, around)
        else:
            facts = read_facts(self.folder)
            before = self._spent()
            made = self._drawing.sections(facts, all_now=not works)
            figures = self._spent() - before
            version, around = self._around(works, facts.trials)
            html = assembled(facts, made, around)
        parts = taken_apart(html)
        with self._lock:
            self._html, self._works = html, works
            self._versions.take(version, parts)
            self._written = self._clock()
        return self._spent() - begun - figures

    def _around(self, works: bool, trials: Mapping[int, Trial]) -> tuple[int, Around]:
        # Above every number that a server of this run has given before.
        version = max(int(time.time() * 1000), self._versions.now + 1)
        bar = (
            f'<div id="live" data-version="{version}" data-state="{"works" if works else "rests"}">'
            f"<output></output>{_TO_TRIALS if trials else ''}</div>"
        )
        more = (trials_markup(trials) if trials else "") + bar
        return version, Around(SERVED, _file("live.css"), more, _file("live.js"))

    def _stamp_now(self) -> Any:
        """Something that is another once the run folder is."""
        holder = driver_of(self.folder)[0]
        if isinstance(self.folder, Remote):
            return holder, self._clock()  # an object store is read to know
        found = []
        for place in (self.folder, *(self.folder / name for name in _LEDGER)):
            if place.is_dir():
                for path in place.iterdir():
                    if path.is_file() and path.name not in _BEATS:
                        stat = path.stat()
                        found.append((str(path), stat.st_mtime_ns, stat.st_size))
        return holder, tuple(sorted(found))

    def _says(self) -> str:
        age = int(self._clock() - self._written)
        ago = "now" if age < 2 else f"{age} s ago" if age < 120 else f"{age // 60} min ago"
        if self._problem:
            return f"cannot be read just now, shown as of {ago}: {self._problem}"
        if self._works:
            return f"the run goes on; last change shown {ago}"
        return f"no driver is at work; last change shown {ago}"


_LEDGER = ("log", "trials", "curves", "attempts", "thought")
_BEATS = {REPORT_FILE, "study.log", TIME_FILE, LOCK, *NOTES}
"""Files that change while what the page shows does not."""
_TO_TRIALS = '<a href="#live-trials">trials, logs and configs</a>'


def _file(name: str) -> str:
    return (resources.files("search.report.live") / name).read_text(encoding="utf-8")
