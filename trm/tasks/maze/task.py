"""Mazes as a task: its config section and its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curricula.limits import MOST_EXAMPLES, MOST_SEED
from trm.errors import UserError
from trm.files.paths import home_path
from trm.tasks import hub
from trm.tasks.allocation import Allocation, allocate
from trm.tasks.base import Progress, Split, SplitName, Task, TaskConfig, Tokens
from trm.tasks.cache import cached_splits, file_hash, make_split
from trm.tasks.held import HeldTask
from trm.tasks.maze import grid
from trm.tasks.maze.files import MazeFile, read_mazes, side_of
from trm.tasks.maze.generator import drawn
from trm.tasks.maze.paths import is_shortest, lengths, solved
from trm.tasks.picture import Look

DATA_VERSION = 1
"""Part of the cache's key: raise it when the same config gives other mazes."""
DRAWN_TRAIN = 4_000

Splits = dict[SplitName, Split]


class MazeConfig(TaskConfig):
    """Mark the shortest way through a maze: drawn ones, or Maze-Hard from a file or the hub.

    Attributes:
        size: rows and columns, walls included; rooms lie on every other one. null is 9, or as the
            file has them.
        braid: share of dead ends that are opened. 0 are perfect mazes, with one way; else several
            shortest paths may exist, each is right for the verifier, and one of them is the label.
            Not for files.
        path: least and most steps from start to goal, which is the difficulty; even, as rooms are
            two steps apart. null is from 4 to three times the size. Not for files.
        train_examples: null is all that the other splits leave of a file, and 4,000 drawn.
        valid_examples: examples of the split that searches read.
        test_examples: examples of the split that is evaluated once.
        seed: draws the mazes and the splits.
        augment: whether training sees a random rotation or reflection of each example.
        file: a CSV with columns question and answer; all splits come from it. `~` is the home
            folder, a relative path starts at the working directory.
        hub: a data set with train.csv and test.csv, such as sapientinc/maze-30x30-hard-1k.
    """

    name: Literal["maze"] = "maze"
    size: int | None = Field(default=None, ge=5, le=40)
    braid: float = Field(default=0.0, ge=0.0, le=1.0)
    path: list[int] | None = Field(default=None, min_length=2, max_length=2)
    train_examples: int | None = Field(default=None, ge=1, le=MOST_EXAMPLES)
    valid_examples: int = Field(default=500, ge=1, le=MOST_EXAMPLES)
    test_examples: int = Field(default=500, ge=1, le=MOST_EXAMPLES)
    seed: int = Field(default=0, ge=0, le=MOST_SEED)
    augment: bool = True
    file: str | None = Field(default=None, min_length=1)
    hub: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> MazeConfig:
        if self.file is not None and self.hub is not None:
            raise ValueError("file and hub exclude each other; keep one")
        if self.file is not None or self.hub is not None:
            for key in ("path", "braid"):
                if getattr(self, key):
                    raise ValueError(f"{key} {getattr(self, key)} is for drawn mazes; remove it")
            return self
        low, high = self.path_range
        if not 2 <= low <= high or low + low % 2 > high:
            raise ValueError(f"path {[low, high]} must be [low, high] with an even number within")
        return self

    @property
    def path_range(self) -> tuple[int, int]:
        """Least and most steps of a drawn maze's shortest path."""
        if self.path is not None:
            return self.path[0], self.path[1]
        return 4, 3 * self.side

    @property
    def several(self) -> bool:
        """Whether a maze may have several shortest paths; those of a file may."""
        return self.braid > 0 or self.file is not None or self.hub is not None

    @property
    def side(self) -> int:
        """Rows and columns of drawn mazes."""
        return self.size or 9

    def build(self, cache: Path | None = None, progress: Progress | None = None) -> Task:
        """Make the splits, or read them from `cache`.

        Raises:
            UserError: a file is no good, or there are too few mazes for the splits.
        """
        sources: list[Path] = []
        if self.hub is not None:
            sources = [hub.download(self.hub, name) for name in ("train.csv", "test.csv")]
        elif self.file is not None:
            sources = [home_path(self.file, "task.file").absolute()]
        side = side_of(sources[0]) if sources else self.side
        if self.size not in (None, side):
            raise UserError("task.size", self.size, f"{sources[0]} holds {side}x{side} mazes")
        key: dict[str, Any] = {
            "data_version": DATA_VERSION,
            "sources": [file_hash(path) for path in sources],
            **self.model_dump(mode="json", exclude={"augment", "file", "hub"}),
        }

        def make() -> Splits:
            if sources:
                return self._of_files(sources, side)
            sizes: dict[SplitName, int] = {
                "train": self.train_examples or DRAWN_TRAIN,
                "valid": self.valid_examples,
                "test": self.test_examples,
            }
            found = drawn(side, self.braid, self.path_range, sizes, self.seed, progress)
            return {name: _split(mazes, solved(mazes, side), side) for name, mazes in found.items()}

        return MazeTask(
            side, cached_splits(cache, self.name, key, make), self.augment, self.several
        )

    def _of_files(self, sources: list[Path], side: int) -> Splits:
        """All splits of one file; or `test` of the second, and the rest of the first without it."""
        rng = np.random.default_rng(self.seed)
        held: dict[SplitName, int] = {"valid": self.valid_examples}
        if len(sources) == 1:
            return self._part(sources[0], side, {**held, "test": self.test_examples}, rng)
        test = read_mazes(sources[1], side)
        order = rng.permutation(len(test.inputs))[: self.test_examples]
        chosen = _split(test.inputs[order], test.labels[order], side)
        taken = [row.tobytes() for row in grid.canonical(chosen.inputs, side)]
        return {**self._part(sources[0], side, held, rng, taken), "test": chosen}

    def _part(
        self,
        path: Path,
        side: int,
        sizes: dict[SplitName, int],
        rng: np.random.Generator,
        taken: list[bytes] = [],  # noqa: B006 (never changed)
    ) -> Splits:
        file: MazeFile = read_mazes(path, side)
        rest = max(len(file.inputs) - sum(sizes.values()), 1)
        asked = {**sizes, "train": self.train_examples or rest}
        allocation = Allocation(asked, taken)
        keys = [row.tobytes() for row in grid.canonical(file.inputs, side)]
        chosen = allocate(keys, allocation, rng)
        short = [name for name, room in allocation.room.items() if room]
        if short and (self.train_examples or short != ["train"] or not chosen["train"]):
            words = ", ".join(f"{name}_examples {size}" for name, size in asked.items())
            raise UserError(
                f"{path}: {len(keys)} mazes are too few for {words} with no equivalent mazes in "
                "two splits; ask for fewer"
            )
        return {
            name: _split(file.inputs[index], file.labels[index], side)
            for name, index in chosen.items()
        }


class MazeTask(HeldTask):
    """Square mazes of one size. Difficulty is the number of steps from start to goal.

    Tokens: 0 padding, 1 wall, 2 open, 3 start, 4 goal, 5 path; the label is the maze with a
    shortest path marked, as in the public Maze-Hard data. Any shortest path is right where there
    may be several: in braided mazes and in those of files.

    No maze of one split is a rotation or reflection of another split's.
    """

    name = "maze"
    vocabulary = "maze"
    vocab_size = grid.VOCABULARY

    def __init__(
        self, size: int, splits: Splits, augment: bool = True, several: bool = False
    ) -> None:
        super().__init__(splits, augment)
        self.size = size
        self.many_answers = several
        self.seq_len = size * size
        self.grid_shape = (size, size)

    def moved(
        self, inputs: Tokens, labels: Tokens, rng: np.random.Generator
    ) -> tuple[Tokens, Tokens]:
        source = grid.symmetries(self.size)[rng.integers(8, size=len(inputs))]
        return (
            np.take_along_axis(inputs, source, axis=1),
            np.take_along_axis(labels, source, axis=1),
        )

    def symmetry_keys(self, inputs: Tokens, labels: Tokens) -> list[bytes]:
        return [form.tobytes() for form in grid.canonical(inputs, self.size)]

    def verify(self, inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        return is_shortest(inputs, answers, self.size)

    def difficulty_of(self, inputs: Tokens, labels: Tokens) -> NDArray[np.float32]:
        return np.asarray(lengths(inputs, self.size), dtype=np.float32)

    def unknown(self, inputs: Tokens) -> NDArray[np.bool_]:
        """Open cells: a path may lead over each of them."""
        return np.asarray(inputs == grid.OPEN)

    def parse(self, text: str) -> Tokens:
        return grid.parse(text, self.size)

    def read(
        self,
        path: Path,
        *,
        examples: int | None = None,
        cache: Path | None = None,
        progress: Progress | None = None,
    ) -> Split:
        from trm.tasks.token_file import holds_tokens, read_split

        if holds_tokens(path):
            return read_split(path, self, examples)
        file = read_mazes(path, self.size, examples)
        return _split(file.inputs, file.labels, self.size)

    def show(self, tokens: Tokens, given: Tokens | None = None) -> str:
        return grid.show(tokens, self.size, given)

    def look(self, token: int) -> Look:
        return grid.LOOKS[token]


def _split(inputs: Tokens, labels: Tokens, side: int) -> Split:
    return make_split(inputs, labels, lengths(inputs, side))
