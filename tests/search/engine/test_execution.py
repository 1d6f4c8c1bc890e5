"""The engine's decisions in plain Python: whom to believe, how a trial ends, who runs next."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from search.engine.events import NoEvents
from search.engine.execution import MAX_DEATHS, Execution
from search.engine.guilt import EVERYWHERE, IN_A_ROW, NoNodeError
from search.engine.job import Job
from search.engine.packing.parts import Group
from search.ledger.ledger import Ledger
from search.ledger.room import Room
from search.ledger.trial import Trial
from trm.blame import StorageError
from trm.report import COLUMNS


class Source:
    floor = -1.0

    def __init__(self, trials: list[Trial]) -> None:
        self.waiting = trials
        self.judged: list[int] = []
        self.ended: list[Trial] = []

    def next(self) -> Trial | None:
        return self.waiting.pop(0) if self.waiting else None

    def exhausted(self) -> bool:
        return not self.waiting

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


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.create(tmp_path / "run") as ledger:
        ledger.add_trial(stage="explore", params={}, config={}, seed=5)
        yield ledger


def execution(ledger: Ledger) -> Execution:
    def job(trial: Trial, attempt: int) -> Job:
        return Job("", trial.id, attempt, {}, trial.seed, 1.0, (1.0,), trial.checkpoint)

    waiting = [trial for trial in ledger.trials.values() if trial.outcome is None]
    return Execution(Source(waiting), ledger, NoEvents(), job)


def test_an_attempt_from_start_to_end(ledger: Ledger) -> None:
    run = execution(ledger)
    job = run.suggest("a")
    assert isinstance(job, Job)
    assert (job.trial, job.attempt, job.seed, job.checkpoint) == (0, 1, 5, None)
    assert run.suggest("b") is None, "the running trial may have to be run again"
    assert run.on_message("a", {"kind": "started", "attempt": 1, "host": "h", "pid": 1}) == (
        "continue"
    )
    assert run.on_message("a", report(1, 1)) == "continue"
    assert run.on_message("a", report(1, 2, last=True)) == "stop"
    assert ledger.trials[0].outcome == "completed"
    assert ledger.trials[0].score == 0.2
    run.on_end("a")
    assert run.suggest("c") == "finished"


def test_a_worker_says_once_who_it_is(ledger: Ledger) -> None:
    ledger.add_trial(stage="explore", params={}, config={}, seed=6)
    heard: list[tuple[int, str]] = []

    class Heard(NoEvents):
        def started(self, trial: Trial, worker: str) -> None:
            heard.append((trial.id, worker))

    run = execution(ledger)
    run.events = Heard()
    for name in ("a", "b"):
        run.suggest(name)
        run.on_start(name, "worker")
        if name == "a":
            assert not heard, "nobody knows the worker yet"
            run.on_message(name, {"kind": "started", "attempt": 1, "host": "h", "pid": 7})
        assert run.pids == {name: 7}
        run.on_message(name, report(1, 1, last=True))
        run.on_end(name)
    run.on_start("unknown", "worker")
    assert heard == [(0, "h:7"), (1, "h:7")]
    assert not run.pids


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


def start(run: Execution, name: str, node: str = "n") -> Job:
    job = run.suggest(name)
    assert isinstance(job, Job), job
    started = {"kind": "started", "attempt": job.attempt, "host": f"host-{node}", "pid": 7}
    assert run.on_message(name, {**started, "node": node}) in ("continue", "replace")
    return job


def fault(run: Execution, name: str, job: Job, **more: Any) -> Any:
    words = {"kind": "fault", "attempt": job.attempt, "reason": "CUDA error: x", **more}
    return run.on_message(name, words)


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


def test_a_config_that_breaks_its_device_ends_and_its_worker_goes_with_it(ledger: Ledger) -> None:
    run = execution(ledger)
    start(run, "a")
    end = {"kind": "end", "attempt": 1, "outcome": "crashed", "reason": "assert", "broken": True}
    assert run.on_message("a", end) == "replace"
    assert ledger.trials[0].outcome == "crashed"


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
    assert job.trial not in [trial for trial, _ in run.live.values()]
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


def test_a_lost_node_counts_against_nobody_for_long(ledger: Ledger) -> None:
    run = execution(ledger)
    for number in range(EVERYWHERE - 1):
        start(run, f"w{number}")
        run.on_death(f"w{number}", "The actor is dead because its node has died. Node Id: ab")
        assert ledger.trials[0].outcome is None
    assert not run.guilt.bad
    assert {one.cause for one in ledger.attempts[0]} == {"node"}


NODE_DEATH = "The actor is dead because its node has died. Node Id: ab"


def test_no_more_trials_are_begun_than_there_is_room_for(ledger: Ledger) -> None:
    for seed in range(6, 12):
        ledger.add_trial(stage="explore", params={}, config={}, seed=seed)
    run = execution(ledger)
    room = 2
    run.slots = lambda: room
    for name in ("a", "b"):
        start(run, name)
    assert run.suggest("c") is None
    room = 3
    start(run, "c")
    room = 1
    assert run.suggest("d") is None
    # What Tune has not put away yet still has a place.
    run.on_message("a", report(1, 1, last=True))
    run.on_message("b", report(1, 1, last=True))
    assert run.suggest("d") is None
    run.on_end("a")
    run.on_end("b")
    assert run.suggest("d") is None
    run.on_end("c")
    assert start(run, "d").trial == 3


def test_a_lost_trial_is_next_though_there_is_less_room(ledger: Ledger) -> None:
    for seed in range(6, 12):
        ledger.add_trial(stage="explore", params={}, config={}, seed=seed)
    run = execution(ledger)
    room = 3
    run.slots = lambda: room
    for name in ("a", "b", "c"):
        start(run, name)
    room = 1
    for name in ("b", "c"):
        run.on_death(name, NODE_DEATH)
        run.on_end(name)
    assert run.suggest("x") is None
    order = []
    for name in ("a", "x", "y", "z"):
        if name != "a":
            order.append(start(run, name).trial)
        attempt = run.live[name][1]
        run.on_message(name, report(attempt, 1, last=True))
        run.on_end(name)
    assert order == [1, 2, 3]


def test_a_lost_trial_gets_a_free_worker_before_those_that_wait(ledger: Ledger) -> None:
    for seed in range(6, 12):
        ledger.add_trial(stage="explore", params={}, config={}, seed=seed)
    run = execution(ledger)
    for name in ("a", "b", "c"):
        run.suggest(name)
    assert run.first(["c", "b"]) == "b"
    run.on_start("a", "worker a")
    assert run.lacks_workers
    for name in "bc":
        run.on_start(name, f"worker {name}")
    assert not run.lacks_workers
    assert run.first([]) is None
    run.on_death("a", NODE_DEATH)
    run.on_end("a")
    assert isinstance(run.suggest("again"), Job)
    assert run.first(["b", "c", "again"]) == "again"


def test_a_trial_whose_nodes_are_lost_again_and_again_waits_for_others(ledger: Ledger) -> None:
    ledger.add_trial(stage="explore", params={}, config={}, seed=6)
    run = execution(ledger)
    order = []
    for name in "abcd":
        order.append(start(run, name).trial)
        run.on_death(name, NODE_DEATH)
        run.on_end(name)
    assert order == [0, 0, 0, 1]


def test_a_worker_that_went_with_its_node_was_lost_with_it(ledger: Ledger) -> None:
    run = execution(ledger)
    run.gone = lambda node: node == "gone"
    for name, node in (("a", "here"), ("b", "gone")):
        start(run, name, node)
        run.on_death(name, "Worker exit type: SYSTEM_ERROR Worker exit detail: End of file")
    assert [one.cause for one in ledger.attempts[0]] == ["worker", "node"]


def test_a_sweep_ends_though_no_node_is_left(ledger: Ledger) -> None:
    run = execution(ledger)
    run.slots = lambda: len(run.ledger.trials) - run.ledger.trials[0].ended
    start(run, "a")
    run.on_message("a", report(1, 1, last=True))
    run.on_end("a")
    assert run.slots() == 0
    assert run.suggest("b") == "finished"


def test_a_collapse_leaves_all_room_to_what_follows(ledger: Ledger) -> None:
    run = execution(ledger)
    run.slots = lambda: 1
    start(run, "a")
    run.on_collapse("all workers died")
    assert start(run, "b").attempt == 2


def test_a_worker_on_a_node_that_has_not_proved_itself_does_not_train(ledger: Ledger) -> None:
    run = execution(ledger)
    run.allows = lambda node: node == "able"
    run.barred = lambda: ["joined"]
    job = run.suggest("a")
    assert isinstance(job, Job)
    started = {"kind": "started", "attempt": 1, "host": "h", "pid": 1}
    assert run.on_message("a", {**started, "node": "joined"}) == "replace"
    assert run.left_out() == {"joined"}
    start(run, "b", "able")
    assert run.live["b"][1] == 2


class Storage(Room):
    """A run folder whose storage says what a test wants."""

    def __init__(self) -> None:
        super().__init__(Path("run"))
        self.problem = ""
        self.lines: list[str] = []
        self.say = self.lines.append
        self.seconds = 60.0

    def refuses(self, needed: int = 0) -> str:
        return self.problem


def refusal(run: Execution, name: str) -> Any:
    words = {"kind": "storage", "attempt": 1, "reason": "No space left", "needed": 3 << 20}
    return run.on_message(name, words)


def test_storage_that_is_full_holds_everybody_until_it_takes_something(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.ledger.room.ASK_SECONDS", 0.0)
    ledger.add_trial(stage="explore", params={}, config={}, seed=6)
    run = execution(ledger)
    run.room = room = Storage()
    start(run, "a")
    room.problem = "No space left"
    assert refusal(run, "a") == "continue"
    assert refusal(run, "a") == "continue"
    assert room.lines == [
        "run: No space left; 3 MiB are needed: free space there or make it writable; the sweep "
        "waits and goes on by itself, for 1 min at most"
    ]
    assert run.suggest("b") is None
    assert not run.check_stop()
    room.problem = ""
    assert isinstance(run.suggest("b"), Job)
    assert run.on_message("a", report(1, 1)) == "continue"
    assert len(room.lines) == 2
    assert not ledger.attempts, "nothing was lost"


def test_storage_that_never_comes_back_ends_the_run(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.ledger.room.ASK_SECONDS", 0.0)
    run = execution(ledger)
    run.room = room = Storage()
    start(run, "a")
    room.problem, room.seconds = "Read-only file system", 0.01
    refusal(run, "a")
    time.sleep(0.02)
    with pytest.raises(StorageError, match=r"Read-only file system; 3 MiB are needed.*and resume"):
        run.check_stop()
    assert ledger.trials[0].outcome is None


def test_a_node_that_alone_cannot_write_is_the_one_at_fault(ledger: Ledger) -> None:
    run = execution(ledger)
    run.room = Storage()
    start(run, "a")
    assert [refusal(run, "a") for _ in range(3)] == ["continue", "continue", "replace"]
    assert ledger.attempts[0][0].cause == "machine"


def test_marks_that_are_known_are_not_judged_again(ledger: Ledger) -> None:
    run = execution(ledger)
    run.suggest("a")
    run.on_message("a", report(1, 1))
    run.on_death("a", "gone")
    run.suggest("b")
    assert run.on_message("b", report(2, 1)) == "continue"
    assert run.on_message("b", report(1, 2)) == "stop", "a stale attempt"
    assert run.on_message("b", report(2, 2, last=True)) == "stop"
    assert run.source.judged == [1, 2]  # type: ignore[attr-defined]
    assert [r["attempt"] for r in ledger.curve(0)] == [1, 2]


def test_a_driver_killed_between_last_report_and_outcome_is_made_good(ledger: Ledger) -> None:
    run = execution(ledger)
    run.suggest("a")
    ledger.acknowledge(0, 1, row(1), "checkpoints/0/1/1")
    run = execution(ledger)
    assert isinstance(run.suggest("b"), Job)
    end = {"kind": "end", "attempt": 2, "outcome": "completed", "reason": ""}
    assert run.on_message("b", end) == "stop"
    assert (ledger.trials[0].outcome, ledger.trials[0].score) == ("completed", 0.1)


def test_a_diverged_trial_is_not_run_again_after_a_killed_driver(ledger: Ledger) -> None:
    run = execution(ledger)
    run.suggest("a")
    ledger.acknowledge(0, 1, row(1, step=7, diverged=True))
    run = execution(ledger)
    assert run.suggest("b") == "finished"
    assert (ledger.trials[0].outcome, ledger.trials[0].score) == ("diverged", -1.0)
    assert run.source.ended == [ledger.trials[0]]  # type: ignore[attr-defined]


def test_a_score_that_is_no_number_is_a_failure(ledger: Ledger) -> None:
    run = execution(ledger)
    run.suggest("a")
    assert run.on_message("a", report(1, 1, last=True, exact_accuracy=math.nan)) == "stop"
    trial = ledger.trials[0]
    assert (trial.outcome, trial.score, trial.reason) == ("diverged", -1.0, "the objective is nan")


def test_a_paused_trial_frees_its_worker_and_goes_on_from_its_checkpoint(ledger: Ledger) -> None:
    run = execution(ledger)
    run.suggest("a")
    run.source.on_report = lambda trial, row: "pause"  # type: ignore[method-assign]
    assert run.on_message("a", report(1, 1)) == "stop"
    run.on_end("a")
    trial = ledger.trials[0]
    assert (trial.paused, trial.outcome) == (True, None)
    run.source.waiting.append(trial)  # type: ignore[attr-defined]
    job = run.suggest("b")
    assert isinstance(job, Job)
    assert (job.attempt, job.checkpoint) == (2, "checkpoints/0/1/1")
    assert not trial.paused
    assert run.on_message("b", report(2, 2, last=True)) == "stop"
    assert trial.outcome == "completed"


def test_stopping_leaves_the_trial_unfinished(ledger: Ledger) -> None:
    run = execution(ledger)
    run.suggest("a")
    run.asked_to_stop = lambda: True
    assert run.check_stop()
    run.on_death("a", "killed by us")
    assert run.suggest("b") == "finished"
    assert (ledger.trials[0].outcome, ledger.trials[0].preempted) == (None, 0)


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
        assert run.live.keys() == {"a", "b"}
        run.on_collapse(reason)
        assert not run.live
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


def test_a_gentle_end_waits_until_every_worker_has_saved(ledger: Ledger) -> None:
    for seed in (6, 7, 8):
        ledger.add_trial(stage="explore", params={}, config={}, seed=seed)
    run, left = execution(ledger), []
    run.leave = lambda: left.append(True)
    for number, name in enumerate("abc"):
        assert isinstance(run.suggest(name), Job)
        run.on_start(name, f"worker {name}")
        if name != "c":
            who = {"kind": "started", "attempt": 1, "host": f"h{number}", "pid": 7 + number}
            assert run.on_message(name, who) == "continue"
    run.end_gently(1000.0)
    assert run.suggest("d") is None, "nothing more begins"
    assert not run.check_stop()
    assert run.on_message("a", report(1, 1)) == "stop", "what it reported is saved"
    run.on_end("a")
    assert not run.check_stop()
    saved = "checkpoints/1/1/1"
    assert run.on_message("b", {"kind": "saved", "attempt": 1, "checkpoint": saved}) == "stop"
    run.on_end("b")
    # The third has nothing to save yet.
    assert run.check_stop()
    assert (run.interrupted, left) == (True, [True])
    assert run.suggest("d") == "finished"
    assert [trial.outcome for trial in ledger.trials.values()] == [None] * 4
    assert ledger.trials[0].checkpoint == "checkpoints/0/1/1"
    assert ledger.trials[1].checkpoint == saved
    [kept] = ledger.attempts[1]
    assert (kept.cause, kept.host, kept.repeated) == ("stopped", "h1", 0.0)
    assert run.guilt.faults(ledger.trials[1]) == 0


def test_a_gentle_end_does_not_wait_for_ever(ledger: Ledger) -> None:
    run = execution(ledger)
    assert isinstance(run.suggest("a"), Job)
    run.on_start("a", "worker")
    run.on_message("a", {"kind": "started", "attempt": 1, "host": "h", "pid": 1})
    run.end_gently(0.2)
    assert not run.check_stop()
    time.sleep(0.25)
    assert run.check_stop()
    assert run.interrupted


def oom(attempt: int) -> dict[str, Any]:
    return {"kind": "end", "attempt": attempt, "outcome": "oom", "reason": "CUDA out of memory"}


def hello(attempt: int, node: str) -> dict[str, Any]:
    return {"kind": "started", "attempt": attempt, "host": node, "pid": 1, "node": node}


def begin(run: Execution, name: str, node: str = "a") -> Job:
    """An attempt that a worker of its own took."""
    job = run.suggest(name)
    assert isinstance(job, Job), job
    run.on_start(name, f"worker of {name}")
    assert run.on_message(name, hello(job.attempt, node)) == "continue"
    return job


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
    run.source.waiting.append(ledger.add_trial(stage="explore", params={}, config={}, seed=5))
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
