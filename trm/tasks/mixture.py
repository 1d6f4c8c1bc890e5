"""Several tasks trained as one model, so that a curriculum can drive the mix of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, SerializeAsAny, field_validator

from curricula.component import SectionIn, shown
from trm.errors import UserError
from trm.tasks.base import IGNORE, Progress, Split, SplitName, Task, TaskConfig, Tokens
from trm.tasks.cache import SPLITS, data_hash
from trm.tasks.disjoint import disjoint
from trm.tasks.interleaving import interleaved
from trm.tasks.picture import Painting
from trm.tasks.placement import Place, placed
from trm.tasks.token_file import holds_tokens, read_split


def _tasks() -> Mapping[str, type[TaskConfig]]:
    from trm.tasks import TASKS

    return TASKS


def _no_mixture(section: Any) -> Any:
    name = section.get("name") if isinstance(section, Mapping) else section
    kind = _tasks().get(name, TaskConfig) if isinstance(name, str) else type(section)
    if issubclass(kind, MixtureConfig):
        raise ValueError("a mixture cannot hold a mixture: list its tasks here instead")
    return section


AnyChild = SerializeAsAny[Annotated[TaskConfig, SectionIn(_tasks), BeforeValidator(_no_mixture)]]


class MixtureConfig(TaskConfig):
    """Several tasks, or several sizes or sources of one, trained as one model.

    Attributes:
        tasks: two or more task sections by name. The names are the sources, whose mix
            `curriculum.sources` drives; without it training sees each as often as it has examples.
    """

    judged_by = "its tasks"
    augmentation = "augmented as its tasks are"
    name: Literal["mixture"] = "mixture"
    tasks: dict[str, AnyChild]

    @field_validator("tasks", mode="before")
    @classmethod
    def _several(cls, tasks: Any) -> Any:
        if not isinstance(tasks, Mapping):
            raise ValueError(f"{shown(tasks)} must be task sections by name")
        if len(tasks) < 2:
            raise ValueError(f"holds {len(tasks)} task(s): give two or more, or no mixture")
        return tasks

    def build(self, cache: Path | None = None, progress: Progress | None = None) -> Task:
        """Make every task's data, each through the cache of its own.

        Raises:
            UserError: a task has no data, or two cannot be told apart by their rows.
        """
        return MixtureTask(
            {name: _built(name, task, cache, progress) for name, task in self.tasks.items()}
        )


class MixtureTask(Task):
    """The examples of several tasks, in the tokens and cells of one model.

    Tokens: 0 is padding for all. Tasks of one class that mean the same by their tokens (Arrows of
    any size; Sudoku of one box shape) share them; all others have ranges of their own, so that an
    answer of one is never an answer of another. A token of another range counts as padding.

    Cells: each grid stands in the top left corner of the smallest grid that holds all, so that
    neighbours are equally far apart in every task, and the sequence is as long as the largest grid
    (where a task is no grid, each is a line from the start, as long as the longest). The rest is
    padding in inputs and `IGNORE` in labels.

    Which task a row is of follows from its tokens and then from how many cells are filled. Tasks
    that this does not tell apart have the same rules, grid and augmentation, so any of them will
    do; whatever would break this is refused. The model can tell them apart: each has rows of the
    puzzle embedding of its own. A puzzle that comes from no split gets those of the first.

    Splits: each is that of all tasks, in their own proportion from its first example on. No puzzle
    of one split is a symmetric image of another split's (as far as the tasks' own keys tell): what
    another task with the same rules holds out for `test` is left out of `valid`, and what it holds
    out for either is left out of `train`. Tasks with other rules have no puzzles in common. Within
    a split, tasks with the same rules may share puzzles.

    Difficulty is each task's own. Units need not agree: examples are ranked within their source.

    Nothing lies beyond its range: what is beyond one task's may be within another's.

    The floor is the tasks' mean, weighted by their share of `valid`, as the score itself is.
    """

    name = "mixture"
    reads_what_it_shows = False  # the first task that takes the text may be another

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        self._tasks = dict(tasks)
        self._placement = placed(tasks)
        self.sources = tuple(tasks)
        self.vocab_size = self._placement.vocab_size
        self.seq_len = self._placement.row
        self.grid_shape = self._placement.grid
        counts = [task.num_puzzle_identifiers for task in tasks.values()]
        begins = np.cumsum([0, *counts]).tolist()
        self.num_puzzle_identifiers = begins[-1]
        self._first_identifier = dict(zip(tasks, begins, strict=False))
        self._splits, self._source_of = self._mixed()
        valid = np.bincount(self._source_of["valid"], minlength=len(tasks))
        floors = [task.floor for task in tasks.values()]
        self.floor = float(np.average(floors, weights=valid))
        self.augments = any(task.augments for task in tasks.values())
        self.many_answers = any(task.many_answers for task in tasks.values())

    def split(self, name: SplitName) -> Split:
        return self._splits[name]

    def source_of(self, name: SplitName) -> NDArray[np.int32]:
        return self._source_of[name]

    def identify(self, inputs: Tokens) -> Tokens:
        identifiers = np.zeros(len(inputs), dtype=np.int32)
        for place, rows in self._placement.split(inputs):
            own = place.task.identify(place.lower(inputs[rows]))
            identifiers[rows] = own + self._first_identifier[place.names[0]]
        return identifiers

    def symmetry_keys(self, inputs: Tokens, labels: Tokens) -> list[bytes]:
        keys = [b""] * len(inputs)
        for index, (place, rows) in enumerate(self._placement.split(inputs)):
            own = place.task.symmetry_keys(place.lower(inputs[rows]), place.lower(labels[rows]))
            for row, key in zip(rows, own, strict=True):
                keys[row] = b"%d:" % index + key
        return keys

    def augment(
        self, inputs: Tokens, labels: Tokens, rng: np.random.Generator
    ) -> tuple[Tokens, Tokens]:
        if not self.augments:
            return inputs, labels
        inputs, labels = inputs.copy(), labels.copy()
        for place, rows in self._placement.split(inputs):
            own = place.task.augment(place.lower(inputs[rows]), place.lower(labels[rows]), rng)
            inputs[rows], labels[rows] = place.lift(own[0]), place.lift(own[1], IGNORE)
        return inputs, labels

    def verify(self, inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        right = np.zeros(len(inputs), dtype=np.bool_)
        for place, rows in self._placement.split(inputs):
            right[rows] = place.task.verify(place.lower(inputs[rows]), place.lower(answers[rows]))
        return right

    def right(self, inputs: Tokens, labels: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        right = np.zeros(len(inputs), dtype=np.bool_)
        for place, rows in self._placement.split(inputs):
            own = (place.lower(tokens[rows]) for tokens in (inputs, labels, answers))
            right[rows] = place.task.right(*own)
        return right

    def difficulty_of(self, inputs: Tokens, labels: Tokens) -> NDArray[np.float32] | None:
        """None if it is so for any of the rows."""
        measured = np.zeros(len(inputs), dtype=np.float32)
        for place, rows in self._placement.split(inputs):
            own = place.task.difficulty_of(place.lower(inputs[rows]), place.lower(labels[rows]))
            if own is None:
                return None
            measured[rows] = own
        return measured

    def unknown(self, inputs: Tokens) -> NDArray[np.bool_]:
        unknown = np.zeros(inputs.shape, dtype=np.bool_)
        for place, rows in self._placement.split(inputs):
            unknown[np.ix_(rows, place.cells)] = place.task.unknown(place.lower(inputs[rows]))
        return unknown

    def parse(self, text: str) -> Tokens:
        """A puzzle as the first task has it that takes the text, in the order of the config."""
        refusals = []
        for place in self._placement.places:
            try:
                return place.lift(place.task.parse(text))
            except UserError as error:
                refusals.append(f"{_names(place)}: {str(error).removeprefix('puzzle: ')}")
        raise UserError(f"puzzle: no source takes it: {'; '.join(refusals)}")

    def read(
        self,
        path: Path,
        *,
        examples: int | None = None,
        cache: Path | None = None,
        progress: Progress | None = None,
    ) -> Split:
        """Puzzles of a file, which exactly one of the tasks must be able to read.

        What `trm tasks --write` wrote of the mixture is in its own tokens.

        Raises:
            UserError: none reads it; or several do, and they would not mean the same by it.
        """
        if holds_tokens(path):
            return read_split(path, self, examples)

        def read_by(task: Task) -> Split:
            return task.read(path, examples=examples, cache=cache, progress=progress)

        able = [p for p in self._placement.places if type(p.task).read is not Task.read]
        if not able:
            raise UserError(f"{path}: none of the sources reads files: {', '.join(self.sources)}")
        if len(able) == 1:
            return self._lifted(read_by(able[0].task), able[0].names[0])
        found, refusals = [], []
        for place in able:
            try:
                found.append((place, read_by(place.task)))
            except UserError as error:
                reason = str(error).removeprefix(f"{path}: ")
                refusals.append(f"{_names(place)}: {reason}")
        if not found:
            raise UserError(f"{path}: no source reads it: {'; '.join(refusals)}")
        if len(found) > 1:
            readers = " and ".join(_names(place) for place, _ in found)
            raise UserError(f"{path}: {readers} read it differently: give a file of one of them")
        return self._lifted(found[0][1], found[0][0].names[0])

    def show(self, tokens: Tokens, given: Tokens | None = None) -> str:
        row = tokens if given is None else given
        place = self._placement.places[int(self._placement.of(row[None])[0])]
        return place.task.show(place.lower(tokens), None if given is None else place.lower(given))

    def painted(self, tokens: Tokens, given: Tokens | None = None) -> Painting:
        row = tokens if given is None else given
        place = self._placement.places[int(self._placement.of(row[None])[0])]
        own = place.task.painted
        return own(place.lower(tokens), None if given is None else place.lower(given))

    @cached_property
    def data_hash(self) -> str:
        text = f"{self.sources}\n{data_hash(self._splits)}"
        for name in SPLITS:
            text += hashlib.sha256(self._source_of[name].tobytes()).hexdigest()
        return hashlib.sha256(text.encode()).hexdigest()

    def _mixed(self) -> tuple[dict[SplitName, Split], dict[SplitName, NDArray[np.int32]]]:
        kept = {}
        for place in self._placement.places:
            kept.update(disjoint({name: self._tasks[name] for name in place.names}))
        splits, source_of = {}, {}
        for split in SPLITS:
            parts = [
                self._lifted(task.split(split).take(kept[name][split]), name)
                for name, task in self._tasks.items()
            ]
            order, sources = interleaved([len(part) for part in parts])
            whole = Split(
                np.concatenate([part.inputs for part in parts]),
                np.concatenate([part.labels for part in parts]),
                np.concatenate([part.difficulty for part in parts]),
                np.concatenate([part.puzzle_identifiers for part in parts]),
            )
            splits[split], source_of[split] = whole.take(order), sources
        return splits, source_of

    def _lifted(self, split: Split, name: str) -> Split:
        place = self._placement[name]
        identifiers = split.puzzle_identifiers + np.int32(self._first_identifier[name])
        return Split(
            place.lift(split.inputs), place.lift(split.labels, IGNORE), split.difficulty,
            identifiers,
        )  # fmt: skip


def _built(name: str, task: TaskConfig, cache: Path | None, progress: Progress | None) -> Task:
    """One task, its progress and errors with its name."""

    def told(what: str, share: float) -> None:
        assert progress is not None
        progress(f"{name}: {what}", share)

    try:
        return task.build(cache, None if progress is None else told)
    except UserError as error:
        if not str(error).startswith("task."):
            raise
        raise UserError(f"task.tasks.{name}.{str(error).removeprefix('task.')}") from error


def _names(place: Place) -> str:
    return ", ".join(place.names)
