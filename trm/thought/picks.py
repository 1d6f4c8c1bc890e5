"""Which of all the answers of a puzzle's rollouts is given: the selectors.

>>> sorted(PICKS)
['best_q', 'q', 'residual', 'verifier', 'vote']
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trm.thought.rollouts import Rollouts

LAST_RESIDUALS = 3
"""Steps at a rollout's end over which its residual is averaged, as in EqR (arXiv 2605.21488)."""

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Signals:
    """What K rollouts of T steps said of n puzzles; arrays are `[K, T, n]` and as in `Rollout`.

    Attributes:
        q: halting logits.
        residual: of the answer state.
        answer: numbers of answers.
        right: which of them are right; no selector looks there.
        valid: which of them the verifier accepts.
        ends: `[K, n]`, the index of the step at which each rollout ended.
    """

    q: NDArray[np.float32]
    residual: NDArray[np.float32]
    answer: NDArray[np.int32]
    right: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    ends: Indices

    @property
    def reached(self) -> NDArray[np.bool_]:
        """Steps that were taken, `[K, T, n]`."""
        return np.arange(self.q.shape[1])[None, :, None] <= self.ends[:, None, :]

    def at_end(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """`[K, n]` of `[K, T, n]`: at each rollout's end."""
        return np.take_along_axis(values, self.ends[:, None, :], axis=1)[:, 0]


def evidence(recording: Rollouts, steps: int, breadth: int, *, halting: bool = False) -> Signals:
    """What the first `breadth` rollouts say within `steps` steps.

    Args:
        halting: whether a rollout ends where the recording's rule stops it, or at its last step.

    Raises:
        ValueError: the recording is not that deep or wide.
    """
    chosen = recording.rollouts[:breadth]
    if len(chosen) < breadth or min(one.steps for one in chosen) < steps:
        raise ValueError(f"the recording has no {breadth} rollouts of {steps} steps")
    q, residual, answer, right, valid, halts = (
        np.stack([getattr(one, name)[:steps] for one in chosen])
        for name in ("q", "residual", "answer", "right", "valid", "halts")
    )
    ends = np.full((breadth, recording.puzzles), steps - 1, dtype=np.int64)
    if halting:
        ends = np.where(halts.any(axis=1), halts.argmax(axis=1), steps - 1)
    return Signals(q, residual, answer, right, valid, ends)


Choose = Callable[[Signals], tuple[Indices, Indices]]
"""Of each puzzle the rollout and the step whose answer is given, `[n]` each."""


@dataclass(frozen=True)
class Pick:
    """A selector.

    Attributes:
        choose: what it does.
        anywhere: whether it looks at the answers of all steps, or at the last ones alone.
        meaning: in words.
    """

    choose: Choose
    anywhere: bool
    meaning: str


def _first(score: NDArray[np.floating]) -> Indices:
    """The index of the highest along the first axis, the first of equal ones; nan is the least."""
    return np.asarray(np.where(np.isnan(score), -np.inf, score).argmax(axis=0), dtype=np.int64)


def _at_ends(seen: Signals, rollout: Indices) -> tuple[Indices, Indices]:
    return rollout, seen.ends[rollout, np.arange(len(rollout))]


def _anywhere(score: NDArray[np.floating]) -> tuple[Indices, Indices]:
    """The highest of all rollouts and steps, of equal ones the earliest step's."""
    breadth, _, puzzles = score.shape
    flat = _first(np.moveaxis(score, 1, 0).reshape(-1, puzzles))
    return flat % breadth, flat // breadth


def _by_q(seen: Signals) -> tuple[Indices, Indices]:
    return _at_ends(seen, _first(seen.at_end(seen.q)))  # type: ignore[arg-type]


def _by_best_q(seen: Signals) -> tuple[Indices, Indices]:
    return _anywhere(np.where(seen.reached, seen.q, -np.inf))


def _by_residual(seen: Signals) -> tuple[Indices, Indices]:
    summed = np.cumsum(seen.residual, axis=1, dtype=np.float64)
    summed = np.concatenate([np.zeros_like(summed[:, :1]), summed], axis=1)
    begins = np.maximum(seen.ends + 1 - LAST_RESIDUALS, 0)
    last, before = (
        np.take_along_axis(summed, at[:, None, :], axis=1)[:, 0] for at in (seen.ends + 1, begins)
    )
    return _at_ends(seen, _first(-(last - before) / (seen.ends + 1 - begins)))


def _by_vote(seen: Signals) -> tuple[Indices, Indices]:
    answers, q = seen.at_end(seen.answer), seen.at_end(seen.q)
    votes = np.stack([(answers == own).sum(axis=0) for own in answers])
    most = votes == votes.max(axis=0)
    return _at_ends(seen, _first(np.where(most, q.astype(np.float64), -np.inf)))


def _by_verifier(seen: Signals) -> tuple[Indices, Indices]:
    accepted = seen.valid & seen.reached
    rollout, step = _anywhere(accepted.astype(np.float64))
    without = ~accepted.any(axis=(0, 1))
    others = _by_best_q(seen)
    return np.where(without, others[0], rollout), np.where(without, others[1], step)


PICKS: dict[str, Pick] = {
    "q": Pick(_by_q, False, "the last answer of the rollout with the highest halting logit"),
    "best_q": Pick(
        _by_best_q, True, "the answer with the highest halting logit, of all rollouts and steps"
    ),
    "residual": Pick(
        _by_residual, False,
        "the last answer of the rollout whose answer state moved least over its last three steps",
    ),
    "vote": Pick(
        _by_vote, False,
        "the last answer that most rollouts agree on, of equals the one with the highest logit",
    ),
    "verifier": Pick(
        _by_verifier, True,
        "the first answer that the task's rules accept, of all rollouts and steps; else best_q",
    ),
}  # fmt: skip
"""The selectors by name."""
