"""Which training examples a run sees, and in what order: seeded, resumable, never ending."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curricula.stage import Slice
from trm.tasks.base import Task, Tokens

_ORDER, _AUGMENT, _MIX = 1, 2, 4
_AHEAD = 4096
"""Examples that a mix looks at in one go: a whole epoch may be millions."""


@dataclass(frozen=True)
class Examples:
    """Fresh training examples, in the order in which they are to be used.

    Attributes:
        inputs: tokens `[n, seq_len]`.
        labels: tokens `[n, seq_len]`.
        puzzle_identifiers: `[n]`.
        difficulty: place in the order of difficulty within the source, in [0, 1), `[n]`.
    """

    inputs: Tokens
    labels: Tokens
    puzzle_identifiers: Tokens
    difficulty: NDArray[np.float32]

    def __getitem__(self, rows: slice) -> Examples:
        return Examples(
            self.inputs[rows],
            self.labels[rows],
            self.puzzle_identifiers[rows],
            self.difficulty[rows],
        )

    def followed_by(self, others: Examples) -> Examples:
        """These, then others."""
        return Examples(
            np.concatenate((self.inputs, others.inputs)),
            np.concatenate((self.labels, others.labels)),
            np.concatenate((self.puzzle_identifiers, others.puzzle_identifiers)),
            np.concatenate((self.difficulty, others.difficulty)),
        )


class ExampleStream:
    """The training examples, epoch after epoch, each in an order drawn from (seed, epoch).

    Without a mix an epoch has every example once, unless the task has an order of its own. A mix
    thins epochs out: each example that is not wanted as much as the most wanted ones is passed over
    with a chance drawn from (seed, epoch), so that examples are still not repeated within an epoch,
    and the position says it all.

    Attributes:
        ready: examples that were drawn and not used, which come first; no part of `state_dict`.
    """

    def __init__(self, task: Task, seed: int) -> None:
        self._task = task
        self._split = task.split("train")
        self._seed = seed
        self._rng = np.random.default_rng([seed, _AUGMENT])
        self.drawn = 0
        self.ready: Examples | None = None
        self._epoch = -1
        self._order = np.empty(0, dtype=np.int32)
        self._chances = np.empty(0)
        self._source = task.source_of("train")
        self._rank, self._size = places(self._split.difficulty, self._source)

    def take(
        self,
        count: int,
        difficulty: tuple[Slice, ...] = (),
        sources: tuple[float, ...] = (),
    ) -> Examples:
        """The next `count` examples, over the end of an epoch if need be.

        Args:
            difficulty: where they come from, as in `Stage.difficulty`.
            sources: each source's share of them, as in `Stage.sources`.
        """
        if self.ready is not None:
            return self._from_ready(count, difficulty, sources)
        size = len(self._split)
        rows = np.empty(0, dtype=np.int64)
        mixed = bool(difficulty or sources)
        idle_since = self.drawn
        while len(rows) < count:
            # Up to the end of the epoch, and no more than might be wanted.
            begin = self.drawn % size
            self._enter(self.drawn // size)
            end = min(begin + (_AHEAD if mixed else count - len(rows)), size)
            here = self._order[begin:end]
            wanted = np.arange(len(here))
            if mixed:
                share = self._share(here, difficulty, sources)
                wanted = np.flatnonzero(self._drawn_chances()[begin:end] < share)
            wanted = wanted[: count - len(rows)]
            rows = np.concatenate((rows, here[wanted]))
            enough = len(rows) == count
            self.drawn += int(wanted[-1]) + 1 if enough else end - begin
            idle_since = self.drawn if len(wanted) else idle_since
            assert self.drawn - idle_since < 100_000 * size, (difficulty, sources)
        split = self._split
        inputs, labels, identifiers = self._task.augment_rows(
            split.inputs[rows], split.labels[rows], split.puzzle_identifiers[rows], self._rng
        )
        return Examples(
            inputs,
            labels,
            identifiers,
            (self._rank[rows] / self._size[rows]).astype(np.float32),
        )

    def _from_ready(
        self, count: int, difficulty: tuple[Slice, ...], sources: tuple[float, ...]
    ) -> Examples:
        """The examples that were drawn and not used before, then further ones."""
        assert self.ready is not None
        first, rest = self.ready[:count], self.ready[count:]
        self.ready = rest if len(rest.inputs) else None
        missing = count - len(first.inputs)
        return first.followed_by(self.take(missing, difficulty, sources)) if missing else first

    def state_dict(self) -> dict[str, Any]:
        """Position and augmentation state, as plain JSON values."""
        return {"drawn": self.drawn, "augment": self._rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self.drawn = state["drawn"]
        self.ready = None
        self._rng.bit_generator.state = state["augment"]

    def _enter(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        size = len(self._split)
        self._epoch = epoch
        rng = np.random.default_rng([self._seed, _ORDER, epoch])
        order = self._task.epoch_order(rng)
        # Half as wide as NumPy's own: every trial of a machine has an order of its own.
        self._order = (rng.permutation(size) if order is None else order).astype(np.int32)
        self._chances = np.empty(0)

    def _drawn_chances(self) -> NDArray[np.float64]:
        """A chance for each place of the epoch, drawn once a mix asks for them."""
        if not len(self._chances):
            rng = np.random.default_rng([self._seed, _MIX, self._epoch])
            self._chances = rng.random(len(self._split))
        return self._chances

    def _share(
        self, rows: NDArray[np.int32], difficulty: tuple[Slice, ...], sources: tuple[float, ...]
    ) -> NDArray[np.float64]:
        """How much each row is wanted, as a share of the most wanted, `[rows]`."""
        share = np.ones(len(rows))
        if difficulty:
            # An example stands for its n-th of the order: a slice narrower than that still has one.
            width = 1.0 / self._size[rows]
            low = self._rank[rows] * width
            densities = [part.weight / (part.high - part.low) for part in difficulty]
            share = np.zeros(len(rows))
            for part, density in zip(difficulty, densities, strict=True):
                overlap = np.minimum(low + width, part.high) - np.maximum(low, part.low)
                share += density * np.clip(overlap, 0.0, None) / width
            share /= max(densities)
        if sources:
            have = np.bincount(self._source, minlength=len(sources)) / len(self._source)
            factor = np.array(sources) / np.maximum(have, 1e-12)
            share *= factor[self._source[rows]] / factor[have > 0].max()
        return share


def places(
    difficulty: NDArray[np.float32], source: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Each example's rank by difficulty within its source, from 0, and that source's size, `[n]`.

    Equally difficult examples keep their order, so that any share of them can be cut off.
    """
    rank = np.empty(len(difficulty), dtype=np.int32)
    size = np.empty(len(difficulty), dtype=np.int32)
    for kind in np.unique(source):
        (members,) = np.nonzero(source == kind)
        rank[members[np.argsort(difficulty[members], kind="stable")]] = np.arange(len(members))
        size[members] = len(members)
    return rank, size
