"""The `thought` section: how deep and wide a model also thinks when it is evaluated. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from curricula.component import Component
from curricula.limits import MOST_EXAMPLES

PickName = Literal["q", "best_q", "residual", "vote", "verifier"]
MeasuredColumn = Literal["accuracy_x4", "accuracy_x16", "accuracy_k8"]

MEASURED: Mapping[str, tuple[int, int]] = {
    "accuracy_x4": (4, 1),
    "accuracy_x16": (16, 1),
    "accuracy_k8": (1, 8),
}
"""Of each column that can be asked for, the multiple of the trained depth and the rollouts."""


class NoiseConfig(Component):
    """Standard deviations of the Gaussian noise by which rollouts differ.

    A state of the reference's blocks has a mean square of 1, so these are shares of it.

    Attributes:
        z_H: of noise on the answer state before every supervision step (PTRM, arXiv 2605.19943).
        z_L: on the latent state, likewise.
        start: on both states before the first step alone (EqR, arXiv 2605.21488).
    """

    z_H: float = Field(default=0.0, ge=0.0, le=100.0)
    z_L: float = Field(default=0.0, ge=0.0, le=100.0)
    start: float = Field(default=0.0, ge=0.0, le=100.0)

    @property
    def silent(self) -> bool:
        """Whether there is none."""
        return not (self.z_H or self.z_L or self.start)


DEFAULT_NOISE = NoiseConfig(z_L=0.2)
"""What helps a selector that goes by the halting logit."""


class ThoughtConfig(Component):
    """How deep and wide a model also thinks when it is evaluated, for columns of the reports.

    These evaluations cost time and no training budget. Their noise is the same for all runs.

    Attributes:
        measure: further columns, of `accuracy_x4`, `accuracy_x16` and `accuracy_k8`; a sweep adds
            those that its objectives and constraints name.
        at: `last`, the last report alone; `reports`, every one.
        examples: of `valid`, the same ones for all runs; null is as many as the report's own
            evaluation has.
        depth: of `thought_accuracy`, in multiples of `model.halt_max_steps`; measured where this or
            `breadth` is more than 1.
        breadth: of `thought_accuracy`: rollouts, of which one answer is picked.
        noise: by which rollouts of `thought_accuracy` and `accuracy_k8` differ.
        pick: whose answer counts there: `q`, the rollout with the highest halting logit at its end;
            `best_q`, of all steps too; `residual`, the rollout that moves least; `vote`; or
            `verifier`, the first that passes the rules.
    """

    measure: list[MeasuredColumn] = Field(default=[])
    at: Literal["last", "reports"] = "last"
    examples: int | None = Field(default=200, ge=1, le=MOST_EXAMPLES)
    depth: int = Field(default=1, ge=1, le=1024)
    breadth: int = Field(default=1, ge=1, le=4096)
    noise: NoiseConfig = DEFAULT_NOISE
    pick: PickName = "best_q"

    @property
    def asked(self) -> dict[str, tuple[int, int]]:
        """Of each column to measure, the multiple of the trained depth and the rollouts."""
        asked: list[str] = [*self.measure]
        found = {column: pair for column, pair in MEASURED.items() if column in asked}
        if (self.depth, self.breadth) != (1, 1):
            found["thought_accuracy"] = (self.depth, self.breadth)
        return found
