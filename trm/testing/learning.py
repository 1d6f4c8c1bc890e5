"""What every token loss, halting rule and optimiser promises."""

from __future__ import annotations

import torch
from torch import nn

from trm.learning.halting import HALTING_RULES, HaltingRule
from trm.learning.losses import TOKEN_LOSSES
from trm.learning.optimizers import OPTIMIZERS, OptimizerConfig
from trm.learning.soundness import (
    few_logits,
    few_outputs,
    require_sound_halting,
    require_sound_loss,
    require_sound_optimizer,
)
from trm.network.model import ModelConfig
from trm.tasks.base import IGNORE
from trm.testing.fitting import check_trains
from trm.testing.sections import check_section, no_global_randomness

_SCALES = (1e-3, 1.0, 30.0, 1e4)


def check_loss(name: str) -> None:
    """Try the token loss of that name on logits of all sizes, and train with it.

    Raises:
        AssertionError: the loss breaks a promise.
        UserError: so does what it gives, in a way that is looked for before every training too.

    >>> check_loss("softmax_cross_entropy")
    """
    assert name in TOKEN_LOSSES, f"no loss is registered as {name!r}: TOKEN_LOSSES[{name!r}] = ..."
    loss = TOKEN_LOSSES[name]
    with no_global_randomness():
        for scale in _SCALES:
            require_sound_loss(name, scale)
    logits, labels = few_logits()
    right = torch.nn.functional.one_hot(labels.clamp(min=0).long(), logits.shape[-1])
    counted = labels != IGNORE
    better = (loss(logits + 3.0 * right, labels) < loss(logits, labels))[counted]
    assert bool(better.all()), "a cell's loss does not fall as its right token gains"
    alone = loss(logits[1:2], labels[1:2])
    together = loss(logits, labels)[1:2]
    assert torch.allclose(alone, together), "a row's loss depends on the other rows"
    assert bool(loss(logits.bfloat16(), labels).isfinite().all()), "bfloat16 logits break it"
    check_trains({"loss.loss_type": name})


def check_halting(rule: HaltingRule) -> None:
    """Ask a halting rule about batches of several sizes, and train with it.

    Raises:
        AssertionError: the rule breaks a promise.
        UserError: so does what it gives, in a way that is looked for before every training too.

    >>> from trm.learning.halting import HaltingConfig
    >>> check_halting(HaltingConfig(threshold=0.7))
    """
    check_section(HALTING_RULES, rule)
    config = ModelConfig(hidden_size=16, num_heads=2)
    with no_global_randomness():
        for batch in (1, 4, 33):
            require_sound_halting(rule, config, batch)
    output, steps = few_outputs(8, rule.recalls)
    looked_at = [part for part in vars(output).values() if part is not None] + [steps]
    before = [part.clone() for part in looked_at]
    whole = rule.wants_to_halt(output, steps, config)
    assert torch.equal(rule.wants_to_halt(output, steps, config), whole), "a second look differs"
    assert all(map(torch.equal, before, looked_at)), "it changes what it looks at"
    section = {"name": rule.name, **rule.model_dump(mode="json")}
    check_trains({"halting": section})


def check_optimizer(config: OptimizerConfig) -> None:
    """Let an optimiser find a minimum, and train with it, stopped and resumed.

    Raises:
        AssertionError: the optimiser breaks a promise.
        UserError: so does what it gives, in a way that is looked for before every training too.

    >>> from trm.learning.optimizers import AdamWConfig
    >>> check_optimizer(AdamWConfig())
    """
    check_section(OPTIMIZERS, config)
    require_sound_optimizer(config)
    if type(config).build_main is not OptimizerConfig.build_main:
        with no_global_randomness():
            _check_descends(config)
    check_trains({"optimizer": {**config.model_dump(mode="json"), "lr": 1e-2}})


def _check_descends(config: OptimizerConfig) -> None:
    weights, idle = nn.Parameter(torch.full((2, 3), 2.0)), nn.Parameter(torch.ones(2))
    changes = {"lr": 0.02, "weight_decay": 0.0}
    optimizer = config.model_copy(update=changes).build_main([weights, idle])
    begun = float(weights.detach().square().sum())
    for _ in range(60):
        optimizer.zero_grad()
        weights.square().sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert float(weights.detach().square().sum()) < 0.7 * begun, (
        "60 steps at a learning rate of 0.02 hardly lower the square of the weights"
    )
    assert torch.equal(idle.detach(), torch.ones(2)), "it changes a weight that has no gradient"
    held = weights.detach().clone()
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    weights.square().sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    assert torch.equal(weights.detach(), held), "it moves at a learning rate of 0"
