"""How several tasks share one model's vocabulary and cells, and how to tell their rows apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trm.errors import UserError
from trm.tasks.base import IGNORE, Task, Tokens
from trm.tasks.cache import SPLITS


@dataclass(frozen=True)
class Place:
    """A task's range of the shared tokens and its cells of the shared row.

    Attributes:
        task: one of the tasks that stand here; they have the same rules.
        names: what those tasks are called.
        base: is added to its tokens, except to 0, which is padding for all.
        cells: where each of its cells stands in a shared row, `[seq_len of the task]`.
        row: cells of a shared row.
    """

    task: Task
    names: tuple[str, ...]
    base: int
    cells: NDArray[np.intp]
    row: int

    def lift(self, tokens: Tokens, padding: int = 0) -> Tokens:
        """The task's tokens `[..., cells]` as shared ones `[..., row]`; labels keep `IGNORE`."""
        lifted = np.full((*tokens.shape[:-1], self.row), padding, dtype=np.int32)
        lifted[..., self.cells] = np.where(tokens > 0, tokens + self.base, tokens)
        return lifted

    def lower(self, tokens: Tokens) -> Tokens:
        """Shared tokens `[..., row]` as the task's `[..., cells]`, others' tokens as padding."""
        shared = tokens[..., self.cells]
        own = shared - self.base
        known = np.where((own > 0) & (own < self.task.vocab_size), own, 0)
        return np.where(shared == IGNORE, IGNORE, known).astype(np.int32)


@dataclass(frozen=True)
class Placement:
    """The places of several tasks, as few as there are rules.

    Attributes:
        places: one for all tasks that have the same rules.
        index: the place of each task, by name.
        vocab_size: tokens of all, padding included.
        grid: rows and columns of the shared grid.
        row: cells of a shared row.
    """

    places: tuple[Place, ...]
    index: Mapping[str, int]
    vocab_size: int
    grid: tuple[int, int]
    row: int

    def __getitem__(self, name: str) -> Place:
        return self.places[self.index[name]]

    def of(self, inputs: Tokens) -> NDArray[np.intp]:
        """The index in `places` of each input row `[n, row]`: its tokens say which, then its size.

        A row that fills none of the sizes exactly goes to the smallest that holds it.
        """
        highest, filled = inputs.max(axis=1), (inputs > 0).sum(axis=1)
        found = np.zeros(len(inputs), dtype=np.intp)
        for index in sorted(range(len(self.places)), key=lambda i: -len(self.places[i].cells)):
            place = self.places[index]
            within = (highest > place.base) & (highest < place.base + place.task.vocab_size)
            found[within & (filled <= len(place.cells))] = index
        return found

    def split(self, inputs: Tokens) -> Iterator[tuple[Place, NDArray[np.intp]]]:
        """Each place that occurs among input rows `[n, row]`, with the rows that belong to it."""
        found = self.of(inputs)
        for index, place in enumerate(self.places):
            (rows,) = np.nonzero(found == index)
            if len(rows):
                yield place, rows


def placed(tasks: Mapping[str, Task]) -> Placement:
    """Give each task its tokens and cells.

    Raises:
        UserError: two of them could not be told apart by their rows although they differ, or one
            uses the token 0 where that must mean padding.
    """
    grid, row, cells = _layout(tasks)
    bases: dict[_Vocabulary, int] = {}
    members: dict[tuple[_Vocabulary, int], list[str]] = {}
    vocab_size = 1
    for name, task in tasks.items():
        vocabulary = _vocabulary(name, task)
        if vocabulary not in bases:
            bases[vocabulary] = vocab_size - 1
            vocab_size += task.vocab_size - 1
        _require_padding_free(name, task, _sizes(tasks, vocabulary) > 1)
        members.setdefault((vocabulary, task.seq_len), []).append(name)
    places: list[Place] = []
    index: dict[str, int] = {}
    for (vocabulary, _), names in members.items():
        first = tasks[names[0]]
        _require_alike(tasks, names)
        index.update(dict.fromkeys(names, len(places)))
        places.append(Place(first, tuple(names), bases[vocabulary], cells[names[0]], row))
    return Placement(tuple(places), index, vocab_size, grid, row)


_Vocabulary = tuple[type[Task], str, bool, int]


def _vocabulary(name: str, task: Task) -> _Vocabulary:
    shared = task.vocabulary is not None
    return type(task), task.vocabulary or name, shared, task.vocab_size


def _sizes(tasks: Mapping[str, Task], vocabulary: _Vocabulary) -> int:
    """How many sizes of puzzle occur in a vocabulary."""
    return len({t.seq_len for name, t in tasks.items() if _vocabulary(name, t) == vocabulary})


def _layout(
    tasks: Mapping[str, Task],
) -> tuple[tuple[int, int], int, dict[str, NDArray[np.intp]]]:
    """The shared grid, the cells of a shared row, and where each task's cells stand in it."""
    shapes = {name: task.grid_shape for name, task in tasks.items()}
    if any(task.seq_len != shapes[name][0] * shapes[name][1] for name, task in tasks.items()):
        longest = max(tasks.values(), key=lambda task: task.seq_len)
        lines = {name: np.arange(task.seq_len) for name, task in tasks.items()}
        return longest.grid_shape, longest.seq_len, lines
    rows, columns = max(r for r, _ in shapes.values()), max(c for _, c in shapes.values())
    grid = np.arange(rows * columns).reshape(rows, columns)
    corners = {name: grid[:r, :c].ravel() for name, (r, c) in shapes.items()}
    return (rows, columns), rows * columns, corners


def _require_alike(tasks: Mapping[str, Task], names: list[str]) -> None:
    first = tasks[names[0]]
    for name in names[1:]:
        for what in ("grid_shape", "augments"):
            if getattr(tasks[name], what) != getattr(first, what):
                key = "augment" if what == "augments" else "size"
                raise UserError(
                    f"task.tasks.{name}: its puzzles look like those of {names[0]} but differ in "
                    f"{key}: give both the same {key}"
                )


def _require_padding_free(name: str, task: Task, sized: bool) -> None:
    for split in map(task.split, SPLITS):
        if (split.labels == 0).any() or (sized and (split.inputs == 0).any()):
            raise UserError(
                f"task.tasks.{name}: its data holds the token 0, which is padding in a mixture: "
                f"let the task {task.name} count its tokens from 1"
            )
