"""Data folders of the reference repository, read as they are (`dataset/build_*_dataset.py` there).

`train/` and `test/`, and of ours `valid/`, hold `dataset.json` and five arrays for each of its
sets. A group is one original, a puzzle one of its augmentations, and has one identifier; an example
is one pair of a puzzle.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm.errors import UserError
from trm.tasks.base import Progress, SplitName
from trm.tasks.cache import SPLITS
from trm.tasks.data.complaints import Complaints
from trm.tasks.data.files import Source
from trm.tasks.data.gather import Flat, Gathered
from trm.tasks.data.splits import LARGEST_SHARE, MOST_HELD
from trm.tasks.data.tables import ROWS

IGNORED_NAME = "<ignored>"
"""What a cell is called whose label is the folder's `ignore_label_id`."""
ARRAYS = ("inputs", "labels", "puzzle_identifiers", "puzzle_indices", "group_indices")
_HEAD = "dataset.json"


@dataclass(frozen=True)
class ReferenceHead:
    """What `dataset.json` says, as far as it is needed.

    Attributes:
        pad_id: token of padding.
        ignore_label_id: label of cells that do not count; None if all do.
        vocab_size: tokens.
        seq_len: cells of an example.
        sets: names that the arrays' files begin with.
    """

    pad_id: int
    ignore_label_id: int | None
    vocab_size: int
    seq_len: int
    sets: tuple[str, ...]


def is_reference_folder(path: Path) -> bool:
    """Whether a path is such a folder."""
    return (path / "train" / _HEAD).is_file()


def reference_sources(path: Path) -> list[Source]:
    """The folders of its splits, in the order in which their examples count."""
    return [
        Source(path / name, "reference", name) for name in SPLITS if (path / name / _HEAD).is_file()
    ]


def reference_files(path: Path) -> list[Path]:
    """All files that its examples depend on."""
    inside = [f for s in reference_sources(path) for f in sorted(s.path.iterdir()) if f.is_file()]
    named = path / "identifiers.json"
    return [*inside, named] if named.is_file() else inside


def read_head(folder: Path) -> ReferenceHead:
    """
    Raises:
        UserError: `dataset.json` is missing or is none.
    """
    path = folder / _HEAD
    found = _json(path)
    try:
        ignored = found["ignore_label_id"]
        head = ReferenceHead(
            int(found["pad_id"]),
            None if ignored is None else int(ignored),
            int(found["vocab_size"]),
            int(found["seq_len"]),
            tuple(map(str, found["sets"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: is no dataset.json of the reference ({type(error).__name__}: {error}): make "
            "the folder again"
        ) from error
    if head.pad_id != 0:
        raise UserError(f"{path}: pad_id", head.pad_id, "is not 0, and only 0 is read")
    return head


def examples_of_an_epoch(path: Path) -> int:
    """How many training examples the reference counts for an epoch: each group's puzzle of a mean
    size. Groups that are held out here for `valid` are among them.

    Raises:
        UserError: `dataset.json` does not say.
    """
    file = path / "train" / _HEAD
    found = _json(file)
    try:
        return round(int(found["total_groups"]) * float(found["mean_puzzle_examples"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{file}: total_groups and mean_puzzle_examples must be numbers: make the folder again"
        ) from error


def gather_reference(
    path: Path,
    complaints: Complaints,
    valid_examples: int | None,
    seed: int,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Gathered:
    """The rows of such a folder, with their tokens, groups, puzzles and identifiers as they are.

    Without `valid/`, whole groups are drawn from `train` for it; of each its first puzzle alone is
    kept, which is the original that the others are images of.

    Raises:
        UserError: a file is missing or does not fit; or as `complaints`.
    """
    sources = reference_sources(path)
    heads = [read_head(source.path) for source in sources]
    first = heads[0]
    for source, head in zip(sources, heads, strict=True):
        if (head.vocab_size, head.seq_len) != (first.vocab_size, first.seq_len):
            raise UserError(f"{source.path / _HEAD}: has other sizes than train: make it again")
    found = Gathered(sources, separator=" ", texts=False)
    found.names = [*map(str, range(first.vocab_size)), IGNORED_NAME]
    found.flat = {"inputs": Flat(folder), "labels": Flat(folder)}
    draws = not any(source.split == "valid" for source in sources)
    parts: dict[str, list[NDArray[Any]]] = {}
    groups = puzzles = 0
    for index, (source, head) in enumerate(zip(sources, heads, strict=True)):
        for name in head.sets:
            arrays = _arrays(source.path, name, head)
            group, puzzle = _levels(arrays)
            split = np.full(len(puzzle), SPLITS.index(source.split or "train"), dtype=np.int8)
            keep = np.ones(len(puzzle), dtype=bool)
            if draws and source.split == "train":
                held = _held_groups(arrays, valid_examples, seed)
                split[held[group]] = SPLITS.index("valid")
                keep = ~held[group] | (puzzle == arrays["group_indices"][group])
            for field in ("inputs", "labels"):
                _add(found.flat[field], arrays[field], field, keep, head, source, complaints)
            rows = np.flatnonzero(keep)
            named = arrays["puzzle_identifiers"][puzzle[rows]].astype(np.int32)
            columns: dict[str, NDArray[Any]] = {
                "row": (rows + 1).astype(np.int32),
                "source": np.full(len(rows), index, dtype=np.int16),
                "split": split[rows],
                "identifier": named - 1,
                "group": (group[rows] + groups).astype(np.int32),
                "puzzle": (puzzle[rows] + puzzles).astype(np.int32),
            }
            for key, values in columns.items():
                parts.setdefault(key, []).append(values)
            groups += len(arrays["group_indices"]) - 1
            puzzles += len(arrays["puzzle_indices"]) - 1
        if progress is not None:
            progress("reading arrays", (index + 1) / len(sources))
    for key, several in parts.items():
        setattr(found, key, np.concatenate(several))
    found.draws_valid = draws
    found.identifiers = _identifiers(path, int(found.identifier.max()) + 2)  # type: ignore[union-attr]
    return found


def epoch_order(
    puzzle: NDArray[np.int32], group: NDArray[np.int32], rng: np.random.Generator
) -> NDArray[np.int64]:
    """As many examples as there are, in the order of the reference's sampling.

    A round visits each group once, in random order, and takes one random puzzle of it with all its
    examples; rounds follow each other until there are enough. An example may so occur in several
    rounds, or in none.

    Args:
        puzzle: of each example; those of one stand together.
        group: of each example, likewise.
    """
    starts = np.flatnonzero(np.diff(puzzle, prepend=-1))
    sizes = np.diff(starts, append=len(puzzle))
    firsts = np.flatnonzero(np.diff(group[starts], prepend=-1))
    counts = np.diff(firsts, append=len(starts))
    parts: list[NDArray[np.int64]] = []
    missing = len(puzzle)
    while missing > 0:
        visits = rng.permutation(len(firsts))
        chosen = firsts[visits] + (rng.random(len(visits)) * counts[visits]).astype(np.int64)
        lengths = sizes[chosen]
        begins = np.repeat(starts[chosen] - (np.cumsum(lengths) - lengths), lengths)
        parts.append(begins + np.arange(int(lengths.sum())))
        missing -= len(parts[-1])
    return np.concatenate(parts)[: len(puzzle)]


def _add(
    flat: Flat,
    array: NDArray[Any],
    field: str,
    keep: NDArray[np.bool_],
    head: ReferenceHead,
    source: Source,
    complaints: Complaints,
) -> None:
    for begin in range(0, len(array), ROWS):
        kept = keep[begin : begin + ROWS]
        values = array[begin : begin + ROWS][kept].astype(np.int32)
        if field == "labels" and head.ignore_label_id is not None:
            values[values == head.ignore_label_id] = head.vocab_size
        wrong = (values < 0) | (values > head.vocab_size - (field == "inputs"))
        for k in np.flatnonzero(wrong.any(axis=1)):
            token, row = values[k][wrong[k]][0], begin + int(np.flatnonzero(kept)[k]) + 1
            complaints.row(
                source.path, row, field, f"holds {token}, and vocab_size is {head.vocab_size}"
            )
        values[wrong] = 0
        flat.add(values.ravel(), np.full(len(values), head.seq_len, dtype=np.int64))


def _levels(arrays: dict[str, NDArray[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The group and the puzzle of each example."""
    per_puzzle = np.diff(arrays["puzzle_indices"])
    puzzle = np.repeat(np.arange(len(per_puzzle)), per_puzzle)
    per_group = np.diff(arrays["group_indices"])
    return np.repeat(np.arange(len(per_group)), per_group)[puzzle], puzzle


def _held_groups(
    arrays: dict[str, NDArray[Any]], wanted: int | None, seed: int
) -> NDArray[np.bool_]:
    """Which groups are held out for `valid`: until their first puzzles have so many examples."""
    firsts = arrays["group_indices"][:-1]
    sizes = np.diff(arrays["puzzle_indices"])[firsts]
    held = np.zeros(len(firsts), dtype=bool)
    most = min(MOST_HELD, max(1, int(sizes.sum()) // LARGEST_SHARE)) if wanted is None else wanted
    order = np.random.default_rng(seed).permutation(len(firsts))
    enough = np.cumsum(sizes[order]) <= most
    enough[0] = True
    held[order[enough]] = True
    if held.all():
        raise UserError(
            f"task.valid_examples: all of the {len(firsts):,} groups are held out: ask for fewer"
        )
    return held


def _arrays(folder: Path, name: str, head: ReferenceHead) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    for field in ARRAYS:
        path = folder / f"{name}__{field}.npy"
        try:
            found[field] = np.load(path, mmap_mode="r", allow_pickle=False)
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}: make it again") from error
        except ValueError as error:
            raise UserError(f"{path}: is no array of numbers: make the folder again") from error
    count = len(found["inputs"])
    puzzles, groups = found["puzzle_indices"], found["group_indices"]
    named = len(found["puzzle_identifiers"])
    for field in ("inputs", "labels"):
        if found[field].shape != (count, head.seq_len):
            raise UserError(
                f"{folder / f'{name}__{field}.npy'}: has the shape {list(found[field].shape)}, and "
                f"{[count, head.seq_len]} is wanted: make the folder again"
            )
    for field, indices, last in (("puzzle", puzzles, count), ("group", groups, named)):
        whole = len(indices) > 1 and indices[0] == 0 and indices[-1] == last
        if not whole or (np.diff(indices.astype(np.int64)) <= 0).any():
            raise UserError(
                f"{folder / f'{name}__{field}_indices.npy'}: must rise from 0 to {last:,}: make "
                "the folder again"
            )
    if len(puzzles) != named + 1:
        raise UserError(
            f"{folder / f'{name}__puzzle_identifiers.npy'}: names {named:,} puzzles, and there are "
            f"{len(puzzles) - 1:,}: make the folder again"
        )
    return found


def _identifiers(path: Path, least: int) -> list[str]:
    """Names of the puzzles from identifier 1 on."""
    file = path / "identifiers.json"
    names = [str(name) for name in _json(file)] if file.is_file() else []
    return names[1:] + [str(k) for k in range(max(len(names), 1), least)]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not JSON: make the folder again") from error


def level_runs(split: SplitName, arrays: dict[str, NDArray[Any]]) -> Iterator[NDArray[np.int64]]:
    """Where puzzles and then groups of a split begin, with its end, as the reference has them."""
    puzzle, group = arrays[f"{split}.puzzle"], arrays[f"{split}.group"]
    starts = np.flatnonzero(np.diff(puzzle, prepend=-1))
    yield np.append(starts, len(puzzle))
    yield np.append(np.flatnonzero(np.diff(group[starts], prepend=-1)), len(starts))
