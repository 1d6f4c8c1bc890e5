"""Cells as tokens: lists of numbers or words, texts of single characters, texts of words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm.tasks.data.complaints import brief
from trm.tasks.data.tables import Column, Ragged

Numbers = NDArray[np.int32]
Complain = Callable[[int, str], None]
"""Takes the index of a cell and what is wrong with it."""

SEPARATORS = (" ", ",", ";", "|", "\t")
_TRIED = 2_000
"""Cells that are looked at for a separator."""
_NARROW = 1 << 20
"""Numbers that lie no further apart are counted by place."""


class Lexicon:
    """Tokens in the order in which they were first met; their numbers are provisional.

    >>> lexicon = Lexicon()
    >>> [lexicon.number(name) for name in ("b", "a", "b")], lexicon.names
    ([0, 1, 0], ['b', 'a'])
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    @property
    def names(self) -> list[str]:
        """The tokens so far."""
        return list(self._numbers)

    def number(self, name: str) -> int:
        """A token's number."""
        return self._numbers.setdefault(name, len(self._numbers))


@dataclass(frozen=True)
class Encoded:
    """Cells as provisional numbers of tokens, end to end.

    Attributes:
        values: of all good cells.
        lengths: of each cell; 0 where it is not good.
        good: whether a cell is.
    """

    values: Numbers
    lengths: NDArray[np.int64]
    good: NDArray[np.bool_]


def separator_of(columns: Sequence[Column]) -> str:
    """What stands between the tokens of texts; empty where each character is one.

    A mark is it if some text has it and none would have an empty token by it.

    >>> separator_of([["1 2 3", "10 2"]]), separator_of([["## # #", "#  ##"]])
    (' ', '')
    """
    texts = [
        _bare(cell)
        for column in columns
        if isinstance(column, list)
        for cell in column[:_TRIED]
        if isinstance(cell, str)
    ]
    for mark in SEPARATORS:
        if any(mark in text for text in texts) and all(
            all(part.strip() for part in text.strip().split(mark)) for text in texts if text.strip()
        ):
            return mark
    return ""


def are_texts(column: Column) -> bool:
    """Whether cells are texts, as far as the first one tells."""
    if isinstance(column, np.ndarray):
        return column.dtype.kind in "US" and column.ndim == 1
    return isinstance(column, list) and isinstance(next(iter(column), None), str)


def encode(column: Column, separator: str, lexicon: Lexicon, complain: Complain) -> Encoded:
    """The cells of a column as numbers of tokens, which the lexicon learns.

    Raises:
        UserError: as `complain`.
    """
    if isinstance(column, Ragged):
        return _of_numbers(column.values, column.lengths, lexicon, complain)
    if isinstance(column, np.ndarray) and column.dtype.kind not in "US":
        return _of_array(column.reshape(len(column), -1), lexicon, complain)
    cells: Sequence[Any] = column.astype(str).tolist() if isinstance(column, np.ndarray) else column
    if all(type(cell) is str for cell in cells):
        return _of_texts(cells, separator, lexicon, complain)
    return _of_lists(cells, separator, lexicon, complain)


def _of_array(rows: NDArray[Any], lexicon: Lexicon, complain: Complain) -> Encoded:
    good = np.ones(len(rows), dtype=bool)
    if rows.dtype.kind == "f":
        whole = np.isfinite(rows) & (np.abs(rows) < 2**53)
        whole[whole] = rows[whole] == np.floor(rows[whole])
        good = whole.all(axis=1)
        for k in np.flatnonzero(~good):
            value = rows[k][~whole[k]][0]
            complain(int(k), f"holds {value}, which is no whole number: give numbers of tokens")
    lengths = np.where(good, rows.shape[1], 0).astype(np.int64)
    found = _of_numbers(rows[good].astype(np.int64).ravel(), lengths, lexicon, complain, good)
    return Encoded(found.values, found.lengths, found.good & good)


def _of_numbers(
    values: NDArray[np.int64],
    lengths: NDArray[np.int64],
    lexicon: Lexicon,
    complain: Complain,
    expected: NDArray[np.bool_] | None = None,
) -> Encoded:
    good = lengths > 0
    for k in np.flatnonzero(~good if expected is None else ~good & expected):
        complain(int(k), "is empty: give it tokens")
    if not len(values):
        return Encoded(np.empty(0, np.int32), lengths, good)
    low, high = int(values.min()), int(values.max())
    if high - low < _NARROW:
        present = np.flatnonzero(np.bincount(values - low))
        table = np.zeros(high - low + 1, dtype=np.int32)
        table[present] = [lexicon.number(str(int(value) + low)) for value in present]
        return Encoded(table[values - low], lengths, good)
    distinct, places = np.unique(values, return_inverse=True)
    numbers = np.array([lexicon.number(str(int(value))) for value in distinct], dtype=np.int32)
    return Encoded(numbers[places], lengths, good)


def _of_texts(
    texts: Sequence[str], separator: str, lexicon: Lexicon, complain: Complain
) -> Encoded:
    if separator:
        split = [_words(text, separator) for text in texts]
        return _of_words(split, lexicon, complain)
    cells = [text if text.isprintable() else _lines_joined(text) for text in texts]
    lengths = np.fromiter(map(len, cells), np.int64, len(cells))
    good = lengths > 0
    for k in np.flatnonzero(~good):
        complain(int(k), "is empty: give it tokens")
    try:
        data = "".join(cells).encode("utf-32-le")
    except UnicodeEncodeError:
        data = "".join(cells).encode("utf-32-le", "surrogatepass")
    points = np.frombuffer(data, dtype=np.uint32)
    if not len(points):
        return Encoded(np.empty(0, np.int32), lengths, good)
    present = np.flatnonzero(np.bincount(points))
    table = np.zeros(int(points.max()) + 1, dtype=np.int32)
    table[present] = [lexicon.number(chr(point)) for point in present]
    return Encoded(table[points], lengths, good)


def _of_words(split: Sequence[Sequence[str]], lexicon: Lexicon, complain: Complain) -> Encoded:
    lengths = np.fromiter(map(len, split), np.int64, len(split))
    good = lengths > 0
    for k in np.flatnonzero(~good):
        complain(int(k), "is empty: give it tokens")
    for index, words in enumerate(split):
        if good[index] and not all(words):
            good[index], lengths[index] = False, 0
            complain(index, "has an empty token between two separators: remove one of them")
    kept = [words for words, fine in zip(split, good, strict=True) if fine]
    number = lexicon.number
    values = np.fromiter(
        (number(word) for word in chain.from_iterable(kept)), np.int32, int(lengths.sum())
    )
    return Encoded(values, lengths, good)


def _of_lists(
    cells: Sequence[Any], separator: str, lexicon: Lexicon, complain: Complain
) -> Encoded:
    """Cells of Python's values: lists of numbers or words, single numbers, texts among others."""
    expected = next((_kind(cell) for cell in cells if _kind(cell)), "")
    split: list[list[str]] = []
    good = np.ones(len(cells), dtype=bool)
    for k, cell in enumerate(cells):
        words, wrong = _listed(cell, separator, expected)
        if wrong:
            good[k] = False
            complain(k, wrong)
        split.append(words)
    # What has been complained of is no longer looked at.
    found = _of_words(split, lexicon, lambda k, what: complain(k, what) if good[k] else None)
    return Encoded(found.values, found.lengths, found.good & good)


def _listed(cell: Any, separator: str, expected: str) -> tuple[list[str], str]:
    """The tokens of one cell, or what is wrong with it."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return [], f"is missing ({'NaN' if cell is not None else 'null'}): give it a value"
    kind = _kind(cell)
    if kind != expected:
        what = kind or "of no kind that is read"
        return [], f"{brief(cell)} is {what}, where others are {expected}: give one kind"
    if isinstance(cell, str):
        return (_words(cell, separator) if separator else list(_lines_joined(cell))), ""
    values = list(cell) if isinstance(cell, (list, tuple)) else [cell]
    if values and all(isinstance(value, (list, tuple)) for value in values):
        if len({len(value) for value in values}) > 1:
            return [], "has rows of unequal lengths: give a rectangle"
        values = [value for row in values for value in row]
    words = []
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            ragged = isinstance(value, (list, tuple))
            what = "has lists and values side by side" if ragged else f"holds {brief(value)}"
            return [], f"{what}: give whole numbers or words"
        if isinstance(value, float):
            if not value.is_integer():
                return [], f"holds {value}, which is no whole number: give numbers of tokens"
            value = int(value)
        words.append(str(value))
    if len({isinstance(value, str) for value in values}) > 1:
        return [], "mixes numbers and words: give one kind"
    return words, ""


def _kind(cell: Any) -> str:
    """What a cell is, for people; empty for what is none."""
    if isinstance(cell, str):
        return "text"
    if isinstance(cell, (list, tuple)):
        return "a list"
    if isinstance(cell, bool) or not isinstance(cell, (int, float)):
        return ""
    return "" if isinstance(cell, float) and math.isnan(cell) else "a number"


def _words(text: str, separator: str) -> list[str]:
    bare = _bare(text).strip()
    return [part.strip().strip("'\"") for part in bare.split(separator)] if bare else []


def _bare(text: str) -> str:
    """A text without the brackets that lists and arrays are printed with."""
    text = text.strip() if text[:1].isspace() or text[-1:].isspace() else text
    if text.startswith("[") and text.endswith("]") and len(text) > 1:
        return " ".join(text[1:-1].split()).replace(", ", ",")
    return text


def _lines_joined(text: str) -> str:
    return text.replace("\r", "").replace("\n", "")
