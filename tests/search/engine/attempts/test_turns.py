"""Who is next, and how many at once."""

from __future__ import annotations

from search.engine.attempts.turns import Turns
from search.engine.job import Job
from search.ledger.ledger import Ledger
from tests.support.executed import (
    NODE_DEATH,
    Source,
    execution,
    report,
    start,
)


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
        attempt = run.running.live[name][1]
        run.on_message(name, report(attempt, 1, last=True))
        run.on_end(name)
    assert order == [1, 2, 3]


def test_a_lost_trial_gets_a_free_worker_before_those_that_wait(ledger: Ledger) -> None:
    for seed in range(6, 12):
        ledger.add_trial(stage="explore", params={}, config={}, seed=seed)
    run = execution(ledger)
    for name in ("a", "b", "c"):
        run.suggest(name)
    assert run.running.first(["c", "b"]) == "b"
    run.on_start("a", "worker a")
    assert run.running.lacks_workers
    for name in "bc":
        run.on_start(name, f"worker {name}")
    assert not run.running.lacks_workers
    assert run.running.first([]) is None
    run.on_death("a", NODE_DEATH)
    run.on_end("a")
    assert isinstance(run.suggest("again"), Job)
    assert run.running.first(["b", "c", "again"]) == "again"


def test_a_trial_whose_nodes_are_lost_again_and_again_waits_for_others(ledger: Ledger) -> None:
    ledger.add_trial(stage="explore", params={}, config={}, seed=6)
    run = execution(ledger)
    order = []
    for name in "abcd":
        order.append(start(run, name).trial)
        run.on_death(name, NODE_DEATH)
        run.on_end(name)
    assert order == [0, 0, 0, 1]


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


def test_turns_in_order(ledger: Ledger) -> None:
    for seed in range(6, 13):
        ledger.add_trial(stage="explore", params={}, config={}, seed=seed)
    trials = list(ledger.trials.values())
    turns = Turns(Source(trials[6:]))
    turns.at_last(trials[0])
    turns.after_others(trials[1])
    for trial in trials[2:5]:
        turns.at_once(trial)
    turns.drop(trials[3])
    turns.after_others(trials[5])
    assert turns.waiting() == 5 + 2
    order = []
    while (trial := turns.next()) is not None:
        if trial is trials[0]:
            assert turns.exhausted(), "it was the last one that waited"
        else:
            assert not turns.exhausted()
        order.append(trial.id)
        if trial is trials[4]:
            turns.began()
    # Who waits for others goes once another one has begun, before what is new.
    assert order == [2, 4, 1, 5, 6, 7, 0]
    turns.after_others(trials[1])
    assert turns.next() is trials[1], "there is no other"
