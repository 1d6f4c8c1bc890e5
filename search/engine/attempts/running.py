"""The attempts of an execution that run or wait for a worker, and who runs each of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from search.engine.workers import Worker
from search.ledger.trial import Trial


class Running:
    """What is known of attempts, by the name that their executor gives them.

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
        self._open: set[str] = set()

    def open(self, name: str, trial: Trial, attempt: int) -> None:
        """An attempt waits for a worker."""
        self.live[name] = (trial, attempt)
        self._open.add(name)
        self._number[name] = self._begun
        self._begun += 1
        self._since[name] = time.monotonic()

    def take(self, name: str, worker: str) -> bool:
        """A worker takes an attempt; whether it has said who it is, for an earlier one."""
        self._at[name] = worker
        self._since[name] = time.monotonic()
        if name not in self.live or worker not in self._workers:
            return False
        self.pids[name] = self._workers[worker].pid
        return True

    def introduce(self, name: str, worker: Worker) -> None:
        """The worker of an attempt says who it is."""
        self._workers[self._at.get(name, name)] = worker
        self.pids[name] = worker.pid

    def worker(self, name: str) -> Worker:
        """Who has an attempt; nobody known if it has not said so."""
        return self._workers.get(self._at.get(name, name), Worker())

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
        """Seconds of work that would be repeated, at most."""
        since = self._since.get(name)
        return 0.0 if since is None else time.monotonic() - since

    def leave(self, name: str) -> None:
        """An attempt has ended; its executor may still have to put it away."""
        self.live.pop(name, None)
        self.pids.pop(name, None)
        self.refused.pop(name, None)
        self._usage.pop(name, None)
        self._at.pop(name, None)
        self._since.pop(name, None)

    def close(self, name: str) -> None:
        """The executor has put an attempt away."""
        self.leave(name)
        self._open.discard(name)
        self._number.pop(name, None)

    def clear(self) -> None:
        """Whoever ran them is gone, and tells nobody."""
        self._open.clear()
        self._number.clear()

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
        waiting = [name for name in self.live if name in names]
        lost = (name for name in waiting if self.live[name][0].preempted)
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
