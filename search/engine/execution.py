"""What happens to trials while workers run them: decisions and bookkeeping, without Ray."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

from search.engine.attempts.ends import Ends
from search.engine.attempts.guilt import DIED_IDLE, SENT_AWAY, Guilt, leave_out
from search.engine.attempts.losses import ALONE
from search.engine.attempts.running import Running
from search.engine.attempts.turns import Turns
from search.engine.events import Events
from search.engine.job import Job
from search.engine.packing.parts import Parts, larger
from search.engine.source import TrialSource, Verdict
from search.engine.stacks.companions import Companions
from search.engine.workers import Worker, cause_of_death, hungriest
from search.ledger.attempts import Cause
from search.ledger.book import Book
from search.ledger.room import Room
from search.ledger.trial import Trial
from search.objectives.outcome import Outcome, failed

REFUSALS = 3
"""Times in a row that storage may refuse a worker although it takes what the driver writes."""


class Execution:
    """The trials of one `run_trials`. Whoever runs the workers calls it, from one thread.

    An attempt is known by the name that its executor gives it. Under one name several may begin, of
    trials that one worker trains as one model; each ends by itself.
    """

    def __init__(
        self, source: TrialSource, book: Book, events: Events, job: Callable[[Trial, int], Job]
    ) -> None:
        self.source = source
        self.ledger = book
        self.events, self.job = events, job
        self.running = Running()
        self.turns = Turns(source)
        self.parts = Parts(book.attempts)
        self.guilt = Guilt(book.attempts, lambda node: self.gone(node))
        self.companions = Companions(self.turns, self.guilt, self.parts, book.attempts)
        self._ends = Ends(source, book, events)
        self.room: Room | None = None
        self.nodes: Callable[[], Collection[str]] = tuple
        self.barred: Callable[[], Collection[str]] = tuple
        self.allows: Callable[[str], bool] = lambda node: True
        self.gone: Callable[[str], bool] = lambda node: False
        self.slots: Callable[[], int] = lambda: sys.maxsize
        self.asked_to_stop: Callable[[], bool] = lambda: False
        self.leave: Callable[[], None] = lambda: None
        self._ends_by: float | None = None
        self.stopping = self.interrupted = self.finished = False
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
            free = self.slots() - len(self.running) - self.parts.places()
            if free <= 0:
                # A trial that was lost waits with the others, and is the first that gets a place.
                return None if len(self.running) or not self._over() else "finished"
            if self.parts.emptying(self.running.started):
                return None
            while (trial := self.turns.next()) is not None:
                if not self._ends.ended_already(trial):
                    others = self.companions.of(trial, free)
                    return self._begin(
                        name, [trial, *(one for one in others if not self._ends.ended_already(one))]
                    )
            return "finished" if self._over() else None

    def left_out(self) -> set[str]:
        """Nodes that get no trials: those that must prove themselves first, and bad ones."""
        return {node for node in (*self.guilt.bad, *self.barred()) if node}

    def on_start(self, name: str, worker: str) -> None:
        """A worker takes an attempt; a new one says in its first message who it is."""
        with self.guarded():
            if self.running.take(name, worker):
                for one in self.running.crew(name):
                    self._started(one)

    def on_message(self, name: str, message: Mapping[str, Any]) -> Verdict:
        """Act on a worker's message; the answer says whether the attempt goes on."""
        with self.guarded():
            crew, own = self.running.crew(name), self.running.whose(name, message.get("trial"))
            if own is None:
                return "drop" if crew else "stop"
            verdict = self._heard(name, own, message)
            if verdict == "stop" and len(crew) > 1:
                self.running.leave(own)
                return "drop"
            return verdict

    def on_death(self, name: str, reason: str, *, own: bool = True, of_node: bool = True) -> None:
        """The worker died: the trial goes on elsewhere, unless this happens again and again.

        Args:
            own: whether the trial may be why; only then does it count.
            of_node: whether the node may be why.
        """
        with self.guarded():
            for number, one in enumerate(self.running.crew(name) or [name]):
                self._lost(one, reason, own, of_node and not number)

    def on_idle_death(self, name: str, worker: str, reason: str) -> None:
        """The worker that an attempt was to get had died before, when it had none: no fault."""
        with self.guarded():
            self.running.take(name, worker)
            for one in [] if self.stopping else self.running.crew(name):
                self._leave(one, cause_of_death(reason), DIED_IDLE)

    def on_collapse(self, reason: str) -> None:
        """All workers are gone at once, for a reason that may name them."""
        line = reason.partition("\n")[0][:300]
        guilty = hungriest(reason, self.running.live, self.running.pids)
        with self.guarded():
            its = self.running.crew(guilty) if guilty else ()
            for name in list(self.running.live):
                self._lost(name, line, guilty is None or name in its, of_node=False)
        self.running.clear()
        self.parts.clear()

    def on_end(self, name: str) -> None:
        """Tune is done with an attempt."""
        self.running.close(name)
        self.parts.close(name)

    def on_stranded(self, waiting: Collection[str]) -> list[str]:
        """Of attempts that wait for a worker those whose nodes are gone; their trials go on."""
        with self.guarded():
            found = [name for name in self.parts.stranded(waiting) if self.running.crew(name)]
            for one in (one for name in found for one in self.running.crew(name)):
                self._leave(one, "node", "its nodes were gone before it began")
            return found

    def end_gently(self, seconds: float) -> None:
        """Begin nothing more, and stop once every worker has saved its state, or at that time.

        Another thread may call it.
        """
        self._ends_by = time.monotonic() + seconds

    def check_stop(self) -> bool:
        """Whether everything is to stop now."""
        with self.guarded():
            ends = self._ends_by is not None and not self.interrupted
            if ends and (not self.running.trains or time.monotonic() >= (self._ends_by or 0.0)):
                self.interrupted = True
                self.leave()
            self.stopping = self.stopping or self.interrupted or self.asked_to_stop()
            if self.room is not None and not self.stopping:
                self.room.holds()
        return self.stopping

    def _over(self) -> bool:
        """Whether nothing runs and nothing will."""
        self.finished = not self.running.live and self.turns.exhausted()
        return self.finished

    def _begin(self, name: str, trials: Sequence[Trial]) -> Job:
        """Begin an attempt of each, under one name."""
        attempts = [self.ledger.begin_attempt(trial.id) for trial in trials]
        self.turns.began()
        for trial, attempt in zip(trials, attempts, strict=True):
            self.running.open(name, trial, attempt)
        self.parts.open(name, trials[0], attempts[0], len(trials))
        first, *others = map(self.job, trials, attempts)
        if not others:
            return first
        return replace(first, others=tuple(replace(one, threads=first.threads) for one in others))

    def _heard(self, name: str, own: str, message: Mapping[str, Any]) -> Verdict:
        """Act on what a worker says of one of its attempts, by its own name, or of itself."""
        crew, (trial, attempt) = self.running.crew(name), self.running.live[own]
        if message["attempt"] != attempt or trial.ended:
            return "stop"
        self.running.used(own, message.get("usage", {}))
        match message["kind"]:
            case "started":
                said = [self._on_introduction(one, message) for one in crew]
                return "replace" if "replace" in said else "continue"
            case "report":
                return self._on_report(own, message)
            case "saved":
                return self._saved(own, message["checkpoint"])
            case "storage":
                return self._on_refusal(own, message)
            case "fault":
                return self._on_faults(crew, message["reason"], bool(message.get("memory")))
        outcome, reason = message["outcome"], message["reason"]
        if outcome != "completed" and len(crew) > 1:
            # Whose error it is, each of them will show by itself.
            for one in crew:
                self._leave(one, "stack", f"{outcome}: {reason}")
            return "replace"
        if outcome == "oom" and (part := self.parts.lacking(name, trial)):
            more = f"{part:g} of a GPU is too little, {larger(part):g} is next"
            return self._leave(own, "memory", f"{more}: {reason}", gpus=part)
        self._ends.end(trial, outcome, reason)
        return "replace" if message.get("broken") else "stop"

    def _lost(self, name: str, reason: str, own: bool, of_node: bool) -> None:
        """An attempt's worker died."""
        trial, _ = self.running.live.get(name, (None, 0))
        if trial is None or self.stopping or trial.ended:
            self.running.leave(name)
            return
        cause = cause_of_death(reason)
        if cause == "worker" and self.gone(self.running.worker(name).node):
            cause = "node"  # whose end need not be what Ray hears of first
        if cause == "node":
            self._on_loss(name, reason)
        elif cause == "memory":
            self._leave(name, "memory", reason)
            if own and self.guilt.memory(trial):
                self._give_up(trial, "oom", f"worker died: {reason}")
        elif not own:
            self._leave(name, "worker", reason)
        else:
            self._on_fault(name, cause, reason, of_node=of_node)

    def _started(self, name: str) -> None:
        worker = self.running.worker(name)
        self.events.started(self.running.live[name][0], f"{worker.host}:{worker.pid}")

    def _on_introduction(self, name: str, message: Mapping[str, Any]) -> Verdict:
        found = Worker(message["host"], message["pid"], message.get("node", ""))
        self.running.introduce(name, found)
        self._started(name)
        # It was on its way when its node became bad, or when the node joined.
        if found.node in self.guilt.bad or not self.allows(found.node):
            return self._leave(name, "machine", SENT_AWAY)
        if not self.parts.fits(name, found.node):
            return self._leave(name, "node", "its node shares its GPUs otherwise")
        return "continue"

    def _leave(self, name: str, cause: Cause, reason: str, gpus: float = 0.0) -> Verdict:
        """End an attempt whose trial goes on: at once, or after others if it met faults before."""
        trial, _ = self.running.live[name]
        self._put_down(name, cause, reason, repeated=self.running.unsaved(name), gpus=gpus)
        if self.parts.grows(trial):
            self.turns.at_last(trial)
        elif self.guilt.waits(trial, cause):
            self.turns.after_others(trial)
        else:
            self.turns.at_once(trial)
        return "replace"

    def _saved(self, name: str, checkpoint: str) -> Verdict:
        """End an attempt whose state is in a checkpoint: a later driver goes on from there."""
        self._put_down(name, "stopped", "asked to stop", checkpoint=checkpoint)
        return "stop"

    def _put_down(self, name: str, cause: Cause, reason: str, **more: Any) -> None:
        (trial, attempt), worker = self.running.live[name], self.running.worker(name)
        self.ledger.preempt(trial.id, attempt, reason, cause=cause, **vars(worker), **more)
        self.running.leave(name)

    def _on_loss(self, name: str, reason: str) -> None:
        """End an attempt whose node was lost."""
        trial, _ = self.running.live[name]
        self.guilt.loss(trial, self.running.worker(name).node)
        self._leave(name, "node", reason)
        if self.guilt.loses_nodes(trial):
            said = f"{ALONE} of its nodes were lost in a row, and no other trial's"
            self._give_up(trial, "crashed", f"{said}; the last: {reason}")

    def _on_faults(self, crew: Sequence[str], reason: str, memory: bool = False) -> Verdict:
        """End all attempts of a worker for a fault that it met once."""
        for number, name in enumerate(crew):
            self._on_fault(name, "machine", reason, memory=memory, of_node=not number)
        return "replace"

    def _on_fault(
        self, name: str, cause: Cause, reason: str, *, memory: bool = False, of_node: bool = True
    ) -> None:
        """End an attempt for what may be its node's fault, or the trial's own after all."""
        trial, _ = self.running.live[name]
        worker = self.running.worker(name)
        if of_node and not worker.node and len(able := list(self.nodes())) == 1:
            worker = replace(worker, node=able[0])  # it died before it said where, but where else
        order = self.running.order(name)
        became_bad = self.guilt.fault(trial, worker.node, cause, order, of_node=of_node)
        self._leave(name, cause, reason)
        if self.guilt.guilty(trial):
            said = "wherever it ran" if cause == "machine" else "worker died"
            self._give_up(trial, "oom" if memory else "crashed", f"{said}: {reason}")
        elif became_bad:
            leave_out(worker, reason, set(self.nodes()) - self.guilt.bad)

    def _give_up(self, trial: Trial, outcome: Outcome, reason: str) -> None:
        self.turns.drop(trial)
        self._ends.end(trial, outcome, reason)

    def _on_refusal(self, name: str, message: Mapping[str, Any]) -> Verdict:
        """A worker cannot store what it has: everybody waits, unless it is alone with that."""
        problem, needed = message["reason"], int(message["needed"])
        assert self.room is not None
        if self.room.waiting or self.room.refuses(needed):
            self.room.hold(name, problem, needed)
            return "continue"
        self.running.refused[name] += 1
        if self.running.refused[name] < REFUSALS:
            return "continue"
        return self._on_faults(self.running.crew(name), problem)

    def _on_report(self, name: str, message: Mapping[str, Any]) -> Verdict:
        (trial, attempt), row = self.running.live[name], message["row"]
        more = (message.get(key) for key in ("checkpoint", "provenance", "findings"))
        is_new = self.ledger.acknowledge(trial.id, attempt, row, *more)
        decision: Verdict = "continue"
        if is_new:
            self.guilt.report(trial, self.running.worker(name).node)
            self.running.reported(name)
            self._ends.reported(trial, row)
            self.events.reported(trial, row, self.source.score(row))
            if not failed(row):
                decision = self.source.on_report(trial, row)
        if failed(row):
            self._ends.fail(trial, row)
        elif message["last"] or decision == "complete":
            self._ends.end(trial, "completed", "")
        elif decision == "stop":
            self._ends.end(trial, "pruned", "")
        elif decision == "pause":
            self._ends.paused(trial)
            return "stop"
        return "stop" if trial.ended or self._ends_by is not None else "continue"
