"""A sweep killed at every moment between two writes, without Ray: workers run in this process.

What a kill can leave behind changes only where something is written: a record of the log, a
checkpoint saved or removed, the study's journal. So all these moments are all that there are. What
a kill by the kernel does to processes and half-written lines is shown by other tests.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import search.engine.attempts.in_hand
import search.engine.worker
import search.ledger.ledger
import search.logs.optuna_journal
from search.config.plan import Plan
from search.engine.attempts.guilt import IN_A_ROW
from search.engine.events import NoEvents
from search.engine.execution import Execution
from search.engine.job import Job
from search.engine.worker import TrialRunner
from search.ledger.journal import Journal
from search.ledger.ledger import Ledger
from search.ledger.reader import holds_ledger
from search.ledger.trial import Trial

TRIALS = 9
SCHEDULERS = ("asha", "hyperband", "median", "halving", "none", "pbt", "halving, 2 seeds")


class Killed(BaseException):
    """Nothing may handle it, as nothing can handle SIGKILL."""


class Fuse:
    """Counts the moments at which a process may die; at `end` it does."""

    def __init__(self) -> None:
        self.passed, self.end = 0, 0
        self.moments: list[str] = []

    def set(self, end: int) -> None:
        self.passed, self.end, self.moments = 0, end, []

    def burn(self, moment: str) -> None:
        self.passed += 1
        self.moments.append(moment)
        if self.passed == self.end:
            raise Killed

    def around(self, owner: Any, name: str, label: Callable[..., str]) -> tuple[Any, str, Any]:
        inner = getattr(owner, name)

        def burning(*args: Any, **kwargs: Any) -> Any:
            self.burn(f"before {label(*args)}")
            result = inner(*args, **kwargs)
            self.burn(f"after {label(*args)}")
            return result

        return owner, name, burning


@pytest.fixture
def fuse(monkeypatch: pytest.MonkeyPatch) -> Fuse:
    fuse = Fuse()
    for patch in (
        fuse.around(Journal, "append", lambda _, record: str(record["k"])),
        fuse.around(search.ledger.ledger, "keep_only", lambda *_: "forgetting"),
        fuse.around(search.engine.attempts.in_hand, "keep_only", lambda *_: "cleaning"),
        fuse.around(search.engine.attempts.in_hand, "write_folder", lambda *_: "saving"),
        fuse.around(search.engine.attempts.in_hand, "remove_tree", lambda *_: "removing"),
        fuse.around(search.logs.optuna_journal.os, "replace", lambda *_: "replacing a file"),
    ):
        monkeypatch.setattr(*patch)
    # A kill is no power cut: what was written stays.
    monkeypatch.setattr(os, "fsync", lambda _: None)
    outside = SimpleNamespace(mode=None)  # of Ray: no worker of its own
    node = SimpleNamespace(get_node_id=lambda: "here", worker=outside)
    monkeypatch.setattr(search.engine.worker.ray, "get_runtime_context", lambda: node)
    return fuse


@pytest.fixture
def killable(fuse: Fuse) -> Any:
    import tests.support.killable as module

    return module


@contextmanager
def opened(folder: Path) -> Iterator[Ledger]:
    """A ledger that a kill leaves as it is, but for the lock, which the kernel frees."""
    ledger = Ledger.open(folder) if holds_ledger(folder) else Ledger.create(folder)
    try:
        yield ledger
    except Killed:
        ledger._journal.close()
        ledger._lock.release()
        raise
    ledger.close()


def play(
    killable: Any, plan: Plan, ledger: Ledger, parallel: int, dice: random.Random, stack: int = 1
) -> Any:
    """Run the whole sweep with real workers' logic, one message at a time; its result.

    A worker's death, unlike the driver's, is noticed: one in ten dies with a report on its lips,
    but not so many in a row that trial or node would be blamed.
    """

    def job(trial: Trial, attempt: int) -> Job:
        return Job(
            str(ledger.folder), trial.id, attempt, trial.config, trial.seed, plan.budget,
            plan.marks, trial.checkpoint, factory=killable.SWEPT,
        )  # fmt: skip

    stages = killable.Stages(plan, ledger)
    execution = Execution(stages, ledger, NoEvents(), job)
    execution.companions.most = lambda trial, free, waiting: stack
    workers: dict[str, TrialRunner] = {}
    names = map(str, range(10**9))
    in_a_row = 0
    while True:
        while len(workers) < parallel:
            name = next(names)
            answer = execution.suggest(name)
            if not isinstance(answer, Job):
                break
            workers[name] = TrialRunner.__new__(TrialRunner)
            workers[name].setup({"job": answer.to_json()})
        if not workers:
            assert answer == "finished", "the sweep stands still"
            return stages.result
        name = dice.choice(list(workers))
        # Each worker has a global generator of its own.
        crew = [execution.running.live[own][0] for own in execution.running.crew(name)]
        random.seed(crew[0].seed)
        message = json.loads(workers[name].step()["message"])
        faults = max(in_a_row, *map(execution.guilt.faults, crew)) + 1
        if parallel > 1 and faults < IN_A_ROW and dice.random() < 0.1:
            in_a_row += 1
            execution.on_death(name, "killed")
            del workers[name]
            continue
        if message["kind"] == "report":
            in_a_row = 0
        verdict = execution.on_message(name, message)
        if verdict == "drop":
            workers[name].drop(message["trial"])
        elif verdict != "continue":
            execution.on_end(name)
            del workers[name]


def facts(folder: Path, killable: Any) -> list[Any]:
    """What a serial sweep fixes by its seed."""
    seen = killable.look(folder)
    rows = [[r["mark"], r["exact_accuracy"]] for _, r in sorted(seen.rows.items())]
    return [
        [t.id, t.stage, t.params, t.outcome, t.score, t.mark, t.seed] for t in seen.trials.values()
    ] + rows


def killed(
    killable: Any, fuse: Fuse, plan: Plan, folder: Path, end: int, parallel: int, stack: int = 1
) -> tuple[list[str], Any]:
    """Kill a sweep at a moment, its resumption soon after, and finish it then.

    Gives the moments' names, and the facts of the end.
    """
    moments, seen = [], killable.look(folder)
    for kill, moment in enumerate((end, 1 + end % 13)):
        fuse.set(moment)
        with suppress(Killed), opened(folder) as ledger:
            play(killable, plan, ledger, parallel, random.Random(kill), stack)
            break  # so near its end that no second kill could hit it
        moments.append(fuse.moments[-1])
        before, seen = seen, killable.look(folder)
        killable.assert_kept(before, seen)
        killable.assert_can_go_on(folder, seen)
    assert moments
    fuse.set(0)
    with opened(folder) as ledger:
        # It makes no difference to what is on record.
        stack = 1 if end % 2 else stack
        result = play(killable, plan, ledger, parallel, random.Random(end), stack)
    killable.assert_kept(seen, killable.assert_finished(folder, plan))
    return moments, (facts(folder, killable), result)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize(
    ("parallel", "every"),
    [(1, 67), *(pytest.param(*rest, marks=pytest.mark.slow) for rest in ((3, 97), (1, 5), (3, 7)))],
)
@pytest.mark.timeout(3600)
def test_a_sweep_killed_between_any_two_writes(
    scheduler: str, parallel: int, every: int, killable: Any, fuse: Fuse, tmp_path: Path
) -> None:
    name, _, seeds = scheduler.partition(", ")
    plan = killable.resolved(name, TRIALS, pause=1, seeds=2 if seeds else 1)
    fuse.set(0)
    with opened(tmp_path / "whole") as ledger:
        whole = play(killable, plan, ledger, parallel, random.Random(0))
    killable.assert_finished(tmp_path / "whole", plan)
    expected = facts(tmp_path / "whole", killable), whole
    outcomes = Counter(row[3] for row in expected[0] if len(row) > 2)
    assert scheduler in ("none", "pbt") or outcomes["pruned"], "nothing to decide"
    moments = fuse.passed
    met: Counter[str] = Counter()
    for end in range(1 + 7 % every, moments + 1, every):
        folder = tmp_path / str(end)
        names, found = killed(killable, fuse, plan, folder, end, parallel)
        met.update(names)
        # Only a serial sweep does not depend on which worker is the faster one.
        assert parallel > 1 or found == expected, (end, names)
    print(f"{scheduler}, {parallel} at once: {moments} moments, {met.total()} kills, {dict(met)}")


@pytest.mark.parametrize("scheduler", ["asha", "halving, 2 seeds"])
@pytest.mark.parametrize(
    ("parallel", "every"), [pytest.param(1, 97, marks=pytest.mark.slow), (2, 131)]
)
def test_a_sweep_whose_seeds_train_together_killed_between_two_writes(
    scheduler: str, parallel: int, every: int, killable: Any, fuse: Fuse, tmp_path: Path
) -> None:
    name, _, seeds = scheduler.partition(", ")
    plan = killable.resolved(name, TRIALS, pause=1, seeds=3 if seeds else 1)
    whole: dict[int, Any] = {}
    for stack in (1, 3):
        folder = tmp_path / f"stack-{stack}"
        fuse.set(0)
        with opened(folder) as ledger:
            result = play(killable, plan, ledger, parallel, random.Random(0), stack)
        killable.assert_finished(folder, plan)
        whole[stack] = unnumbered(facts(folder, killable)), result
        trials = killable.look(folder).trials.values()
        assert any("stack" in trial.provenance for trial in trials) == (stack > 1)
    # Only a serial sweep does not depend on which worker is the faster one.
    assert parallel > 1 or whole[1] == whole[3]
    for end in range(1 + 7 % every, fuse.passed + 1, every):
        folder = tmp_path / str(end)
        names, (found, result) = killed(killable, fuse, plan, folder, end, parallel, stack=3)
        assert parallel > 1 or (unnumbered(found), result) == whole[1], (end, names)


def unnumbered(found: list[Any]) -> list[Any]:
    """Facts without the order in which trials were begun."""
    return sorted([str(row[1:]) if len(row) > 2 else str(row) for row in found])
