"""How many seeds of a config one worker trains as one model: what `cluster.stack` comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from search.ledger.trial import Trial
from trm.config import load_experiment
from trm.errors import UserError
from trm.training.stacking.obstacles import obstacle

MOST = 8
"""Seeds in one worker, unless the file asks for more."""
WIDE = 256
"""Hidden size from which a GPU computes for as long as its host takes to launch a step: an estimate
by the number of kernels, measured on no device."""


@dataclass(frozen=True)
class Stacking:
    """How many seeds of a config begin in one worker.

    Attributes:
        asked: `cluster.stack`.
        on_cuda: whether trials have a GPU.
        holds: trainings whose memory a device, or a node without any, holds at once; None if that
            is not known.
        trees: whether trials' configs are experiments of ours.
    """

    asked: Literal["auto", "off"] | int
    on_cuda: bool
    holds: Callable[[], int | None] = lambda: None
    trees: bool = True

    def most(self, trial: Trial, free: int, waiting: Callable[[], int]) -> int:
        """Trials that a worker may have at once.

        Args:
            trial: the one that begins.
            free: places for workers.
            waiting: counts trials that wait besides it: what could begin elsewhere stays alone.
        """
        if self.asked == "off" or (self.asked == "auto" and not self.on_cuda):
            return 1
        holds = self.holds()
        if holds == 1 or (self.asked == "auto" and holds is None):
            return 1
        wide = WIDE
        if self.trees:
            try:
                config = load_experiment(trial.config)
            except UserError:
                return 1  # its worker says what is wrong with it
            if obstacle(config):
                return 1
            wide = config.model.hidden_size
        if self.asked != "auto":
            return min(self.asked, holds or self.asked)
        each = -(-(waiting() + 1) // max(free, 1))
        return max(min(MOST, holds or 1, at_most(wide), each), 1)

    def text(self) -> str:
        """In a line.

        >>> print(Stacking("auto", on_cuda=False).text())
        cluster.stack auto: seeds train one by one: on CPUs as one model they are no faster
        """
        if self.asked == "off":
            return "cluster.stack off: seeds train one by one"
        if self.asked != "auto":
            return f"cluster.stack {self.asked}: so many seeds of a config train as one model"
        if not self.on_cuda:
            why = "on CPUs as one model they are no faster"
            return f"cluster.stack auto: seeds train one by one: {why}"
        return (
            f"cluster.stack auto: up to {MOST} seeds of a config that would wait train as one "
            f"model, where its hidden size is below {WIDE} and the measured memory holds them"
        )


def at_most(hidden: int) -> int:
    """Models of a hidden size that together compute as much as one of `WIDE`, by its square.

    >>> [at_most(hidden) for hidden in (32, 64, 128, 192, 256, 512)]
    [64, 16, 4, 1, 1, 1]
    """
    return max(WIDE**2 // hidden**2, 1)
