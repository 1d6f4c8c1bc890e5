"""Training steps after each of which the host looks at what came of them, on any device."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curricula.stage import Stage
from trm.evaluation import right_rows
from trm.learning.constraints import Past, corrupted_targets
from trm.learning.halting import continue_target, halt, refill, wants_to_halt
from trm.learning.losses import Losses, act_loss
from trm.learning.memory import draws, forgotten, remembered, seen
from trm.learning.optimizers import clip_gradients
from trm.network.model import Latent, Output
from trm.network.noise import Noise
from trm.ranks import OwnRows
from trm.training.counters import count_begun, count_halted, count_spikes
from trm.training.curriculum import FeedbackWindow, disturbed, loss_weights
from trm.training.data import Examples
from trm.training.drafts import make_drafts
from trm.training.freezing import hold
from trm.training.probes import update_ratio, weights
from trm.training.steps.at_once import learn_at_once, learns_at_once
from trm.training.steps.supervision import PartOfUpdate

if TYPE_CHECKING:
    from trm.training.trainer import Trainer


class Waiting:
    """The way of a trainer's step where the host waits.

    Args:
        trainer: whose step it is, with everything else made.

    Attributes:
        at_once: whether loss and gradients come from one call of the compiled library.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.at_once = learns_at_once(trainer.config, trainer.task, trainer.model)
        self._parameters = list(trainer.model.parameters())

    def step(self, stage: Stage, compute: float, factor: float, part: PartOfUpdate) -> None:
        """One supervision step of the whole batch, and an optimiser step where it is the last.

        Args:
            stage: what is in force, with the depth of this step.
            compute: FLOPs of the run once it is done.
            factor: the learning rate's share of the full one.
            part: which of the supervision steps of an update it is.
        """
        trainer, counters = self.trainer, self.trainer.counters
        place = trainer.ranks.place(trainer.config.train.batch_size)
        self._refill(place)
        carry = trainer.carry
        steps = carry.steps + 1
        latent, output, halted, losses = self._supervise(stage, steps, place)
        memory = remembered(carry.memory, output, trainer.config.loss)
        loss = self._learn(losses, compute, part)
        if loss is None:
            return
        ended, exact, had = trainer.ranks.columns(halted, losses.exact, steps, rows=place.of)
        count_halted(counters, loss, ended, exact, had)
        carry.latent, carry.steps, carry.halted, carry.memory = latent, steps, halted, memory
        counters.learning_rate = trainer.config.optimizer.lr * factor
        counters.step += 1
        counters.compute = compute
        if trainer.config.curriculum.is_adaptive:
            self._give_feedback(loss, output, exact, ended)

    def _supervise(
        self, stage: Stage, steps: Tensor, place: OwnRows
    ) -> tuple[Latent, Output, Tensor, Losses]:
        """The next state, what is said of it, which rows halt, and the loss, to differentiate.

        A loss that needs no gradient has given the parameters theirs.
        """
        trainer, config, carry = self.trainer, self.trainer.config, self.trainer.carry
        noise = Noise(trainer.noise, place)
        state = disturbed(carry.latent, stage.latent_noise, noise)
        if self.at_once and not stage.last_step_only:
            weights = loss_weights(stage, steps)
            latent, output, losses = learn_at_once(
                trainer.model, state, carry, stage, config.loss, weights, noise, place.of
            )
            return latent, output, self._halted(output, steps, stage, place), losses
        latent, output = trainer.model(
            state,
            carry.inputs,
            carry.puzzle_identifiers,
            H_cycles=stage.H_cycles,
            L_cycles=stage.L_cycles,
            noise=noise,
        )
        output = seen(config.halting, output, carry.latent, latent, carry.memory)
        halted = self._halted(output, steps, stage, place)
        losses = act_loss(
            output,
            carry.labels,
            config.loss,
            self._continue_target(latent, steps, stage),
            halt_weight=stage.halt_weight,
            weights=loss_weights(stage, steps, halted),
            exact=right_rows(trainer.task, carry.inputs, carry.labels, output.logits),
            rows=place.of,
            targets=corrupted_targets(
                carry.labels,
                carry.inputs,
                steps,
                stage.supervision_steps,
                config.loss,
                carry.memory,
                trainer.task.vocab_size,
            ),
            past=None if config.loss.alone else Past(carry.latent, carry.memory),
            fused=trainer.resolved.kernel == "fused",
        )
        return latent, output, halted, losses

    def _halted(self, output: Output, steps: Tensor, stage: Stage, place: OwnRows) -> Tensor:
        trainer = self.trainer
        return halt(
            output,
            steps,
            config=trainer.config.model,
            halting=trainer.config.halting,
            generator=trainer.exploration,
            max_steps=stage.supervision_steps,
            exploration=stage.exploration,
            place=place,
        )

    def _refill(self, place: OwnRows) -> None:
        """Put fresh examples in the place of those that have halted."""
        trainer = self.trainer
        carry, model, noise = trainer.carry, trainer.model, Noise(trainer.noise, place)
        halted = trainer.ranks.whole(carry.halted, place.of).cpu().numpy()
        count = int(halted.sum())
        if not count:
            # What is drawn and what has a gradient do not depend on whether a row begins.
            if trainer.config.model.initial_state != "fixed":
                carry.latent = model.reset(carry.latent, carry.halted, noise)
            if draws(carry.memory):
                carry.memory = forgotten(carry.memory, carry.halted, noise)
            return
        # The whole batch's, from one stream: which row gets which does not depend on the processes.
        fresh = trainer.stream.take(count, trainer.stage.difficulty, trainer.stage.sources)
        trainer.difficulty[halted] = fresh.difficulty
        count_begun(trainer.counters, fresh)
        own = slice(halted[: place.begin].sum(), halted[: place.end].sum())
        inputs, labels, identifiers = (
            torch.from_numpy(array[own]).to(trainer.device)
            for array in (fresh.inputs, fresh.labels, fresh.puzzle_identifiers)
        )
        trainer.carry = refill(
            model, carry, inputs, labels, identifiers, noise, self._drafts(fresh, own)
        )

    def _drafts(self, fresh: Examples, own: slice) -> Tensor | None:
        """What the fresh examples begin from; None: nothing."""
        trainer = self.trainer
        config = trainer.config.train.draft
        if not config.share:
            return None
        generator = trainer.noise

        def draw(shape: tuple[int, int]) -> NDArray[np.float32]:
            return torch.rand(shape, generator=generator, device=generator.device).cpu().numpy()

        corruption = config.corruption_at(trainer.progress)
        drafts = make_drafts(fresh.inputs, fresh.labels, trainer.task, config, corruption, draw)
        return torch.from_numpy(drafts[own]).to(trainer.device)

    def _continue_target(self, latent: Latent, steps: Tensor, stage: Stage) -> Tensor | None:
        trainer = self.trainer
        if trainer.config.model.no_ACT_continue:
            return None
        with torch.no_grad():
            _, following = trainer.model(
                latent,
                trainer.carry.inputs,
                trainer.carry.puzzle_identifiers,
                H_cycles=stage.H_cycles,
                L_cycles=stage.L_cycles,
            )
        return continue_target(following, steps >= stage.supervision_steps)

    def _learn(self, losses: Losses, compute: float, part: PartOfUpdate) -> float | None:
        """The gradient, and an optimiser step; returns the loss, None if training has diverged."""
        trainer, counters = self.trainer, self.trainer.counters
        if losses.total.requires_grad:
            if part.first:
                trainer.optimizer.zero_grad()
            losses.total.backward()  # type: ignore[no-untyped-call]
        changed = self._parameters if part.last else []
        loss = float(trainer.ranks.add_gradients(changed, losses.total.detach()))
        if part.last:
            if trainer.frozen and trainer.progress < trainer.config.train.freeze.share:
                hold(trainer.frozen)
            limit = trainer.config.optimizer.grad_clip
            counters.grad_norm = float(clip_gradients(self._parameters, limit))
        if not math.isfinite(loss) or not math.isfinite(counters.grad_norm):
            counters.diverged = True
            return None
        if part.last:
            count_spikes(counters, loss, trainer.config.diagnostics)
            self._update(compute)
        return loss

    def _update(self, compute: float) -> None:
        trainer, counters = self.trainer, self.trainer.counters
        before = weights(trainer.model) if trainer._meets_mark(compute) else None
        trainer.optimizer.step()
        if before is not None:
            ratio = update_ratio(before, weights(trainer.model))
            # No step follows a report at the end, whose loss would show that weights are lost.
            counters.diverged = not math.isfinite(ratio)
            counters.update_ratio = 0.0 if counters.diverged else ratio
        if trainer.ema is not None:
            trainer.ema.update(trainer.model)

    def _give_feedback(self, loss: float, output: Output, exact: Tensor, halted: Tensor) -> None:
        trainer, config = self.trainer, self.trainer.config
        halting = wants_to_halt(output, trainer.carry.steps, config.model, config.halting)
        trainer.window.count(
            loss=loss,
            right=exact.cpu().numpy(),
            halting=trainer.ranks.whole(halting, len(exact)).cpu().numpy(),
            halted=halted.cpu().numpy(),
            difficulty=trainer.difficulty,
            bins=trainer.course.bins,
        )
        if trainer.course.wants_feedback(trainer.progress):
            trainer.course.observe(trainer.progress, trainer.window.feedback())
            trainer.window = FeedbackWindow()
