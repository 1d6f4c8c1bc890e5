"""How a model knows where a token stands, by name. A plug-in adds its own to `POSITIONS`.

>>> POSITIONS["learned"].trained, POSITIONS["rope"].trained
(True, False)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trm.network.layers import rope_tables, truncated_normal_

if TYPE_CHECKING:
    from trm.network.model_config import ModelConfig


@dataclass(frozen=True)
class Positions:
    """One way to encode positions: a table added to the embeddings, rotary tables, both or none.

    Attributes:
        added: float32 `[positions, hidden]` from the config, the number of positions (prefix
            included) and a CPU generator; embeddings of tokens, to which it is added, have a
            deviation of 1 / sqrt(hidden).
        trained: whether that table is a parameter; else it is computed anew and not stored.
        rotated: cosines and sines `[positions, hidden / heads]`, from the config and the number of
            positions, by which mixers that rotate turn queries and keys.

    >>> from trm.network.model_config import ModelConfig
    >>> cosines, sines = POSITIONS["rope"].rotated(ModelConfig(hidden_size=8, num_heads=2), 5)
    >>> cosines.shape
    torch.Size([5, 4])
    """

    added: Callable[[ModelConfig, int, torch.Generator], Tensor] | None = None
    trained: bool = False
    rotated: Callable[[ModelConfig, int], tuple[Tensor, Tensor]] | None = None


def _learned(config: ModelConfig, positions: int, generator: torch.Generator) -> Tensor:
    table = torch.empty(positions, config.hidden_size)
    return truncated_normal_(table, 1.0 / math.sqrt(config.hidden_size), generator)


def _rope(config: ModelConfig, positions: int) -> tuple[Tensor, Tensor]:
    return rope_tables(positions, config.hidden_size // config.num_heads, config.rope_theta)


POSITIONS: dict[str, Positions] = {
    "rope": Positions(rotated=_rope),
    "learned": Positions(added=_learned, trained=True),
    "none": Positions(),
}
"""The encodings that `model.pos_encodings` can name."""
