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

from trm.errors import UserError
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
        on_grid: the same from the config and the rows and columns of a puzzle, without the prefix.

    >>> from trm.network.model_config import ModelConfig
    >>> cosines, sines = POSITIONS["rope"].rotated(ModelConfig(hidden_size=8, num_heads=2), 5)
    >>> cosines.shape
    torch.Size([5, 4])
    """

    added: Callable[[ModelConfig, int, torch.Generator], Tensor] | None = None
    trained: bool = False
    rotated: Callable[[ModelConfig, int], tuple[Tensor, Tensor]] | None = None
    on_grid: Callable[[ModelConfig, tuple[int, int]], tuple[Tensor, Tensor]] | None = None

    @property
    def rotates(self) -> bool:
        """Whether there are tables to turn by."""
        return self.rotated is not None or self.on_grid is not None


def rotary_tables(
    config: ModelConfig, positions: int, grid: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Cosines and sines `[positions, hidden / heads]`; those of a grid do not turn the prefix.

    Args:
        positions: of the model, prefix included.
        grid: rows and columns of a puzzle.

    Raises:
        UserError: the puzzle is no such grid.
    """
    encoding = POSITIONS[config.positions]
    if encoding.on_grid is None:
        assert encoding.rotated is not None
        return encoding.rotated(config, positions)
    rows, columns = grid
    if rows * columns != positions - config.prefix:
        raise UserError(
            "model.pos_encodings", config.positions,
            f"needs puzzles that are a grid, and these of {positions - config.prefix} cells are "
            f"shown as {rows} x {columns}: use rope or learned",
        )  # fmt: skip
    cosines, sines = encoding.on_grid(config, grid)
    still = (config.prefix, cosines.shape[-1])
    return torch.cat((torch.ones(still), cosines)), torch.cat((torch.zeros(still), sines))


def _learned(config: ModelConfig, positions: int, generator: torch.Generator) -> Tensor:
    table = torch.empty(positions, config.hidden_size)
    return truncated_normal_(table, 1.0 / math.sqrt(config.hidden_size), generator)


def _rope(config: ModelConfig, positions: int) -> tuple[Tensor, Tensor]:
    return rope_tables(positions, config.hidden_size // config.num_heads, config.rope_theta)


def _rope_2d(config: ModelConfig, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Half of a head's pairs turn by the row, half by the column, each as `rope` does.

    As nano-trm (olivkoch) and chenglou/sudoku-solver have it.
    """
    rows, columns = grid
    half = config.hidden_size // config.num_heads // 2
    # The first half of such a table are the angles of its pairs, the second the same again.
    by_row, by_column = (
        [table[:, : half // 2] for table in rope_tables(count, half, config.rope_theta)]
        for count in (rows, columns)
    )
    cosines, sines = (
        torch.cat((along.repeat_interleave(columns, 0), across.repeat(rows, 1)), dim=-1)
        for along, across in zip(by_row, by_column, strict=True)
    )
    return torch.cat((cosines, cosines), dim=-1), torch.cat((sines, sines), dim=-1)


POSITIONS: dict[str, Positions] = {
    "rope": Positions(rotated=_rope),
    "rope_2d": Positions(on_grid=_rope_2d),
    "learned": Positions(added=_learned, trained=True),
    "none": Positions(),
}
"""The encodings that `model.pos_encodings` can name."""
