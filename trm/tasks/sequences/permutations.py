"""The word problem of the symmetric group: what permutation does a word of permutations make?

For five things it is complete for NC1 (Barrington, 1989), so that no network of constant depth is
thought to solve it for all lengths; Merrill, Petty and Sabharwal (arXiv 2404.08819) use it so.
"""

from __future__ import annotations

from itertools import permutations
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trm.tasks.base import IGNORE, Tokens
from trm.tasks.drawn import NOTHING, NOTHING_WORD, DrawnTask, least_image
from trm.tasks.ranged import RangedConfig

_FIRST = 2
"""The token of the first permutation, which changes nothing."""
_MOST_LENGTH = 256

Letters = Literal["all", "transpositions", "adjacent"]


class PermutationsConfig(RangedConfig):
    """The S5 word problem: the permutation that a word of permutations makes, read from the left.

    Attributes:
        degree: how many things are permuted; 5 is the hard case, fewer are easier.
        letters: which permutations words are made of: `all`, the `transpositions` (swaps of two
            things), or the `adjacent` ones of them.
        length: least and most letters of a word, which is the difficulty; every number between is
            drawn equally often, as far as there are different words.
        beyond: most letters of the set beyond the trained range; null makes none.
        targets: what is asked: the product of the whole word at its `last` letter, or that of all
            `prefixes`, each at its letter.
    """

    ranged = "length"
    name: Literal["permutations"] = "permutations"
    degree: int = Field(default=5, ge=3, le=5)
    letters: Letters = "all"
    length: list[int] = Field(default=[2, 8], min_length=2, max_length=2)
    beyond: int | None = 12
    targets: Literal["last", "prefixes"] = "prefixes"

    @property
    def bounds(self) -> tuple[int, int]:
        return 1, _MOST_LENGTH

    def rules(self) -> DrawnTask:
        return PermutationsTask(self)


class PermutationsTask(DrawnTask):
    """A row of letters, written as the images of 1, 2, ...; the answer stands in the same cells.

    Difficulty is the number of letters. The symmetries are renamings of the things that are
    permuted (conjugation), those of them that turn letters into letters.
    """

    name = "permutations"
    padded = True

    def __init__(self, config: PermutationsConfig) -> None:
        elements = np.array(list(permutations(range(config.degree))))
        places = config.degree ** np.arange(config.degree)
        number = np.empty(int((elements @ places).max()) + 1, dtype=np.int64)
        number[elements @ places] = np.arange(len(elements))
        # One after the other: the second takes each thing from where the first has put it.
        self._then = number[elements[:, elements].transpose(1, 0, 2) @ places]
        moved = (elements != np.arange(config.degree)).sum(axis=1)
        swaps = np.flatnonzero(moved == 2)
        adjacent = [s for s in swaps if np.ptp(np.flatnonzero(elements[s] != elements[0])) == 1]
        kinds = {"all": np.arange(len(elements)), "transpositions": swaps, "adjacent": adjacent}
        self._letters = np.array(kinds[config.letters])
        self._renamings = self._conjugations()
        self._last = config.targets == "last"
        self.vocabulary = f"permutations {config.degree} {config.letters} {config.targets}"
        names = ("".join(str(image + 1) for image in element) for element in elements)
        self.words = ("?", NOTHING_WORD, *names)
        self.vocab_size = len(self.words)
        self.seq_len = max((*config.trained, *config.further))
        self.grid_shape = (1, self.seq_len)

    def _conjugations(self) -> Tokens:
        """Each renaming as a map of tokens, `[renamings, tokens]`."""
        then, count = self._then, len(self._then)
        inverse = (then == 0).argmax(axis=1)
        maps = then[then[inverse], np.arange(count)[:, None]]
        keeps = [set(row[self._letters]) == set(self._letters) for row in maps]
        tokens = np.concatenate(
            (np.tile(np.arange(_FIRST), (count, 1)), maps + _FIRST), axis=1, dtype=np.int32
        )
        return np.unique(tokens[keeps], axis=0)

    def draw(self, difficulty: int, count: int, rng: np.random.Generator) -> Tokens:
        words = np.full((count, self.seq_len), NOTHING, dtype=np.int32)
        words[:, :difficulty] = _FIRST + rng.choice(self._letters, size=(count, difficulty))
        return words

    def answer(self, inputs: Tokens) -> Tokens:
        letters = np.where(inputs >= _FIRST, inputs - _FIRST, 0)
        product = np.zeros(len(inputs), dtype=np.int64)
        labels = np.full(inputs.shape, IGNORE, dtype=np.int32)
        for place in range(self.seq_len):
            product = self._then[product, letters[:, place]]
            labels[:, place] = product + _FIRST
        written = inputs >= _FIRST
        due: NDArray[np.bool_] = written
        if self._last:
            due = np.arange(self.seq_len) == written.sum(axis=1)[:, None] - 1
        return np.where(due, labels, IGNORE).astype(np.int32)

    def difficulty_of(self, inputs: Tokens, labels: Tokens) -> NDArray[np.float32]:
        return np.asarray((inputs >= _FIRST).sum(axis=1), dtype=np.float32)

    def problem(self, puzzle: Tokens) -> str | None:
        length = int((puzzle >= _FIRST).sum())
        if not length or (puzzle[:length] < _FIRST).any():
            return "needs one or more permutations, and then . to the end"
        other = set(puzzle[:length].tolist()) - {int(k) + _FIRST for k in self._letters}
        if other:
            return f"{self.words[min(other)]} is none of the letters that words are made of here"
        return None

    def symmetry_keys(self, inputs: Tokens, labels: Tokens) -> list[bytes]:
        return [row.tobytes() for row in least_image([m[inputs] for m in self._renamings])]

    def move(self, inputs: Tokens, rng: np.random.Generator) -> Tokens:
        chosen = rng.integers(len(self._renamings), size=len(inputs))[:, None]
        return np.asarray(self._renamings[chosen, inputs])
