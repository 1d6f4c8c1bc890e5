"""An execution in plain Python, whose workers are what a test says."""

from __future__ import annotations

from collections import deque
from typing import Any

from search.engine.events import Events, NoEvents
from search.engine.execution import Execution
from search.engine.job import Job
from search.engine.source import taken
from search.ledger.ledger import Ledger
from search.ledger.trial import Trial
from trm.report import COLUMNS


class Source:
    floor = -1.0

    def __init__(self, trials: list[Trial]) -> None:
        self.left = trials
        self.judged: list[int] = []
        self.ended: list[Trial] = []

    def next(self) -> Trial | None:
        return self.left.pop(0) if self.left else None

    def beside(self, trial: Trial, most: int) -> list[Trial]:
        queue = deque(self.left)
        found = taken(queue, trial, most)
        self.left[:] = queue
        return found

    def exhausted(self) -> bool:
        return not self.left

    def waiting(self) -> int:
        return len(self.left)

    def score(self, row: Any) -> float:
        return float(row["exact_accuracy"])

    def on_report(self, trial: Trial, row: Any) -> Any:
        self.judged.append(row["mark"])
        return "continue"

    def on_end(self, trial: Trial) -> None:
        self.ended.append(trial)


def row(mark: int, **values: Any) -> dict[str, Any]:
    return {**dict.fromkeys(COLUMNS, 0), "mark": mark, "exact_accuracy": mark / 10, **values}


def report(attempt: int, mark: int, last: bool = False, **values: Any) -> dict[str, Any]:
    return {
        "kind": "report",
        "attempt": attempt,
        "row": row(mark, **values),
        "last": last,
        "checkpoint": f"checkpoints/0/{attempt}/{mark}",
    }


def execution(ledger: Ledger, events: Events | None = None) -> Execution:
    """Of all trials that have not ended."""

    def job(trial: Trial, attempt: int) -> Job:
        return Job("", trial.id, attempt, {}, trial.seed, 1.0, (1.0,), trial.checkpoint)

    waiting = [trial for trial in ledger.trials.values() if trial.outcome is None]
    return Execution(Source(waiting), ledger, events or NoEvents(), job)


def start(run: Execution, name: str, node: str = "n") -> Job:
    job = run.suggest(name)
    assert isinstance(job, Job), job
    started = {"kind": "started", "attempt": job.attempt, "host": f"host-{node}", "pid": 7}
    assert run.on_message(name, {**started, "node": node}) in ("continue", "replace")
    return job


def fault(run: Execution, name: str, job: Job, **more: Any) -> Any:
    words = {"kind": "fault", "attempt": job.attempt, "reason": "CUDA error: x", **more}
    return run.on_message(name, words)


NODE_DEATH = "The actor is dead because its node has died. Node Id: ab"


def hello(attempt: int, node: str) -> dict[str, Any]:
    return {"kind": "started", "attempt": attempt, "host": node, "pid": 1, "node": node}


def begin(run: Execution, name: str, node: str = "a") -> Job:
    """An attempt that a worker of its own took."""
    job = run.suggest(name)
    assert isinstance(job, Job), job
    run.on_start(name, f"worker of {name}")
    assert run.on_message(name, hello(job.attempt, node)) == "continue"
    return job
