"""From the rows of files to the arrays of a task: vocabulary, layout, splits, then the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm.errors import UserError
from trm.tasks.base import IGNORE, Progress, SplitName
from trm.tasks.cache import SPLITS
from trm.tasks.data.complaints import Complaints, brief
from trm.tasks.data.gather import Gathered
from trm.tasks.data.layout import Align, Layout, Rows, laid_out, layout_of
from trm.tasks.data.splits import NOWHERE, Leaks, assigned, row_hashes, together
from trm.tasks.data.store import Writer
from trm.tasks.data.vocabulary import Vocabulary, in_order

MOST_TOKENS = 65_536
"""Of a vocabulary: data with more are measurements, not tokens."""
NUMBER_IGNORED = str(IGNORE)
"""In labels that are numbers, this one means an ignored cell unless the config says otherwise."""


@dataclass(frozen=True)
class Wanted:
    """What a config asks of its data; the keys of `DataConfig` say what each means."""

    vocabulary: tuple[str, ...] | None = None
    padding: str = ""
    ignore: str | None = None
    align: Align = "left"
    grid: tuple[int, int] | None = None
    length: int | None = None
    sizes: dict[SplitName, int | None] = field(default_factory=lambda: dict.fromkeys(SPLITS, None))
    leaks: Leaks = "error"
    difficulty: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class Understood:
    """What the rows were understood as.

    Attributes:
        vocabulary: the tokens.
        layout: of every example.
        split: the index of each row's split, -1 for none, int8 `[n]`.
        hashes: of the inputs, uint64 `[n]`.
        difficulty: float32 `[n]`.
        measure: what the difficulty is.
        equal: rows whose input an earlier row has.
        several: inputs that have more than one label.
    """

    vocabulary: Vocabulary
    layout: Layout
    split: NDArray[np.int8]
    hashes: NDArray[np.uint64]
    difficulty: NDArray[np.float32]
    measure: str
    equal: int
    several: int


def vocabulary_of(gathered: Gathered, wanted: Wanted) -> Vocabulary:
    """The tokens of the files, or those of the config; of a reference folder as they are."""
    if gathered.puzzle is not None:
        return Vocabulary(
            tuple(gathered.names[1:-1]), gathered.names[0], gathered.names[-1], pad_counts=True
        )
    ignore = wanted.ignore
    if ignore is None:
        numbers = Vocabulary(in_order(gathered.names)).are_numbers
        ignore = NUMBER_IGNORED if numbers else ""
    if wanted.vocabulary is not None:
        return Vocabulary(wanted.vocabulary, wanted.padding, ignore)
    names = [name for name in gathered.names if name not in (wanted.padding, ignore)]
    if len(names) > MOST_TOKENS:
        some = ", ".join(brief(name) for name in names[:3])
        raise UserError(
            f"{gathered.where(0)}: the cells hold {len(names):,} different tokens such as {some}, "
            f"and {MOST_TOKENS:,} is the most: are they numbers that should be written in digits?"
        )
    if not names:
        raise UserError(f"{gathered.where(0)}: no row holds a token that is not padding")
    return Vocabulary(in_order(names), wanted.padding, ignore)


def understand(
    gathered: Gathered,
    wanted: Wanted,
    complaints: Complaints,
    progress: Progress | None = None,
) -> Understood:
    """Find out all that the arrays depend on.

    Raises:
        UserError: the splits cannot be had; or as `complaints`.
    """
    vocabulary = vocabulary_of(gathered, wanted)
    layout = layout_of(gathered, wanted.align, wanted.grid, wanted.length, complaints)
    count = len(gathered)
    hashes, good = np.zeros(count, dtype=np.uint64), np.ones(count, dtype=bool)
    answers = np.zeros(count, dtype=np.uint64)
    measure = _measure(gathered, wanted)
    difficulty = np.zeros(count, dtype=np.float32)
    for rows in laid_out(gathered, layout, vocabulary, complaints):
        hashes[rows.at], good[rows.at] = row_hashes(rows.inputs), rows.good
        answers[rows.at] = row_hashes(rows.labels)
        difficulty[rows.at] = _difficulty(rows, measure)
        if progress is not None:
            progress("looking at rows", rows.at.stop / count)
    if gathered.difficulty is not None and measure == "given":
        difficulty = gathered.difficulty
    if not good.any():
        raise UserError(f"{gathered.sources[0].path}: holds no valid example: mend its rows")

    def leak(index: int, held: int) -> None:
        one, other = int(kept[index]), int(kept[held])
        drawn = gathered.draws_valid and SPLITS[gathered.split[other]] == "valid"
        if drawn and SPLITS[gathered.split[one]] == "train":
            return  # it is simply left out of what is trained on
        same = "equal inputs" if hashes[one] == hashes[other] else "one group"
        here, there = (SPLITS[gathered.split[k]] for k in (one, other))
        first, second = gathered.where(one), gathered.where(other)
        complaints.say(
            f"{first} ({here}) and {second} ({there}) are of {same}: take one away, or set "
            f"task.leaks: drop, which leaves the {here} row out"
        )

    kept = np.flatnonzero(good)
    group = None if gathered.group is None else gathered.group[kept]
    sets = together(hashes[kept], group)
    split = np.full(count, NOWHERE, dtype=np.int8)
    split[kept] = assigned(
        gathered.split[kept], sets, wanted.sizes, wanted.seed, wanted.leaks, leak
    )
    equal, several = _repeats(hashes[kept], answers[kept])
    return Understood(vocabulary, layout, split, hashes, difficulty, measure, equal, several)


def _repeats(hashes: NDArray[np.uint64], answers: NDArray[np.uint64]) -> tuple[int, int]:
    """How many rows repeat an input, and how many inputs have more than one label."""
    order = np.lexsort((answers, hashes))
    hashes, answers = hashes[order], answers[order]
    same = hashes[1:] == hashes[:-1]
    other = same & (answers[1:] != answers[:-1])
    return int(same.sum()), len(np.unique(hashes[1:][other]))


def _measure(gathered: Gathered, wanted: Wanted) -> str:
    if wanted.difficulty is not None:
        return wanted.difficulty
    if gathered.difficulty is not None:
        return "given"
    lengths = gathered.flat["inputs"].lengths
    return "length" if lengths.min() < lengths.max() else "changed"


def _difficulty(rows: Rows, measure: str) -> NDArray[np.float32]:
    if measure == "length":
        return np.asarray((rows.inputs > 0).sum(axis=1), dtype=np.float32)
    changed = (rows.labels != IGNORE) & (rows.labels != rows.inputs)
    return np.asarray(changed.sum(axis=1), dtype=np.float32)


def write_arrays(
    writer: Writer, gathered: Gathered, found: Understood, progress: Progress | None = None
) -> dict[str, Any]:
    """Fill the store with the splits; gives what goes with them."""
    length, drafts = found.layout.length, "draft" in gathered.flat
    size = {k: int((found.split == k).sum()) for k in range(len(SPLITS))}
    place = np.zeros(len(gathered), dtype=np.int64)
    cells: dict[int, list[NDArray[Any]]] = {}
    for k, name in enumerate(SPLITS):
        here = np.flatnonzero(found.split == k)
        place[here] = np.arange(len(here))
        fields = ("inputs", "labels", "draft") if drafts else ("inputs", "labels")
        cells[k] = [writer.array(f"{name}.{f}", np.int32, (size[k], length)) for f in fields]
        writer.save(f"{name}.difficulty", found.difficulty[here])
        kinds = np.zeros(len(here), np.int32)
        if gathered.identifier is not None:
            kinds = gathered.identifier[here] + 1
        writer.save(f"{name}.puzzle_identifiers", kinds.astype(np.int32))
        if gathered.puzzle is not None and gathered.group is not None:
            writer.save(f"{name}.puzzle", gathered.puzzle[here])
            writer.save(f"{name}.group", gathered.group[here])
        order = np.argsort(found.hashes[here], kind="stable")
        writer.save(f"{name}.index_hashes", found.hashes[here][order])
        writer.save(f"{name}.index_rows", order.astype(np.int64))
    for rows in laid_out(gathered, found.layout, found.vocabulary, Complaints(collect=True)):
        parts = [rows.inputs, rows.labels, *([] if rows.draft is None else [rows.draft])]
        for k, arrays in cells.items():
            chosen = np.flatnonzero(found.split[rows.at] == k)
            where = place[rows.at][chosen]
            if len(where):  # rows keep their order, so a split's are one stretch
                for array, part in zip(arrays, parts, strict=True):
                    array[where[0] : where[-1] + 1] = part[chosen]
        if progress is not None:
            progress("writing arrays", rows.at.stop / len(gathered))
    return about(gathered, found)


def about(gathered: Gathered, found: Understood) -> dict[str, Any]:
    """What goes with the arrays, as JSON values."""
    layout, vocabulary = found.layout, found.vocabulary
    return {
        "names": list(vocabulary.names), "padding": vocabulary.padding,
        "ignore": vocabulary.ignore, "align": layout.align, "length": layout.length,
        "behind": layout.behind, "grid": list(layout.grid), "separator": gathered.separator,
        "texts": gathered.texts, "identifiers": gathered.identifiers, "measure": found.measure,
        "several": found.several,
        "pad_counts": vocabulary.pad_counts,
    }  # fmt: skip


def refuse_vocabulary(names: tuple[str, ...], padding: str, ignore: str) -> None:
    """
    Raises:
        ValueError: names that cannot be a vocabulary.
    """
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"vocabulary holds {brief(twice)} twice: remove one")
    for key, name in (("padding", padding), ("ignore", ignore)):
        if name and name in names:
            raise ValueError(f"vocabulary holds {brief(name)}, which is {key}: remove it there")
    if padding and padding == ignore:
        raise ValueError(f"padding and ignore are both {brief(padding)}: padding alone will do")
