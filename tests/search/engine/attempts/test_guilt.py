"""Who is at fault: trials, nodes, or nobody; told by an execution's messages."""

from __future__ import annotations

import pytest

from search.engine.attempts.guilt import EVERYWHERE, IN_A_ROW, MAX_DEATHS, NoNodeError
from search.engine.attempts.losses import ALONE
from search.engine.execution import Execution
from search.engine.job import Job
from search.ledger.ledger import Ledger
from tests.support.executed import (
    NODE_DEATH,
    execution,
    fault,
    report,
    start,
)


def test_a_worker_that_dies_is_replaced_and_goes_on(ledger: Ledger) -> None:
    run = execution(ledger)
    run.suggest("a")
    run.on_message("a", report(1, 1))
    run.on_death("a", "gone")
    job = run.suggest("b")
    assert isinstance(job, Job)
    assert (job.attempt, job.checkpoint) == (2, "checkpoints/0/1/1")
    # Reports count deaths anew.
    for attempt in range(2, IN_A_ROW):
        run.on_death("b", "gone")
        assert isinstance(run.suggest("b"), Job), attempt
    run.on_message("b", report(IN_A_ROW, 2))
    for _ in range(MAX_DEATHS):
        run.on_death("b", "the node is low on memory")
        assert isinstance(run.suggest("b"), Job)
    run.on_death("b", "the node is low on memory")
    assert ledger.trials[0].outcome == "oom"
    assert ledger.trials[0].score == -1.0
    assert run.suggest("c") == "finished"
    assert {one.cause for one in ledger.attempts[0]} == {"worker", "memory"}


def test_a_fault_of_the_machine_ends_the_attempt_and_replaces_the_worker(ledger: Ledger) -> None:
    run = execution(ledger)
    job = start(run, "a")
    assert run.on_message("a", report(1, 1)) == "continue"
    assert fault(run, "a", job) == "replace"
    lost = ledger.attempts[0][0]
    assert (lost.cause, lost.host, lost.node, lost.pid) == ("machine", "host-n", "n", 7)
    assert (lost.mark, ledger.trials[0].outcome) == (1, None)
    run.on_death("a", "killed by us")
    assert len(ledger.attempts[0]) == 1, "the end of the old process is no second fault"
    assert start(run, "b").checkpoint == "checkpoints/0/1/1"


def test_a_fault_that_follows_a_trial_where_others_fare_well_is_its_own(ledger: Ledger) -> None:
    for seed in range(6, 12):
        ledger.add_trial(stage="explore", params={}, config={}, seed=seed)
    run = execution(ledger)
    for number in range(40):
        job = run.suggest(f"w{number}")
        if not isinstance(job, Job):
            break
        started = {"kind": "started", "attempt": job.attempt, "host": "h", "pid": 1, "node": "n"}
        run.on_message(f"w{number}", started)
        if job.trial == 0:
            fault(run, f"w{number}", job)
        else:
            run.on_message(f"w{number}", report(job.attempt, 1, last=True))
            run.on_end(f"w{number}")
    assert run.finished
    outcomes = [trial.outcome for trial in ledger.trials.values()]
    assert outcomes == ["crashed"] + ["completed"] * 6
    assert ledger.trials[0].reason == "wherever it ran: CUDA error: x"
    assert ledger.trials[0].attempts == IN_A_ROW
    assert not run.guilt.bad


def test_a_node_of_faults_is_left_out_and_its_trials_go_on_elsewhere(
    ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(6, 9):
        ledger.add_trial(stage="explore", params={}, config={}, seed=seed)
    run = execution(ledger)
    run.nodes = lambda: ["bad", "good"]
    for number in range(IN_A_ROW):
        fault(run, f"w{number}", start(run, f"w{number}", "bad"))
    assert run.guilt.bad == {"bad"}
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "node host-bad: 4 faults in a row, the last: CUDA error: x; it gets no more" in line
    # One that was on its way there is sent elsewhere, and that is nobody's fault.
    before = {number: run.guilt.faults(trial) for number, trial in ledger.trials.items()}
    job = start(run, "late", "bad")
    assert job.trial not in [trial for trial, _ in run.running.live.values()]
    assert run.guilt.faults(ledger.trials[job.trial]) == before[job.trial]
    while isinstance(job := run.suggest("x"), Job):
        started = {"kind": "started", "attempt": job.attempt, "host": "h", "pid": 1}
        run.on_message("x", {**started, "node": "good"})
        run.on_message("x", report(job.attempt, 1, last=True))
        run.on_end("x")
    assert {trial.outcome for trial in ledger.trials.values()} == {"completed"}


def test_without_another_node_the_run_ends_and_no_trial_does(ledger: Ledger) -> None:
    ledger.add_trial(stage="explore", params={}, config={}, seed=6)
    run = execution(ledger)
    run.nodes = lambda: ["n"]
    for number in range(IN_A_ROW - 1):
        fault(run, f"w{number}", start(run, f"w{number}"))
    with pytest.raises(NoNodeError, match="no other node is left, and no trial is given up"):
        fault(run, "last", start(run, "last"))
    assert run.stopping
    assert [trial.outcome for trial in ledger.trials.values()] == [None, None]
    assert sum(map(len, ledger.attempts.values())) == IN_A_ROW


def test_workers_that_die_before_they_say_where_end_no_sweep(ledger: Ledger) -> None:
    for seed in range(6, 9):
        ledger.add_trial(stage="explore", params={}, config={}, seed=seed)
    run = execution(ledger)
    run.nodes = lambda: ["one", "other"]
    for number in range(3 * IN_A_ROW):
        assert isinstance(run.suggest(f"w{number}"), Job)
        run.on_death(f"w{number}", "killed")
    assert not run.guilt.bad
    assert not run.stopping
    assert not any(trial.ended for trial in ledger.trials.values())
    for number in range(4):
        job = start(run, f"x{number}", "one")
        run.on_message(f"x{number}", report(job.attempt, 1, last=True))
        run.on_end(f"x{number}")
    assert {trial.outcome for trial in ledger.trials.values()} == {"completed"}


def test_where_there_is_one_node_a_worker_that_never_said_was_there(ledger: Ledger) -> None:
    run = execution(ledger)
    run.nodes = lambda: ["n"]
    for number in range(IN_A_ROW - 1):
        run.suggest(f"w{number}")
        run.on_death(f"w{number}", "killed")
    run.suggest("last")
    with pytest.raises(NoNodeError, match="node n: 4 faults in a row, the last: killed; no other"):
        run.on_death("last", "killed")
    assert ledger.trials[0].outcome is None


def test_a_trial_that_meets_faults_under_every_driver_is_given_up(ledger: Ledger) -> None:
    for _ in range(EVERYWHERE // IN_A_ROW):
        run = execution(ledger)
        run.nodes = lambda: ["n"]
        try:
            while isinstance(job := run.suggest("w"), Job):
                fault(run, "w", job, memory=True)
        except NoNodeError:
            assert ledger.trials[0].outcome is None
    assert (ledger.trials[0].outcome, ledger.trials[0].attempts) == ("oom", EVERYWHERE)


def test_lost_nodes_count_against_nobody(ledger: Ledger) -> None:
    """On machines that are taken away, a trial may lose many before its next report."""
    ledger.add_trial(stage="explore", params={}, config={}, seed=6)
    run = execution(ledger)
    for number in range(3 * EVERYWHERE):
        for name in "ab":
            start(run, f"{name}{number}", f"{name}{number}")
        for name in "ab":
            run.on_death(f"{name}{number}", NODE_DEATH)
            run.on_end(f"{name}{number}")
    assert [trial.outcome for trial in ledger.trials.values()] == [None, None]
    assert not run.guilt.bad
    causes = {one.cause for many in ledger.attempts.values() for one in many}
    assert causes == {"node"}
    # Nor under the next driver, whatever is on record.
    again = execution(ledger)
    assert again.guilt.faults(ledger.trials[0]) == 0
    assert again.guilt.losses(ledger.trials[0]) == 3 * EVERYWHERE
    fault(again, "x", start(again, "x", "n"))
    assert ledger.trials[0].outcome is None


def test_lost_nodes_do_not_make_faults_of_a_trial_its_own(ledger: Ledger) -> None:
    """Others fared well on the nodes that it lost; it met a fault on one of them before."""
    ledger.add_trial(stage="explore", params={}, config={}, seed=6)
    run = execution(ledger)
    job = start(run, "x", "n")
    start(run, "y", "n")
    fault(run, "x", job)
    run.on_end("x")
    for number in range(2 * IN_A_ROW):
        job = start(run, f"x{number}", "n")
        assert job.trial == 0
        run.on_message("y", report(1, number + 1))
        run.on_death(f"x{number}", NODE_DEATH)
        run.on_end(f"x{number}")
    assert ledger.trials[0].outcome is None


def test_a_trial_that_alone_loses_its_nodes_is_given_up(ledger: Ledger) -> None:
    ledger.add_trial(stage="explore", params={}, config={}, seed=6)
    run = execution(ledger)
    start(run, "killer", "n0")
    other = start(run, "other", "mine")
    for number in range(1, ALONE + 1):
        assert ledger.trials[0].outcome is None
        run.on_death("killer", NODE_DEATH)
        run.on_end("killer")
        if ledger.trials[0].outcome is None:
            start(run, "killer", f"n{number}")
            run.on_message("other", report(other.attempt, number))
    run.on_death("killer", NODE_DEATH)
    assert ledger.trials[0].outcome == "crashed"
    assert ledger.trials[0].reason == (
        f"8 of its nodes were lost in a row, and no other trial's; the last: {NODE_DEATH}"
    )


def test_a_worker_of_whose_node_the_end_is_heard_later_met_no_fault(ledger: Ledger) -> None:
    ledger.add_trial(stage="explore", params={}, config={}, seed=6)
    run = execution(ledger)
    gone: set[str] = set()
    run.gone = lambda node: node in gone
    start(run, "other", "mine")
    for number in range(2 * EVERYWHERE):
        node = f"n{number}"
        start(run, f"w{number}", node)
        run.on_death(f"w{number}", "Worker exit type: SYSTEM_ERROR: End of file")
        run.on_end(f"w{number}")
        gone.add(node)
    assert {one.cause for one in ledger.attempts[1]} == {"worker"}
    assert ledger.trials[1].outcome is None
    for number in range(EVERYWHERE):
        start(run, f"v{number}", f"stays{number}")
        run.on_death(f"v{number}", "Worker exit type: SYSTEM_ERROR: End of file")
        run.on_end(f"v{number}")
        if ledger.trials[1].ended:
            break
    assert ledger.trials[1].outcome == "crashed"


def test_a_worker_that_went_with_its_node_was_lost_with_it(ledger: Ledger) -> None:
    run = execution(ledger)
    run.gone = lambda node: node == "gone"
    for name, node in (("a", "here"), ("b", "gone")):
        start(run, name, node)
        run.on_death(name, "Worker exit type: SYSTEM_ERROR Worker exit detail: End of file")
    assert [one.cause for one in ledger.attempts[0]] == ["worker", "node"]


def killed_for_memory(**used: float) -> str:
    """What Ray 2.60 says of the workers that its memory monitor killed, by pid."""
    lines = [
        f"Selected to kill: (Actor(ab): task name=A.__init__, pid={name.lstrip('p')}, "
        f"actual memory used={memory:.2f}GB, worker ID=cd)"
        for name, memory in used.items()
    ]
    head = f"{len(used)} worker(s) were killed due to the node running low on memory. 23 of 24GB"
    return "\n".join([head, *lines])


def collapse(ledger: Ledger, reason: str) -> Execution:
    """Both trials are live, and all workers end, until one trial is given up."""
    ledger.add_trial(stage="explore", params={}, config={}, seed=6)
    run = execution(ledger)
    for _ in range(MAX_DEATHS + 1):
        for name in ("a", "b"):
            job = run.suggest(name)
            assert isinstance(job, Job)
            started = {"kind": "started", "attempt": job.attempt, "host": "h"}
            run.on_message(name, {**started, "pid": 11 + job.trial})
        assert run.running.live.keys() == {"a", "b"}
        run.on_collapse(reason)
        assert not run.running.live
    return run


def test_who_takes_the_memory_is_given_up_and_those_killed_with_it_are_not(ledger: Ledger) -> None:
    run = collapse(ledger, killed_for_memory(p11=0.06, p12=6.5, p13=20.0))
    innocent, guilty = ledger.trials[0], ledger.trials[1]
    assert (innocent.outcome, innocent.preempted) == (None, MAX_DEATHS + 1)
    assert (guilty.outcome, guilty.preempted, guilty.score) == ("oom", MAX_DEATHS + 1, -1.0)
    assert guilty.reason.endswith("low on memory. 23 of 24GB")
    assert not run.guilt.bad
    job = run.suggest("c")
    assert isinstance(job, Job)
    assert job.trial == innocent.id


def test_a_collapse_for_reasons_unknown_is_no_trials_fault(ledger: Ledger) -> None:
    run = collapse(ledger, "something broke")
    assert [trial.outcome for trial in ledger.trials.values()] == [None] * 2
    assert [trial.preempted for trial in ledger.trials.values()] == [MAX_DEATHS + 1] * 2
    assert isinstance(run.suggest("c"), Job)


def test_who_was_sent_away_from_a_node_met_no_fault(ledger: Ledger) -> None:
    run = execution(ledger)
    run.allows = lambda node: node != "joiner"
    for number in range(2 * EVERYWHERE):
        start(run, f"w{number}", "joiner")
        run.on_end(f"w{number}")
    assert {one.cause for one in ledger.attempts[0]} == {"machine"}
    again = execution(ledger)
    assert again.guilt.faults(ledger.trials[0]) == 0


@pytest.mark.parametrize("known", [True, False], ids=["at-work", "on-their-way"])
def test_processes_that_end_at_once_are_one_fault_of_their_node(
    ledger: Ledger, known: bool
) -> None:
    """A node that is lost ends all of its workers, and Ray may hear of its own end last."""
    for seed in range(6, 6 + 2 * IN_A_ROW):
        ledger.add_trial(stage="explore", params={}, config={}, seed=seed)
    run = execution(ledger)
    run.nodes = lambda: ["n"]
    for again in range(IN_A_ROW - 1):
        names = [f"w{again}-{number}" for number in range(2 * IN_A_ROW)]
        for name in names:
            assert run.suggest(name) if not known else start(run, name, "n")
        for name in names:
            run.on_death(name, "The actor is unavailable: RpcError: Socket closed")
            run.on_end(name)
            assert not run.guilt.bad
    # One that began after the last of them is one more: that node lives, and is bad.
    start(run, "late", "n")
    with pytest.raises(NoNodeError):
        run.on_death("late", "The actor is unavailable: RpcError: Socket closed")
