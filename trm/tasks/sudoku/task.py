"""Sudoku of any box shape as a task: its config section and its data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, field_validator, model_validator

from curricula.limits import MOST_EXAMPLES, MOST_SEED
from trm.files.paths import home_path
from trm.tasks import hub
from trm.tasks.base import Progress, Split, Task, TaskConfig, Tokens
from trm.tasks.cache import cached_splits, file_hash
from trm.tasks.held import HeldTask
from trm.tasks.picture import Look
from trm.tasks.sudoku import grid, symmetry
from trm.tasks.sudoku.files import readable
from trm.tasks.sudoku.notation import ALPHABET
from trm.tasks.sudoku.rules import MIN_CLUES, Boards, Box, is_solved, keeps_givens
from trm.tasks.sudoku.sources import Sizes, Splits, from_file, from_hub, generated, whole_file

DATA_VERSION = 1
"""Part of the cache's key: raise it when the same config gives other puzzles."""

GENERATED_TRAIN = 10_000
MOST_DUG = 140
"""Blank cells of a generated puzzle at most: a 16x16 grid takes 2 ms of digging at 128, 22 at 140,
200 at 150 and 440 at 156, beside 7 for the solved grid."""


def _pair(value: Any) -> tuple[int, int]:
    """YAML's list of two integers as a tuple."""
    if not isinstance(value, list | tuple) or [type(part) for part in value] != [int, int]:
        raise ValueError(f"{value!r} must be a list of two integers")
    return value[0], value[1]


def _count_or_pair(value: Any) -> int | tuple[int, int] | None:
    if value is None or type(value) is int:
        return value
    if not isinstance(value, list | tuple):
        raise ValueError(f"{value!r} must be an integer or a list of two")
    return _pair(value)


Pair = Annotated[tuple[int, int], BeforeValidator(_pair)]


class SudokuConfig(TaskConfig):
    """Sudoku puzzles: generated, or from a file, or from a data set of the Hugging Face hub.

    Attributes:
        box: rows and columns of a box; [2, 2], [2, 3], [3, 3] and [4, 4] are 4x4, 6x6, 9x9 and
            16x16 grids.
        blanks: blank cells of a generated puzzle, or the least and most of them; null is half the
            cells. At most 140 of the 256 of a 16x16 grid. Not for files.
        train_examples: null is all that the other splits leave of a file, and 10,000 generated.
        valid_examples: examples of the split that searches read.
        test_examples: examples of the split that is evaluated once.
        seed: draws the puzzles and the splits.
        augment: whether training sees a random symmetric image of each example.
        file: a puzzle file (`trm.tasks.sudoku.files` says which layouts); `~` is the home folder,
            a relative path starts at the working directory. All splits come from it.
        hub: a data set with train.csv and test.csv, such as sapientinc/sudoku-extreme.
    """

    name: Literal["sudoku"] = "sudoku"
    box: Pair = (3, 3)
    blanks: Annotated[int | tuple[int, int] | None, BeforeValidator(_count_or_pair)] = None
    train_examples: int | None = Field(default=None, ge=1, le=MOST_EXAMPLES)
    valid_examples: int = Field(default=1000, ge=1, le=MOST_EXAMPLES)
    test_examples: int = Field(default=1000, ge=1, le=MOST_EXAMPLES)
    seed: int = Field(default=0, ge=0, le=MOST_SEED)
    augment: bool = True
    file: str | None = Field(default=None, min_length=1)
    hub: str | None = Field(default=None, min_length=1)

    @field_validator("box")
    @classmethod
    def _known_box(cls, box: tuple[int, int]) -> tuple[int, int]:
        if min(box) < 2 or box[0] * box[1] not in MIN_CLUES or sorted(box) == [2, 8]:
            raise ValueError(
                f"{list(box)} is not supported; "
                "use [2, 2], [2, 3], [3, 2], [2, 4], [4, 2], [3, 3] or [4, 4]"
            )
        return box

    @model_validator(mode="after")
    def _consistent(self) -> SudokuConfig:
        if self.file is not None and self.hub is not None:
            raise ValueError("file and hub exclude each other; keep one")
        if self.blanks is not None and (self.file is not None or self.hub is not None):
            raise ValueError(f"blanks {self.blanks} is for generated puzzles; remove it")
        low, high = self.blank_range
        box = Box(*self.box)
        most = box.cells - MIN_CLUES[box.side]
        reason = f"needs {MIN_CLUES[box.side]} givens for one solution"
        if most > MOST_DUG:
            most, reason = MOST_DUG, "takes long to make sparser: give a file of such puzzles"
        if not 1 <= low <= high <= most:
            raise ValueError(
                f"blanks {[low, high]} must be ascending and within 1 to {most}: "
                f"box {list(self.box)} {reason}"
            )
        return self

    @property
    def blank_range(self) -> tuple[int, int]:
        """Fewest and most blank cells of a generated puzzle."""
        if isinstance(self.blanks, tuple):
            return self.blanks
        blanks = Box(*self.box).cells // 2 if self.blanks is None else self.blanks
        return blanks, blanks

    def build(self, cache: Path | None = None, progress: Progress | None = None) -> Task:
        """Make the splits, or read them from `cache`.

        Raises:
            UserError: a file is missing or holds something that is no puzzle with one solution,
                or there are not enough puzzles for the splits.
        """
        box, seed = Box(*self.box), self.seed
        train = self.train_examples
        sources: list[Path] = []
        if self.hub is not None:
            sources = [hub.download(self.hub, name) for name in ("train.csv", "test.csv")]
        elif self.file is not None:
            sources = [home_path(self.file, "task.file").absolute()]
        else:
            train = train or GENERATED_TRAIN
        sizes = Sizes(train, self.valid_examples, self.test_examples)

        def make() -> Splits:
            if len(sources) == 2:
                return from_hub(sources[0], sources[1], box, sizes, seed, progress)
            if sources:
                return from_file(sources[0], box, sizes, seed, progress)
            return generated(box, self.blank_range, sizes, seed, progress)

        key: dict[str, Any] = {
            "data_version": DATA_VERSION,
            "sources": [file_hash(readable(path)) for path in sources],
            **self.model_dump(mode="json", exclude={"augment", "file", "hub"}),
        }
        return SudokuTask(box, cached_splits(cache, self.name, key, make), self.augment)


class SudokuTask(HeldTask):
    """Sudoku puzzles with one solution each.

    Tokens: 0 padding, 1 blank, digit d is d + 1; labels are the whole solution.

    Difficulty is `blanks + log2(1 + effort)`: blank cells, and one more for each doubling of the
    guesses that `trm.tasks.sudoku.solver` tries (0 where singles suffice) to find the solution and
    prove it the only one.

    Splits: no puzzle of one split is a symmetric image (`trm.tasks.sudoku.symmetry`) of another
    split's, on any size. Each puzzle has a key that its symmetric images share, and puzzles with
    equal keys go to one split. Up to 6x6 the key is the canonical form, so that equal keys mean
    equivalent puzzles. On larger grids, where the group is too large to try out (1.2e12 elements at
    9x9), it is a hash of invariants: puzzles that are not equivalent could share it, which would
    only send them to the same split. Within a split equivalent puzzles may occur, and of a file
    that repeats a puzzle, equal ones.
    """

    name = "sudoku"

    def __init__(self, box: Box, splits: Splits, augment: bool = True) -> None:
        super().__init__(splits, augment)
        self.box = box
        self.vocabulary = f"box {box.rows}x{box.cols}"
        self.vocab_size = box.side + 2
        self.seq_len = box.cells
        self.grid_shape = (box.side, box.side)
        self.boxes = (box.rows, box.cols)

    def moved(
        self, inputs: Tokens, labels: Tokens, rng: np.random.Generator
    ) -> tuple[Tokens, Tokens]:
        return symmetry.augment(inputs, labels, self.box, rng)

    def symmetry_keys(self, inputs: Tokens, labels: Tokens) -> list[bytes]:
        return symmetry.class_keys(self._boards(inputs), self._boards(labels), self.box)

    def verify(self, inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        solutions = self._boards(answers)
        right = is_solved(solutions, self.box) & keeps_givens(self._boards(inputs), solutions)
        return np.asarray(right)

    def unknown(self, inputs: Tokens) -> NDArray[np.bool_]:
        return np.asarray(inputs == 1)

    def parse(self, text: str) -> Tokens:
        return grid.parse(text, self.box).astype(np.int32) + 1

    def parse_answer(self, text: str) -> Tokens:
        return grid.parse_cells(text, self.box).astype(np.int32) + 1

    def read(
        self,
        path: Path,
        *,
        examples: int | None = None,
        cache: Path | None = None,
        progress: Progress | None = None,
    ) -> Split:
        return whole_file(path, self.box, examples=examples, cache=cache, progress=progress)

    def show(self, tokens: Tokens, given: Tokens | None = None) -> str:
        before = None if given is None else self._boards(given)
        return grid.show(self._boards(tokens), self.box, before)

    def look(self, token: int) -> Look:
        return Look(ALPHABET[token - 1] if token > 1 else "")

    def _boards(self, tokens: Tokens) -> Boards:
        """Digits of tokens; whatever is no digit counts as blank."""
        is_digit = (tokens >= 2) & (tokens < self.vocab_size)
        return np.where(is_digit, tokens - 1, 0).astype(np.uint8)
