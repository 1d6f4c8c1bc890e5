"""What happens to trials while workers run them: decisions and bookkeeping, without Ray."""

from __future__ import annotations

import math
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from search.engine.collapse import collapse_reason
from search.engine.events import Events
from search.engine.job import Job
from search.engine.source import TrialSource, Verdict
from search.ledger.book import Book
from search.ledger.trial import Trial
from search.objectives.outcome import Outcome, failed

MAX_DEATHS = 3
"""Times that a trial's worker may die in a row, without a report in between, and be replaced."""

_KILLED_FOR_MEMORY = re.compile(r"pid=(\d+), actual memory used=([\d.]+)GB")


class Execution:
    """The trials of one `run_trials`. Whoever runs the workers calls it, from one thread.

    An attempt is known by the name that its executor gives it.
    """

    def __init__(
        self, source: TrialSource, book: Book, events: Events, job: Callable[[Trial, int], Job]
    ) -> None:
        self.source = source
        self.ledger = book
        self.events = events
        self.job = job
        self.live: dict[str, tuple[Trial, int]] = {}
        self.pids: dict[str, int] = {}
        self.workers: dict[str, tuple[str, int]] = {}
        self._at: dict[str, str] = {}
        self.again: deque[Trial] = deque()
        self.deaths: Counter[int] = Counter()
        self.rows: dict[int, dict[str, Any]] = {}
        self.asked_to_stop: Callable[[], bool] = lambda: False
        self.stopping = False
        self.interrupted = False
        self.finished = False
        self.error: BaseException | None = None

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Keep what the source or the ledger raised: Tune would wrap it, or log it and go on."""
        try:
            yield
        except BaseException as error:
            self.error = self.error or error
            self.stopping = True
            raise

    def suggest(self, name: str) -> Job | Literal["finished"] | None:
        """The next attempt's job; None for not now, `finished` for never again."""
        with self.guarded():
            if self.check_stop():
                return "finished"
            while (trial := self.again.popleft() if self.again else self.source.next()) is not None:
                if not self._ended_already(trial):
                    attempt = self.ledger.begin_attempt(trial.id)
                    self.live[name] = (trial, attempt)
                    return self.job(trial, attempt)
            self.finished = self.source.exhausted() and not self.live
            return "finished" if self.finished else None

    def on_start(self, name: str, worker: str) -> None:
        """A worker takes an attempt; a new one says in its first message who it is."""
        with self.guarded():
            self._at[name] = worker
            if name in self.live and worker in self.workers:
                self._started(name, *self.workers[worker])

    def on_message(self, name: str, message: Mapping[str, Any]) -> Verdict:
        """Act on a worker's message; the answer says whether the attempt goes on."""
        with self.guarded():
            trial, attempt = self.live[name]
            if message["attempt"] != attempt or trial.ended:
                return "stop"
            if message["kind"] == "started":
                found = message["host"], message["pid"]
                self.workers[self._at.get(name, name)] = found
                self._started(name, *found)
                return "continue"
            if message["kind"] == "report":
                return self._on_report(trial, attempt, message)
            self._end(trial, message["outcome"], message["reason"])
            return "stop"

    def on_death(self, name: str, reason: str, *, own: bool = True) -> None:
        """The worker died: the trial goes on elsewhere, unless this happens again and again.

        Args:
            own: whether the trial may be why; only then does it count.
        """
        with self.guarded():
            trial, attempt = self.live.pop(name, (None, 0))
            self._forget(name)
            if trial is None or self.stopping or trial.ended:
                return
            self.ledger.preempt(trial.id, attempt, reason)
            self.deaths[trial.id] += own
            if self.deaths[trial.id] <= MAX_DEATHS:
                self.again.append(trial)
            else:
                memory = "low on memory" in reason or "OutOfMemory" in reason
                self._end(trial, "oom" if memory else "crashed", f"worker died: {reason}")

    def on_collapse(self, reason: str) -> None:
        """All workers are gone at once, for a reason that may name them."""
        line = reason.partition("\n")[0][:300]
        guilty = self._hungriest(reason)
        for name in list(self.live):
            self.on_death(name, line, own=guilty in (None, name))

    def on_end(self, name: str) -> None:
        """Tune is done with an attempt."""
        self.live.pop(name, None)
        self._forget(name)

    def check_stop(self) -> bool:
        """Whether everything is to stop now."""
        with self.guarded():
            self.stopping = self.stopping or self.interrupted or self.asked_to_stop()
        return self.stopping

    def _started(self, name: str, host: str, pid: int) -> None:
        self.pids[name] = pid
        self.events.started(self.live[name][0], f"{host}:{pid}")

    def _forget(self, name: str) -> None:
        self.pids.pop(name, None)
        self._at.pop(name, None)

    def _on_report(self, trial: Trial, attempt: int, message: Mapping[str, Any]) -> Verdict:
        row = message["row"]
        is_new = self.ledger.acknowledge(
            trial.id,
            attempt,
            row,
            message.get("checkpoint"),
            message.get("provenance"),
            message.get("findings"),
        )
        decision: Verdict = "continue"
        if is_new:
            self.deaths.pop(trial.id, None)
            self.rows[trial.id] = row
            score = self.source.score(row)
            self.events.reported(trial, row, score)
            if not failed(row):
                decision = self.source.on_report(trial, row)
        if failed(row):
            self._fail(trial, row)
        elif message["last"] or decision == "complete":
            self._end(trial, "completed", "")
        elif decision == "stop":
            self._end(trial, "pruned", "")
        elif decision == "pause":
            self.ledger.forget_checkpoints(trial.id, trial.checkpoint)
            self.ledger.pause(trial.id)
            self.rows.pop(trial.id, None)
            self.events.paused(trial)
            return "stop"
        return "continue" if not trial.ended else "stop"

    def _hungriest(self, reason: str) -> str | None:
        """The attempt with the most memory among those that Ray's memory monitor killed.

        It kills the neighbours of a worker that takes too much along with it (ray 2.60); they must
        not be given up for that.
        """
        used = {int(pid): float(memory) for pid, memory in _KILLED_FOR_MEMORY.findall(reason)}
        killed = [name for name in self.live if self.pids.get(name) in used]
        return max(killed, key=lambda name: used[self.pids[name]], default=None)

    def _ended_already(self, trial: Trial) -> bool:
        """Give a failed trial the outcome that a killed driver had no time to give it."""
        if trial.mark == 0:
            return False
        row = self._last_row(trial)
        if row is not None and failed(row):
            self._fail(trial, row)
        return trial.ended

    def _fail(self, trial: Trial, row: Mapping[str, Any]) -> None:
        if row["diverged"]:
            reason = f"non-finite loss or gradient by step {row['step']}"
            self._end(trial, "diverged", reason)
        else:
            self._end(trial, "collapsed", collapse_reason(self.ledger, trial))

    def _end(self, trial: Trial, outcome: Outcome, reason: str) -> None:
        row = self._last_row(trial) if outcome in ("completed", "pruned") else None
        score = self.source.floor if row is None else self.source.score(row)
        if not math.isfinite(score):
            outcome, reason, score = "diverged", f"the objective is {score}", self.source.floor
        # First: what a driver killed in between leaves, nobody would remove after the end.
        self.ledger.forget_checkpoints(trial.id, trial.checkpoint)
        self.ledger.finish(trial.id, outcome, score, reason)
        self.rows.pop(trial.id, None)
        self.deaths.pop(trial.id, None)
        self.source.on_end(trial)
        self.events.ended(trial)

    def _last_row(self, trial: Trial) -> dict[str, Any] | None:
        if trial.id not in self.rows:
            curve = self.ledger.curve(trial.id)
            return curve[-1] if curve else None
        return self.rows[trial.id]
