"""Selectors and pass@K against plain loops over puzzles, rollouts and steps."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm.thought.picks import PICKS, evidence
from trm.thought.points import axes, point, rollout_steps
from trm.thought.rollouts import Rollout, Rollouts


def drawn(seed: int, steps: list[int], puzzles: int) -> Rollouts:
    """Rollouts with ties everywhere; an answer's number decides whether it is right."""
    rng = np.random.default_rng(seed)
    right = rng.random((puzzles, 4)) < 0.3
    valid = right | (rng.random((puzzles, 4)) < 0.1)
    rollouts = []
    for own in steps:
        answer = rng.integers(0, 4, (own, puzzles)).astype(np.int32)
        rows = np.arange(puzzles)
        q = rng.integers(-2, 3, (own, puzzles)).astype(np.float32)
        q[rng.random(q.shape) < 0.05] = np.nan
        rollouts.append(
            Rollout(
                q=q,
                residual=rng.integers(0, 3, (own, puzzles)).astype(np.float32),
                answer=answer,
                right=right[rows, answer],
                valid=valid[rows, answer],
                halts=rng.random((own, puzzles)) < 0.3,
            )
        )
    return Rollouts(rollouts)


def known(value: float) -> float:
    return -math.inf if math.isnan(value) else float(value)


def by_hand(recording: Rollouts, steps: int, breadth: int, halting: bool) -> dict[str, list[bool]]:
    """Whether each selector's answer is right, and what could have been picked, a puzzle each."""
    found: dict[str, list[bool]] = {name: [] for name in (*PICKS, "passed", "anywhere")}
    for puzzle in range(recording.puzzles):
        ends = []
        for rollout in recording.rollouts[:breadth]:
            stops = [t for t in range(steps) if rollout.halts[t, puzzle]] if halting else []
            ends.append(min(stops, default=steps - 1))
        last = list(zip(recording.rollouts[:breadth], ends, strict=True))
        everything = [
            (rollout, step)
            for step in range(steps)
            for rollout, end in last
            if step <= end
        ]  # fmt: skip

        def right(choice: tuple[Rollout, int], puzzle: int = puzzle) -> bool:
            return bool(choice[0].right[choice[1], puzzle])

        def q(choice: tuple[Rollout, int], puzzle: int = puzzle) -> float:
            return known(choice[0].q[choice[1], puzzle])

        def moved(choice: tuple[Rollout, int], puzzle: int = puzzle) -> float:
            rollout, end = choice
            few = rollout.residual[max(end - 2, 0) : end + 1, puzzle]
            return float(np.mean(few.astype(np.float64)))

        votes = Counter(int(r.answer[end, puzzle]) for r, end in last)
        most = [c for c in last if votes[int(c[0].answer[c[1], puzzle])] == max(votes.values())]
        accepted = [c for c in everything if c[0].valid[c[1], puzzle]]
        found["q"].append(right(max(last, key=q)))
        found["best_q"].append(right(max(everything, key=q)))
        found["residual"].append(right(min(last, key=moved)))
        found["vote"].append(right(max(most, key=q)))
        found["verifier"].append(right(accepted[0] if accepted else max(everything, key=q)))
        found["passed"].append(any(map(right, last)))
        found["anywhere"].append(any(map(right, everything)))
    return found


@given(
    st.integers(0, 10_000),
    st.lists(st.integers(1, 5), min_size=1, max_size=5),
    st.integers(1, 6),
    st.booleans(),
    st.data(),
)
def test_everything_that_a_point_says(
    seed: int, steps: list[int], puzzles: int, halting: bool, data: st.DataObject
) -> None:
    steps = sorted(steps, reverse=True)
    recording = drawn(seed, steps, puzzles)
    breadth = data.draw(st.integers(1, len(steps)))
    depth = data.draw(st.integers(1, steps[breadth - 1]))
    found = point(recording, depth, breadth, halting=halting)
    expected = by_hand(recording, depth, breadth, halting)
    for name in PICKS:
        assert found.picked[name].tolist() == expected[name], name
        there = expected["anywhere" if PICKS[name].anywhere else "passed"]
        assert found.gap(name) == pytest.approx(np.mean(there) - np.mean(expected[name]))
        assert found.gap(name) >= 0 or name == "verifier"
    assert found.passed.tolist() == expected["passed"]
    assert found.passed_anywhere.tolist() == expected["anywhere"]
    assert (found.spent <= depth * breadth).all()
    if not halting:
        assert (found.spent == depth * breadth).all()


def test_a_rollout_ends_where_the_rule_stops_it() -> None:
    halts = np.array([[False, True], [True, True], [False, False]])
    zeros = np.zeros((3, 2), np.float32)
    one = Rollout(zeros, zeros, zeros.astype(np.int32), halts, halts, halts)
    assert evidence(Rollouts([one]), 3, 1, halting=True).ends.tolist() == [[1, 0]]
    assert evidence(Rollouts([one]), 1, 1, halting=True).ends.tolist() == [[0, 0]]
    assert point(Rollouts([one]), 3, 1, halting=True).spent.tolist() == [2, 1]
    assert point(Rollouts([one]), 3, 1).spent.tolist() == [3, 3]


def test_a_recording_that_is_not_deep_or_wide_enough() -> None:
    recording = drawn(0, [4, 2], 3)
    for steps, breadth in ((5, 1), (3, 2), (1, 3)):
        with pytest.raises(ValueError, match=f"no {breadth} rollouts of {steps} steps"):
            evidence(recording, steps, breadth)


@given(
    st.sets(st.integers(1, 64), min_size=1, max_size=4),
    st.sets(st.integers(1, 9), min_size=1, max_size=4),
    st.booleans(),
)
def test_one_pass_holds_every_pair(depths: set[int], breadths: set[int], grid: bool) -> None:
    pairs = axes([*depths], [*breadths], grid=grid)
    assert len(pairs) == len(set(pairs))
    assert {depth for depth, _ in pairs} == depths
    assert {breadth for _, breadth in pairs} == breadths
    steps = rollout_steps(pairs)
    assert steps == sorted(steps, reverse=True)
    assert all(steps[breadth - 1] >= depth for depth, breadth in pairs)
    # No rollout is deeper than anything asks for.
    assert all(any((own, b) in pairs for b in breadths if b > i) for i, own in enumerate(steps))
