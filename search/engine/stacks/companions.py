"""Which trials begin with another one, in the same worker: further seeds of its config."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from search.engine.attempts.guilt import Guilt
from search.engine.attempts.turns import Turns
from search.engine.packing.parts import Parts
from search.ledger.attempts import Attempt
from search.ledger.trial import Trial, is_own

Most = Callable[[Trial, int, Callable[[], int]], int]
"""Trials that a worker may have at once, from the one that begins, the places that are free with
its own, and the trials that wait besides it."""


def alone(trial: Trial, free: int, waiting: Callable[[], int]) -> int:
    """One."""
    return 1


class Companions:
    """Takes them from those whose turn it is, or will be whatever comes of the trials that run.

    Args:
        attempts: those on record, by trial.

    Attributes:
        most: so many in one worker.
    """

    def __init__(
        self, turns: Turns, guilt: Guilt, parts: Parts, attempts: Mapping[int, Sequence[Attempt]]
    ) -> None:
        self.most: Most = alone
        self._turns, self._guilt, self._parts = turns, guilt, parts
        self._attempts = attempts

    def of(self, trial: Trial, free: int) -> list[Trial]:
        """Those that begin with a trial.

        Args:
            free: places for workers, its own included.
        """
        if not self._fits(trial):
            return []
        further = self.most(trial, free, self._turns.waiting) - 1
        if further < 1:
            return []
        return self._turns.beside(
            trial, further, lambda one: _alike(one.threads, trial.threads) and self._fits(one)
        )

    def _fits(self, trial: Trial) -> bool:
        """Whether a trial may be trained with others: nothing that it met may be its own doing."""
        known = self._attempts.get(trial.id, ())
        return (
            (trial.checkpoint is None or is_own(trial.id, trial.checkpoint))
            and not self._guilt.suspects(trial)
            and not self._parts.grows(trial)
            and all(one.cause != "stack" for one in known)
        )


def _alike(one: int | None, other: int | None) -> bool:
    """Whether two trials may have the same threads: what they were begun with, if they were."""
    return one is None or other is None or one == other
