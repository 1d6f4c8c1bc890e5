"""The batches of several seeds: refilled, disturbed, judged; the seeds are the first axis."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import vmap

from trm.evaluation import right_rows
from trm.learning.halting import Carry, continue_target, halt
from trm.learning.losses import act_loss
from trm.network.model import Latent, Output
from trm.network.noise import Noise
from trm.training.counters import count_begun
from trm.training.curriculum import disturbed, loss_weights
from trm.training.stacking.stack import Stack
from trm.training.trainer import Trainer


def refilled(stack: Stack, carry: Carry, trainers: Sequence[Trainer]) -> Carry:
    """Each seed's fresh examples in the place of its own that have halted."""
    halted = carry.halted.cpu().numpy()
    columns: list[list[Tensor]] = [[], [], []]
    for trainer, rows in zip(trainers, halted, strict=True):
        count = int(rows.sum())
        if not count:
            continue
        stage = trainer.stage
        fresh = trainer.stream.take(count, stage.difficulty, stage.sources)
        trainer.difficulty[rows] = fresh.difficulty
        count_begun(trainer.counters, fresh)
        arrays = (fresh.inputs, fresh.labels, fresh.puzzle_identifiers)
        for column, array in zip(columns, arrays, strict=True):
            column.append(torch.from_numpy(array))
    if not columns[0]:
        return carry

    def placed(old: Tensor, new: list[Tensor]) -> Tensor:
        merged = old.clone()
        merged[carry.halted] = torch.cat(new).to(old.device, old.dtype)
        return merged

    return Carry(
        latent=stack.reset(carry.latent, carry.halted),
        steps=torch.where(carry.halted, 0, carry.steps),
        halted=torch.zeros_like(carry.halted),
        inputs=placed(carry.inputs, columns[0]),
        labels=placed(carry.labels, columns[1]),
        puzzle_identifiers=placed(carry.puzzle_identifiers, columns[2]),
    )


def all_disturbed(latent: Latent, deviation: float, trainers: Sequence[Trainer]) -> Latent:
    """Noise on each seed's state, from its own stream."""
    if not deviation:
        return latent
    noisy = [
        disturbed(Latent(z_H, z_L), deviation, Noise(t.noise))
        for t, z_H, z_L in zip(trainers, latent.z_H, latent.z_L, strict=True)
    ]
    return Latent(torch.stack([one.z_H for one in noisy]), torch.stack([one.z_L for one in noisy]))


def all_halted(output: Output, steps: Tensor, trainers: Sequence[Trainer]) -> Tensor:
    """Which rows halt, each seed's by its own draws, `[seeds, batch]`."""
    said = zip(output.logits, output.q_halt, output.q_continue, strict=True)
    return torch.stack(
        [
            halt(
                Output(*one),
                had,
                config=t.config.model,
                halting=t.config.halting,
                generator=t.exploration,
                max_steps=t.stage.supervision_steps,
                exploration=t.stage.exploration,
            )
            for t, one, had in zip(trainers, said, steps, strict=True)
        ]
    )


def losses(
    stack: Stack,
    carry: Carry,
    first: Trainer,
    output: Output,
    latent: Latent,
    steps: Tensor,
    halted: Tensor,
) -> tuple[Tensor, Tensor]:
    """Each seed's loss `[seeds]`, and which rows are right `[seeds, batch]`.

    Args:
        first: a training whose config and stage are those of all.
        latent: the state after the step, for the continue head.
    """
    config, stage = first.config, first.stage
    given: dict[str, Tensor] = {}
    if not config.model.no_ACT_continue:
        with torch.no_grad():
            _, following = stack(
                latent, carry.inputs, carry.puzzle_identifiers, stage.H_cycles, stage.L_cycles
            )
        given["target"] = continue_target(following, steps >= stage.supervision_steps)
    counts = loss_weights(stage, steps, halted)
    if counts is not None:
        given["weights"] = counts
    if first.task.many_answers:
        rows = zip(carry.inputs, carry.labels, output.logits, strict=True)
        judged = [right_rows(first.task, *one) for one in rows]
        given["exact"] = torch.stack([one for one in judged if one is not None])

    def loss(
        said: tuple[Tensor, ...], labels: Tensor, given: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        found = act_loss(
            Output(*said),
            labels,
            config.loss,
            given.get("target"),
            halt_weight=stage.halt_weight,
            weights=given.get("weights"),
            exact=given.get("exact"),
        )
        return found.total, found.exact

    said = (output.logits, output.q_halt, output.q_continue)
    total, exact = vmap(loss)(said, carry.labels, given)
    return total, exact
