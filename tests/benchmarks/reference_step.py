"""A training step of a checkout of the reference, with its own model, loss and embedding.

`github.com/SamsungSAILMontreal/TinyRecursiveModels`, at whatever commit the checkout has; it needs
`einops`. What differs from its `pretrain.py`: AdamW of torch in the place of AdamATan2, whose
package is a CUDA extension; no `torch.compile`; batches that are there beforehand; and widths of
SwiGLU that are rounded up to the config's multiple, where it always takes 256, so that both models
have the same sizes.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
from collections.abc import Iterator
from importlib.machinery import PathFinder
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trm.config import Experiment
from trm.network.model import TRM
from trm.reference.configs import arch_config
from trm.tasks.base import Task
from trm.training.data import ExampleStream

_BATCHES = 16


class NoReferenceError(Exception):
    """The checkout cannot be used; the message says why."""


class ReferenceStep:
    """Its training of an experiment.

    Raises:
        NoReferenceError: the folder is no checkout, or what it imports is not installed.
    """

    def __init__(self, checkout: Path, config: Experiment, task: Task) -> None:
        self.config, self.task = config, task
        models, losses, sparse = reference_modules(checkout, config.model.swiglu_multiple)
        torch.manual_seed(config.train.seed)
        model = models.TinyRecursiveReasoningModel_ACTV1(_arch(config, task))
        self.head = losses.ACTLossHead(model, loss_type=config.loss.loss_type)
        optimizer = config.optimizer
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(self.head.parameters(), lr=optimizer.lr, betas=(0.9, 0.95))
        ]
        if config.model.embedding_dim:
            self.optimizers.append(
                sparse.CastedSparseEmbeddingSignSGD_Distributed(
                    model.puzzle_emb.buffers(), world_size=1, lr=1e-2
                )
            )
        self.batches = _batches(config, task)
        self.carry: Any = None
        self.head.train()

    @property
    def weights(self) -> int:
        """Of the network, without the puzzle embedding."""
        return sum(p.numel() for p in self.head.parameters())

    def seconds(self, count: int) -> float:
        """CPU seconds of one step, the mean of some."""
        begun = time.process_time()
        for _ in range(count):
            self.step()
        return (time.process_time() - begun) / count

    def step(self) -> dict[str, float]:
        """A supervision step, its gradients, both optimisers, and the metrics read."""
        batch = next(self.batches)
        if self.carry is None:
            self.carry = self.head.initial_carry(batch)
        self.carry, loss, metrics, _, _ = self.head(return_keys=[], carry=self.carry, batch=batch)
        (loss / self.config.train.batch_size).backward()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        names = sorted(metrics)
        values = torch.stack([metrics[name] for name in names]).cpu().tolist()
        return dict(zip(names, values, strict=True))


def network_weights(model: TRM) -> int:
    """Ours, counted alike."""
    table = model.puzzle_emb
    return sum(p.numel() for p in model.parameters() if p is not table)


def _found_in(checkout: Path, package: str) -> None:
    """Import a package of the checkout's, and nothing else of that folder by accident."""
    spec = PathFinder.find_spec(package, [str(checkout)])
    if spec is None or package in sys.modules:
        return
    sys.modules[package] = importlib.util.module_from_spec(spec)
    if spec.loader is not None:
        spec.loader.exec_module(sys.modules[package])


def reference_modules(checkout: Path, multiple: int) -> tuple[Any, Any, Any]:
    if not (checkout / "models" / "recursive_reasoning" / "trm.py").is_file():
        raise NoReferenceError(f"{checkout} is no checkout of TinyRecursiveModels")
    try:
        for package in ("models", "utils"):
            _found_in(checkout, package)
        layers = importlib.import_module("models.layers")
        found = [
            importlib.import_module(f"models.{name}")
            for name in ("recursive_reasoning.trm", "losses", "sparse_embedding")
        ]
    except ImportError as error:
        raise NoReferenceError(f"{error}: install it, or put it on PYTHONPATH") from error
    layers._find_multiple = lambda a, _: -(a // -multiple) * multiple
    return found[0], found[1], found[2]


def _arch(config: Experiment, task: Task) -> dict[str, Any]:
    return arch_config(config, "float32") | {
        "batch_size": config.train.batch_size,
        "seq_len": task.seq_len,
        "vocab_size": task.vocab_size,
        "num_puzzle_identifiers": task.num_puzzle_identifiers,
    }


def _batches(config: Experiment, task: Task) -> Iterator[dict[str, Tensor]]:
    stream = ExampleStream(task, config.train.seed)
    made = []
    for _ in range(_BATCHES):
        fresh = stream.take(config.train.batch_size)
        arrays = (fresh.inputs, fresh.labels, fresh.puzzle_identifiers)
        tensors = [torch.from_numpy(array) for array in arrays]
        names = ("inputs", "labels", "puzzle_identifiers")
        made.append(dict(zip(names, tensors, strict=True)))
    return cycle(made)
