"""Programs from examples: find a short program that does to each input what was done to it.

The language has twelve words, each of which makes one list of digits into another of the same
length; a program is a row of them. It has no loops, so a program of n words takes n steps. In the
manner of DeepCoder (arXiv 1611.01989), whose programs are of list functions too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from trm.tasks.base import IGNORE, Tokens
from trm.tasks.drawn import NOTHING, NOTHING_WORD, DrawnTask
from trm.tasks.ranged import RangedConfig

Digits = NDArray[np.int32]
"""Lists of digits 0 to 9, `[..., width]`."""

WORDS: dict[str, Callable[[Digits], Digits]] = {
    "reverse": lambda x: x[..., ::-1],
    "sort": lambda x: np.sort(x, axis=-1),
    "rotate": lambda x: np.roll(x, -1, axis=-1),
    "inc": lambda x: (x + 1) % 10,
    "double": lambda x: (2 * x) % 10,
    "half": lambda x: x // 2,
    "negate": lambda x: 9 - x,
    "square": lambda x: (x * x) % 10,
    "sums": lambda x: np.cumsum(x, axis=-1, dtype=np.int32) % 10,
    "peaks": lambda x: np.maximum.accumulate(x, axis=-1),
    "steps": lambda x: np.diff(x, axis=-1, prepend=0) % 10,
    "evens": lambda x: np.where(x % 2 == 0, x, 0),
}
"""What each word makes of lists."""
_ASKED, _ZERO = 2, 3
_FIRST = _ZERO + 10
_END = _FIRST + len(WORDS)
_MOST_STEPS = 4


class ProgramConfig(RangedConfig):
    """Find a program that makes each example's output of its input; any that does is right.

    Attributes:
        examples: pairs of input and output.
        width: digits of a list.
        steps: least and most words of the shortest such program, which is the difficulty.
        beyond: most words of the set beyond the trained range, for which there is room; null makes
            none.
    """

    ranged = "steps"
    name: Literal["program"] = "program"
    examples: int = Field(default=3, ge=1, le=16)
    width: int = Field(default=4, ge=1, le=16)
    steps: list[int] = Field(default=[1, 2], min_length=2, max_length=2)
    beyond: int | None = 3

    @model_validator(mode="after")
    def _has_room(self) -> ProgramConfig:
        most = max(self.trained[-1], *self.further, 1)
        if most > 2 * self.width:
            raise ValueError(
                f"width {self.width} has room for {2 * self.width} words, and {most} are asked for"
            )
        return self

    @property
    def bounds(self) -> tuple[int, int]:
        return 1, _MOST_STEPS

    def rules(self) -> DrawnTask:
        return ProgramTask(self)


class ProgramTask(DrawnTask):
    """A row for each example, its input and its output, and a row with room for the program.

    Difficulty is the number of words of the shortest program that does it; the label is the first
    of these in the order of the language. A program that is shorter than its room ends in `end`.
    The symmetries are the orders of the examples.
    """

    name = "program"
    words = ("!", NOTHING_WORD, "?", *"0123456789", *WORDS, "end")
    vocab_size = len(words)
    many_answers = True

    def __init__(self, config: ProgramConfig) -> None:
        self.examples, self.width = config.examples, config.width
        self.room = max(config.trained[-1], *config.further, 1)
        columns = 2 * config.width
        self.grid_shape = (config.examples + 1, columns)
        self.seq_len = (config.examples + 1) * columns
        self.vocabulary = f"program of {self.room}"

    def draw(self, difficulty: int, count: int, rng: np.random.Generator) -> Tokens:
        programs = rng.integers(len(WORDS), size=(count, difficulty))
        given = rng.integers(10, size=(count, self.examples, self.width)).astype(np.int32)
        puzzles = self._puzzles(given, _run(programs, given))
        _, found = self._shortest(puzzles, difficulty)
        return np.asarray(puzzles[found == difficulty])

    def answer(self, inputs: Tokens) -> Tokens:
        programs, _ = self._shortest(inputs, self.room)
        labels = np.full(inputs.shape, IGNORE, dtype=np.int32)
        labels[:, self._program] = programs
        return labels

    def verify(self, inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        given, wanted = self._lists(inputs)
        words = answers[:, self._program]
        ended = words == _END
        known = ended | ((words >= _FIRST) & (words < _END))
        # No word after the end, and one at least before it.
        whole = known.all(axis=1) & (ended[:, :-1] <= ended[:, 1:]).all(axis=1) & ~ended[:, 0]
        programs = np.where(ended | ~known, -1, words - _FIRST)
        return np.asarray(whole & (_run(programs, given) == wanted).all(axis=(1, 2)))

    def difficulty_of(self, inputs: Tokens, labels: Tokens) -> NDArray[np.float32]:
        return np.asarray(self._shortest(inputs, self.room)[1], dtype=np.float32)

    def problem(self, puzzle: Tokens) -> str | None:
        lists = puzzle[: -2 * self.width]
        if ((lists < _ZERO) | (lists >= _FIRST)).any():
            return f"needs digits in the first {self.examples} rows"
        room = self._room()
        if (puzzle[-2 * self.width :] != room).any():
            shown = " ".join(self.words[token] for token in room)
            return f"needs {shown} as its last row"
        _, found = self._shortest(puzzle[None], self.room)
        return None if found[0] else f"no program of at most {self.room} words does that"

    def symmetry_keys(self, inputs: Tokens, labels: Tokens) -> list[bytes]:
        rows = inputs.reshape(len(inputs), self.examples + 1, -1)[:, :-1]
        return [b"".join(sorted(row.tobytes() for row in puzzle)) for puzzle in rows]

    def move(self, inputs: Tokens, rng: np.random.Generator) -> Tokens:
        rows = inputs.reshape(len(inputs), self.examples + 1, -1).copy()
        order = rng.random((len(inputs), self.examples)).argsort(axis=1)
        rows[:, :-1] = np.take_along_axis(rows[:, :-1], order[:, :, None], axis=1)
        return rows.reshape(inputs.shape)

    @property
    def _program(self) -> slice:
        begin = self.seq_len - 2 * self.width
        return slice(begin, begin + self.room)

    def _room(self) -> Tokens:
        row = np.full(2 * self.width, NOTHING, dtype=np.int32)
        row[: self.room] = _ASKED
        return row

    def _puzzles(self, given: Digits, made: Digits) -> Tokens:
        pairs = np.concatenate((given, made), axis=2) + _ZERO
        rows = np.broadcast_to(self._room(), (len(pairs), 1, 2 * self.width))
        return np.concatenate((pairs, rows), axis=1).reshape(len(pairs), -1).astype(np.int32)

    def _lists(self, inputs: Tokens) -> tuple[Digits, Digits]:
        """Inputs and outputs of the examples, `[n, examples, width]` each."""
        shape = (len(inputs), self.examples + 1, 2 * self.width)
        rows = inputs.reshape(shape)[:, :-1] - _ZERO
        rows = np.clip(rows, 0, 9)
        return rows[..., : self.width], rows[..., self.width :]

    def _shortest(self, inputs: Tokens, most: int) -> tuple[Tokens, NDArray[np.int64]]:
        """The first of each puzzle's shortest programs `[n, room]`, and its words; 0 for none."""
        given, wanted = self._lists(inputs)
        programs = np.full((len(inputs), self.room), _END, dtype=np.int32)
        found = np.zeros(len(inputs), dtype=np.int64)
        functions = list(WORDS.values())
        for length in range(1, most + 1):
            # Each puzzle that is still open, under every program of this length in turn.
            left = np.flatnonzero(found == 0)
            if not len(left):
                break
            stack: list[tuple[tuple[int, ...], Digits]] = [((), given[left])]
            while stack:
                program, made = stack.pop()
                if len(program) < length:
                    stack += [
                        ((*program, word), functions[word](made))
                        for word in reversed(range(len(functions)))
                    ]
                    continue
                hit = (made == wanted[left]).all(axis=(1, 2)) & (found[left] == 0)
                rows = left[hit]
                programs[rows, :length] = np.array(program, dtype=np.int32) + _FIRST
                found[rows] = length
        return programs, found


def _run(programs: NDArray[np.integer], given: Digits) -> Digits:
    """What programs `[n, steps]` make of lists `[n, examples, width]`; -1 does nothing."""
    made = given.copy()
    for step in range(programs.shape[1]):
        for word, function in enumerate(WORDS.values()):
            rows = programs[:, step] == word
            if rows.any():
                made[rows] = function(made[rows])
    return made
