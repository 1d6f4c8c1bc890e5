"""Fresh examples that lie ready on the device, from which rows that have halted are refilled there.

The host fills it ahead, and learns how many were taken a fixed number of steps later: what it
holds depends on the run alone, never on how fast either of the two is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curricula.stage import Stage
from trm.training.data import Examples, ExampleStream


def pinned(tensor: Tensor, device: torch.device) -> Tensor:
    """The same where a copy to the device need not be waited for."""
    return tensor.pin_memory() if device.type == "cuda" else tensor


def packed(fresh: Examples) -> NDArray[np.int32]:
    """Examples as rows of inputs, labels, identifier and the bits of the difficulty, `[n, ...]`."""
    parts = (fresh.inputs, fresh.labels, fresh.puzzle_identifiers[:, None])
    difficulty = fresh.difficulty.astype(np.float32).view(np.int32)[:, None]
    rows = np.concatenate([part.astype(np.int32) for part in parts] + [difficulty], axis=1)
    return np.ascontiguousarray(rows)


def unpacked(rows: NDArray[np.int32]) -> Examples:
    """The examples that `packed` made rows of."""
    inputs, labels = np.split(rows[:, :-2], 2, axis=1)
    difficulty = np.ascontiguousarray(rows[:, -1]).view(np.float32)
    return Examples(inputs, labels, rows[:, -2], difficulty)


class Pool:
    """A ring of `lag` batches of examples.

    In the order of the stream, as if each were drawn when its row halts; but it is drawn when there
    is room, up to `lag` batches before: augmentations are drawn for other numbers of rows at once,
    and a change of the curriculum's difficulty reaches the batch that much later.

    Args:
        stream: where they come from.
        batch: rows of the batch: no step takes more.
        width: numbers of a row, as `packed` has it.
        lag: steps after which the host knows how many a step took.
    """

    def __init__(
        self, stream: ExampleStream, batch: int, width: int, lag: int, device: torch.device
    ) -> None:
        self.stream = stream
        self.lag = lag
        self.ring = torch.zeros(lag * batch, width, dtype=torch.int32, device=device)
        self.cursor = torch.zeros((), dtype=torch.int64, device=device)
        self._filled = 0
        self._taken: deque[int] = deque()

    def take(self, halted: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Replace `rows` `[batch, width]` where `halted`, in place and in order; asks no host.

        Returns:
            How many, int64, and the sum of their difficulties, float64.
        """
        order = halted.cumsum(0)
        fresh = self.ring[(self.cursor + order - 1) % len(self.ring)]
        rows.copy_(torch.where(halted[:, None], fresh, rows))
        self.cursor += order[-1]
        difficulty = torch.where(halted, fresh[:, -1].view(torch.float32), 0.0)
        return order[-1], difficulty.double().sum()

    def note(self, taken: int) -> None:
        """Of the oldest step that has not been noted yet."""
        self._taken.append(taken)

    def fill(self, stage: Stage, flying: int) -> bool:
        """Fill up what was taken `lag` steps ago, before the next step.

        Args:
            flying: steps whose numbers have not been noted yet.

        Returns:
            False where the oldest of them must be noted first; nothing is done then.
        """
        room = len(self.ring) if not self._filled else 0
        if len(self._taken) + flying == self.lag:
            if not self._taken:
                return False
            room = self._taken.popleft()
        if room:
            self._write(packed(self.stream.take(room, stage.difficulty, stage.sources)))
        return True

    def _write(self, rows: NDArray[np.int32]) -> None:
        begin = self._filled % len(self.ring)
        self._filled += len(rows)
        here = min(len(rows), len(self.ring) - begin)
        fresh = pinned(torch.from_numpy(rows), self.ring.device)
        self.ring[begin : begin + here].copy_(fresh[:here], non_blocking=True)
        self.ring[: len(rows) - here].copy_(fresh[here:], non_blocking=True)

    def state_dict(self) -> tuple[Tensor, list[int]]:
        """What lies ready, in order, and what was taken but is not filled up; all must be noted."""
        count = self._filled - int(self.cursor)
        places = (self.cursor + torch.arange(count, device=self.ring.device)) % len(self.ring)
        return self.ring[places], list(self._taken)

    def load_state_dict(self, rows: Tensor, taken: list[int]) -> None:
        """Go on exactly where `state_dict` was taken."""
        missing = len(self.ring) - len(rows) - sum(taken)
        if len(rows) and missing:  # somebody without a pool has used some: filled up at once
            taken = [missing, *([0] * (self.lag - 1))]
        self.ring[: len(rows)].copy_(rows)
        self.cursor.zero_()
        self._filled, self._taken = len(rows), deque(taken)

    def tensors(self) -> Mapping[str, Any]:
        """What `take` changes in place."""
        return {"cursor": self.cursor}
