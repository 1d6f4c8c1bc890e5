"""What one supervision step computes, from the carried batch to its loss: device work alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from curricula.stage import Stage
from trm.config import Experiment
from trm.evaluation import right_rows
from trm.learning.constraints import Past, corrupted_targets
from trm.learning.halting import Carry, continue_target, halt_from
from trm.learning.losses import Losses, act_loss
from trm.learning.memory import remembered, seen
from trm.network.model import TRM, Latent, Output
from trm.network.noise import Noise
from trm.tasks.base import Task
from trm.training.curriculum import disturbed, loss_weights


class PartOfUpdate(NamedTuple):
    """Which of the supervision steps it is whose gradients make one update.

    >>> PartOfUpdate().last
    True
    """

    first: bool = True
    last: bool = True


@dataclass(frozen=True)
class Given:
    """What the host gives a step, in tensors on the device.

    Attributes:
        stage: what else the curriculum has set; of it only what never changes within a graph.
        limit: supervision steps at most.
        least: from `draw_least`.
        halt_weight: weight of the halting loss.
        latent_noise: deviation of the noise on the carried state.
        table: the weights of supervision steps; None: 1 each.
    """

    stage: Stage
    limit: Tensor
    least: Tensor | None
    halt_weight: Tensor
    latent_noise: Tensor | None
    table: Tensor | None = None


@dataclass(frozen=True)
class Supervised:
    """What came of it: the next state, detached, and rows `[batch]` and memory as in `Carry`."""

    latent: Latent
    steps: Tensor
    halted: Tensor
    losses: Losses
    output: Output
    memory: dict[str, Tensor]


def supervise(
    config: Experiment,
    task: Task,
    model: TRM,
    carry: Carry,
    given: Given,
    noise: Noise,
) -> Supervised:
    """One pass of the recursion, who halts after it, and its loss, with a gradient.

    A task with many answers waits here for the batch to reach the CPU: see `right_rows`.

    Args:
        noise: what `given.latent_noise` is drawn with, and what the model draws.
    """
    stage = given.stage
    depth = {"H_cycles": stage.H_cycles, "L_cycles": stage.L_cycles}
    batch = (carry.inputs, carry.puzzle_identifiers)
    state = disturbed(carry.latent, given.latent_noise, noise)
    latent, output = model(state, *batch, **depth, noise=noise)
    output = seen(config.halting, output, carry.latent, latent, carry.memory)
    steps = carry.steps + 1
    halted = halt_from(
        output, steps, config.model, config.halting, limit=given.limit, least=given.least
    )
    target = None
    if not config.model.no_ACT_continue:
        with torch.no_grad():
            _, following = model(latent, *batch, **depth)
        target = continue_target(following, steps >= given.limit)
    losses = act_loss(
        output,
        carry.labels,
        config.loss,
        target,
        halt_weight=given.halt_weight,
        weights=loss_weights(stage, steps, halted, given.table),
        exact=right_rows(task, carry.inputs, carry.labels, output.logits),
        targets=corrupted_targets(
            carry.labels,
            carry.inputs,
            steps,
            given.limit,
            config.loss,
            carry.memory,
            task.vocab_size,
        ),
        past=None if config.loss.alone else Past(carry.latent, carry.memory),
    )
    memory = remembered(carry.memory, output, config.loss)
    return Supervised(latent, steps, halted, losses, output, memory)
