"""A supervision step whose loss and gradients come from one call of the compiled library."""

from __future__ import annotations

import torch
from torch import Tensor

from curricula.stage import Stage
from trm.config import Experiment
from trm.learning.halting import Carry
from trm.learning.halting_rules import FixedHalting, HaltingConfig
from trm.learning.losses import LossConfig, Losses
from trm.network.fused.learning import learn, learns
from trm.network.model import TRM, Latent, Output
from trm.network.noise import Noise
from trm.tasks.base import Task


def learns_at_once(config: Experiment, task: Task, model: TRM) -> bool:
    """Whether a run's steps can: nothing but the library looks at their logits.

    Not with the continue head, whose target is the next step's output, not where rules decide what
    is right or when to halt, and not where the gradients of several steps are added.
    """
    plain = config.model.no_ACT_continue and type(config.halting) in (HaltingConfig, FixedHalting)
    plain = plain and config.loss.plain and config.train.supervision_per_update == 1
    return plain and not task.many_answers and learns(model, config.loss.loss_type)


def learn_at_once(
    model: TRM,
    latent: Latent,
    carry: Carry,
    stage: Stage,
    config: LossConfig,
    weights: Tensor | None,
    noise: Noise,
    rows: int,
) -> tuple[Latent, Output, Losses]:
    """The next state, q without any logits, and the loss, whose gradients the parameters have.

    Args:
        latent: the carried state, as the step is to see it.
        weights: what each row's loss counts in the total, `[batch]`; None: 1.
        noise: what random initial states are drawn from.
        rows: of the whole batch, where these are a part of it.
    """
    factor = torch.full((len(carry.labels),), 1.0 / rows, dtype=torch.float64)
    if weights is not None:
        factor *= weights
    found = learn(
        model,
        latent if model.config.carry_latent else model.fresh_latent(len(factor), noise),
        carry.inputs,
        carry.puzzle_identifiers,
        carry.labels,
        H_cycles=stage.H_cycles,
        L_cycles=stage.L_cycles,
        loss_type=config.loss_type,
        factor=factor,
        halt_weight=stage.halt_weight,
    )
    lm, halt = found.losses.sum(0)
    counted = factor @ found.losses
    total = counted[0] + stage.halt_weight * counted[1]
    output = Output(found.q.new_empty(0), found.q[:, 0], found.q[:, 1])
    return (
        Latent(found.z_H, found.z_L),
        output,
        Losses(total, lm, halt, torch.zeros_like(halt), found.right),
    )
