"""A task of a user's own data: its config section and its data."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from curricula.limits import MOST_EXAMPLES, MOST_SEED
from trm.errors import UserError
from trm.files.paths import home_path
from trm.tasks.base import IGNORE, Progress, Split, SplitName, Task, TaskConfig, Tokens
from trm.tasks.data.answers import (
    Labelled,
    Verifier,
    asked,
    equal_a_label,
    first_label,
    identifiers_of,
    labelled,
    load_verifier,
    verifier_module,
)
from trm.tasks.data.arrange import (
    Wanted,
    refuse_vocabulary,
    understand,
    write_arrays,
)
from trm.tasks.data.cells import Lexicon, encode
from trm.tasks.data.complaints import Complaints, brief
from trm.tasks.data.files import signature, sources_of
from trm.tasks.data.gather import Gathered, gather
from trm.tasks.data.layout import Align, Layout, laid_out, refuse_long
from trm.tasks.data.reference_folder import (
    epoch_order,
    gather_reference,
    is_reference_folder,
    level_runs,
    reference_files,
)
from trm.tasks.data.splits import Leaks, row_hashes
from trm.tasks.data.store import Stored, Writer, stored
from trm.tasks.data.tables import ALIASES
from trm.tasks.data.vocabulary import Vocabulary

DATA_VERSION = 2
"""Part of the store's key: raise it when the same config gives other arrays."""


class DataConfig(TaskConfig):
    """Your own data: inputs with their labels, from a file or a folder.

    Files are Parquet, CSV or TSV, JSON Lines, npz, npy; columns are `inputs`, `labels` and maybe
    `difficulty`, `draft`, `puzzle_identifier`, `group`, `split`. A cell is a list of numbers or
    words, a text of single characters, or a text of words with a separator.

    Attributes:
        file: a file, or a folder of files, maybe named train, valid and test; `~` is the home
            folder, a relative path starts at the working directory or,
            where nothing is there, beside the YAML file.
        columns: what columns are called in the file, by the names above.
        separator: what stands between the words of a text; empty: each character is a token; null
            finds out.
        vocabulary: the tokens, in their order, as a list or a text of characters; any other is an
            error. null takes those of the data: numbers by value, then words by their characters.
        padding: a token of the file that is padding: its labels do not count.
        ignore: a token that stands in labels where a cell does not count; null is -100 where all
            are numbers.
        align: which input cell a label cell is for, where their numbers differ: `left` counts from
            the first, `right` from the last, `after` puts labels into cells of their own behind
            the longest input.
        grid: rows and columns of an example, for its display and for positions in two dimensions.
        length: cells of an example; null is as many as the longest has.
        train_examples: null is all that there are.
        valid_examples: null is all that are given, or a tenth of what can be held out, at most
            1,000.
        test_examples: as valid_examples.
        leaks: what happens to an example of a given split whose input or group a later one has (of
            train, valid, test): `error`, or `drop`, which leaves it out.
        difficulty: `given` by the column, `length` of the input, or cells `changed` by the label;
            null is the first of them that says something.
        verifier: `module:function` that takes an input and an answer, as the file has them, and
            says whether it is right; found as plug-ins are. null: an answer equals a label.
        seed: draws the splits that are not given.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "same.csv")
    ...     _ = file.write_text("\\n".join(["inputs,labels", *(f"{k},{k}" for k in range(50))]))
    ...     task = DataConfig(file=str(file)).build()
    >>> task.tokens[:3], task.seq_len, len(task.split("train")), task.show(task.parse("7"))
    (('<pad>', '0', '1'), 2, 40, '7·')
    """

    judged_by = "its labels, or a function of yours"
    name: Literal["data"] = "data"
    file: str = Field(min_length=1)
    columns: dict[str, str] = Field(default_factory=dict)
    separator: str | None = None
    vocabulary: list[str | int] | str | None = None
    padding: str | int | None = None
    ignore: str | int | None = None
    align: Align = "left"
    grid: list[int] | None = Field(default=None, min_length=2, max_length=2)
    length: int | None = Field(default=None, ge=1, le=65_536)
    train_examples: int | None = Field(default=None, ge=1, le=MOST_EXAMPLES)
    valid_examples: int | None = Field(default=None, ge=1, le=MOST_EXAMPLES)
    test_examples: int | None = Field(default=None, ge=1, le=MOST_EXAMPLES)
    leaks: Leaks = "error"
    difficulty: Literal["given", "length", "changed"] | None = None
    verifier: str | None = None
    seed: int = Field(default=0, ge=0, le=MOST_SEED)

    @field_validator("columns")
    @classmethod
    def _ours(cls, columns: dict[str, str]) -> dict[str, str]:
        for name in columns:
            if name not in ALIASES:
                raise ValueError(f"{brief(name)} is no column: known: {', '.join(ALIASES)}")
        return columns

    @field_validator("verifier")
    @classmethod
    def _function(cls, verifier: str | None) -> str | None:
        if verifier is not None:
            verifier_module(verifier)
        return verifier

    @field_validator("grid")
    @classmethod
    def _shape(cls, grid: list[int] | None) -> list[int] | None:
        if grid is not None and (min(grid) < 1 or grid[0] * grid[1] > 65_536):
            raise ValueError(f"{grid} must be rows and columns of at most 65,536 cells")
        return grid

    @model_validator(mode="after")
    def _consistent(self) -> DataConfig:
        if self.grid is not None and self.length is not None:
            raise ValueError("grid and length exclude each other: a grid says how long it is")
        wanted = self.wanted
        if wanted.vocabulary is not None:
            refuse_vocabulary(wanted.vocabulary, wanted.padding, wanted.ignore or "")
        return self

    @property
    def wanted(self) -> Wanted:
        """What the config asks of its data."""
        names = None if self.vocabulary is None else tuple(map(str, self.vocabulary))
        return Wanted(
            vocabulary=names,
            padding="" if self.padding is None else str(self.padding),
            ignore=None if self.ignore is None else str(self.ignore),
            align=self.align,
            grid=None if self.grid is None else (self.grid[0], self.grid[1]),
            length=self.length,
            sizes={
                "train": self.train_examples,
                "valid": self.valid_examples,
                "test": self.test_examples,
            },
            leaks=self.leaks,
            difficulty=self.difficulty,
            seed=self.seed,
        )

    def build(self, cache: Path | None = None, progress: Progress | None = None) -> Task:
        """Read the files into memory-mapped arrays, or map those of `cache`.

        Raises:
            UserError: a file is missing, or the first row that is no example.
        """
        verifier = None if self.verifier is None else load_verifier(self.verifier)
        path = home_path(self.file, "task.file").absolute()
        key = {
            "data_version": DATA_VERSION,
            "sources": signature(files_of(path)),
            **self.model_dump(mode="json", exclude={"file", "verifier"}),
        }

        def fill(writer: Writer) -> dict[str, Any]:
            complaints = Complaints()
            gathered = gathered_of(self, complaints, writer.folder, progress)
            found = understand(gathered, wanted_of(self, gathered), complaints, progress)
            return write_arrays(writer, gathered, found, progress)

        return DataTask(stored(cache, self.name, key, fill), self, verifier)


def files_of(path: Path) -> list[tuple[Path, SplitName | None]]:
    """The files at a path on which its examples depend.

    Raises:
        UserError: there are none that are read.
    """
    if is_reference_folder(path):
        return [(file, None) for file in reference_files(path)]
    return [(file, source.split) for source in sources_of(path) for file in source.files()]


def gathered_of(
    config: DataConfig,
    complaints: Complaints,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Gathered:
    """The rows of a config's files.

    Raises:
        UserError: as `gather` and `gather_reference`.
    """
    path = home_path(config.file, "task.file").absolute()
    if is_reference_folder(path):
        held = config.valid_examples
        return gather_reference(path, complaints, held, config.seed, folder, progress)
    sources = sources_of(path)
    return gather(sources, config.columns, config.separator, complaints, folder, progress)


def wanted_of(config: DataConfig, gathered: Gathered) -> Wanted:
    """What a config asks, with what a reference folder answers: its examples are square grids."""
    wanted = config.wanted
    if gathered.puzzle is None:
        return wanted
    sizes = dict(wanted.sizes)
    if gathered.draws_valid:
        sizes["valid"] = None
    side = math.isqrt(int(gathered.flat["inputs"].lengths[0]))
    square = side * side == gathered.flat["inputs"].lengths[0] and wanted.length is None
    grid = (side, side) if wanted.grid is None and square else wanted.grid
    return replace(wanted, sizes=sizes, grid=grid)


class DataTask(Task):
    """Examples of a user's files.

    Tokens: 0 is padding, the others are those of `vocabulary_names`, in their order.

    An answer is right if the verifier says so; without one, if it equals, in all cells that count,
    the label of an example with that input, of which there may be several. Of an input that no file
    holds no answer is known to be right then.

    No two splits have equal inputs, nor members of one group.
    """

    name = "data"

    def __init__(self, data: Stored, config: DataConfig, verifier: Verifier | None = None) -> None:
        meta = data.meta
        self._data, self._config, self._verifier = data, config, verifier
        self._vocabulary = Vocabulary(
            tuple(meta["names"]), meta["padding"], meta["ignore"], meta["pad_counts"]
        )
        rows, columns = meta["grid"]
        self._layout = Layout(meta["align"], meta["length"], meta["behind"], (rows, columns))
        self.vocab_size = self._vocabulary.size
        self.seq_len = self._layout.length
        self.grid_shape = self._layout.grid
        self.symbols = self._vocabulary.symbols
        self.tokens = self._vocabulary.all_names
        self.identifiers = ("<blank>", *meta["identifiers"])
        self.num_puzzle_identifiers = len(self.identifiers)
        self.reads_what_it_shows = bool(self.symbols) and meta["texts"]
        self.many_answers = verifier is not None or meta["several"] > 0
        self._read: list[Labelled] = []

    @property
    def measure(self) -> str:
        """What the difficulty is: `given`, `length` or `changed`."""
        return str(self._data.meta["measure"])

    @cached_property
    def data_hash(self) -> str:
        """As of every task; it was worked out when the arrays were written."""
        return str(self._data.meta["data_hash"])

    @property
    def reference_folder(self) -> Path | None:
        """The folder of the reference that the examples were read from, if it is one."""
        given = home_path(self._config.file, "task.file").absolute()
        return given if "train.puzzle" in self._data.arrays else None

    def split(self, name: SplitName) -> Split:
        return self._data.splits[name]

    def draft(self, name: SplitName) -> Tokens | None:
        """First attempts at the answers of a split, int32 `[n, seq_len]`, where the data has them;
        `IGNORE` where a draft says nothing."""
        return self._data.arrays.get(f"{name}.draft")

    def levels(self, name: SplitName) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Where puzzles begin among the examples of a split, and groups among its puzzles, each
        with its end; None where the files have no such levels."""
        if f"{name}.puzzle" not in self._data.arrays:
            return None
        puzzles, groups = level_runs(name, self._data.arrays)
        return puzzles, groups

    def epoch_order(self, rng: np.random.Generator) -> NDArray[np.int64] | None:
        """Of a reference folder: rounds over its groups, as `reference_folder.epoch_order`."""
        arrays = self._data.arrays
        if "train.puzzle" not in arrays:
            return None
        return epoch_order(arrays["train.puzzle"], arrays["train.group"], rng)

    def identify(self, inputs: Tokens) -> Tokens:
        return identifiers_of(self._examples, inputs)

    def verify(self, inputs: Tokens, answers: Tokens) -> NDArray[np.bool_]:
        if self._verifier is None:
            return equal_a_label(self._examples, inputs, answers)
        labels, reference = first_label(self._examples, inputs), str(self._config.verifier)
        found = [
            asked(self._verifier, reference, self._plain(given), self._plain(answer, label))
            for given, answer, label in zip(inputs, answers, labels, strict=True)
        ]
        return np.array(found, dtype=bool)

    def parse(self, text: str) -> Tokens:
        """A puzzle as the file has it; one that is shorter is padded."""
        lexicon, faults = Lexicon(), Complaints(collect=True)
        if self.symbols and self._data.meta["texts"]:
            text = "".join(text.splitlines()).strip(self._vocabulary.pad_sign)
        found = encode(
            [text], self._between, lexicon,
            lambda k, what: faults.say(what),
        )  # fmt: skip
        if faults.found:
            raise UserError("puzzle", text, faults.found[0])
        tokens = self._vocabulary.numbers(lexicon.names, labels=False)
        if (tokens < 0).any():
            unknown = lexicon.names[int((tokens < 0).argmax())]
            raise UserError("puzzle", text, f"holds the unknown token {brief(unknown)}")
        room = self._layout.room(labels=False)
        if found.lengths[0] > room:
            raise UserError("puzzle", text, f"has {found.lengths[0]} cells: give at most {room}")
        start = int(self._layout.starts(found.lengths, labels=False)[0])
        puzzle = np.zeros(self.seq_len, dtype=np.int32)
        puzzle[start : start + len(found.values)] = tokens[found.values]
        return puzzle

    def show(self, tokens: Tokens, given: Tokens | None = None) -> str:
        """Tokens by their names, row by row; padding and ignored cells are `·`."""
        rows = np.reshape(tokens, self.grid_shape)
        if self.symbols:
            return "\n".join(map(self._vocabulary.text, rows.tolist()))
        names = [[self._vocabulary.text([token]) for token in row] for row in rows.tolist()]
        width = max(len(name) for row in names for name in row) if len(names) > 1 else 0
        return "\n".join(" ".join(name.rjust(width) for name in row) for row in names)

    def written(self, tokens: Tokens) -> str:
        """Tokens as a file of this task has them."""
        words = [self._name(int(token)) for token in self._trimmed(tokens)]
        return self._between.join(words)

    def read(
        self,
        path: Path,
        *,
        examples: int | None = None,
        cache: Path | None = None,
        progress: Progress | None = None,
    ) -> Split:
        """Examples of another file, in this task's vocabulary and layout.

        Raises:
            UserError: the file is no good, or the first row that does not fit.
        """
        complaints = Complaints()
        gathered = gather(
            sources_of(path), self._config.columns, self._between, complaints, None, progress
        )
        refuse_long(gathered, self._layout, complaints)
        parts = [*laid_out(gathered, self._layout, self._vocabulary, complaints)]
        inputs, labels = (
            np.concatenate([getattr(part, name) for part in parts])[:examples]
            for name in ("inputs", "labels")
        )
        kinds = np.zeros(len(inputs), dtype=np.int32)
        if gathered.identifier is not None:
            known = {name: place for place, name in enumerate(self.identifiers)}
            by_name = [known.get(name, 0) for name in gathered.identifiers]
            kinds = np.array(by_name, dtype=np.int32)[gathered.identifier[:examples]]
        hardness = np.zeros(len(inputs), dtype=np.float32)
        if gathered.difficulty is not None:
            hardness = gathered.difficulty[:examples]
        # Its answers are known from now on.
        self._read.append(labelled(row_hashes(inputs), labels, kinds))
        return Split(inputs, labels, hardness, kinds)

    @property
    def _between(self) -> str:
        """What stands between the tokens of a text; lists are written as texts of words."""
        meta = self._data.meta
        return str(meta["separator"]) or ("" if meta["texts"] else " ")

    @property
    def _examples(self) -> list[Labelled]:
        return [*self._own, *self._read]

    @cached_property
    def _own(self) -> list[Labelled]:
        arrays = self._data.arrays
        return [
            Labelled(
                arrays[f"{name}.index_hashes"],
                arrays[f"{name}.index_rows"],
                arrays[f"{name}.labels"],
                arrays[f"{name}.puzzle_identifiers"],
            )
            for name in ("valid", "test", "train")
        ]

    def _plain(self, tokens: Tokens, label: Tokens | None = None) -> Any:
        """Tokens as a user's verifier takes them: what the input or the label has cells for."""
        where = np.flatnonzero(tokens > 0 if label is None or not label.any() else label != IGNORE)
        cells = tokens[where[0] : where[-1] + 1] if len(where) else tokens[:0]
        names = [self._name(int(token)) for token in cells]
        if self._data.meta["texts"]:
            return "".join(names)
        return (
            [int(name) for name in names]
            if self._vocabulary.are_numbers and (cells > 0).all()
            else names
        )

    def _trimmed(self, tokens: Tokens) -> Tokens:
        if self._vocabulary.padding:
            return tokens
        where = np.flatnonzero(tokens > 0)
        return tokens[where[0] : where[-1] + 1] if len(where) else tokens[:0]

    def _name(self, token: int) -> str:
        vocabulary = self._vocabulary
        if token > 0:
            return vocabulary.names[token - 1]
        sign = vocabulary.padding or vocabulary.pad_sign
        return sign if token == 0 else vocabulary.ignore or sign
