"""Addition and multiplication of numbers as digits, and chains of operations modulo a number."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from trm.tasks.algorithms.digits import Digits, added, multiplied, partial_products
from trm.tasks.base import IGNORE, Tokens
from trm.tasks.drawn import NOTHING, NOTHING_WORD, DrawnTask, least_image
from trm.tasks.ranged import RangedConfig

_ASK = 2
_FIRST = 3
"""The token of the digit or number 0."""
_MOST_SIZE = 64
_DIGITS = "0123456789abcdef"


class ArithmeticConfig(RangedConfig):
    """Add or multiply two numbers digit by digit, or work out a chain of operations modulo m.

    Attributes:
        operation: `addition` and `multiplication` of two numbers, or a `chain` of +, - and *
            modulo `modulus`, worked out from the left.
        size: least and most digits of the longer number, or terms of a chain, which is the
            difficulty; every number between is drawn equally often, as far as there are different
            puzzles.
        beyond: most digits or terms of the set beyond the trained range; null makes none.
        order: which digit of a number stands first, the `least` or the `most` significant one; a
            chain has single numbers.
        intermediate: whether the carries, the partial products or the values along a chain are
            asked for as well.
        base: base of the digits.
        modulus: of a chain.
    """

    ranged = "size"
    name: Literal["arithmetic"] = "arithmetic"
    operation: Literal["addition", "multiplication", "chain"] = "addition"
    size: list[int] = Field(default=[2, 5], min_length=2, max_length=2)
    beyond: int | None = 7
    order: Literal["least", "most"] = "least"
    intermediate: bool = False
    base: int = Field(default=10, ge=2, le=16)
    modulus: int = Field(default=7, ge=2, le=100)

    @model_validator(mode="after")
    def _moved_as_can_be(self) -> ArithmeticConfig:
        if self.augment and self.operation == "chain":
            raise ValueError("augment true: a chain has no symmetry; leave it false")
        return self

    @property
    def bounds(self) -> tuple[int, int]:
        return 1, _MOST_SIZE

    def rules(self) -> DrawnTask:
        return ChainTask(self) if self.operation == "chain" else DigitsTask(self)


class DigitsTask(DrawnTask):
    """Two numbers one below the other, rows for what stands between if asked for, the result.

    Difficulty is how many digits the longer number has. The symmetry swaps the two numbers; where
    partial products are asked for, training swaps only numbers of one length, which ask for as
    many. As many digits of the result are asked for as it may have, zeros in front included.
    """

    name = "arithmetic"
    padded = True

    def __init__(self, config: ArithmeticConfig) -> None:
        self.base, self.intermediate = config.base, config.intermediate
        self.multiplies, self.most_first = (
            config.operation == "multiplication",
            config.order == "most",
        )
        self.vocabulary = (
            f"{config.operation} {config.base} {config.order} first"
            f"{' with intermediate' if config.intermediate else ''}"
        )
        self.words = ("!", NOTHING_WORD, "?", *_DIGITS[: config.base])
        self.vocab_size = len(self.words)
        self._digits = max((*config.trained, *config.further))
        between = 0
        if config.intermediate:
            between = self._digits if self.multiplies else 1
        self._columns = 2 * self._digits if self.multiplies else self._digits + 1
        self.grid_shape = (3 + between, self._columns)
        self.seq_len = self.grid_shape[0] * self._columns

    def draw(self, difficulty: int, count: int, rng: np.random.Generator) -> Tokens:
        numbers = rng.integers(self.base, size=(2, count, self._columns))
        lengths = np.stack(
            (np.full(count, difficulty), rng.integers(1, difficulty + 1, size=count))
        )
        lengths = rng.permuted(lengths, axis=0)
        column = np.arange(self._columns)
        numbers[column >= lengths[:, :, None]] = 0
        leading = (column == lengths[:, :, None] - 1) & (lengths[:, :, None] > 1)
        numbers[leading] = rng.integers(1, self.base, size=int(leading.sum()))
        return self._written(numbers[0], numbers[1], lengths[0], lengths[1])

    def answer(self, inputs: Tokens) -> Tokens:
        a, b, _, _ = self._read(inputs)
        labels = np.full((len(inputs), *self.grid_shape), IGNORE, dtype=np.int64)
        if self.multiplies:
            labels[:, -1] = _FIRST + multiplied(a, b, self.base)
            if self.intermediate:
                parts = partial_products(a, b, self.base)[:, : self._digits]
                labels[:, 2:-1] = _FIRST + parts
        else:
            total, carried = added(a, b, self.base)
            labels[:, -1] = _FIRST + total
            if self.intermediate:
                labels[:, 2] = _FIRST + carried
        if self.most_first:
            labels = labels[:, :, ::-1]
        flat = labels.reshape(inputs.shape)
        return np.where(inputs == _ASK, flat, IGNORE).astype(np.int32)

    def difficulty_of(self, inputs: Tokens, labels: Tokens) -> NDArray[np.float32]:
        _, _, long, wide = self._read(inputs)
        return np.asarray(np.maximum(long, wide), dtype=np.float32)

    def problem(self, puzzle: Tokens) -> str | None:
        a, b, long, wide = self._read(puzzle[None])
        if not (long.all() and wide.all() and max(long[0], wide[0]) <= self._digits):
            return f"needs a number of 1 to {self._digits} digits in each of the first two rows"
        wanted = self._written(a, b, long, wide)[0]
        if not np.array_equal(wanted, puzzle):
            shown = self.show(wanted).replace("\n", " / ")
            return f"needs its digits and its ? where they stand in {shown}"
        return None

    def symmetry_keys(self, inputs: Tokens, labels: Tokens) -> list[bytes]:
        return [row.tobytes() for row in least_image([inputs, self._swapped(inputs)])]

    def move(self, inputs: Tokens, rng: np.random.Generator) -> Tokens:
        swaps = rng.random(len(inputs)) < 0.5
        if self.multiplies and self.intermediate:
            _, _, long, wide = self._read(inputs)
            swaps &= long == wide
        return np.where(swaps[:, None], self._swapped(inputs), inputs)

    def _swapped(self, inputs: Tokens) -> Tokens:
        a, b, long, wide = self._read(inputs)
        return self._written(b, a, wide, long)

    def _read(self, inputs: Tokens) -> tuple[Digits, Digits, Digits, Digits]:
        """Both numbers, least digit first and 0 after the last one, and how long they are."""
        rows = inputs.reshape(-1, *self.grid_shape)[:, :2]
        rows = rows[:, :, ::-1] if self.most_first else rows
        digits = np.where(rows >= _FIRST, rows - _FIRST, 0).astype(np.int64)
        lengths = (rows >= _FIRST).sum(axis=2)
        return digits[:, 0], digits[:, 1], lengths[:, 0], lengths[:, 1]

    def _written(self, a: Digits, b: Digits, long: Digits, wide: Digits) -> Tokens:
        count, column = len(a), np.arange(self._columns)
        grids = np.full((count, *self.grid_shape), NOTHING, dtype=np.int32)
        for row, number, length in ((0, a, long), (1, b, wide)):
            grids[:, row] = np.where(column < length[:, None], number + _FIRST, NOTHING)
        result = long + wide if self.multiplies else np.maximum(long, wide) + 1
        asked = np.where(column < result[:, None], _ASK, NOTHING)
        grids[:, -1] = asked
        if self.intermediate and self.multiplies:
            part = np.arange(self._digits)[:, None]
            within = (part < wide[:, None, None]) & (column >= part)
            within &= column <= part + long[:, None, None]
            grids[:, 2:-1] = np.where(within, _ASK, NOTHING)
        elif self.intermediate:
            grids[:, 2] = asked
        if self.most_first:
            grids = grids[:, :, ::-1]
        return np.ascontiguousarray(grids.reshape(count, -1))


class ChainTask(DrawnTask):
    """Operations above, numbers in the middle, below them the values that are asked for.

    Difficulty is the number of terms. It has no symmetries.
    """

    name = "arithmetic"
    padded = True

    def __init__(self, config: ArithmeticConfig) -> None:
        self.modulus, self.intermediate = config.modulus, config.intermediate
        self.vocabulary = (
            f"chain modulo {config.modulus}{' with values' if config.intermediate else ''}"
        )
        numbers = (str(number) for number in range(config.modulus))
        self.words = ("!", NOTHING_WORD, "?", *numbers, "+", "-", "*")
        self._plus = _FIRST + config.modulus
        self.vocab_size = len(self.words)
        self._columns = max((*config.trained, *config.further))
        self.grid_shape = (3, self._columns)
        self.seq_len = 3 * self._columns

    def draw(self, difficulty: int, count: int, rng: np.random.Generator) -> Tokens:
        grids = np.full((count, *self.grid_shape), NOTHING, dtype=np.int32)
        grids[:, 0, 1:difficulty] = self._plus + rng.integers(3, size=(count, difficulty - 1))
        grids[:, 1, :difficulty] = _FIRST + rng.integers(self.modulus, size=(count, difficulty))
        grids[:, 2, 0 if self.intermediate else difficulty - 1 : difficulty] = _ASK
        return grids.reshape(count, -1)

    def answer(self, inputs: Tokens) -> Tokens:
        grids = inputs.reshape(-1, *self.grid_shape)
        numbers = np.clip(grids[:, 1] - _FIRST, 0, self.modulus - 1)
        labels = np.full(grids.shape, IGNORE, dtype=np.int32)
        value: NDArray[np.int32] = numbers[:, 0]
        for column in range(self._columns):
            if column:
                how, term = grids[:, 0, column] - self._plus, numbers[:, column]
                options = [value + term, value - term, value * term]
                value = np.select([how == 0, how == 1, how == 2], options, value) % self.modulus
            labels[:, 2, column] = value + _FIRST
        return np.where(inputs == _ASK, labels.reshape(inputs.shape), IGNORE).astype(np.int32)

    def difficulty_of(self, inputs: Tokens, labels: Tokens) -> NDArray[np.float32]:
        numbers = inputs.reshape(-1, *self.grid_shape)[:, 1]
        return np.asarray((numbers >= _FIRST).sum(axis=1), dtype=np.float32)

    def problem(self, puzzle: Tokens) -> str | None:
        signs, numbers, asked = puzzle.reshape(self.grid_shape)
        is_number = (numbers >= _FIRST) & (numbers < self._plus)
        terms = int(is_number.sum())
        if not terms or not is_number[:terms].all() or (numbers[terms:] != NOTHING).any():
            return "needs one or more numbers in the second row, and then . to the end"
        if (signs[1:terms] < self._plus).any() or (np.delete(signs, slice(1, terms)) != 1).any():
            return "needs + - or * above each number but the first, and else . in the first row"
        due = np.full(self._columns, NOTHING)
        due[0 if self.intermediate else terms - 1 : terms] = _ASK
        if (asked != due).any():
            where = "each number" if self.intermediate else "the last number"
            return f"needs ? below {where}, and else . in the third row"
        return None
