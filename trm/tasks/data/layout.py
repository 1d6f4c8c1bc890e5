"""Where the cells of an example stand in its sequence: lengths, alignment and grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trm.errors import UserError
from trm.tasks.base import IGNORE, Tokens
from trm.tasks.data.complaints import Complaints, brief
from trm.tasks.data.gather import Gathered
from trm.tasks.data.vocabulary import IGNORED, UNKNOWN, Vocabulary, place_tokens

Align = Literal["left", "right", "after"]


@dataclass(frozen=True)
class Layout:
    """The cells of every example of a task.

    Attributes:
        align: `left`: label cell i is for input cell i; `right`: the last is for the last; `after`:
            labels stand in cells of their own, behind those of the longest input.
        length: cells of an example.
        behind: with `after`, where labels begin.
        grid: rows and columns.
    """

    align: Align
    length: int
    behind: int
    grid: tuple[int, int]

    def starts(self, lengths: NDArray[np.int64], *, labels: bool) -> NDArray[np.int64]:
        """Where cells of these lengths begin."""
        if self.align == "right":
            return self.length - lengths
        begin = self.behind if labels and self.align == "after" else 0
        return np.full(len(lengths), begin, dtype=np.int64)

    def room(self, *, labels: bool) -> int:
        """The most cells that inputs or labels may have."""
        if self.align != "after":
            return self.length
        return self.length - self.behind if labels else self.behind


@dataclass(frozen=True)
class Rows:
    """Some examples, as rows `[k, length]`.

    Attributes:
        at: which of all.
        inputs: tokens, 0 is padding.
        labels: tokens, or `IGNORE`.
        draft: tokens, aligned as the labels; None where there are none.
        good: which are examples at all.
    """

    at: slice
    inputs: Tokens
    labels: Tokens
    draft: Tokens | None
    good: NDArray[np.bool_]


def layout_of(
    gathered: Gathered,
    align: Align,
    grid: tuple[int, int] | None,
    length: int | None,
    complaints: Complaints,
) -> Layout:
    """The layout in which all examples fit.

    Raises:
        UserError: as `complaints`, of an example that does not fit.
    """
    inputs, labels = (gathered.flat[name].lengths for name in ("inputs", "labels"))
    longest_input, longest_label = int(inputs.max()), int(labels.max())
    behind = longest_input if align == "after" else 0
    needed = behind + longest_label if align == "after" else max(longest_input, longest_label)
    if grid is None:
        found = length or needed
        shape = (1, found)
    else:
        found, shape = grid[0] * grid[1], grid
    if align == "after" and found > needed:
        behind = found - longest_label
    layout = Layout(align, found, behind, shape)
    if needed > found and behind + 1 > found:
        raise UserError(
            f"task.{'grid' if grid else 'length'}", list(grid) if grid else length,
            f"has {found} cells, and inputs with labels after them need {needed}",
        )  # fmt: skip
    refuse_long(gathered, layout, complaints)
    if grid is not None and align != "after":
        for k in np.flatnonzero((inputs != found) & (inputs <= found)):
            path, row = gathered.place(int(k))
            complaints.row(
                path, row, "inputs",
                f"has {inputs[k]} cells, and task.grid {list(grid)} has {found}: give as many",
            )  # fmt: skip
    return layout


def refuse_long(gathered: Gathered, layout: Layout, complaints: Complaints) -> None:
    """Complain of every example that has more cells than there is room for."""
    for name, flat in gathered.flat.items():
        room = layout.room(labels=name != "inputs")
        for k in np.flatnonzero(flat.lengths > room):
            path, row = gathered.place(int(k))
            what = f"has {flat.lengths[k]} cells, and there is room for {room}: shorten it"
            complaints.row(path, row, name, what)


def laid_out(
    gathered: Gathered, layout: Layout, vocabulary: Vocabulary, complaints: Complaints
) -> Iterator[Rows]:
    """All examples as tokens, in chunks; those that are none are marked.

    Raises:
        UserError: as `complaints`, of a token that is not in the vocabulary, of inputs with ignored
            cells and of labels without a cell that counts.
    """
    as_input = vocabulary.numbers(gathered.names, labels=False)
    as_label = vocabulary.numbers(gathered.names, labels=True)
    streams = {name: flat.chunks() for name, flat in gathered.flat.items()}
    for at, values, lengths in streams["inputs"]:
        good = np.ones(len(lengths), dtype=bool)
        found: dict[str, Tokens] = {}
        for name in streams:
            if name != "inputs":
                _, values, lengths = next(streams[name])
            meant = (as_input if name == "inputs" else as_label)[values]
            _refuse_unknown(gathered, name, at.start, values, lengths, meant, good, complaints)
            room = layout.room(labels=name != "inputs")
            if (lengths > room).any():  # complained of before
                good &= lengths <= room
                kept = np.repeat(lengths <= room, lengths)
                meant, lengths = meant[kept], np.where(lengths <= room, lengths, 0)
            starts = layout.starts(lengths, labels=name != "inputs")
            fill = 0 if name == "inputs" else IGNORE
            found[name] = place_tokens(meant, lengths, starts, layout.length, fill)
        counted = (found["labels"] != IGNORE).any(axis=1)
        for k in np.flatnonzero(good & ~counted):
            path, row = gathered.place(at.start + int(k))
            complaints.row(path, row, "labels", "holds padding alone: give it a cell that counts")
        yield Rows(at, found["inputs"], found["labels"], found.get("draft"), good & counted)


def _refuse_unknown(
    gathered: Gathered,
    name: str,
    begin: int,
    values: NDArray[np.int32],
    lengths: NDArray[np.int64],
    meant: NDArray[np.int32],
    good: NDArray[np.bool_],
    complaints: Complaints,
) -> None:
    wrong = np.flatnonzero((meant == UNKNOWN) | (meant == IGNORED))
    if not len(wrong):
        return
    rows = np.searchsorted(np.cumsum(lengths), wrong, side="right")
    for row, place in zip(*np.unique(rows, return_index=True), strict=True):
        if not good[row]:
            continue
        good[row] = False
        token = gathered.names[values[wrong[place]]]
        path, number = gathered.place(begin + int(row))
        if meant[wrong[place]] == IGNORED:
            what = f"holds {brief(token)}, which marks ignored cells of labels: remove it"
        else:
            what = f"holds the unknown token {brief(token)}: mend it, or add it to task.vocabulary"
        complaints.row(path, number, name, what)
