"""What is asked of the puzzles of a split: each question in several images, known answer or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trm.tasks.arc.files import ArcPuzzle
from trm.tasks.arc.grids import FIRST, Grid, canonical, encode
from trm.tasks.arc.images import PuzzleImages
from trm.tasks.arc.votes import Question
from trm.tasks.base import IGNORE, Split, Tokens

Pair = tuple[Grid, Grid]


@dataclass(frozen=True)
class Asked:
    """Rows that ask questions.

    Attributes:
        split: the rows.
        questions: which each of them asks.
        found: what all images of an answered question share, of each one.
    """

    split: Split
    questions: Sequence[Question]
    found: frozenset[bytes] = frozenset()


def answered(
    puzzles: Sequence[ArcPuzzle], at: Mapping[str, int], images: PuzzleImages, votes: int,
    later: set[bytes],
) -> Asked | None:  # fmt: skip
    """The questions whose outputs are known; not ones of `later`. None if there are none."""
    pairs: list[Pair] = []
    identifiers: list[int] = []
    questions: list[Question] = []
    found = set()
    for puzzle, index, question, output in _questions(puzzles):
        if output is None or (key := canonical((question, output))) in later:
            continue
        found.add(key)
        for identifier in _images(images, at[puzzle], votes):
            pairs.append((images.of(question, identifier), images.of(output, identifier)))
            identifiers.append(identifier)
            questions.append((puzzle, index))
    if not pairs:
        return None
    return Asked(split_of(pairs, np.array(identifiers, np.int32)), questions, frozenset(found))


def kept_back(
    puzzles: Sequence[ArcPuzzle], at: Mapping[str, int], images: PuzzleImages, votes: int
) -> Asked | None:
    """The questions whose outputs are kept back, without labels. None if there are none."""
    inputs: list[Tokens] = []
    identifiers: list[int] = []
    questions: list[Question] = []
    for puzzle, index, question, output in _questions(puzzles):
        if output is None:
            for identifier in _images(images, at[puzzle], votes):
                inputs.append(encode(images.of(question, identifier)))
                identifiers.append(identifier)
                questions.append((puzzle, index))
    if not inputs:
        return None
    rows = np.stack(inputs)
    nothing = np.zeros(len(rows), dtype=np.float32)
    split = Split(rows, np.full_like(rows, IGNORE), nothing, np.array(identifiers, np.int32))
    return Asked(split, questions)


def all_kept_back(puzzles: Sequence[ArcPuzzle]) -> bool:
    """Whether no question's output is known."""
    return all(output is None for _, _, _, output in _questions(puzzles))


def tokens_of(
    pairs: Sequence[tuple[Grid, ...]], places: Sequence[tuple[int, int]]
) -> tuple[Tokens, Tokens]:
    """Inputs and labels of pairs at places; padding of a label does not count."""
    inputs = np.stack([encode(pair[0], *place) for pair, place in zip(pairs, places, strict=True)])
    labels = np.stack([encode(pair[1], *place) for pair, place in zip(pairs, places, strict=True)])
    labels[labels == 0] = IGNORE
    return inputs, labels


def split_of(pairs: Sequence[Pair], identifiers: Tokens) -> Split:
    """Pairs at the first cell. Difficulty is the number of cells of the output."""
    inputs, labels = tokens_of(pairs, [(0, 0)] * len(pairs))
    difficulty = (labels >= FIRST).sum(axis=1).astype(np.float32)
    return Split(inputs, labels, difficulty, identifiers)


def _questions(puzzles: Sequence[ArcPuzzle]) -> Iterator[tuple[str, int, Grid, Grid | None]]:
    for puzzle in puzzles:
        for index, (question, output) in enumerate(puzzle.asked):
            yield puzzle.name, index, question, output


def _images(images: PuzzleImages, puzzle: int, votes: int) -> range:
    """The identifiers of the images in which a puzzle's questions are asked."""
    first = int(images.first[puzzle])
    return range(first, first + min(votes, int(images.counts[puzzle])))
