"""Models and trainers to be compiled, and what a step of one computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from trm.config import experiment_from
from trm.network.model import TRM, ModelConfig
from trm.tasks.base import Task
from trm.training.trainer import Trainer

TinyTree = Callable[..., dict[str, Any]]


SEQ_LEN, VOCAB = 9, 7


SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_heads": 2,
    "L_layers": 2,
    "expansion": 1.0,
    "swiglu_multiple": 16,
    "puzzle_emb_len": 1,
}


GROWING = {
    "depth": {
        "name": "stages",
        "stages": [
            {"at": 0.0, "H_cycles": 1, "L_cycles": 1},
            {"at": 0.3, "L_cycles": 1},
            {"at": 0.6},
        ],
    }
}


def trainer(tiny: TinyTree, task: Task, **changes: Any) -> Trainer:
    tree = tiny({"train.compile": True, "train.ema": 0.9, **changes})
    return Trainer(experiment_from(tree), task)


def build(dtype: torch.dtype = torch.float32, **changes: Any) -> TRM:
    generator = torch.Generator().manual_seed(0)
    config = ModelConfig.model_validate(SIZES | changes)
    model = TRM(config, seq_len=SEQ_LEN, vocab_size=VOCAB, generator=generator, dtype=dtype)
    with torch.no_grad():
        model.q_head.weight.normal_(std=0.3, generator=generator)
    return model


def step(model: TRM, rows: int = 4) -> list[torch.Tensor]:
    """Everything that one supervision step computes: states, outputs and gradients."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randint(0, VOCAB, (rows, SEQ_LEN), generator=generator)
    latent, output = model(model.fresh_latent(rows), inputs, torch.zeros(rows, dtype=torch.int32))
    probe = torch.randn(output.logits.shape, generator=generator)
    model.zero_grad()
    ((output.logits.float() * probe).sum() + output.q_halt.sum()).backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return [latent.z_H, latent.z_L, output.logits.detach(), output.q_halt.detach(), *gradients]
