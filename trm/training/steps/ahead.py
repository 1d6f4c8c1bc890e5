"""Training steps that the host starts without waiting for what the last ones came to.

All numbers of a step stay on the device: who halts, what comes in its place, whether the loss is
finite. What is counted goes to the host in one row a step, which is read `LAG` steps later, or at
a report. Every loss, norm and count is then added up by the same functions in the same order as
where the host waits; no weight changes from the step on that diverges.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from curricula.stage import Stage
from trm.learning.halting import Carry, draw_least
from trm.learning.memory import forgotten
from trm.learning.optimizers import clip_gradients
from trm.network.model import Latent
from trm.network.noise import Noise
from trm.training.counters import add_begun, add_halted, count_spikes
from trm.training.curriculum import FeedbackWindow
from trm.training.freezing import hold
from trm.training.probes import update_ratio, weights
from trm.training.steps.graphs import Graphs
from trm.training.steps.pool import Pool, pinned
from trm.training.steps.supervision import Given, PartOfUpdate, Supervised, supervise

if TYPE_CHECKING:
    from trm.training.trainer import Trainer

AHEAD = frozenset({"cuda", "meta"})
"""Devices that compute while the host goes on."""
LAG = 2
"""Steps that the host is ahead at most: two in a row keep the device busy."""


def begin_copy(row: Tensor) -> tuple[Tensor, Any]:
    """A copy on its way to the host, and what says that it has come; None if it has."""
    if row.device.type != "cuda":
        return row.clone(), None
    there = torch.empty(row.shape, dtype=row.dtype, pin_memory=True)
    there.copy_(row, non_blocking=True)
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(row.device))
    return there, event


@dataclass(frozen=True)
class Flying:
    """A step whose numbers have not been read, whether it updates, and where the run stood."""

    row: Tensor
    event: Any
    stage: Stage
    updates: bool
    step: int
    compute: float
    learning_rate: float


class Ahead:
    """The way of a trainer's step on such a device; the trainer's carry lies in place from now on.

    Args:
        trainer: whose step it is, with everything else made.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        config, device = trainer.config, trainer.device
        batch, seq_len = config.train.batch_size, trainer.task.seq_len
        self.pool = Pool(trainer.stream, batch, 2 * seq_len + 2, LAG, device)
        self._rows = torch.zeros(batch, 2 * seq_len + 2, dtype=torch.int32, device=device)
        self.bins = trainer.course.bins
        counts = (6 if config.curriculum.is_adaptive else 2) + 2 * self.bins
        self._row = torch.zeros(6 + counts, dtype=torch.float64, device=device)
        self._sound = torch.ones((), device=device)
        self._flying: deque[Flying] = deque()
        self._held: dict[str, tuple[Any, Tensor]] = {}
        self._holds = trainer.optimizer.hold_rates(device)
        self._carry: Carry | None = None
        generators = [trainer.noise] if device.type == "cuda" else []
        self.graphs = Graphs("off", self._state, generators, trainer.note_graphs)

    def step(self, stage: Stage, compute: float, factor: float, part: PartOfUpdate) -> None:
        """Start one supervision step of the whole batch, and its optimiser step; as `Waiting`'s."""
        trainer, counters = self.trainer, self.trainer.counters
        if trainer.carry is not self._carry:  # at the beginning, and after somebody else's steps
            self._place(trainer.carry)
        while not self.pool.fill(stage, len(self._flying)):
            self._read()
        if counters.diverged:
            return
        given = self._given(stage)
        meets = part.last and trainer._meets_mark(compute)
        probed = weights(trainer.model) if meets else None
        self.graphs.run(self._structure(given), lambda: self._compute(given, part))
        copy, event = begin_copy(self._row)
        before = (counters.step, counters.compute, counters.learning_rate)
        self._flying.append(Flying(copy, event, trainer.stage, part.last, *before))
        counters.learning_rate = trainer.config.optimizer.lr * factor
        counters.step += 1
        counters.compute = compute
        if probed is not None:
            self.settle()
            if not counters.diverged:
                ratio = update_ratio(probed, weights(trainer.model))
                counters.diverged = not math.isfinite(ratio)
                counters.update_ratio = 0.0 if counters.diverged else ratio
        if trainer.course.wants_feedback(trainer.progress):
            self.settle()
            if not counters.diverged:
                trainer.course.observe(trainer.progress, trainer.window.feedback())
                trainer.window = FeedbackWindow()

    @property
    def obstacle(self) -> str:
        """Why its steps cannot be recorded as graphs, in a few words; empty if they can."""
        if self.trainer.task.many_answers:
            return "the task's rules, which are NumPy's, judge every batch"
        if self.trainer.config.train.supervision_per_update > 1:
            return "the gradients of several supervision steps are added"
        return "" if self._holds else "the optimizer takes its learning rate from the host"

    def _structure(self, given: Given) -> Hashable:
        """Of two steps for which it is equal, both run the same kernels on the same tensors."""
        trainer, stage = self.trainer, given.stage
        frozen = bool(trainer.frozen) and trainer.progress < trainer.config.train.freeze.share
        held = (given.least is None, given.latent_noise is None, given.table is None)
        return (stage.depth, len(stage.supervision_weights), stage.last_step_only, frozen, *held)

    def _state(self) -> list[Tensor]:
        """What a step changes, all in place."""
        trainer, carry = self.trainer, self.trainer.carry
        found = [p.data for p in trainer.model.parameters()] + trainer.optimizer.tensors()
        found += trainer.ema.tensors() if trainer.ema is not None else []
        found += [carry.latent.z_H, carry.latent.z_L, carry.steps, carry.halted]
        found += carry.memory.values()
        return [*found, self._rows, self._row, self._sound, self.pool.cursor]

    def settle(self) -> None:
        """Wait for what is under way, and count it."""
        while self._flying:
            self._read()

    def restore(self, ready: Tensor | None, taken: list[int]) -> None:
        """Go on with the state that the trainer has been given, the batch included.

        Args:
            ready: what lay in the pool; None where the run had none.
            taken: from `Pool.state_dict`.
        """
        self._flying.clear()
        self.graphs.forget()
        self._sound.fill_(1.0)
        self._carry = None
        self._holds = self.trainer.optimizer.hold_rates(self.trainer.device)
        if ready is not None:
            self.pool.load_state_dict(ready, taken)

    def _compute(self, given: Given, part: PartOfUpdate) -> None:
        """The step itself: device work alone, from tensors that stay in place to the same ones."""
        trainer, carry = self.trainer, self.trainer.carry
        with torch.no_grad():
            begun, difficulty = self.pool.take(carry.halted, self._rows)
            carry.steps.copy_(torch.where(carry.halted, 0, carry.steps))
        noise = Noise(trainer.noise)
        fresh = trainer.model.reset(carry.latent, carry.halted, noise)
        memory = forgotten(carry.memory, carry.halted, noise)
        now = replace(carry, latent=fresh, memory=memory)
        done = supervise(trainer.config, trainer.task, trainer.model, now, given, noise)
        if part.first:
            trainer.optimizer.zero_grad()
        done.losses.total.backward()  # type: ignore[no-untyped-call]
        norm = self._clipped() if part.last else torch.zeros_like(self._sound)
        with torch.no_grad():
            loss = done.losses.total.detach()
            self._sound.mul_(loss.isfinite() & norm.isfinite())
            if part.last:
                self._learn()
            steps = torch.where(done.halted, done.steps, 0).sum()
            heads = (loss, norm, self._sound, begun, difficulty, steps)
            counts = torch.stack(self._groups(done)).sum(1)
            self._row.copy_(torch.cat((torch.stack([h.double() for h in heads]), counts.double())))
            carry.latent.z_H.copy_(done.latent.z_H)
            carry.latent.z_L.copy_(done.latent.z_L)
            carry.steps.copy_(done.steps)
            carry.halted.copy_(done.halted)
            for name, kept in done.memory.items():
                carry.memory[name].copy_(kept)

    def _clipped(self) -> Tensor:
        """The norm of the gradients, which are clipped."""
        trainer = self.trainer
        if trainer.frozen and trainer.progress < trainer.config.train.freeze.share:
            hold(trainer.frozen)
        limit = trainer.config.optimizer.grad_clip
        return clip_gradients(trainer.model.parameters(), limit, unread=True)

    def _learn(self) -> None:
        trainer = self.trainer
        if self._holds:
            trainer.optimizer.step(1.0 - self._sound)
        elif self._sound.item():  # a plug-in's optimiser cannot leave all as it is: this waits
            trainer.optimizer.step()
        if trainer.ema is not None:
            trainer.ema.update(trainer.model, self._sound)

    def _groups(self, done: Supervised) -> list[Tensor]:
        """Rows to be counted, bool `[batch]` each, in the order in which `_count` reads them."""
        trainer, halted, right = self.trainer, done.halted, done.losses.exact
        groups = [halted, halted & right]
        if trainer.config.curriculum.is_adaptive:
            rule, model = trainer.config.halting, trainer.config.model
            halting = rule.wants_to_halt(done.output, done.steps, model)
            groups += [right, right & halting, ~right, ~right & halting]
        if self.bins:
            places = (self.difficulty * self.bins).long().clamp(max=self.bins - 1)
            binned = [places == place for place in range(self.bins)]
            groups += [halted & here for here in binned]
            groups += [halted & right & here for here in binned]
        return groups

    def _read(self) -> None:
        """Count the oldest step under way."""
        flying = self._flying.popleft()
        if flying.event is not None:
            flying.event.synchronize()
        loss, norm, sound, begun, difficulty, steps, *counts = flying.row.tolist()
        self.pool.note(int(begun))
        counters = self.trainer.counters
        if counters.diverged:  # by a step before it
            return
        add_begun(counters, int(begun), difficulty)
        counters.grad_norm = norm if flying.updates else counters.grad_norm
        if not sound:
            counters.diverged = True
            counters.step, counters.compute = flying.step, flying.compute
            counters.learning_rate = flying.learning_rate
            self.trainer.course.stage = flying.stage
            return
        if flying.updates:
            count_spikes(counters, loss, self.trainer.config.diagnostics)
        add_halted(counters, loss, counts[0], counts[1], steps)
        if self.trainer.config.curriculum.is_adaptive:
            groups, binned = [int(n) for n in counts[:6]], [int(n) for n in counts[6:]]
            seen, solved = binned[: self.bins], binned[self.bins :]
            self.trainer.window.add(loss, groups, seen, solved)

    def _given(self, stage: Stage) -> Given:
        """What the host says of the next step, on the device."""
        trainer, limit = self.trainer, stage.supervision_steps
        rows = trainer.config.train.batch_size
        least = draw_least(rows, limit, stage.exploration, trainer.exploration)
        noise, table = stage.latent_noise, stage.supervision_weights
        return Given(
            stage,
            self._hold("limit", limit, torch.int32),
            None if least is None else self._hold("least", least, torch.int64),
            self._hold("halt_weight", stage.halt_weight, torch.float32),
            self._hold("latent_noise", noise, torch.float32) if noise else None,
            self._hold(f"table {len(table)}", table, torch.float32) if table else None,
        )

    def _hold(self, name: str, value: Any, dtype: torch.dtype) -> Tensor:
        """The tensor of that name, with that value."""
        device = self.trainer.device
        before, tensor = self._held.get(name, (None, None))
        if tensor is None:
            shape = torch.as_tensor(value).shape
            tensor = torch.empty(shape, dtype=dtype, device=device)
        if isinstance(value, Tensor) or value != before:
            there = pinned(torch.as_tensor(value, dtype=dtype), device)
            tensor.copy_(there, non_blocking=True)
        self._held[name] = (value, tensor)
        return tensor

    @property
    def difficulty(self) -> Tensor:
        """Of the rows in the batch, float32 `[batch]`."""
        if self._carry is None:
            return torch.from_numpy(self.trainer.difficulty)
        return self._rows[:, -1].view(torch.float32)

    def _place(self, carry: Carry) -> None:
        """Take over a batch into tensors that stay where they are."""
        self.graphs.forget()
        bits = torch.from_numpy(self.trainer.difficulty).view(torch.int32).to(self._rows.device)
        parts = (carry.inputs, carry.labels, carry.puzzle_identifiers[:, None], bits[:, None])
        self._rows.copy_(torch.cat(parts, dim=1))
        seq_len = self.trainer.task.seq_len
        latent = Latent(carry.latent.z_H.clone(), carry.latent.z_L.clone())
        self._carry = self.trainer.carry = Carry(
            latent=latent,
            steps=carry.steps.clone(),
            halted=carry.halted.clone(),
            inputs=self._rows[:, :seq_len],
            labels=self._rows[:, seq_len : 2 * seq_len],
            puzzle_identifiers=self._rows[:, 2 * seq_len],
            memory={name: kept.clone() for name, kept in carry.memory.items()},
        )
