"""An on-disk cache of arrays that are slow to make, and of a task's splits.

A file is named by a digest of everything that its arrays depend on, so it is never stale; it is
written under a temporary name and renamed, so it is never half there; and one that cannot be read
is made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from trm.errors import CacheWarning
from trm.files.paths import spare_folder
from trm.files.replace import replacing
from trm.tasks.base import Split, SplitName

FORMAT = 1
"""Part of every key: raise it when the layout of the files changes."""

SPLITS: tuple[SplitName, ...] = get_args(SplitName)
_BEYOND = "beyond"
_FIELDS = ("inputs", "labels", "difficulty", "puzzle_identifiers")

Arrays = dict[str, NDArray[Any]]


def cached_arrays(
    folder: Path | None, name: str, key: Mapping[str, Any], build: Callable[[], Arrays]
) -> Arrays:
    """The arrays of `build()`, from `folder/<name>-<digest of key>.npz` where that can be read.

    Args:
        folder: made if absent; None never reads or writes.
        name: how the file's name starts, for people who look into the folder.
        key: JSON values that determine the arrays: config, content of source files, versions.
        build: makes the arrays; called only when there is no readable file.

    A folder that cannot be written costs a warning, not the arrays: they go to a spare folder among
    the temporary files, from which they are read again, or nowhere.
    """
    if folder is None:
        return build()
    text = json.dumps({"format": FORMAT, **key}, sort_keys=True)
    file = f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:20]}.npz"
    arrays = _read(folder / file)
    if arrays is None and (spare := spare_folder(make=False)) is not None:
        arrays = _read(spare / file)
    if arrays is None:
        arrays = build()
        _keep(folder, file, arrays)
    return arrays


def _keep(folder: Path, file: str, arrays: Arrays) -> None:
    """Write the file into the folder or the spare one, and say so if that is not the first."""
    try:
        _write(folder / file, arrays)
        return
    except OSError as error:
        refused = f"the cache {folder} cannot be written ({error.strerror or error})"
    spare = spare_folder()
    try:
        if spare is None or spare == folder:
            raise FileNotFoundError
        _write(spare / file, arrays)
        instead = f"data are kept in {spare}"
    except OSError:
        instead = "data are made anew every time"
    warnings.warn(
        f"{refused}, so {instead}: TRM_CACHE names another folder", CacheWarning, stacklevel=3
    )


def cached_splits(
    folder: Path | None,
    name: str,
    key: Mapping[str, Any],
    build: Callable[[], Mapping[SplitName, Split]],
) -> dict[SplitName, Split]:
    """The three splits of `build()`, through `cached_arrays`."""

    def flat() -> Arrays:
        splits = build()
        return {f"{s}.{f}": getattr(splits[s], f) for s in SPLITS for f in _FIELDS}

    arrays = cached_arrays(folder, name, key, flat)
    return {s: Split(*(arrays[f"{s}.{f}"] for f in _FIELDS)) for s in SPLITS}


def cached_drawing(
    folder: Path | None,
    name: str,
    key: Mapping[str, Any],
    build: Callable[[], tuple[Mapping[SplitName, Split], Split | None]],
) -> tuple[dict[SplitName, Split], Split | None]:
    """The three splits of `build()` and what lies beyond their range, through `cached_arrays`."""

    def flat() -> Arrays:
        splits, beyond = build()
        parts: dict[str, Split] = {s: splits[s] for s in SPLITS}
        if beyond is not None:
            parts[_BEYOND] = beyond
        return {f"{s}.{f}": getattr(split, f) for s, split in parts.items() for f in _FIELDS}

    arrays = cached_arrays(folder, name, key, flat)

    def part(s: str) -> Split:
        return Split(*(arrays[f"{s}.{f}"] for f in _FIELDS))

    beyond = part(_BEYOND) if f"{_BEYOND}.{_FIELDS[0]}" in arrays else None
    return {s: part(s) for s in SPLITS}, beyond


def make_split(inputs: NDArray[Any], labels: NDArray[Any], difficulty: NDArray[Any]) -> Split:
    """A split of a task with one kind of puzzle, its arrays cast to the contract's types."""
    return Split(
        np.ascontiguousarray(inputs, dtype=np.int32),
        np.ascontiguousarray(labels, dtype=np.int32),
        np.ascontiguousarray(difficulty, dtype=np.float32),
        np.zeros(len(inputs), dtype=np.int32),
    )


def data_hash(splits: Mapping[SplitName, Split], beyond: Split | None = None) -> str:
    """Hex digest of every array of every split, shapes and types included.

    Args:
        beyond: the examples beyond the trained range, where there are any.
    """
    digest = hashlib.sha256()
    parts: dict[str, Split] = {s: splits[s] for s in SPLITS}
    if beyond is not None:
        parts[_BEYOND] = beyond
    for s, split in parts.items():
        for f in _FIELDS:
            array = np.ascontiguousarray(getattr(split, f))
            digest.update(f"{s}.{f} {array.dtype.str} {array.shape}\n".encode())
            digest.update(array.data)
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> Arrays | None:
    """The file's arrays; None if it is absent or damaged (its parts carry checksums)."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, NotImplementedError):
        return None


def _write(path: Path, arrays: Arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-", suffix=".npz")
    os.close(descriptor)
    with replacing(path, Path(temporary)) as file:
        np.savez(file, allow_pickle=False, **arrays)
