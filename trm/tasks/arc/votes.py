"""From a model's answers to many images of a question to a ranking, a score and a submission."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trm.tasks.arc.files import ArcPuzzle
from trm.tasks.arc.grids import Grid

Question = tuple[str, int]
"""A puzzle's name and the index of its test input."""


@dataclass(frozen=True)
class Vote:
    """One answer to a question, turned back from the image that was asked.

    Attributes:
        question: which.
        answer: the grid, maybe empty.
        q: the model's halting probability.
    """

    question: Question
    answer: Grid
    q: float


def ranked(votes: Iterable[Vote]) -> dict[Question, list[Grid]]:
    """Each question's distinct answers, most votes first, then by their mean halting probability.

    Equal ones keep the order in which they came (the reference's rule, `evaluators/arc.py`). Empty
    answers are none.
    """
    ballots: dict[Question, dict[bytes, list[Vote]]] = defaultdict(dict)
    for vote in votes:
        if vote.answer.size:
            key = bytes(vote.answer.shape) + vote.answer.tobytes()
            ballots[vote.question].setdefault(key, []).append(vote)
    return {
        question: [
            same[0].answer
            for same in sorted(
                answers.values(), key=lambda same: (-len(same), -sum(v.q for v in same) / len(same))
            )
        ]
        for question, answers in ballots.items()
    }


def pass_at(
    k: int, ranking: Mapping[Question, Sequence[Grid]], puzzles: Sequence[ArcPuzzle]
) -> float:
    """Mean over puzzles of the share of test inputs whose output is among the first k answers.

    A question without an answer counts as failed; one whose output is kept back does not count.
    """
    shares = []
    for puzzle in puzzles:
        right = [
            any(_same(answer, output) for answer in ranking.get((puzzle.name, n), ())[:k])
            for n, (_, output) in enumerate(puzzle.asked)
            if output is not None
        ]
        if right:
            shares.append(sum(right) / len(right))
    return sum(shares) / len(shares) if shares else 0.0


def submission(
    ranking: Mapping[Question, Sequence[Grid]], puzzles: Sequence[ArcPuzzle]
) -> dict[str, list[dict[str, Any]]]:
    """Two attempts for each test input, as Kaggle's `submission.json` wants them.

    The best answer stands for a second one that is missing, and a single black cell for none.
    """
    found = {}
    for puzzle in puzzles:
        attempts = []
        for n in range(len(puzzle.asked)):
            grids = [grid.tolist() for grid in ranking.get((puzzle.name, n), ())[:2]] or [[[0]]]
            attempts.append({"attempt_1": grids[0], "attempt_2": grids[-1]})
        found[puzzle.name] = attempts
    return found


def _same(one: Grid, other: Grid) -> bool:
    return one.shape == other.shape and bool((one == other).all())
