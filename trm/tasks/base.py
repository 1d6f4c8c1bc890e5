"""The contract between a task and everything that trains on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from curricula.component import Component
from trm.errors import UserError
from trm.tasks.picture import ANSWERED, INK, Look, Painting

IGNORE = -100
"""Label of a cell that no loss and no metric counts (the reference's IGNORE_LABEL_ID)."""

SplitName = Literal["train", "valid", "test"]
Tokens = NDArray[np.int32]
Progress = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done, from 0 to 1."""


@dataclass(frozen=True)
class Split:
    """Examples of one split; all arrays share their first axis.

    Attributes:
        inputs: int32 `[n, seq_len]`, tokens in `[0, vocab_size)`.
        labels: int32 `[n, seq_len]`, tokens, or `IGNORE`.
        difficulty: float32 `[n]`, larger is harder; the task says what it measures.
        puzzle_identifiers: int32 `[n]`, rows of the puzzle embedding; 0 where a task has one kind.

    >>> cells = np.zeros((2, 16), dtype=np.int32)
    >>> split = Split(cells, cells, np.zeros(2, np.float32), np.zeros(2, np.int32))
    >>> len(split)
    2
    """

    inputs: Tokens
    labels: Tokens
    difficulty: NDArray[np.float32]
    puzzle_identifiers: Tokens

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: NDArray[np.intp] | slice) -> Split:
        """Some of the examples, in this order."""
        kinds = self.puzzle_identifiers[rows]
        return Split(self.inputs[rows], self.labels[rows], self.difficulty[rows], kinds)


class Task(ABC):
    """A puzzle family with its data. Splits share no two symmetry-equivalent puzzles.

    >>> from trm.tasks.arrows import ArrowsConfig
    >>> task = ArrowsConfig(
    ...     size=3, visited=[2, 4], train_examples=64, valid_examples=8, test_examples=8
    ... ).build()
    >>> task.seq_len, len(task.split("valid"))
    (9, 8)
    >>> valid = task.split("valid")
    >>> bool(task.verify(valid.inputs, valid.labels).all())
    True
    """

    name: str
    vocab_size: int
    seq_len: int
    grid_shape: tuple[int, int]
    num_puzzle_identifiers: int = 1
    sources: tuple[str, ...] = ()
    """Names of the sources of its examples, where there are several."""
    floor: float = 0.0
    """The score of a trial that failed: what knowing nothing is worth."""
    vocabulary: str | None = None
    """What the tokens mean. Tasks of one class with equal ones mean the same by every token, and
    have the same rules and symmetries where their grids are equal too; None is like no other."""
    augments: bool = False
    """Whether `augment` changes anything."""
    many_answers: bool = False
    """Whether a puzzle may have several right answers: `verify` then says in training, halting and
    exact accuracy which are; else the label is the only one."""
    reads_what_it_shows: bool = True
    """Whether `parse` makes of what `show` gives of a puzzle the same tokens."""
    symbols: str = ""
    """A character for each token, in their order; empty where people write tokens as numbers."""

    boxes: tuple[int, int] | None = None
    """Rows and columns between two thick lines of its picture."""
    tokens: tuple[str, ...] = ()
    """The name of each token, in their order, where the data decides; checkpoints keep them."""
    identifiers: tuple[str, ...] = ()
    """The name of each puzzle identifier, likewise."""

    @abstractmethod
    def split(self, name: SplitName) -> Split:
        """One split's examples, the same on every call."""

    @property
    def beyond(self) -> Split | None:
        """Examples beyond the range of difficulty that is trained; reported apart, never mixed in.

        None where there are none. Searches, early stopping and the confirm stage do not read them.
        """
        return None

    def source_of(self, name: SplitName) -> NDArray[np.int32]:
        """The index in `sources` of each example of a split, int32 `[n]`."""
        return np.zeros(len(self.split(name)), dtype=np.int32)

    def epoch_order(self, rng: np.random.Generator) -> NDArray[np.int64] | None:
        """The training examples of an epoch, as many as there are, in their order; None is each
        once, in a random order."""
        return None

    def identify(self, inputs: Tokens) -> Tokens:
        """Rows of the puzzle embedding, int32 `[n]`, for puzzles that come from no split."""
        return np.zeros(len(inputs), dtype=np.int32)

    def symmetry_keys(self, inputs: Tokens, labels: Tokens) -> list[bytes]:
        """A key per example: symmetry-equivalent puzzles have equal keys.

        A task without symmetries needs no other than this, under which equal puzzles have them.
        """
        return [row.tobytes() for row in np.ascontiguousarray(inputs)]

    def augment(
        self, inputs: Tokens, labels: Tokens, rng: np.random.Generator
    ) -> tuple[Tokens, Tokens]:
        """A validity-preserving random change of each row, `[b, seq_len]` in and out."""
        return inputs, labels

    def augment_rows(
        self, inputs: Tokens, labels: Tokens, identifiers: Tokens, rng: np.random.Generator
    ) -> tuple[Tokens, Tokens, Tokens]:
        """`augment` for a task whose changes have rows of the puzzle embedding of their own.

        Training asks this one.
        """
        return (*self.augment(inputs, labels, rng), identifiers)

    def difficulty_of(self, inputs: Tokens, labels: Tokens) -> NDArray[np.float32] | None:
        """The difficulty of puzzles as the splits have it, float32 `[n]`; None where the puzzle and
        its label do not say it."""
        return None

    def kept_back(self, name: SplitName) -> Split | None:
        """Puzzles that belong to a split and whose answers nobody here has; None for none.

        Their labels are `IGNORE`. They are answered for `submission`, and count in no figure.
        """
        return None

    def figures(self, name: SplitName, answers: Tokens, q: NDArray[np.float64]) -> dict[str, float]:
        """Further figures of a split's answers `[n, seq_len]`, by name; `trm eval` prints them.

        Args:
            q: halting probability of each answer, `[n]`.
        """
        return {}

    def submission(
        self, name: SplitName, answers: Tokens, q: NDArray[np.float64]
    ) -> dict[str, Any] | None:
        """What a contest wants of a whole split's answers, as JSON; None where there is none.

        Args:
            answers: those of the split, then those of `kept_back`, `[n, seq_len]`.
            q: halting probability of each answer, `[n]`.
        """
        return None

    @abstractmethod
    def verify(self, inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        """Whether each answer `[n, seq_len]` solves its input, from the rules alone; `[n]`."""

    def right(self, inputs: Tokens, labels: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        """Whether each answer `[n, seq_len]` counts as right in training and evaluation; `[n]`.

        With `many_answers` where the rules take it, else where it equals the label in every cell
        that is not `IGNORE`.
        """
        if self.many_answers:
            return self.verify(inputs, answers)
        return np.asarray(((answers == labels) | (labels == IGNORE)).all(axis=1))

    def unknown(self, inputs: Tokens) -> NDArray[np.bool_]:
        """The cells `[n, seq_len]` whose answer does not stand in the input; all, unless told."""
        return np.ones(inputs.shape, dtype=np.bool_)

    def parse(self, text: str) -> Tokens:
        """One puzzle as a person writes it, as tokens `[seq_len]`; spaces and line ends are none.

        Raises:
            UserError: the text is not a puzzle of this task.
        """
        cells, known = text.split(), [str(token) for token in range(self.vocab_size)]
        if self.symbols:
            cells, known = list("".join(cells)), list(self.symbols)
        if len(cells) != self.seq_len or set(cells) - set(known):
            kind = (
                f"characters of {self.symbols}" if self.symbols else f"numbers below {len(known)}"
            )
            raise UserError("puzzle", text, f"needs {self.seq_len} {kind}, row by row")
        return np.array([known.index(cell) for cell in cells], dtype=np.int32)

    def parse_answer(self, text: str) -> Tokens:
        """An answer to a puzzle, right or wrong, as a person writes it, as tokens `[seq_len]`.

        Raises:
            UserError: the text is no answer of this task.
        """
        return self.parse(text)

    def read(
        self,
        path: Path,
        *,
        examples: int | None = None,
        cache: Path | None = None,
        progress: Progress | None = None,
    ) -> Split:
        """Puzzles of a file, with their answers: of one that `trm tasks --write` wrote.

        A task that knows other files overrides it.

        Args:
            examples: the first so many, after which nothing is looked at; None is all.
            cache: where answers that had to be found are kept.
            progress: told what is being done.

        Raises:
            UserError: the file is no good.
        """
        from trm.tasks.token_file import read_split

        return read_split(path, self, examples)

    def show(self, tokens: Tokens, given: Tokens | None = None) -> str:
        """A readable grid of tokens `[seq_len]`; with `given`, cells that changed may stand out."""
        rows, symbols = np.reshape(tokens, self.grid_shape), self.symbols
        if symbols:
            return "\n".join("".join(symbols[token] for token in row) for row in rows)
        return "\n".join(" ".join(str(token) for token in row) for row in rows)

    def look(self, token: int) -> Look:
        """How a token looks in a cell of a picture."""
        names = self.symbols or self.tokens
        return Look(names[token] if names else str(token))

    def painted(self, tokens: Tokens, given: Tokens | None = None) -> Painting:
        """A grid of tokens `[seq_len]` as a picture shows it.

        Args:
            given: the puzzle that they answer; what was to be answered then has an ink of its own.
        """
        asked = np.zeros(tokens.shape, dtype=np.bool_)
        if given is not None:
            asked = self.unknown(given[None])[0]
            tokens = np.where(tokens == IGNORE, given, tokens)
        looks = (self.look(int(token)) for token in np.maximum(tokens, 0))
        cells = tuple(
            replace(look, ink=ANSWERED) if answered and look.ink == INK else look
            for look, answered in zip(looks, asked.tolist(), strict=True)
        )
        return Painting(self.grid_shape, cells, self.boxes)

    def written(self, tokens: Tokens) -> str:
        """Tokens `[seq_len]` as a cell of the file that `trm tasks --write` writes."""
        return " ".join(map(str, tokens))

    @cached_property
    def data_hash(self) -> str:
        """Hex digest of every split's arrays: equal hashes mean equal data."""
        from trm.tasks.cache import SPLITS, data_hash

        return data_hash({name: self.split(name) for name in SPLITS}, self.beyond)


class TaskConfig(Component):
    """The `task` section. Subclasses add their own keys, with `name` fixed to theirs.

    >>> from trm.tasks.arrows import ArrowsConfig
    >>> ArrowsConfig(size=4).name
    'arrows'
    """

    name: str
    judged_by: ClassVar[str] = "the rules"
    """What decides whether an answer is right."""
    augmentation: ClassVar[str] = "no augmentation"
    """How training examples are moved, where no key `augment` says it."""

    def build(self, cache: Path | None = None, progress: Progress | None = None) -> Task:
        """Make the task's data, or read it from `cache` (a folder; written atomically)."""
        raise NotImplementedError(self.name)
