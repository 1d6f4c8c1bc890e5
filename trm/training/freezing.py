"""Parts of a model that stand still while the rest is trained, as fine-tuning often begins."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from trm.errors import UserError
from trm.network.model import TRM
from trm.train_config import FreezeConfig

PARTS: dict[str, tuple[str, ...]] = {
    "tokens": ("embed_tokens",),
    "positions": ("embed_pos",),
    "layers": ("layers", "H_layers", "gate", "H_gate"),
    "start": ("H_init", "L_init"),
    "head": ("lm_head",),
    "halting": ("q_head",),
    "puzzles": ("puzzle_emb",),
}
"""What the weights of each part are called; `body` is all of them but `puzzles`."""


def frozen_parameters(config: FreezeConfig, model: TRM) -> list[nn.Parameter]:
    """The parameters that stand still for the first `config.share` of a run.

    Raises:
        UserError: they are all that the model has.
    """
    if not config.share:
        return []
    parts = set(PARTS) - {"puzzles"} if "body" in config.parts else set()
    parts.update(config.parts)
    names = {name for part in parts for name in PARTS.get(part, ())}
    moving = [name for name, _ in model.named_parameters() if name.partition(".")[0] not in names]
    if not moving:
        what = "there is no puzzle embedding" if model.puzzle_emb is None else "all parts are named"
        raise UserError(
            "train.freeze.parts", list(config.parts),
            f"leaves nothing to train ({what}): name fewer parts, or set train.freeze.share to 0",
        )  # fmt: skip
    return [p for name, p in model.named_parameters() if name.partition(".")[0] in names]


def hold(parameters: Sequence[nn.Parameter]) -> None:
    """Drop their gradients: optimisers leave a parameter without one as it is, decay included."""
    for parameter in parameters:
        parameter.grad = None
