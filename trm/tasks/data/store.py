"""Arrays of a task in memory-mapped files: read once per machine, shared by all its trials."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from trm.errors import CacheWarning, UserError
from trm.files.lock import FileLock
from trm.files.paths import spare_folder
from trm.tasks.base import Split, SplitName
from trm.tasks.cache import SPLITS, data_hash

_META = "meta.json"
_PAUSE = 0.2
FIELDS = ("inputs", "labels", "difficulty", "puzzle_identifiers")


@dataclass(frozen=True)
class Stored:
    """What a folder of the store holds.

    Attributes:
        meta: plain values that go with the arrays.
        arrays: by name, mapped; nothing that is written to them reaches the file.
        splits: the three splits, of these arrays.
    """

    meta: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    splits: dict[SplitName, Split]


class Writer:
    """A folder that is being filled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def array(self, name: str, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
        """A new array that lies on disk."""
        if 0 in shape:  # which nothing can map
            np.save(self.folder / f"{name}.npy", np.empty(shape, dtype=dtype))
            return np.empty(shape, dtype=dtype)
        path = self.folder / f"{name}.npy"
        array: NDArray[Any] = np.lib.format.open_memmap(
            path, mode="w+", dtype=np.dtype(dtype), shape=shape
        )
        if hasattr(os, "posix_fallocate"):
            # A disk that is full says so here; while a mapped file is filled it ends the process.
            with path.open("rb+") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        return array

    def save(self, name: str, array: NDArray[Any]) -> None:
        """An array that is whole."""
        np.save(self.folder / f"{name}.npy", array, allow_pickle=False)


Fill = Callable[[Writer], dict[str, Any]]
"""Writes `{split}.{field}` of every split, and gives what goes with them."""


def stored(cache: Path | None, name: str, key: Mapping[str, Any], fill: Fill) -> Stored:
    """The arrays of a key, written by `fill` unless this machine has them.

    Args:
        cache: a folder; where it cannot be written, a folder among the temporary files is used,
            with a warning; None is a folder that is gone once it is mapped.
        name: how its name begins, for people who look into the cache.
        key: JSON values on which the arrays depend.
    """
    text = json.dumps(key, sort_keys=True)
    leaf = f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"
    spare = None if cache is None else spare_folder(make=False)
    for place in (cache, spare):
        if place is not None and (found := _opened(place / leaf)) is not None:
            return found
    if cache is not None:
        try:
            return _made(cache, leaf, fill)
        except OSError as error:
            refused = f"the cache {cache} cannot be written ({error.strerror or error})"
        spare = spare_folder()
        if spare is not None and spare != cache:
            warnings.warn(
                f"{refused}, so data are kept in {spare}: TRM_CACHE names another folder",
                CacheWarning, stacklevel=2,
            )  # fmt: skip
            return _made(spare, leaf, fill)
        warnings.warn(f"{refused}, so data are made anew every time", CacheWarning, stacklevel=2)
    with tempfile.TemporaryDirectory(prefix="trm-data-") as folder:
        return _made(Path(folder), leaf, fill)  # what is mapped stays when the names are gone


def _made(parent: Path, leaf: str, fill: Fill) -> Stored:
    """Fill the folder, or wait for the process of this machine that does."""
    parent.mkdir(parents=True, exist_ok=True)
    folder, partial = parent / leaf, parent / f".{leaf}.partial"
    while True:
        try:
            lock = FileLock(parent / f".{leaf}.lock")
            break
        except UserError:
            time.sleep(_PAUSE)
    try:
        if (found := _opened(folder)) is not None:
            return found
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        partial.mkdir()
        try:
            meta = fill(Writer(partial))
            meta["data_hash"] = data_hash(_splits(_arrays(partial)))
            (partial / _META).write_text(json.dumps(meta), encoding="utf-8")
            os.replace(partial, folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    finally:
        lock.release()
    made = _opened(folder)
    assert made is not None, folder
    return made


def _opened(folder: Path) -> Stored | None:
    try:
        meta = json.loads((folder / _META).read_text(encoding="utf-8"))
        arrays = _arrays(folder)
        return Stored(meta, arrays, _splits(arrays))
    except (OSError, ValueError, KeyError):
        return None


def _arrays(folder: Path) -> dict[str, NDArray[Any]]:
    return {path.stem: _mapped(path) for path in folder.glob("*.npy")}


def _mapped(path: Path) -> NDArray[Any]:
    # Without its memmap class, whose every slice is slow to make. Copied on write, so that nothing
    # reaches the file and torch, which warns of what cannot be written, takes it as it is.
    try:
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    except ValueError:  # an empty array
        array = np.load(path, allow_pickle=False)
    return np.asarray(array)


def _splits(arrays: Mapping[str, NDArray[Any]]) -> dict[SplitName, Split]:
    return {name: Split(*(arrays[f"{name}.{field}"] for field in FIELDS)) for name in SPLITS}
