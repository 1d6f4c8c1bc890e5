"""Whether what trains a model works: its loss, its halting rule and its optimiser."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from trm.fault import require, working
from trm.learning.halting import HaltingRule
from trm.learning.losses import TOKEN_LOSSES
from trm.learning.optimizers import OptimizerConfig
from trm.network.model import ModelConfig, Output
from trm.tasks.base import IGNORE

CPU = torch.device("cpu")
_ROWS, _CELLS, _VOCAB = 3, 4, 5


def few_logits(scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Logits `[3, 4, 5]` of that deviation, and labels `[3, 4]` of which one is ignored."""
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(_ROWS, _CELLS, _VOCAB, generator=generator)
    labels = torch.randint(_VOCAB, (_ROWS, _CELLS), generator=generator, dtype=torch.int32)
    labels[0, 0] = IGNORE
    return logits, labels


def require_sound_loss(name: str, scale: float = 1.0, device: torch.device = CPU) -> None:
    """Try a token loss on a few cells.

    Raises:
        Fault: it does not give one finite number for each cell, 0 where the label is ignored, with
            a finite gradient.
    """
    component = f"loss {name!r}"
    logits, labels = (tensor.to(device) for tensor in few_logits(scale))
    logits.requires_grad_()
    with working(component, "on a few cells"):
        loss = TOKEN_LOSSES[name](logits, labels)
    require(isinstance(loss, Tensor), component, f"gives {type(loss).__name__}", "give a tensor")
    require(
        loss.shape == labels.shape, component,
        f"gives {list(loss.shape)} for labels {list(labels.shape)}",
        "give a number for each cell, not reduced",
    )  # fmt: skip
    require(
        loss.is_floating_point() and bool(loss.detach().isfinite().all()), component,
        "gives numbers that are not finite", "mend it",
    )  # fmt: skip
    require(
        float(loss.detach()[labels == IGNORE].abs().max()) == 0.0, component,
        "counts cells whose label is ignored", f"give 0 where the label is {IGNORE}",
    )  # fmt: skip
    require(loss.requires_grad, component, "has no gradient", "compute it from the logits")
    with working(component, "to give a gradient"):
        (gradient,) = torch.autograd.grad(loss.sum(), logits)
    require(
        bool(gradient.isfinite().all()), component, "has a gradient that is not finite", "mend it"
    )


def few_outputs(batch: int = 4, recalled: int = 1) -> tuple[Output, Tensor]:
    """An output of `batch` rows, and the supervision steps that they have had.

    Args:
        recalled: earlier answers.
    """
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(batch, _CELLS, _VOCAB, generator=generator)
    q = torch.randn(2, batch, generator=generator)
    moved = torch.rand(batch, 2, generator=generator)
    shape = (batch, max(recalled, 1), _CELLS)
    answers = torch.randint(-1, _VOCAB, shape, generator=generator, dtype=torch.int32)
    output = Output(logits, q[0], q[1], residual=moved, recalled=answers)
    return output, torch.arange(1, batch + 1, dtype=torch.int32)


def require_sound_halting(
    rule: HaltingRule, config: ModelConfig, batch: int = 4, device: torch.device = CPU
) -> None:
    """Ask a halting rule about a few rows.

    Raises:
        Fault: it does not answer with a bool for each.
    """
    component = f"halting rule {rule.name!r}"
    with working(component, "to say what it looks at"):
        recalled = rule.recalls
    output, steps = few_outputs(batch, recalled)
    there = {name: part.to(device) for name, part in vars(output).items() if part is not None}
    output, steps = Output(**there), steps.to(device)
    for ask in (rule.wants_to_halt, rule.stops):
        with working(component, "on a few rows"), torch.no_grad():
            found: Any = ask(output, steps, config)
        require(
            isinstance(found, Tensor) and found.dtype == torch.bool and found.shape == (batch,),
            component, f"does not give a bool for each row in {ask.__name__}()",
            f"give a bool tensor [{batch}]",
        )  # fmt: skip


def require_sound_optimizer(config: OptimizerConfig, device: torch.device = CPU) -> None:
    """Build an optimiser for a few weights, and let it step a few times.

    Raises:
        Fault: it is none, has no learning rate, changes nothing, or makes weights that are not
            finite.
    """
    if type(config).build is not OptimizerConfig.build:
        return  # it needs a whole model
    component = f"optimizer {config.name!r}"
    weights = nn.Parameter(torch.linspace(-1.0, 1.0, 6).view(2, 3).to(device))
    before = weights.detach().clone()
    # A searched rate may be too low to show in weights of this size.
    with working(component, "to be built for a few weights"):
        optimizer: Any = config.model_copy(update={"lr": 0.01}).build_main([weights])
    require(
        isinstance(optimizer, torch.optim.Optimizer), component,
        f"build_main() gives {type(optimizer).__name__}", "give a torch.optim.Optimizer",
    )  # fmt: skip
    rates = [group.get("lr") for group in optimizer.param_groups]
    require(
        all(isinstance(rate, float) for rate in rates), component,
        f"has groups with the learning rates {rates}",
        "give each a number under 'lr': schedules scale it",
    )  # fmt: skip
    for _ in range(3):
        weights.grad = torch.ones_like(weights)
        with working(component, "to step"):
            optimizer.step()
    require(
        bool(weights.detach().isfinite().all()), component,
        "makes weights that are not finite within three steps", "mend it",
    )  # fmt: skip
    require(
        not torch.equal(weights.detach(), before), component, "changes no weight in three steps",
        "update every parameter that has a gradient",
    )  # fmt: skip
