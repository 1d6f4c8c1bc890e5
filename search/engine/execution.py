"""What happens to trials while workers run them: decisions and bookkeeping, without Ray."""

from __future__ import annotations

import math
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

from search.engine.collapse import collapse_reason
from search.engine.events import Events
from search.engine.guilt import Guilt, leave_out
from search.engine.job import Job
from search.engine.packing.parts import Parts, larger
from search.engine.source import TrialSource, Verdict
from search.engine.workers import Worker, cause_of_death, hungriest
from search.ledger.attempts import Cause
from search.ledger.book import Book
from search.ledger.room import Room
from search.ledger.trial import Trial
from search.objectives.outcome import Outcome, failed

MAX_DEATHS = 3
"""Times that a trial's worker may be ended for memory in a row, without a report in between."""
LOST_FIRST = 2
"""Times in a row that a trial whose node was lost runs before others; then its node may be lost
for what it does."""
REFUSALS = 3
"""Times in a row that storage may refuse a worker although it takes what the driver writes."""


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
        self.workers: dict[str, Worker] = {}
        self._at: dict[str, str] = {}
        self._since: dict[str, float] = {}
        self._usage: dict[str, dict[str, Any]] = {}
        self._refused: Counter[str] = Counter()
        self.again: deque[Trial] = deque()
        self._later: deque[tuple[int, Trial]] = deque()
        self._larger: deque[Trial] = deque()
        self.parts = Parts(book.attempts)
        self._begun = 0
        self.deaths: Counter[int] = Counter()
        self.guilt = Guilt(book.attempts)
        self.room: Room | None = None
        self.nodes: Callable[[], Collection[str]] = tuple
        self.barred: Callable[[], Collection[str]] = tuple
        self.allows: Callable[[str], bool] = lambda node: True
        self.gone: Callable[[str], bool] = lambda node: False
        self.slots: Callable[[], int] = lambda: sys.maxsize
        self._open: set[str] = set()
        self.rows: dict[int, dict[str, Any]] = {}
        self.asked_to_stop: Callable[[], bool] = lambda: False
        self.leave: Callable[[], None] = lambda: None
        self._ends_by: float | None = None
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
            if self._ends_by is not None or (self.room is not None and self.room.holds()):
                return None
            if len(self._open) >= self.slots():
                # A trial that was lost waits with the others, and is the first that gets a place.
                return None if self._open or not self._over() else "finished"
            if self.parts.emptying(self._at):
                return None
            while (trial := self._next()) is not None:
                if not self._ended_already(trial):
                    attempt = self.ledger.begin_attempt(trial.id)
                    self._begun += 1
                    self.live[name] = (trial, attempt)
                    self._open.add(name)
                    self.parts.open(name, trial, attempt)
                    self._since[name] = time.monotonic()
                    return self.job(trial, attempt)
            return "finished" if self._over() else None

    def first(self, names: Collection[str]) -> str | None:
        """Of attempts that wait for a worker the one that gets the next: of a lost trial, if any.

        None if none waits.
        """
        waiting = [name for name in self.live if name in names]
        lost = (name for name in waiting if self.live[name][0].preempted)
        return next(lost, waiting[0] if waiting else None)

    @property
    def open(self) -> int:
        """Attempts that run or wait for a worker."""
        return len(self._open)

    @property
    def lacks_workers(self) -> bool:
        """Whether any of them waits for a worker; also right after one lost its worker."""
        return len(self._open) > len(self._at)

    def waiting(self) -> int:
        """Trials that only lack room, as far as that is known without drawing any."""
        return len(self.again) + len(self._later) + len(self._larger) + self.source.waiting()

    def left_out(self) -> set[str]:
        """Nodes that get no trials: those that must prove themselves first, and bad ones."""
        return {node for node in (*self.guilt.bad, *self.barred()) if node}

    def on_start(self, name: str, worker: str) -> None:
        """A worker takes an attempt; a new one says in its first message who it is."""
        with self.guarded():
            self._at[name] = worker
            self._since[name] = time.monotonic()
            if name in self.live and worker in self.workers:
                self._started(name)

    def on_message(self, name: str, message: Mapping[str, Any]) -> Verdict:
        """Act on a worker's message; the answer says whether the attempt goes on."""
        with self.guarded():
            trial, attempt = self.live[name]
            if message["attempt"] != attempt or trial.ended:
                return "stop"
            self._usage[name] = {**message.get("usage", {}), "at": time.time()}
            if message["kind"] == "started":
                found = Worker(message["host"], message["pid"], message.get("node", ""))
                self.workers[self._at.get(name, name)] = found
                self._started(name)
                # It was on its way when its node became bad, or when the node joined.
                if found.node in self.guilt.bad or not self.allows(found.node):
                    return self._leave(name, "machine", "its node gets no trials")
                if not self.parts.fits(name, found.node):
                    return self._leave(name, "node", "its node shares its GPUs otherwise")
                return "continue"
            if message["kind"] == "report":
                return self._on_report(name, trial, attempt, message)
            if message["kind"] == "saved":
                return self._saved(name, message["checkpoint"])
            if message["kind"] == "storage":
                return self._on_refusal(name, message)
            if message["kind"] == "fault":
                reason, memory = message["reason"], bool(message.get("memory"))
                return self._on_fault(name, "machine", reason, memory=memory)
            if message["outcome"] == "oom" and (part := self.parts.lacking(name, trial)):
                return self._leave_for_more(name, part, message["reason"])
            self._end(trial, message["outcome"], message["reason"])
            return "replace" if message.get("broken") else "stop"

    def on_death(self, name: str, reason: str, *, own: bool = True, of_node: bool = True) -> None:
        """The worker died: the trial goes on elsewhere, unless this happens again and again.

        Args:
            own: whether the trial may be why; only then does it count.
            of_node: whether the node may be why.
        """
        with self.guarded():
            trial, _ = self.live.get(name, (None, 0))
            if trial is None or self.stopping or trial.ended:
                self.live.pop(name, None)
                self._forget(name)
                return
            cause = cause_of_death(reason)
            if cause == "worker" and self.gone(self._worker(name).node):
                cause = "node"  # whose end need not be what Ray hears of first
            if cause == "memory":
                self._leave(name, "memory", reason)
                self.deaths[trial.id] += own
                if self.deaths[trial.id] > MAX_DEATHS:
                    self._give_up(trial, "oom", f"worker died: {reason}")
            elif not own:
                self._leave(name, "worker", reason)
            else:
                self._on_fault(name, cause, reason, of_node=of_node and cause != "node")

    def on_collapse(self, reason: str) -> None:
        """All workers are gone at once, for a reason that may name them."""
        line = reason.partition("\n")[0][:300]
        guilty = hungriest(reason, self.live, self.pids)
        for name in list(self.live):
            self.on_death(name, line, own=guilty in (None, name), of_node=False)
        self._open.clear()  # whoever ran them is gone, and tells nobody
        self.parts.clear()

    def on_end(self, name: str) -> None:
        """Tune is done with an attempt."""
        self.live.pop(name, None)
        self._open.discard(name)
        self.parts.close(name)
        self._forget(name)

    def end_gently(self, seconds: float) -> None:
        """Begin nothing more, and stop once every worker has saved its state, or at that time.

        Another thread may call it.
        """
        self._ends_by = time.monotonic() + seconds

    def check_stop(self) -> bool:
        """Whether everything is to stop now."""
        with self.guarded():
            if self._ends_by is not None and not self.interrupted:
                # Who has only just been given a trial has nothing to save.
                trains = any(name in self.pids for name in self.live)
                if not trains or time.monotonic() >= self._ends_by:
                    self.interrupted = True
                    self.leave()
            self.stopping = self.stopping or self.interrupted or self.asked_to_stop()
            if self.room is not None and not self.stopping:
                self.room.holds()
        return self.stopping

    def _over(self) -> bool:
        """Whether nothing runs and nothing will."""
        waits = self.live or self.again or self._later or self._larger
        self.finished = not waits and self.source.exhausted()
        return self.finished

    def at_work(self) -> list[dict[str, Any]]:
        """What each worker is at, and what it used when it last spoke; for another thread."""
        found = []
        for name, (trial, attempt) in list(self.live.items()):
            worker = self._worker(name)
            if worker.pid and name in self.pids:
                who = {"trial": trial.id, "attempt": attempt, **vars(worker)}
                found.append({**who, **self._usage.get(name, {})})
        return found

    def _next(self) -> Trial | None:
        """The next trial: one that lost its worker before others, but not again and again."""
        if self.again:
            return self.again.popleft()
        if self._later and self._later[0][0] < self._begun:
            return self._later.popleft()[1]
        if (trial := self.source.next()) is not None:
            return trial
        if self._later:
            return self._later.popleft()[1]
        return self._larger.popleft() if self._larger else None

    def _worker(self, name: str) -> Worker:
        return self.workers.get(self._at.get(name, name), Worker())

    def _started(self, name: str) -> None:
        worker = self._worker(name)
        self.pids[name] = worker.pid
        self.events.started(self.live[name][0], f"{worker.host}:{worker.pid}")

    def _forget(self, name: str) -> None:
        self.pids.pop(name, None)
        self._usage.pop(name, None)
        self._at.pop(name, None)
        self._since.pop(name, None)
        self._refused.pop(name, None)

    def on_stranded(self, waiting: Collection[str]) -> list[str]:
        """Of attempts that wait for a worker those whose nodes are gone; their trials go on."""
        with self.guarded():
            found = [name for name in self.parts.stranded(waiting) if name in self.live]
            for name in found:
                self._leave(name, "node", "its nodes were gone before it began")
            return found

    def _leave_for_more(self, name: str, part: float, reason: str) -> Verdict:
        """End an attempt whose part of a GPU was too small: the trial has a larger one once."""
        said = f"{part:g} of a GPU is too little, {larger(part):g} is next: {reason}"
        return self._leave(name, "memory", said, gpus=part)

    def _leave(self, name: str, cause: Cause, reason: str, gpus: float = 0.0) -> Verdict:
        """End an attempt whose trial goes on: at once, or after others if it met faults before."""
        trial, attempt = self.live.pop(name)
        worker, since = self._worker(name), self._since.get(name)
        self.ledger.preempt(
            trial.id, attempt, reason, cause=cause, host=worker.host, node=worker.node,
            pid=worker.pid, repeated=0.0 if since is None else time.monotonic() - since, gpus=gpus,
        )  # fmt: skip
        self._forget(name)
        if self.parts.grows(trial):
            self._larger.append(trial)
        elif self.guilt.faults(trial) > (LOST_FIRST if cause == "node" else 1):
            self._later.append((self._begun, trial))
        else:
            self.again.append(trial)
        return "replace"

    def _saved(self, name: str, checkpoint: str) -> Verdict:
        """End an attempt whose state is in a checkpoint: a later driver goes on from there."""
        trial, attempt = self.live.pop(name)
        worker = self._worker(name)
        self.ledger.preempt(
            trial.id, attempt, "asked to stop", cause="stopped", host=worker.host,
            node=worker.node, pid=worker.pid, checkpoint=checkpoint,
        )  # fmt: skip
        self._forget(name)
        return "stop"

    def _on_fault(
        self,
        name: str,
        cause: Cause,
        reason: str,
        *,
        memory: bool = False,
        of_node: bool = True,
    ) -> Verdict:
        """End an attempt for what may be its node's fault, or the trial's own after all."""
        trial, _ = self.live[name]
        worker = self._worker(name)
        if of_node and not worker.node and len(able := list(self.nodes())) == 1:
            worker = replace(worker, node=able[0])  # it died before it said where, but where else
        became_bad = self.guilt.fault(trial, worker.node, of_node=of_node)
        self._leave(name, cause, reason)
        if self.guilt.guilty(trial):
            said = "wherever it ran" if cause == "machine" else "worker died"
            self._give_up(trial, "oom" if memory else "crashed", f"{said}: {reason}")
        elif became_bad:
            leave_out(worker, reason, set(self.nodes()) - self.guilt.bad)
        return "replace"

    def _give_up(self, trial: Trial, outcome: Outcome, reason: str) -> None:
        """End a trial that waits to be run again."""
        self.again = deque(one for one in self.again if one is not trial)
        self._later = deque(pair for pair in self._later if pair[1] is not trial)
        self._larger = deque(one for one in self._larger if one is not trial)
        self._end(trial, outcome, reason)

    def _on_refusal(self, name: str, message: Mapping[str, Any]) -> Verdict:
        """A worker cannot store what it has: everybody waits, unless it is alone with that."""
        problem, needed = message["reason"], int(message["needed"])
        assert self.room is not None
        if self.room.waiting or self.room.refuses(needed):
            self.room.hold(name, problem, needed)
            return "continue"
        self._refused[name] += 1
        if self._refused[name] < REFUSALS:
            return "continue"
        return self._on_fault(name, "machine", problem)

    def _on_report(
        self, name: str, trial: Trial, attempt: int, message: Mapping[str, Any]
    ) -> Verdict:
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
            self.guilt.report(trial, self._worker(name).node)
            self._since[name] = time.monotonic()
            self._refused.pop(name, None)
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
        return "stop" if trial.ended or self._ends_by is not None else "continue"

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
