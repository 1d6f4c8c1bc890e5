"""Population based training, as decisions: who goes on, who takes over whom, with which settings.

Jaderberg et al., "Population Based Training of Neural Networks" (arXiv 1711.09846): truncation
selection, perturbation by a factor of 1.25 or a fresh draw. All members decide at the same shares
of the budget, so a population is a pure function of its seed and its scores, whatever the order in
which members finish; resuming repeats nothing and changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal

from pydantic import Field, field_validator

from curricula.learned import Knob, KnobName, explore
from search.schedulers.scheduler import SchedulerConfig

BredColumn = Literal[
    "exact_accuracy",
    "cell_accuracy",
    "blank_accuracy",
    "valid_rate",
    "early_exact_accuracy",
    "best_q_accuracy",
    "live_exact_accuracy",
    "halt_auc",
    "coverage_99",
]
"""Shares in [0, 1] of the evaluation on `valid`, where more is better."""


class PbtConfig(SchedulerConfig):
    """Learn a curriculum with a population of runs, instead of searching for a fixed one.

    Every run keeps its settings for a share of 1 / `generations` of the budget; then the worst
    share `quantile` of the members goes on from the checkpoints of members of the best share, with
    settings perturbed. The result is a plain curriculum, confirmed over fresh seeds like any
    other. Distributions in the file are drawn once for each member and inherited. `search.trials`
    does not count here: there are `members` x `generations` stretches of training. Generations end
    at shares of compute alone (no `on`): the settings' history is a curriculum of such shares.

    Attributes:
        learn: what is learned; depth and supervision steps up to the model's own, factors on
            halting weight, exploration and learning rate, latent noise, a window of difficulty.
        metric: the column of the reports that members are compared by (null: the objective; a
            column that moves early, such as `cell_accuracy`, serves short stretches better).
        resample: chance that a setting is drawn anew instead of perturbed.
        members: runs side by side.
        generations: stretches of training, of equal shares of the budget.
        quantile: share of the members that takes over, and share that is taken over from.
    """

    name: Literal["pbt"] = "pbt"
    members: int = Field(default=8, ge=2, le=10_000)
    generations: int = Field(default=8, ge=2, le=1_000)
    learn: list[KnobName] = Field(
        default=["H_cycles", "L_cycles", "supervision_steps", "halt_weight", "learning_rate"],
        min_length=1,
    )
    quantile: float = Field(default=0.25, gt=0.0, le=0.5)
    resample: float = Field(default=0.25, ge=0.0, le=1.0)
    metric: BredColumn | None = None

    @field_validator("learn")
    @classmethod
    def _sensible(cls, learn: list[KnobName]) -> list[KnobName]:
        for name in learn:
            if learn.count(name) > 1:
                raise ValueError(f"{name} stands there {learn.count(name)} times: name it once")
        if "difficulty_position" in learn and "difficulty_width" not in learn:
            raise ValueError("difficulty_position needs difficulty_width beside it")
        return learn

    def marks(self, slow_start: bool) -> tuple[float, ...]:
        """The ends of the generations."""
        return tuple((index + 1) / self.generations for index in range(self.generations))


@dataclass(frozen=True)
class NextStretch:
    """What a member does in the next generation: whose run it goes on with, and how."""

    parent: int
    settings: dict[str, float]


def next_generation(
    config: PbtConfig,
    knobs: Mapping[int, Mapping[KnobName, Knob]],
    settings: Mapping[int, Mapping[str, float]],
    scores: Mapping[int, float | None],
    seed: str,
) -> dict[int, NextStretch]:
    """Each member's next step.

    Args:
        knobs: what each member's model allows.
        settings: what each member has trained with.
        scores: what it came to; None or not finite if it failed: then it must be replaced.
        seed: text that all draws depend on, together with the member's number.

    Raises:
        ValueError: every member failed.
    """
    alive = {m: s for m, s in scores.items() if s is not None and math.isfinite(s)}
    if not alive:
        raise ValueError("every member of the population failed")
    ranked = sorted(alive, key=lambda member: (-alive[member], member))
    count = max(1, math.floor(config.quantile * len(scores)))
    best = ranked[:count]
    worst = {member for member in scores if member not in alive}
    for member in reversed(ranked[count:]):
        if len(worst) < count:
            worst.add(member)
    steps = {}
    for member in sorted(scores):
        if member not in worst:
            steps[member] = NextStretch(member, dict(settings[member]))
            continue
        random = Random(f"{seed}/{member}")
        parent = random.choice(best)
        steps[member] = NextStretch(
            parent, explore(settings[parent], knobs[parent], random, config.resample)
        )
    return steps
