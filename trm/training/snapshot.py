"""What a trainer's state consists of, and how another goes on from it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trm.learning.halting import Carry
from trm.ranks import Ranks
from trm.training.counters import Counters
from trm.training.curriculum import FeedbackWindow
from trm.training.state import State, flatten, unflatten
from trm.training.steps.pool import packed, unpacked

if TYPE_CHECKING:
    from trm.training.trainer import Trainer


def take_state(trainer: Trainer) -> State:
    """Everything that the rest of the run depends on."""
    ahead = trainer.ahead
    if ahead is not None:
        ahead.settle()
    optimizer_tensors, optimizer_values = flatten(trainer.optimizer.state_dict())
    training = {f"optimizer/{key}": tensor for key, tensor in optimizer_tensors.items()}
    rows = trainer.config.train.batch_size
    training |= {
        key: trainer.ranks.whole(own, rows) for key, own in trainer.carry.tensors().items()
    }
    training |= {
        "exploration": trainer.exploration.get_state(),
        "noise": trainer.noise.get_state(),
        "difficulty": torch.from_numpy(trainer.difficulty) if ahead is None else ahead.difficulty,
    }
    ready, taken = (_ready(trainer), []) if ahead is None else ahead.pool.state_dict()
    if ready is not None:
        training["pool"] = ready
    return State(
        weights=dict(trainer.model.state_dict()),
        ema=trainer.ema.state_dict() if trainer.ema else {},
        training=training,
        values={
            "counters": asdict(trainer.counters),
            "stream": trainer.stream.state_dict(),
            "course": trainer.course.state_dict(),
            "window": asdict(trainer.window),
            "optimizer": optimizer_values,
            **({"taken": taken} if ready is not None else {}),
        },
    )


def restore_state(trainer: Trainer, state: State) -> None:
    """Go on exactly where the state was taken."""
    trainer.model.load_state_dict(state.weights)
    if trainer.ema is not None:
        trainer.ema.load_state_dict(state.ema)
    training = {key: tensor.to(trainer.device) for key, tensor in state.training.items()}
    optimizer = {
        key.removeprefix("optimizer/"): tensor
        for key, tensor in training.items()
        if key.startswith("optimizer/")
    }
    trainer.optimizer.load_state_dict(unflatten(optimizer, state.values["optimizer"]))
    carried = {key: trainer.ranks.own(training[key]) for key in trainer.carry.tensors()}
    trainer.carry = Carry.restored(carried)
    trainer.exploration.set_state(state.training["exploration"].cpu())
    trainer.stream.load_state_dict(state.values["stream"])
    trainer.counters = Counters.restored(state.values["counters"])
    if "course" in state.values:
        trainer.noise.set_state(state.training["noise"].cpu())
        trainer.difficulty = state.training["difficulty"].cpu().numpy().copy()
        trainer.course.load_state_dict(state.values["course"])
        trainer.window = FeedbackWindow(**state.values["window"])
    else:  # written before curricula had a state: only fixed depth was driven then
        trainer.course.advance(trainer.progress)
    if trainer.ahead is not None:
        trainer.ahead.restore(training.get("pool"), state.values.get("taken", []))
    elif "pool" in training:
        trainer.stream.ready = unpacked(training["pool"].cpu().numpy())


def _ready(trainer: Trainer) -> Tensor | None:
    """What a host that ran ahead had drawn, as far as it is not used yet."""
    ready = trainer.stream.ready
    return None if ready is None else torch.from_numpy(packed(ready))


def shared_state(trainer: Trainer, ranks: Ranks) -> State:
    """The state of the first process's trainer, in each of them; none has joined yet."""
    state = take_state(trainer)
    parts = {"weights": state.weights, "ema": state.ema, "training": state.training}
    tensors = {f"{part}:{key}": t for part, found in parts.items() for key, t in found.items()}
    shared = ranks.shared(tensors)

    def part(name: str) -> dict[str, Tensor]:
        begin = f"{name}:"
        return {k.removeprefix(begin): t for k, t in shared.items() if k.startswith(begin)}

    return State(part("weights"), part("ema"), part("training"), ranks.told(lambda: state.values))
