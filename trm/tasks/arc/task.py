"""ARC as a task: its data, their images, and what is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trm.errors import UserError
from trm.tasks.arc.files import ArcPuzzle
from trm.tasks.arc.grids import (
    FIRST,
    IMAGES,
    PALETTE,
    SIDE,
    VOCABULARY,
    Grid,
    canonical,
    crop,
    encode,
    origin,
    turned,
)
from trm.tasks.arc.images import PuzzleImages, draw_images
from trm.tasks.arc.questions import Asked, all_kept_back, answered, kept_back, split_of, tokens_of
from trm.tasks.arc.votes import Vote, pass_at, ranked, submission
from trm.tasks.base import Split, SplitName, Task, Tokens
from trm.tasks.picture import Look, Painting

if TYPE_CHECKING:
    from trm.tasks.arc.config import ArcConfig

_SIGNS = ".123456789"
_PASSES = (1, 2, 5)
_MOST_NAMES = 100_000
"""Identifiers beyond which nobody keeps their names, which the config says again."""


class ArcTask(Task):
    """ARC puzzles on 30x30 cells. Difficulty is the number of cells of the output.

    Labels of padding are `IGNORE`. An answer is right when the grid that is read from it is the
    output of the pair whose image the input is.

    No pair stands in two splits, in whatever image.
    """

    name = "arc"
    vocabulary = "arc"
    vocab_size = VOCABULARY
    seq_len = SIDE * SIDE
    grid_shape = (SIDE, SIDE)
    augments = True

    def __init__(
        self, config: ArcConfig, training: Sequence[ArcPuzzle], evaluation: Sequence[ArcPuzzle]
    ) -> None:
        self.config = config
        rng = np.random.default_rng([config.seed, 1])
        order = rng.permutation(len(training)).tolist()
        held = {"valid": order[: config.valid_puzzles]}
        self.puzzles: dict[SplitName, list[ArcPuzzle]] = {"test": list(evaluation)}
        self._sent: dict[SplitName, list[ArcPuzzle]] = {"test": list(evaluation)}
        if all_kept_back(evaluation):
            held["test"] = order[config.valid_puzzles : 2 * config.valid_puzzles]
            self.puzzles["test"] = [training[n] for n in sorted(held["test"])]
        self.puzzles["valid"] = self._sent["valid"] = [training[n] for n in sorted(held["valid"])]
        self._puzzles = [*training, *evaluation]
        self.images: PuzzleImages = draw_images(self._puzzles, config.augmentations, config.seed)
        self.num_puzzle_identifiers = len(self.images)
        if len(self.images) <= _MOST_NAMES:
            self.identifiers = tuple(map(self.images.name, range(len(self.images))))
        not_trained = {n for some in held.values() for n in some}
        shown, identifiers, self._pairs = [], [], np.zeros(len(self.images), dtype=np.int32)
        for n, puzzle in enumerate(self._puzzles):
            pairs = list(puzzle.shown)
            if n < len(training) and n not in not_trained:
                pairs += [(one, two) for one, two in puzzle.asked if two is not None]
            begin = int(self.images.first[n])
            self._pairs[begin : begin + int(self.images.counts[n])] = len(pairs)
            shown += pairs
            identifiers += [begin] * len(pairs)
        at = {puzzle.name: n for n, puzzle in reversed([*enumerate(self._puzzles)])}
        asking = at, self.images, config.votes
        later: set[bytes] = set()
        self._asked: dict[SplitName, Asked] = {}
        for name in ("test", "valid"):
            asked = answered(self.puzzles[name], *asking, later)
            if asked is None:
                source = "evaluation" if name not in held else "training"
                line = f"no question of {name} has a known output of its own"
                raise UserError(f"task.{source}: {line}")
            self._asked[name] = asked
            later |= asked.found
        self._kept = {name: kept_back(self._sent[name], *asking) for name in self._asked}
        keys = [canonical(pair) for pair in shown]
        kept = [n for n, key in enumerate(keys) if key not in later]
        if not kept:
            raise UserError("task.training: every pair of it is also asked in valid or test")
        self._known = later | set(keys)
        rows = np.array([identifiers[n] for n in kept], dtype=np.int32)
        self._train = split_of([shown[n] for n in kept], rows)

    def split(self, name: SplitName) -> Split:
        return self._train if name == "train" else self._asked[name].split

    def kept_back(self, name: SplitName) -> Split | None:
        kept = self._kept.get(name)
        return None if kept is None else kept.split

    @cached_property
    def data_hash(self) -> str:
        """Of the splits, of what is asked besides, and of what each identifier stands for."""
        images = self.images
        drawn = b"".join(part.tobytes() for part in (images.first, images.turns, images.colours))
        for kept in filter(None, self._kept.values()):
            drawn += kept.split.inputs.tobytes() + kept.split.puzzle_identifiers.tobytes()
        return hashlib.sha256(super().data_hash.encode() + drawn).hexdigest()

    def augment(
        self, inputs: Tokens, labels: Tokens, rng: np.random.Generator
    ) -> tuple[Tokens, Tokens]:
        """A random image of each pair, whatever its identifier."""
        moved = []
        for pair in _pairs_of(inputs, labels):
            names = np.concatenate(([0], 1 + rng.permutation(9))).astype(np.uint8)
            image = int(rng.integers(IMAGES))
            moved.append(tuple(turned(names[grid], image) for grid in pair))
        return tokens_of(moved, [(0, 0)] * len(moved))

    def augment_rows(
        self, inputs: Tokens, labels: Tokens, identifiers: Tokens, rng: np.random.Generator
    ) -> tuple[Tokens, Tokens, Tokens]:
        """One of its puzzle's images for each pair, moved to a random place, with its identifier.

        One pair in as many as its puzzle has stays at the first cell, where questions are asked
        (the reference leaves one example of each image there).
        """
        puzzle = np.searchsorted(self.images.first, identifiers, side="right") - 1
        chosen = identifiers + rng.integers(self.images.counts[puzzle])
        stays = rng.random(len(inputs)) < 1.0 / self._pairs[identifiers]
        moved, places = [], []
        for row, (one, two) in enumerate(_pairs_of(inputs, labels)):
            image = (self.images.of(one, chosen[row]), self.images.of(two, chosen[row]))
            room = [SIDE - max(grid.shape[axis] for grid in image) for axis in (0, 1)]
            place = (int(rng.integers(room[0] + 1)), int(rng.integers(room[1] + 1)))
            moved.append(image)
            places.append((0, 0) if stays[row] or not self.config.translate else place)
        return (*tokens_of(moved, places), chosen.astype(np.int32))

    def symmetry_keys(self, inputs: Tokens, labels: Tokens) -> list[bytes]:
        return [canonical(pair) for pair in _pairs_of(inputs, labels)]

    def verify(self, inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        right = []
        for one, answer in zip(inputs, answers, strict=True):
            place = origin(one)
            pair = (crop(one, *place), crop(answer, *place))
            right.append(bool(pair[1].size) and canonical(pair) in self._known)
        return np.array(right, dtype=np.bool_)

    def difficulty_of(self, inputs: Tokens, labels: Tokens) -> NDArray[np.float32]:
        return np.asarray((labels >= FIRST).sum(axis=1), dtype=np.float32)

    def figures(self, name: SplitName, answers: Tokens, q: NDArray[np.float64]) -> dict[str, float]:
        """`pass@1`, `@2` and `@5` by the votes of all images of each question."""
        if name not in self._asked or len(answers) != len(self._asked[name].questions):
            return {}
        ranking = ranked(self._votes(self._asked[name], answers, q))
        return {f"pass@{k}": pass_at(k, ranking, self.puzzles[name]) for k in _PASSES}

    def submission(
        self, name: SplitName, answers: Tokens, q: NDArray[np.float64]
    ) -> dict[str, Any] | None:
        """Two attempts at each question of a split, as Kaggle's `submission.json` wants them."""
        asked = [part for part in (self._asked.get(name), self._kept.get(name)) if part is not None]
        if not asked or len(answers) != sum(len(part.questions) for part in asked):
            return None
        ends = len(asked[0].questions)
        votes = self._votes(asked[0], answers[:ends], q[:ends])
        for part in asked[1:]:
            votes += self._votes(part, answers[ends:], q[ends:])
        return submission(ranked(votes), self._sent[name])

    def _votes(self, asked: Asked, answers: Tokens, q: NDArray[np.float64]) -> list[Vote]:
        return [
            Vote(question, self.images.undone(crop(answer), int(identifier)), float(sure))
            for question, identifier, answer, sure in zip(
                asked.questions, asked.split.puzzle_identifiers, answers, q, strict=True
            )
        ]

    def show(self, tokens: Tokens, given: Tokens | None = None) -> str:
        """Digits, 0 as a dot; the end and what is behind it are left out."""
        grid = crop(tokens, *origin(tokens))
        return "\n".join("".join(_SIGNS[colour] for colour in row) for row in grid) or "(nothing)"

    def painted(self, tokens: Tokens, given: Tokens | None = None) -> Painting:
        """Its colours; a nought where there is no grid."""
        grid = crop(tokens, *origin(tokens))
        cells = tuple(Look(fill=PALETTE[colour]) for colour in grid.ravel())
        return Painting(grid.shape, cells) if cells else Painting((1, 1), (Look("∅"),))

    def parse(self, text: str) -> Tokens:
        """Rows of digits, each on a line of its own; a dot is 0.

        Raises:
            UserError: the text is no grid.
        """
        rows = [
            line.replace(" ", "").replace(".", "0") for line in text.split("\n") if line.strip()
        ]
        if not rows or len({len(row) for row in rows}) > 1 or max(len(rows), len(rows[0])) > SIDE:
            raise UserError("puzzle", text, f"needs rows of one length, at most {SIDE} by {SIDE}")
        if not all(row.isascii() and row.isdigit() for row in rows):
            raise UserError("puzzle", text, "needs digits, or dots for 0")
        return encode(np.array([[int(cell) for cell in row] for row in rows], dtype=np.uint8))


def _pairs_of(inputs: Tokens, labels: Tokens) -> list[tuple[Grid, Grid]]:
    """The grids of rows of tokens."""
    places = [origin(one) for one in inputs]
    return [
        (crop(one, *place), crop(two, *place))
        for one, two, place in zip(inputs, labels, places, strict=True)
    ]
