"""Tasks whose puzzles are drawn from a seed and whose answers follow from the rules alone.

Such a task says how to draw puzzles of one difficulty and what their answers are. The rest is here:
every difficulty equally often, splits that share no puzzle, a set beyond the trained range, the
cache, and a text form in which each token is a word.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from curricula.limits import MOST_EXAMPLES, MOST_SEED
from trm.errors import UserError
from trm.tasks.base import IGNORE, Progress, Split, SplitName, Task, TaskConfig, Tokens
from trm.tasks.cache import SPLITS, cached_drawing, make_split
from trm.tasks.picture import Look, Painting

NOTHING = 1
"""The token of a cell that holds nothing; 0 is left to mixtures, for which it is padding."""
NOTHING_WORD = "."
_CHUNK = 4_096
_FORMAT = 1


class DrawnConfig(TaskConfig):
    """What all drawn tasks have in common.

    Attributes:
        train_examples: examples of the split that is trained on.
        valid_examples: examples of the split that searches read.
        test_examples: examples of the split that is evaluated once.
        beyond_examples: examples of the set beyond the trained range, at most; as many of each
            difficulty as there are.
        seed: draws the puzzles and the splits.
        augment: whether training examples are moved by the task's symmetries.
    """

    train_examples: int = Field(default=8_000, ge=1, le=MOST_EXAMPLES)
    valid_examples: int = Field(default=500, ge=1, le=MOST_EXAMPLES)
    test_examples: int = Field(default=500, ge=1, le=MOST_EXAMPLES)
    beyond_examples: int = Field(default=500, ge=1, le=MOST_EXAMPLES)
    seed: int = Field(default=0, ge=0, le=MOST_SEED)
    augment: bool = False

    @property
    def trained(self) -> range:
        """The difficulties of `train`, `valid` and `test`."""
        raise NotImplementedError(self.name)

    @property
    def further(self) -> range:
        """The difficulties beyond them; empty for none."""
        raise NotImplementedError(self.name)

    def rules(self) -> DrawnTask:
        """The task without its examples."""
        raise NotImplementedError(self.name)

    def build(self, cache: Path | None = None, progress: Progress | None = None) -> Task:
        """Draw the examples, or read them from the cache.

        Raises:
            UserError: there are fewer different puzzles than examples.
        """
        task = self.rules()
        if task.padded:
            task.vocabulary = f"{task.vocabulary} in {task.seq_len} cells"
        key: dict[str, Any] = {"format": _FORMAT, **self.model_dump(exclude={"augment"})}
        task.hold(
            *cached_drawing(cache, self.name, key, lambda: _drawn(self, task, progress)),
            self.augment,
        )
        return task


class DrawnTask(Task):
    """A task that draws its puzzles and knows their answers.

    A cell that is not to be answered has the label `IGNORE`, and no answer there is wrong.

    >>> from trm.tasks.sequences.pointers import PointersConfig
    >>> task = PointersConfig(train_examples=40, valid_examples=8, test_examples=8).build()
    >>> row = task.split("valid").inputs[0]
    >>> bool((task.parse(task.show(row)) == row).all())
    True
    """

    words: tuple[str, ...]
    """What each token is written as, from token 0; no word occurs twice or holds a space."""
    padded: bool = False
    """Whether a puzzle leaves the room free that longer ones need. One puzzle could then stand in
    tasks of two lengths, and in two splits of a mixture; so each length has tokens of its own."""
    _splits: dict[SplitName, Split]
    _beyond: Split | None = None

    def hold(self, splits: dict[SplitName, Split], beyond: Split | None, augments: bool) -> None:
        """Take the examples."""
        self._splits, self._beyond, self.augments = splits, beyond, augments

    @abstractmethod
    def draw(self, difficulty: int, count: int, rng: np.random.Generator) -> Tokens:
        """Puzzles of one difficulty, `[count, seq_len]` or fewer; equal ones may occur."""

    @abstractmethod
    def answer(self, inputs: Tokens) -> Tokens:
        """The labels `[n, seq_len]` of puzzles, from the rules alone, `IGNORE` where none is due.

        Rows that are no puzzle of the task get some labels, and never an error.
        """

    @abstractmethod
    def problem(self, puzzle: Tokens) -> str | None:
        """What keeps tokens `[seq_len]` from being a puzzle of the task; None if nothing does."""

    def move(self, inputs: Tokens, rng: np.random.Generator) -> Tokens:
        """Each puzzle moved by a random symmetry of the rules."""
        raise NotImplementedError(self.name)

    def split(self, name: SplitName) -> Split:
        return self._splits[name]

    @property
    def beyond(self) -> Split | None:
        return self._beyond

    def augment(
        self, inputs: Tokens, labels: Tokens, rng: np.random.Generator
    ) -> tuple[Tokens, Tokens]:
        if not self.augments:
            return inputs, labels
        moved = np.ascontiguousarray(self.move(inputs, rng), dtype=np.int32)
        return moved, self.answer(moved)

    def verify(self, inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        wanted = self.answer(inputs)
        return np.asarray(((answers == wanted) | (wanted == IGNORE)).all(axis=1))

    def unknown(self, inputs: Tokens) -> NDArray[np.bool_]:
        """The cells that are to be answered."""
        return np.asarray(self.answer(inputs) != IGNORE)

    def parse(self, text: str) -> Tokens:
        """One word a cell, row by row, as `show` writes them; brackets are no part of a word.

        Raises:
            UserError: the text is not a puzzle of this task.
        """
        known = {word: token for token, word in enumerate(self.words) if token}
        written = [word.strip("[]") for word in text.split()]
        if len(written) != self.seq_len:
            rows, columns = self.grid_shape
            raise UserError(
                "puzzle", text, f"has {len(written)} words, needs {rows} rows of {columns}"
            )
        odd = next((word for word in written if word not in known), None)
        if odd is not None:
            some = " ".join(list(known)[:12])
            more = " ..." if len(known) > 12 else ""
            raise UserError("puzzle", odd, f"is no word of {self.name}: {some}{more}")
        puzzle = np.array([known[word] for word in written], dtype=np.int32)
        problem = self.problem(puzzle)
        if problem is not None:
            raise UserError("puzzle", text, problem)
        return puzzle

    def show(self, tokens: Tokens, given: Tokens | None = None) -> str:
        """A word a cell; with `given`, the cells that were to be answered in brackets."""
        asked = np.zeros(self.seq_len, dtype=np.bool_)
        if given is not None:
            asked, tokens = self._within(tokens, given)
        cells = [
            f"[{self.words[token]}]" if shown else self.words[token]
            for token, shown in zip(np.maximum(tokens, 0).tolist(), asked.tolist(), strict=True)
        ]
        width, columns = max(map(len, cells)), self.grid_shape[1]
        lines = [cells[begin : begin + columns] for begin in range(0, len(cells), columns)]
        return "\n".join(" ".join(f"{cell:>{width}}" for cell in line).rstrip() for line in lines)

    def look(self, token: int) -> Look:
        return Look("" if token == NOTHING else self.words[token])

    def painted(self, tokens: Tokens, given: Tokens | None = None) -> Painting:
        return super().painted(tokens if given is None else self._within(tokens, given)[1], given)

    def _within(self, tokens: Tokens, given: Tokens) -> tuple[NDArray[np.bool_], Tokens]:
        """The cells that were to be answered, and the puzzle with the answers in them."""
        asked = self.unknown(given[None])[0]
        return asked, np.where(asked & (tokens != IGNORE), tokens, given)


def least_image(images: list[Tokens]) -> Tokens:
    """Of each row's images `[n, cells]` the least, compared cell by cell."""
    best = images[0]
    for image in images[1:]:
        differs = image != best
        first = differs.argmax(axis=1)[:, None]
        less = np.take_along_axis(image, first, 1) < np.take_along_axis(best, first, 1)
        best = np.where(less, image, best)
    return np.asarray(best)


def _drawn(
    config: DrawnConfig, task: DrawnTask, progress: Progress | None
) -> tuple[dict[SplitName, Split], Split | None]:
    rng = np.random.default_rng(config.seed)
    sizes = {name: int(getattr(config, f"{name}_examples")) for name in SPLITS}
    total = sum(sizes.values())
    seen: set[bytes] = set()
    inputs, difficulty = _different(task, config.trained, total, rng, seen, progress)
    if len(inputs) < total:
        raise UserError(
            f"task: {total:,} examples are wanted, and {len(inputs):,} different puzzles found: "
            "lower train_examples, or widen the difficulty"
        )
    labels = task.answer(inputs)
    splits: dict[SplitName, Split] = {}
    begin = 0
    for name in SPLITS:
        part = slice(begin, begin := begin + sizes[name])
        splits[name] = make_split(inputs[part], labels[part], difficulty[part])
    if not config.further:
        return splits, None
    inputs, difficulty = _different(
        task, config.further, config.beyond_examples, rng, seen, progress
    )
    return splits, make_split(inputs, task.answer(inputs), difficulty)


def _different(
    task: DrawnTask,
    levels: range,
    total: int,
    rng: np.random.Generator,
    seen: set[bytes],
    progress: Progress | None,
) -> tuple[Tokens, NDArray[np.int64]]:
    """Puzzles in random order, no two symmetry-equivalent, each difficulty as often as it can be.

    A difficulty with too few different puzzles leaves its share to the others.
    """
    kept: list[Tokens] = []
    difficulty: list[int] = []
    open_levels = list(levels)
    while open_levels and len(kept) < total:
        share = -(-(total - len(kept)) // len(open_levels))
        for level in tuple(open_levels):
            found = _fresh(task, level, share, rng, seen)
            kept += found
            difficulty += [level] * len(found)
            if len(found) < share:
                open_levels.remove(level)
            if progress is not None:
                progress(f"drawing {task.name}", min(len(kept) / total, 1.0))
    order = rng.permutation(len(kept))[:total]
    inputs = np.stack(kept) if kept else np.empty((0, task.seq_len), dtype=np.int32)
    return inputs[order], np.array(difficulty, dtype=np.int64)[order]


def _fresh(
    task: DrawnTask, level: int, count: int, rng: np.random.Generator, seen: set[bytes]
) -> list[Tokens]:
    """Up to `count` puzzles of a difficulty that were not seen; few once hardly any are new."""
    found: list[Tokens] = []
    idle = 0
    while len(found) < count and idle < 3:
        size = min(max(2 * (count - len(found)), 64), _CHUNK)
        drawn = np.ascontiguousarray(task.draw(level, size, rng), dtype=np.int32)
        new = 0
        for row, key in zip(drawn, task.symmetry_keys(drawn, drawn), strict=True):
            if len(found) == count:
                break
            if key not in seen:
                seen.add(key)
                found.append(row)
                new += 1
        idle = 0 if new * 50 > size else idle + 1
    return found
