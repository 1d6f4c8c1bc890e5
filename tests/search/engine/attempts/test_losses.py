"""Lost nodes: those of everybody are nobody's fault, those of one trial alone are its own."""

from __future__ import annotations

import random

from search.engine.attempts.losses import ALONE, NodeLosses


def test_a_trial_alone_loses_its_nodes() -> None:
    losses = NodeLosses()
    for number in range(ALONE):
        assert not losses.alone(0)
        # Who shares the node loses it as well, and may be the first to say so.
        losses.lost(1, f"n{number}")
        losses.lost(0, f"n{number}")
        losses.report(1)
        losses.report(2)
    assert losses.alone(0)
    assert not losses.alone(1)
    losses.report(0)
    assert not losses.alone(0)


def test_while_nobody_else_is_seen_to_fare_well_nothing_is_known() -> None:
    losses = NodeLosses()
    for number in range(5 * ALONE):
        losses.lost(0, f"n{number}")
    assert not losses.alone(0)
    for _ in range(5 * ALONE):
        losses.lost(0, "")
        losses.report(1)
    assert not losses.alone(0), "a worker that never said where it was"


def test_where_machines_are_taken_away_no_trial_is_given_up() -> None:
    dice, losses = random.Random(1), NodeLosses()
    for number in range(2000):
        trial = dice.randrange(4)
        losses.lost(trial, f"n{number}")
        assert not losses.alone(trial), number
        if dice.random() < 0.3:  # that of trial 0 is far off
            losses.report(dice.randrange(1, 4))
