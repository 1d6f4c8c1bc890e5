"""Several seeds of one config trained as one model with all their weights side by side.

A step of a small model on a GPU takes as long as its hundreds of kernels take to be launched; K
models in one launch cost little more than one. Each seed has its own weights, examples, carry,
halting, averages and counters, and ends with the numbers that it has alone but for rounding.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from trm.config import Experiment
from trm.device import Resolved, resolve
from trm.errors import UserError
from trm.learning.ema import EMA
from trm.learning.halting import Carry
from trm.network.model import Latent
from trm.report import Report
from trm.tasks.base import Task
from trm.training.counters import count_halted, count_spikes
from trm.training.curriculum import advance
from trm.training.freezing import frozen_parameters, hold
from trm.training.probes import update_ratio, weights
from trm.training.stacking.obstacles import unstackable
from trm.training.stacking.rows import all_disturbed, all_halted, losses, refilled
from trm.training.stacking.stack import (
    Stack,
    gather_moments,
    gradient_norms,
    hand_out_moments,
    scale_gradients,
)
from trm.training.trainer import Trainer

AS_ONE = "seeds are trained as one"


def _with_seed(config: Experiment, seed: int) -> Experiment:
    return config.model_copy(update={"train": config.train.model_copy(update={"seed": seed})})


class Stacked:
    """Trainings of one config with several seeds, at the same step, which go on together.

    Args:
        trainers: as they stand. Each stays usable between two reports: it may be evaluated, its
            `state_dict` is that of a training alone, and once dropped it goes on alone.

    Raises:
        UserError: such trainings cannot be stacked.

    >>> from trm.config import experiment_from
    >>> experiment = experiment_from({
    ...     "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 64,
    ...              "valid_examples": 8, "test_examples": 8},
    ...     "model": {"hidden_size": 16, "num_heads": 2, "H_cycles": 1, "L_cycles": 1},
    ...     "train": {"batch_size": 8, "budget": {"steps": 4}},
    ... })
    >>> stacked = Stacked.of_seeds(experiment, experiment.task.build(), (0, 1), marks=(0.5, 1.0))
    >>> [(trainer.config.train.seed, report.step) for trainer, report in stacked.run()]
    [(0, 2), (1, 2), (0, 4), (1, 4)]
    """

    def __init__(self, trainers: Sequence[Trainer]) -> None:
        for trainer in trainers:
            if reason := unstackable(trainer):
                raise UserError(f"seeds cannot be trained as one: {reason}")
            trainer.go_on_eagerly(AS_ONE)
        same = {(t.counters.step, t.budget, t.marks, t.resolved.device) for t in trainers}
        configs = [_with_seed(t.config, 0) for t in trainers]
        assert len(same) == 1, same
        assert all(config == configs[0] for config in configs), "trainings of one config"
        self.trainers = list(trainers)
        self._build()

    @classmethod
    def of_seeds(
        cls,
        config: Experiment,
        task: Task,
        seeds: Sequence[int],
        budget: float | None = None,
        marks: Sequence[float] | None = None,
        resolved: Resolved | None = None,
    ) -> Stacked:
        """New trainings of these seeds; the other arguments are those of `Trainer`."""
        eager = replace(resolved or resolve(config.train), kernel="eager")
        trainers: list[Trainer] = []
        for seed in seeds:
            trainers.append(Trainer(_with_seed(config, seed), task, budget, marks, eager))
            budget = trainers[0].budget
        return cls(trainers)

    def run(self, stop: Callable[[], bool] = lambda: False) -> Iterator[tuple[Trainer, Report]]:
        """Train to the next mark, evaluate, yield each seed's report; until all have ended.

        Between two reports any training may be dropped. One that diverges is reported, and left
        out, at that step; the others go on.

        Args:
            stop: asked between steps; once true, the run ends without a report.
        """
        self._drop_finished()
        while self.trainers:
            self.trainers[0].prepare()
            while self.trainers and not self.trainers[0].at_mark:
                for trainer in self._timed_step():
                    yield trainer, trainer._report()
                if stop():
                    self._hand_out()
                    return
            for trainer in [*self.trainers]:
                if trainer in self.trainers:
                    yield trainer, trainer._report()
            self._drop_finished()

    def drop(self, trainer: Trainer) -> None:
        """Leave a training where it stands, with weights of its own: it can go on alone."""
        self._leave([trainer])
        if self.trainers:
            self._build()

    def _drop_finished(self) -> None:
        if finished := [t for t in self.trainers if t.finished]:
            self._leave(finished)
            if self.trainers:
                self._build()

    def _build(self) -> None:
        """Stack all that the trainings have."""
        first = self.trainers[0]
        self.stack = Stack([t.model for t in self.trainers])
        base = self.stack.base
        self.optimizer = first.config.optimizer.build(base)
        gather_moments(self.optimizer, [t.optimizer for t in self.trainers])
        self.ema = None
        if first.ema is not None:
            self.ema = EMA(base, first.ema.decay)
            averages = [t.ema.state_dict() for t in self.trainers if t.ema is not None]
            whole = {name: torch.stack([a[name] for a in averages]) for name in averages[0]}
            self.ema.load_state_dict(whole)
        self.frozen = frozen_parameters(first.config.train.freeze, base)
        self._parameters = list(base.parameters())
        parts = [t.carry.tensors() for t in self.trainers]
        self.carry = Carry.restored({key: torch.stack([p[key] for p in parts]) for key in parts[0]})
        self._hand_out()

    def _hand_out(self) -> None:
        """Let every training see its part of what is stacked."""
        whole = self.carry.tensors()
        averages = self.ema.state_dict() if self.ema is not None else {}
        for index, trainer in enumerate(self.trainers):
            trainer.carry = Carry.restored({key: part[index] for key, part in whole.items()})
            if trainer.ema is not None:
                trainer.ema.show({name: part[index] for name, part in averages.items()})
        hand_out_moments(self.optimizer, [t.optimizer for t in self.trainers])

    def _leave(self, leaving: Sequence[Trainer]) -> None:
        """Take trainings out, each with a copy of its part; what is left is to be stacked again."""
        self._hand_out()
        self.trainers = [t for t in self.trainers if t not in leaving]
        for trainer in leaving:
            for parameter in trainer.model.parameters():
                parameter.data = parameter.data.clone()
            for part in trainer.optimizer.parts:
                for state in part.state.values():
                    state.update({key: value.clone() for key, value in state.items()})
            if trainer.ema is not None:
                averages = trainer.ema.state_dict()
                trainer.ema.show({key: shadow.clone() for key, shadow in averages.items()})
            carried = trainer.carry.tensors()
            trainer.carry = Carry.restored({key: part.clone() for key, part in carried.items()})

    def _timed_step(self) -> list[Trainer]:
        begun = time.perf_counter()
        together = [*self.trainers]
        ended = self.train_step()
        spent = (time.perf_counter() - begun) / len(together)
        for trainer in together:
            trainer.counters.train_seconds += spent
            trainer.counters.seconds += spent
        return ended

    def train_step(self) -> list[Trainer]:
        """One supervision step and one optimiser step of all; returns those that it was the end of.

        They have diverged by it, and are no longer among `trainers`.
        """
        first = self.trainers[0]
        stage, *_ = [advance(t.course, t.progress) for t in self.trainers]
        self.carry = refilled(self.stack, self.carry, self.trainers)
        self.stack.base.train()
        compute = first.counters.compute + first._flops(stage.depth)
        factor, *_ = [t._set_learning_rate(compute) for t in self.trainers]
        self.optimizer.set_factor(factor)
        carry = self.carry
        noisy = all_disturbed(carry.latent, stage.latent_noise, self.trainers)
        latent, output = self.stack(
            noisy, carry.inputs, carry.puzzle_identifiers, stage.H_cycles, stage.L_cycles
        )
        steps = carry.steps + 1
        halted = all_halted(output, steps, self.trainers)
        total, exact = losses(self.stack, carry, first, output, latent, steps, halted)
        found = self._gradients(total)
        told = [latent.z_H, latent.z_L, steps, halted, exact]
        gone = [t for t in self.trainers if t.counters.diverged]
        if gone:
            kept = [i for i, t in enumerate(self.trainers) if not t.counters.diverged]
            found = [found[index] for index in kept]
            told = [column[kept] for column in told]
            self._lose(gone, kept, factor)
        if self.trainers:
            z_H, z_L, steps, halted, exact = told
            self.carry.latent, self.carry.steps, self.carry.halted = Latent(z_H, z_L), steps, halted
            self._step(found, exact, compute, factor)
        return gone

    def _gradients(self, total: Tensor) -> list[float]:
        """Each seed's gradient, clipped as it is alone, and its loss; says who has diverged."""
        first = self.trainers[0]
        self.optimizer.zero_grad()
        total.sum().backward()  # type: ignore[no-untyped-call]
        if self.frozen and first.progress < first.config.train.freeze.share:
            hold(self.frozen)
        norms = gradient_norms(self._parameters, len(self.trainers))
        limit = first.config.optimizer.grad_clip
        if limit is not None:
            scale_gradients(self._parameters, torch.clamp(limit / (norms + 1e-6), max=1.0))
        losses: list[float] = total.detach().tolist()
        for trainer, loss, norm in zip(self.trainers, losses, norms.tolist(), strict=True):
            trainer.counters.grad_norm = norm
            trainer.counters.diverged = not math.isfinite(loss) or not math.isfinite(norm)
        return losses

    def _lose(self, gone: Sequence[Trainer], kept: Sequence[int], factor: float) -> None:
        """Take out who has diverged, before the step that the others still make."""
        gradients = [p.grad for p in self._parameters]
        self._leave(gone)
        if self.trainers:
            self._build()
            self.optimizer.set_factor(factor)
            for p, gradient in zip(self._parameters, gradients, strict=True):
                p.grad = None if gradient is None else gradient[kept]

    def _step(self, losses: Sequence[float], exact: Tensor, compute: float, factor: float) -> None:
        """One optimiser step, and what is counted with it."""
        first, carry = self.trainers[0], self.carry
        for trainer, loss in zip(self.trainers, losses, strict=True):
            count_spikes(trainer.counters, loss, trainer.config.diagnostics)
        meets = first._meets_mark(compute)
        before = [weights(t.model) for t in self.trainers] if meets else []
        self.optimizer.step()
        for trainer, old in zip(self.trainers, before, strict=False):
            ratio = update_ratio(old, weights(trainer.model))
            trainer.counters.diverged = not math.isfinite(ratio)
            trainer.counters.update_ratio = 0.0 if trainer.counters.diverged else ratio
        if self.ema is not None:
            self.ema.update(self.stack.base)
        columns = torch.stack((carry.halted.int(), exact.int(), carry.steps), dim=1).cpu()
        for trainer, loss, (ended, right, had) in zip(self.trainers, losses, columns, strict=True):
            counters = trainer.counters
            count_halted(counters, loss, ended.bool(), right.bool(), had)
            counters.learning_rate = first.config.optimizer.lr * factor
            counters.step += 1
            counters.compute = compute
        if meets:
            self._hand_out()
