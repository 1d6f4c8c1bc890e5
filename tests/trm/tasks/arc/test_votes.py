"""ARC's votes over images against hand counts."""

from __future__ import annotations

import numpy as np
import pytest

from trm.tasks.arc import ArcPuzzle
from trm.tasks.arc.grids import Grid
from trm.tasks.arc.votes import Vote, pass_at, ranked, submission


def g(*rows: str) -> Grid:
    return np.array([[int(cell) for cell in row] for row in rows], dtype=np.uint8)


EMPTY = np.zeros((0, 0), dtype=np.uint8)


A, B, C, D = g("12"), g("21"), g("1", "2"), g("12", "12")


HAND = [
    # question, answers with q in the order in which they came, the ranking wanted
    ("p", 0, [(A, 0.5), (A, 0.2)], [A]),
    ("p", 1, [(A, 0.1), (B, 0.9), (A, 0.1)], [A, B]),
    ("q", 0, [(A, 0.4), (B, 0.6)], [B, A]),
    ("q", 1, [(A, 0.9), (B, 0.2), (B, 0.2), (C, 0.95)], [B, C, A]),
    ("q", 2, [], []),
    ("r", 0, [(EMPTY, 0.9), (A, 0.1)], [A]),
    ("r", 1, [(EMPTY, 0.9)], []),
    ("s", 0, [(A, 0.5), (B, 0.5)], [A, B]),
    ("s", 1, [(C, 0.3), (A, 0.3), (D, 0.3), (A, 0.3)], [A, C, D]),
]


OUTPUTS: dict[str, list[Grid | None]] = {
    "p": [A, B], "q": [A, A, A], "r": [A, B], "s": [B, None], "t": [A],
}  # fmt: skip


def test_votes_against_hand_counts() -> None:
    votes = [Vote((name, n), one, q) for name, n, given, _ in HAND for one, q in given]
    assert len(votes) == 20
    ranking = ranked(votes)
    for name, n, _, wanted in HAND:
        found = ranking.get((name, n), [])
        assert [one.tolist() for one in found] == [one.tolist() for one in wanted], (name, n)
    puzzles = [
        ArcPuzzle(name, ((A, A),), tuple((A, output) for output in outputs))
        for name, outputs in OUTPUTS.items()
    ]
    # By hand: p 1/2, q 0/3, r 1/2, s 0/1 (its second is kept back), t has no prediction at all.
    assert pass_at(1, ranking, puzzles) == pytest.approx((1 / 2 + 0 + 1 / 2 + 0 + 0) / 5)
    assert pass_at(2, ranking, puzzles) == pytest.approx((2 / 2 + 1 / 3 + 1 / 2 + 1 + 0) / 5)
    assert pass_at(5, ranking, puzzles) == pytest.approx((2 / 2 + 2 / 3 + 1 / 2 + 1 + 0) / 5)
    sent = submission(ranking, puzzles)
    assert sent["q"][1] == {"attempt_1": B.tolist(), "attempt_2": C.tolist()}
    assert sent["p"][0] == {"attempt_1": A.tolist(), "attempt_2": A.tolist()}
    assert sent["t"] == [{"attempt_1": [[0]], "attempt_2": [[0]]}]
    assert [len(sent[name]) for name in OUTPUTS] == [2, 3, 2, 2, 1]
