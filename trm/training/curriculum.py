"""Between a training run and its curriculum: what it starts from, gets, and tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curricula.curriculum import Course
from curricula.feedback import Feedback
from curricula.stage import Stage
from trm.config import Experiment
from trm.errors import UserError
from trm.network.model import Latent
from trm.network.noise import Noise
from trm.tasks.base import Task


def full_stage(config: Experiment) -> Stage:
    """The values in force without a curriculum: those of the config's other sections."""
    model = config.model
    return Stage(
        H_cycles=model.H_cycles,
        L_cycles=model.L_cycles,
        supervision_steps=model.halt_max_steps,
        halt_weight=config.loss.halt_weight,
        exploration=model.halt_exploration_prob,
    )


def begin_course(config: Experiment, task: Task) -> Course:
    """A run's way through its curriculum, at the start.

    Raises:
        UserError: the curriculum names a source that the task does not have.
    """
    try:
        return Course(config.curriculum, full_stage(config), task.sources)
    except ValueError as error:
        raise UserError(f"curriculum.sources.{error}") from error


def advance(course: Course, progress: float) -> Stage:
    """The values for the next training step; to be called once for each.

    Raises:
        UserError: the curriculum gives what no training can have.
    """
    try:
        return course.advance(progress)
    except ValueError as error:
        name = course.curriculum.name
        raise UserError(f"curriculum {name!r} at {progress:.0%} of the run: {error}") from error


def drawn_depth(stage: Stage, generator: torch.Generator) -> Stage:
    """The stage of one training step, some of whose H cycles may be left out at random.

    Each but the last is with a chance of `stage.stochastic_depth`, the same ones for the whole
    batch: what is left out costs nothing. Nothing is drawn where the chance is 0.

    Args:
        generator: a CPU generator.
    """
    chance, rest = stage.stochastic_depth, stage.H_cycles - 1
    if not chance or not rest:
        return stage
    left = int((torch.rand(rest, generator=generator) >= chance).sum())
    return replace(stage, H_cycles=1 + left)


def loss_weights(
    stage: Stage, steps: Tensor, halted: Tensor | None = None, table: Tensor | None = None
) -> Tensor | None:
    """What the loss of each row counts, `[batch]`; None where every row counts 1.

    Args:
        halted: rows that halt with this step; needed where only the last step counts.
        table: the stage's `supervision_weights`, where they are on the device already.
    """
    weights = None
    if stage.supervision_weights:
        if table is None:
            table = torch.tensor(stage.supervision_weights, device=steps.device)
        # A row may be past the last step when the curriculum has just lowered it.
        weights = table[(steps - 1).clamp(max=len(table) - 1).long()]
    if stage.last_step_only:
        assert halted is not None
        weights = halted.float() if weights is None else weights * halted
    return weights


def disturbed(latent: Latent, deviation: float | Tensor | None, noise: Noise) -> Latent:
    """A carried state with Gaussian noise on it, as EqR has it (arXiv 2605.21488).

    Args:
        deviation: of the noise; at 0 and None nothing is drawn.
    """
    if deviation is None or (isinstance(deviation, float) and not deviation):
        return latent
    return Latent(*(z + deviation * noise.normal(z) for z in (latent.z_H, latent.z_L)))


@dataclass
class FeedbackWindow:
    """Sums over the training steps since the last feedback; everything in it is plain JSON."""

    loss: float = 0.0
    steps: int = 0
    halted: int = 0
    halted_right: int = 0
    right: int = 0
    right_and_halting: int = 0
    wrong: int = 0
    wrong_and_halting: int = 0
    bins: list[list[int]] = field(default_factory=list)

    def count(
        self,
        loss: float,
        right: NDArray[np.bool_],
        halting: NDArray[np.bool_],
        halted: NDArray[np.bool_],
        difficulty: NDArray[np.float32],
        bins: int,
    ) -> None:
        """Take in one training step.

        Args:
            loss: its loss.
            right: rows whose answer is right, `[batch]`.
            halting: rows at which the model would halt, `[batch]`.
            halted: rows that did halt, `[batch]`.
            difficulty: the rows' place in the order of difficulty, in [0, 1), `[batch]`.
            bins: equal bins of difficulty to tell apart.
        """
        seen: list[int] = []
        solved: list[int] = []
        if bins:
            places = np.minimum((difficulty * bins).astype(np.int64), bins - 1)
            seen = np.bincount(places[halted], minlength=bins).tolist()
            solved = np.bincount(places[halted & right], minlength=bins).tolist()
        groups = (halted, halted & right, right, right & halting, ~right, ~right & halting)
        self.add(loss, [int(group.sum()) for group in groups], seen, solved)

    def add(
        self, loss: float, groups: Sequence[int], seen: Sequence[int], solved: Sequence[int]
    ) -> None:
        """Take in one training step that is counted already.

        Args:
            loss: its loss.
            groups: rows that halted, of them right; right, of them halting; wrong, of them halting.
            seen: rows that halted, by bin of difficulty; empty for no bins.
            solved: of them right.
        """
        self.loss += loss
        self.steps += 1
        halted, halted_right, right, right_and_halting, wrong, wrong_and_halting = groups
        self.halted += halted
        self.halted_right += halted_right
        self.right += right
        self.right_and_halting += right_and_halting
        self.wrong += wrong
        self.wrong_and_halting += wrong_and_halting
        before = self.bins or [[0, 0]] * len(seen)
        self.bins = (
            [
                [n + more, ok + good]
                for (n, ok), more, good in zip(before, seen, solved, strict=True)
            ]
            if seen
            else self.bins
        )

    def feedback(self) -> Feedback:
        """The window in means."""
        recall = self.right_and_halting / max(self.right, 1)
        specificity = 1.0 - self.wrong_and_halting / self.wrong if self.wrong else recall
        return Feedback(
            loss=self.loss / max(self.steps, 1),
            exact_accuracy=self.halted_right / max(self.halted, 1),
            halt_accuracy=0.5 * (recall + specificity),
            by_difficulty=tuple((n, ok / max(n, 1)) for n, ok in self.bins),
        )
