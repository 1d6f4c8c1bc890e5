"""Seeds that one worker trains as one model: each attempt is its own, whatever comes of others."""

from __future__ import annotations

from typing import Any

import pytest

from search.engine.execution import Execution
from search.engine.job import Job
from search.ledger.ledger import Ledger
from search.objectives.outcome import Outcome
from tests.support.executed import NODE_DEATH, execution, row

WHO = {"kind": "started", "host": "h", "pid": 7, "node": "n"}
ATOP = 3


@pytest.fixture
def ledger(ledger: Ledger) -> Ledger:
    """Four seeds of one config, and one trial of another."""
    for seed in (6, 7, 8):
        ledger.add_trial(stage="explore", params={}, config={}, seed=seed)
    ledger.add_trial(stage="explore", params={}, config={"lr": 1}, seed=5)
    return ledger


@pytest.fixture
def run(ledger: Ledger) -> Execution:
    return begun_on(ledger)


def begun_on(ledger: Ledger, most: int = ATOP) -> Execution:
    run = execution(ledger)
    run.companions.most = lambda trial, free, waiting: most
    return run


def trials(job: Any) -> list[int]:
    assert isinstance(job, Job), job
    return [one.trial for one in job.all]


def says(run: Execution, name: str, trial: int, **message: Any) -> str:
    attempt = run.ledger.trials[trial].attempts
    return run.on_message(name, {"trial": trial, "attempt": attempt, **message})


def reports(
    run: Execution, name: str, trial: int, mark: int, last: bool = False, **values: Any
) -> str:
    attempt = run.ledger.trials[trial].attempts
    return says(
        run, name, trial, kind="report", row=row(mark, **values), last=last,
        checkpoint=f"checkpoints/{trial}/{attempt}/{mark}",
    )  # fmt: skip


def begin(run: Execution, name: str) -> list[int]:
    found = trials(run.suggest(name))
    run.on_start(name, f"worker of {name}")
    assert says(run, name, found[0], **WHO) == "continue"
    return found


def outcomes(ledger: Ledger) -> list[Outcome | None]:
    return [trial.outcome for trial in ledger.trials.values()]


def test_seeds_of_one_config_begin_together_and_others_do_not(
    run: Execution, ledger: Ledger
) -> None:
    job = run.suggest("a")
    assert trials(job) == [0, 1, 2]
    assert isinstance(job, Job)
    assert [one.seed for one in job.all] == [5, 6, 7]
    assert Job.from_json(job.to_json()) == job
    assert trials(run.suggest("b")) == [3]
    assert trials(run.suggest("c")) == [4]
    assert [trial.attempts for trial in ledger.trials.values()] == [1] * 5
    assert len(run.running) == 3, "workers"
    assert run.suggest("d") is None


def test_each_reports_and_ends_by_itself(run: Execution, ledger: Ledger) -> None:
    assert begin(run, "a") == [0, 1, 2]
    assert [reports(run, "a", n, 1) for n in (0, 1, 2)] == ["continue"] * 3
    assert [trial.mark for trial in ledger.trials.values()] == [1, 1, 1, 0, 0]
    assert reports(run, "a", 1, 2, diverged=True) == "drop"
    assert reports(run, "a", 0, 2) == "continue"
    # What it still had on its lips is stale.
    assert reports(run, "a", 1, 3) == "drop"
    assert reports(run, "a", 2, 2, last=True) == "drop"
    assert reports(run, "a", 0, 3, last=True) == "stop"
    assert outcomes(ledger) == ["completed", "diverged", "completed", None, None]
    assert len(run.running) == 1, "Tune has yet to put it away"
    run.on_end("a")
    assert not run.running.live
    assert not ledger.attempts


def test_the_source_may_stop_or_pause_one(run: Execution, ledger: Ledger) -> None:
    begin(run, "a")
    answers = {0: "continue", 1: "stop", 2: "pause"}
    run.source.on_report = lambda trial, row: answers[trial.id]  # type: ignore[method-assign,assignment,return-value]
    assert [reports(run, "a", n, 1) for n in (0, 1, 2)] == ["continue", "drop", "drop"]
    assert outcomes(ledger) == [None, "pruned", None, None, None]
    assert (ledger.trials[2].paused, ledger.trials[0].paused) == (True, False)
    assert reports(run, "a", 0, 2, last=True) == "stop"


def test_a_workers_death_ends_all_attempts_and_no_trial(run: Execution, ledger: Ledger) -> None:
    begin(run, "a")
    reports(run, "a", 0, 1)
    run.on_death("a", "killed")
    run.on_end("a")
    assert outcomes(ledger) == [None] * 5
    assert {n: [(one.cause, one.mark) for one in many] for n, many in ledger.attempts.items()} == {
        0: [("worker", 1)], 1: [("worker", 0)], 2: [("worker", 0)],
    }  # fmt: skip
    assert run.guilt._nodes == {"n": 1}, "one process died"
    # One death is forgiven: they go again at once, and together, each from its own checkpoint.
    job = run.suggest("b")
    assert trials(job) == [0, 1, 2]
    assert isinstance(job, Job)
    assert [one.checkpoint for one in job.all] == ["checkpoints/0/1/1", None, None]
    run.on_death("b", "killed again")
    run.on_end("b")
    # Whose doing that is shows when they run by themselves.
    found = [trials(run.suggest(name)) for name in "cdefg"]
    assert sorted(found) == [[0], [1], [2], [3], [4]]


def test_those_of_a_lost_node_go_on_together_until_it_happens_again(
    run: Execution, ledger: Ledger
) -> None:
    begin(run, "a")
    run.on_death("a", NODE_DEATH)
    run.on_end("a")
    assert trials(run.suggest("b")) == [0, 1, 2]
    run.on_death("b", NODE_DEATH)
    run.on_end("b")
    assert trials(run.suggest("c")) == [0]
    assert {one.cause for many in ledger.attempts.values() for one in many} == {"node"}


@pytest.mark.parametrize("outcome", ["crashed", "oom"])
def test_an_error_of_several_ends_no_trial_and_each_shows_whose_it_is(
    run: Execution, ledger: Ledger, outcome: str
) -> None:
    begin(run, "a")
    error = {"kind": "end", "outcome": outcome, "reason": "CUDA out of memory"}
    assert says(run, "a", 0, **error) == "replace"
    run.on_death("a", "killed by us")
    run.on_end("a")
    assert outcomes(ledger) == [None] * 5
    [one] = ledger.attempts[1]
    assert (one.cause, one.reason) == ("stack", f"{outcome}: CUDA out of memory")
    assert run.guilt.faults(ledger.trials[1]) == 0
    found = [begin(run, name) for name in "bcd"]
    assert found == [[0], [1], [2]]
    assert says(run, "c", 1, **error) == "stop"
    assert reports(run, "b", 0, 1, last=True) == "stop"
    assert outcomes(ledger) == ["completed", outcome, None, None, None]
    # A later driver knows it, too.
    assert [trials(begun_on(ledger).suggest("x"))] == [[2]]


def test_the_last_one_left_has_its_errors_to_itself(run: Execution, ledger: Ledger) -> None:
    begin(run, "a")
    for trial in (0, 1):
        assert reports(run, "a", trial, 1, last=True) == "drop"
    error = {"kind": "end", "outcome": "crashed", "reason": "ValueError: x"}
    assert says(run, "a", 2, **error) == "stop"
    assert outcomes(ledger)[:3] == ["completed", "completed", "crashed"]


def test_a_fault_of_the_machine_counts_once_against_its_node(
    run: Execution, ledger: Ledger
) -> None:
    begin(run, "a")
    assert says(run, "a", 0, kind="fault", reason="CUDA error: x") == "replace"
    assert [ledger.attempts[n][0].cause for n in range(3)] == ["machine"] * 3
    assert run.guilt._nodes == {"n": 1}
    assert not run.guilt.bad


def test_a_worker_sent_away_ends_nothing(run: Execution, ledger: Ledger) -> None:
    run.allows = lambda node: False
    assert trials(run.suggest("a")) == [0, 1, 2]
    assert says(run, "a", 0, **WHO) == "replace"
    assert trials(run.suggest("b")) == [0, 1, 2]


def test_a_gentle_end_saves_each(run: Execution, ledger: Ledger) -> None:
    begin(run, "a")
    left: list[bool] = []
    run.leave = lambda: left.append(True)
    assert reports(run, "a", 0, 1) == "continue"
    run.end_gently(1000.0)
    assert reports(run, "a", 1, 1) == "drop", "what it reported is saved"
    assert not run.check_stop()
    assert says(run, "a", 0, kind="saved", checkpoint="checkpoints/0/1/2") == "drop"
    assert not run.check_stop()
    assert says(run, "a", 2, kind="saved", checkpoint="checkpoints/2/1/1") == "stop"
    run.on_end("a")
    assert run.check_stop()
    assert left
    assert [ledger.trials[n].checkpoint for n in range(3)] == [
        "checkpoints/0/1/2", "checkpoints/1/1/1", "checkpoints/2/1/1",
    ]  # fmt: skip
    # Alone or together, a later driver goes on from there.
    alone = begun_on(ledger, most=1)
    assert trials(alone.suggest("x")) == [0]
    together = begun_on(ledger)
    assert trials(together.suggest("y")) == [0, 1, 2]


def test_when_all_workers_are_gone_only_the_hungriest_process_is_charged(
    run: Execution, ledger: Ledger
) -> None:
    begin(run, "a")
    assert trials(run.suggest("b")) == [3]
    run.on_start("b", "another")
    assert says(run, "b", 3, **{**WHO, "pid": 8}) == "continue"
    memory = "low on memory: pid=7, actual memory used=3.00GB, pid=8, actual memory used=1.00GB"
    run.on_collapse(memory)
    assert [run.guilt._memory[n] for n in range(4)] == [1, 1, 1, 0]
    # They took too much: by themselves they may not.
    assert [trials(run.suggest(name)) for name in "cdef"] == [[0], [1], [2], [3]]


def test_what_was_begun_with_other_threads_or_goes_on_from_another_trial_is_alone(
    ledger: Ledger,
) -> None:
    ledger.trials[0].provenance = {"resolved": {"threads": 4}}
    ledger.trials[1].provenance = {"resolved": {"threads": 2}}
    ledger.trials[2].checkpoint = "checkpoints/0/1/1"
    run = begun_on(ledger, most=4)
    assert trials(run.suggest("a")) == [0, 3]
    assert trials(run.suggest("b")) == [1]
    assert trials(run.suggest("c")) == [2]
