"""The attempts of an execution that run or wait for a worker, and who runs each of them.

A worker runs one of them, or several that are trained as one model: these begin together under the
name that the executor gives them, and end one by one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from search.engine.workers import Worker
from search.ledger.trial import Trial


class Running:
    """What is known of attempts, each by a name of its own: the executor's is that of the first.

    Attributes:
        live: trial and number of each that has not ended yet.
        pids: of those whose worker has said who it is.
        refused: how often in a row storage has refused a worker.
    """

    def __init__(self) -> None:
        self.live: dict[str, tuple[Trial, int]] = {}
        self.pids: dict[str, int] = {}
        self.refused: Counter[str] = Counter()
        self._begun = 0
        self._number: dict[str, int] = {}
        self._workers: dict[str, Worker] = {}
        self._at: dict[str, str] = {}
        self._since: dict[str, float] = {}
        self._usage: dict[str, dict[str, Any]] = {}
        self._open: dict[str, list[str]] = {}
        self._of: dict[str, str] = {}

    def open(self, name: str, trial: Trial, attempt: int) -> None:
        """An attempt waits for a worker: the first of that name, or one beside it."""
        if not self.crew(name):
            self._open[name] = []
        crew = self._open[name]
        own = f"{name}+{len(crew)}" if crew else name
        crew.append(own)
        self._of[own] = name
        self.live[own] = (trial, attempt)
        self._number[own] = self._begun
        self._begun += 1
        self._since[own] = time.monotonic()

    def crew(self, name: str) -> list[str]:
        """Those that one worker has or is to have, by any of their names."""
        return [own for own in self._open.get(self._of.get(name, name), ()) if own in self.live]

    def begun_beside(self, name: str) -> int:
        """How many one worker was given at once, this one included."""
        return len(self._open.get(self._of.get(name, name), (name,)))

    def whose(self, name: str, trial: int | None) -> str | None:
        """The one of a worker that a message is of; None if it has ended."""
        crew = self.crew(name)
        if self.begun_beside(name) == 1:
            return crew[0] if crew else None
        return next((own for own in crew if self.live[own][0].id == trial), None)

    def take(self, name: str, worker: str) -> bool:
        """A worker takes what has this name; whether it has said who it is, for an earlier one."""
        self._at[name] = worker
        crew = self.crew(name)
        for own in crew:
            self._since[own] = time.monotonic()
        if not crew or worker not in self._workers:
            return False
        self.pids.update(dict.fromkeys(crew, self._workers[worker].pid))
        return True

    def introduce(self, name: str, worker: Worker) -> None:
        """The worker of an attempt says who it is."""
        self._workers[self._place(name)] = worker
        self.pids[name] = worker.pid

    def worker(self, name: str) -> Worker:
        """Who has an attempt; nobody known if it has not said so."""
        return self._workers.get(self._place(name), Worker())

    def _place(self, name: str) -> str:
        first = self._of.get(name, name)
        return self._at.get(first, first)

    def order(self, name: str) -> tuple[int, int]:
        """How many attempts had begun before it, and how many have by now."""
        return self._number.get(name, 0), self._begun

    def used(self, name: str, usage: Mapping[str, Any]) -> None:
        """What a worker used when it spoke last."""
        self._usage[name] = {**usage, "at": time.time()}

    def reported(self, name: str) -> None:
        """What an attempt did so far is acknowledged."""
        self._since[name] = time.monotonic()
        self.refused.pop(name, None)

    def unsaved(self, name: str) -> float:
        """Seconds of work that would be repeated, at most; of a common model its part."""
        since = self._since.get(name)
        return 0.0 if since is None else (time.monotonic() - since) / self.begun_beside(name)

    def leave(self, name: str) -> None:
        """An attempt has ended; its executor may still have to put it away."""
        self.live.pop(name, None)
        self.pids.pop(name, None)
        self.refused.pop(name, None)
        self._usage.pop(name, None)
        self._since.pop(name, None)
        if not self.crew(name):
            self._at.pop(self._of.get(name, name), None)

    def close(self, name: str) -> None:
        """The executor has put what has this name away."""
        for own in self._open.get(name, [name]):
            self.leave(own)
            self._number.pop(own, None)
            self._of.pop(own, None)
        self._open.pop(name, None)

    def clear(self) -> None:
        """Whoever ran them is gone, and tells nobody."""
        self._open.clear()
        self._number.clear()
        self._of.clear()

    def __len__(self) -> int:
        return len(self._open)

    @property
    def started(self) -> Collection[str]:
        """Those that a worker has taken."""
        return self._at

    @property
    def lacks_workers(self) -> bool:
        """Whether any waits for a worker; also right after one lost its worker."""
        return len(self._open) > len(self._at)

    @property
    def trains(self) -> bool:
        """Whether any has something to save: who has only just been given a trial has not."""
        return any(name in self.pids for name in self.live)

    def first(self, names: Collection[str]) -> str | None:
        """Of attempts that wait for a worker the one that gets the next: of a lost trial, if any.

        None if none waits.
        """
        waiting = [name for name in self._open if name in names and self.crew(name)]
        lost = (n for n in waiting if any(self.live[own][0].preempted for own in self.crew(n)))
        return next(lost, waiting[0] if waiting else None)

    def at_work(self) -> list[dict[str, Any]]:
        """What each worker is at, and what it used when it last spoke; for another thread."""
        found = []
        for name, (trial, attempt) in list(self.live.items()):
            worker = self.worker(name)
            if worker.pid and name in self.pids:
                who = {"trial": trial.id, "attempt": attempt, **vars(worker)}
                found.append({**who, **self._usage.get(name, {})})
        return found
