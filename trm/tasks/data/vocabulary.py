"""The tokens of a user's data: 0 is padding, and the others are numbered in a stable order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trm.tasks.base import IGNORE, Tokens

PAD = "<pad>"
"""The name of token 0."""
UNKNOWN, IGNORED = -2, -1
"""What stands in a map for a name that is no token, and for one that marks cells as ignored."""
_PAD_SIGNS = "·_░¤"


@dataclass(frozen=True)
class Vocabulary:
    """Names of tokens, in their order; token 0 is padding, which no file has to hold.

    Attributes:
        names: of tokens 1 and on.
        padding: a name in files that means padding too; empty if there is none.
        ignore: a name in labels that means a cell which does not count; empty if there is none.
        pad_counts: whether a label that is padding counts.

    >>> vocabulary = Vocabulary(("1", "2", "10"))
    >>> vocabulary.size, vocabulary.tokens["10"], vocabulary.text((3, 1, 0))
    (4, 3, '10 1 ·')
    """

    names: tuple[str, ...]
    padding: str = ""
    ignore: str = ""
    pad_counts: bool = False

    @property
    def size(self) -> int:
        """Tokens, with padding."""
        return len(self.names) + 1

    @cached_property
    def tokens(self) -> dict[str, int]:
        """The token of each name."""
        return {name: token for token, name in enumerate(self.names, 1)}

    @property
    def all_names(self) -> tuple[str, ...]:
        """The name of every token, padding's first."""
        return (PAD, *self.names)

    @cached_property
    def pad_sign(self) -> str:
        """A character for padding that is no token."""
        return next((sign for sign in _PAD_SIGNS if sign not in self.tokens), "?")

    @cached_property
    def symbols(self) -> str:
        """A character for each token; empty where names are longer, or could not be seen."""
        plain = all(len(name) == 1 and (name.isprintable()) for name in self.names)
        return "".join((self.pad_sign, *self.names)) if plain else ""

    @cached_property
    def are_numbers(self) -> bool:
        """Whether every name is a whole number."""
        return all(map(_is_number, self.names))

    def numbers(self, names: Sequence[str], *, labels: bool) -> NDArray[np.int32]:
        """The token that each provisional number of a lexicon stands for, or what it is instead."""
        found = np.full(len(names), UNKNOWN, dtype=np.int32)
        for place, name in enumerate(names):
            if self.padding and name == self.padding:
                found[place] = IGNORE if labels and not self.pad_counts else 0
            elif self.ignore and name == self.ignore:
                found[place] = IGNORE if labels else IGNORED
            else:
                found[place] = self.tokens.get(name, UNKNOWN)
        return found

    def text(self, tokens: Iterable[int]) -> str:
        """Tokens as a person reads them; padding and ignored cells have a sign of their own."""
        if self.symbols:
            return "".join(self.symbols[token] if token > 0 else self.pad_sign for token in tokens)
        return " ".join(self.names[token - 1] if token > 0 else self.pad_sign for token in tokens)

    def shown(self, most: int = 40) -> str:
        """The names in a line, the first so many."""
        if self.symbols and len(self.names) <= most * 4:
            return "".join(self.names)
        more = f" ... ({len(self.names):,} in all)" if len(self.names) > most else ""
        return " ".join(self.names[:most]) + more


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names in the order of their tokens: numbers by value, before words by their characters.

    >>> in_order(["10", "9", "b", "a"])
    ('9', '10', 'a', 'b')
    """

    def place(name: str) -> tuple[bool, int, str]:
        return (False, int(name), name) if _is_number(name) else (True, 0, name)

    return tuple(sorted(names, key=place))


def place_tokens(
    values: NDArray[np.int32],
    lengths: NDArray[np.int64],
    starts: NDArray[np.int64],
    length: int,
    fill: int,
) -> Tokens:
    """Cells end to end as rows `[n, length]`, each from its start; the rest is `fill`."""
    count = len(lengths)
    rows = np.full((count, length), fill, dtype=np.int32)
    if count and (lengths == lengths[0]).all() and (starts == starts[0]).all():
        begin, end = int(starts[0]), int(starts[0] + lengths[0])
        rows[:, begin:end] = values.reshape(count, -1)
        return rows
    row = np.repeat(np.arange(count), lengths)
    first = np.repeat(np.cumsum(lengths) - lengths - starts, lengths)
    rows[row, np.arange(len(values)) - first] = values
    return rows


def _is_number(name: str) -> bool:
    digits = name.removeprefix("-")
    return digits.isdecimal() and digits.isascii() and len(digits) < 19 and name == str(int(name))
