"""Parts of GPUs of attempts, and a larger one after `oom`."""

from __future__ import annotations

from typing import Any

import pytest

from search.engine.execution import Execution
from search.engine.job import Job
from search.engine.packing.parts import Group
from search.ledger.ledger import Ledger
from tests.support.executed import (
    Source,
    begin,
    execution,
    hello,
    report,
)


def oom(attempt: int) -> dict[str, Any]:
    return {"kind": "end", "attempt": attempt, "outcome": "oom", "reason": "CUDA out of memory"}


def packed(ledger: Ledger, gpus: float, trials: int = 1) -> Execution:
    """One node, whose GPU a trial has a part of."""
    while len(ledger.trials) < trials:
        ledger.add_trial(stage="explore", params={}, config={}, seed=5)
    run = execution(ledger)
    run.parts.groups = lambda: {gpus: Group(("a",), int(1 / gpus))}
    return run


def test_out_of_the_memory_of_a_part_a_trial_has_a_larger_one_once(ledger: Ledger) -> None:
    run = packed(ledger, 0.25, trials=3)
    jobs = [begin(run, name) for name in "xy"]
    assert run.on_message("x", oom(1)) == "replace"
    run.on_end("x")
    (lost,) = ledger.attempts[0]
    assert (lost.outcome, lost.cause, lost.gpus) == ("preempted", "memory", 0.25)
    assert lost.reason == "0.25 of a GPU is too little, 0.5 is next: CUDA out of memory"
    # What can start with its own part comes first.
    assert begin(run, "z").trial == 2
    job = run.suggest("again")
    assert isinstance(job, Job)
    assert (job.trial, job.attempt) == (0, 2)
    part = run.parts.of(0, 2)
    assert part is not None
    assert (part.gpus, part.group) == (0.5, 0.25)
    assert isinstance(run.source, Source)
    run.source.left.append(ledger.add_trial(stage="explore", params={}, config={}, seed=5))
    assert run.suggest("w") is None, "nothing starts in the place that it waits for"
    run.on_start("again", "worker of again")
    run.on_message("again", hello(2, "a"))
    assert begin(run, "w").trial == 3
    assert run.on_message("again", oom(2)) == "stop"
    assert (ledger.trials[0].outcome, ledger.trials[0].reason) == ("oom", "CUDA out of memory")
    assert len(ledger.attempts[0]) == 1
    assert len(jobs) == 2


@pytest.mark.parametrize("gpus", [1.0, 2.0])
def test_out_of_the_memory_of_a_whole_gpu_is_the_outcome(ledger: Ledger, gpus: float) -> None:
    run = execution(ledger)
    run.parts.groups = lambda: {gpus: Group(("a",), 1)}
    begin(run, "x")
    assert run.on_message("x", oom(1)) == "stop"
    assert ledger.trials[0].outcome == "oom"
    assert not ledger.attempts


def test_without_a_gpu_out_of_memory_is_the_outcome(ledger: Ledger) -> None:
    run = execution(ledger)
    begin(run, "x")
    assert run.on_message("x", oom(1)) == "stop"
    assert ledger.trials[0].outcome == "oom"


def test_the_next_driver_knows_who_needs_a_larger_part(ledger: Ledger) -> None:
    run = packed(ledger, 0.5)
    begin(run, "x")
    run.on_message("x", oom(1))
    again = packed(ledger, 0.5)
    job = again.suggest("x")
    assert isinstance(job, Job)
    part = again.parts.of(0, job.attempt)
    assert part is not None
    assert part.gpus == 1.0
    assert again.on_message("x", oom(job.attempt)) == "stop"
    assert ledger.trials[0].outcome == "oom"


def test_unequal_nodes_give_unequal_parts(ledger: Ledger) -> None:
    while len(ledger.trials) < 9:
        ledger.add_trial(stage="explore", params={}, config={}, seed=5)
    run = execution(ledger)
    groups = {0.25: Group(("a", "b"), 8), 1.0: Group(("c",), 1)}
    run.parts.groups = lambda: groups
    jobs = [run.suggest(f"n{number}") for number in range(9)]
    parts = [run.parts.of(job.trial, job.attempt) for job in jobs if isinstance(job, Job)]
    assert sorted(part.gpus for part in parts if part) == [0.25] * 8 + [1.0]
    for part in parts:
        assert run.parts.elsewhere(part) == ({"c"} if part and part.gpus < 1 else {"a", "b"})
    # One that a joiner took before it was known what it has goes elsewhere.
    small = next(n for n, part in enumerate(parts) if part and part.gpus < 1)
    assert run.on_message(f"n{small}", hello(1, "c")) == "replace"
    assert [one.cause for one in ledger.attempts[small]] == ["node"]


def test_who_waits_for_nodes_that_are_gone_goes_elsewhere(ledger: Ledger) -> None:
    run = packed(ledger, 0.25)
    assert isinstance(run.suggest("x"), Job)
    assert run.on_stranded(["x"]) == []
    run.parts.groups = dict
    assert run.on_stranded(["x"]) == [], "a node like it may join before any other"
    run.parts.groups = lambda: {1.0: Group(("b",), 1)}
    assert run.on_stranded([]) == [], "it runs"
    assert run.on_stranded(["x"]) == ["x"]
    run.on_end("x")
    job = run.suggest("y")
    assert isinstance(job, Job)
    part = run.parts.of(0, job.attempt)
    assert part is not None
    assert part.gpus == 1.0


def test_a_larger_part_of_nodes_that_are_gone_is_a_whole_gpu(ledger: Ledger) -> None:
    run = packed(ledger, 0.25)
    begin(run, "x")
    run.on_message("x", oom(1))
    run.on_end("x")
    run.parts.groups = lambda: {0.5: Group(("b",), 2)}
    job = run.suggest("y")
    assert isinstance(job, Job)
    part = run.parts.of(0, job.attempt)
    assert part is not None
    assert (part.gpus, part.group) == (1.0, 0.5)


def test_a_sweep_is_not_over_while_a_trial_waits_for_its_larger_part(ledger: Ledger) -> None:
    run = packed(ledger, 0.5, trials=2)
    begin(run, "x")
    begin(run, "y")
    run.on_message("x", oom(1))
    run.on_end("x")
    run.on_message("y", report(1, 1, last=True))
    run.on_end("y")
    run.slots = lambda: 0
    assert run.suggest("again") is None, "its node is away, and may come back"
    run.slots = lambda: 2
    assert isinstance(run.suggest("again"), Job)
    assert not run.finished


def test_a_gpu_that_joins_is_given_out_and_those_without_go_on_without(ledger: Ledger) -> None:
    run = packed(ledger, 1.0, trials=5)
    groups = {0.0: Group(("cpu",), 2)}
    run.parts.groups = lambda: groups
    first, early = begin(run, "first", "cpu"), run.suggest("early")
    assert isinstance(early, Job)
    groups[0.5] = Group(("gpu",), 2)
    # It asked for nothing but cores, and the joiner has those too.
    assert run.on_message("early", hello(1, "gpu")) == "replace"
    run.on_end("early")
    kinds = {}
    for name in "abc":
        job = run.suggest(name)
        assert isinstance(job, Job)
        part = run.parts.of(job.trial, job.attempt)
        assert part is not None
        kinds[name] = (part.gpus, run.parts.elsewhere(part))
    assert sorted(kinds.values()) == [(0.0, {"gpu"}), (0.5, {"cpu"}), (0.5, {"cpu"})]
    assert run.parts.of(first.trial, first.attempt) is not None
    # A trial that ran out of a GPU's memory goes on where there is one, or waits for none.
    small = next(name for name, (gpus, _) in kinds.items() if gpus)
    trial = run.running.live[small][0]
    assert run.on_message(small, oom(run.running.live[small][1])) == "replace"
    run.on_end(small)
    for wanted in (1.0, 0.0):
        groups.pop(0.5, None)
        if wanted:
            groups[1.0] = Group(("other",), 1)
        else:
            del groups[1.0]
        run.parts.close("probe")
        run.parts.open("probe", trial, 9)
        found = run.parts.of(trial.id, 9)
        assert found is not None
        assert (found.gpus, found.group) == (wanted, wanted)
