"""Which files a path means: one file, or the files of a folder, each with the split it is of."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from trm.errors import UserError
from trm.files.run_folder import is_stray
from trm.tasks.base import SplitName

TEXT = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json")
SUFFIXES = (*TEXT, ".parquet", ".pq", ".npz", ".npy")
"""What is read; text may be packed by gzip, with `.gz` after the name."""

SPLIT_NAMES: dict[str, SplitName] = {
    "train": "train", "training": "train",
    "valid": "valid", "val": "valid", "validation": "valid", "dev": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip
"""How people call the splits."""

_NAMED = re.compile(rf"({'|'.join(SPLIT_NAMES)})(?:[-_.].*)?", re.IGNORECASE)
_ARRAYS = ("inputs.npy", "input.npy")


@dataclass(frozen=True)
class Source:
    """A file, or a folder with `inputs.npy` and `labels.npy`, whose examples are of one split.

    Attributes:
        path: where it lies.
        kind: its suffix, without that of packing; `folder` for one of arrays.
        split: what its name says; None where a column says it, or a draw.
    """

    path: Path
    kind: str
    split: SplitName | None = None

    def files(self) -> list[Path]:
        """The files that its examples depend on."""
        return sorted(self.path.glob("*.npy")) if self.kind == "folder" else [self.path]


def sources_of(path: Path) -> list[Source]:
    """The sources at a path, in the order in which their examples count.

    A folder holds files of one kind: named after their splits (`train.csv`, `valid-00.parquet`,
    `test/`), or not, and then all of them are taken.

    Raises:
        UserError: there is nothing there, or files that do not go together.
    """
    try:
        found = _in_folder(path, None) if path.is_dir() else [_file(path, None)]
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    if not found:
        raise UserError(f"{path}: holds no data: give files of {', '.join(SUFFIXES)}")
    kinds = sorted({source.kind for source in found})
    if len(kinds) > 1:
        raise UserError(f"{path}: holds files of {', '.join(kinds)}: keep those of one kind")
    bare = [source for source in found if source.split is None]
    if bare and len(bare) < len(found):
        raise UserError(
            f"{bare[0].path}: is named after no split, and others are: call it train, valid or "
            "test, or take it away"
        )
    return found


def signature(files: list[tuple[Path, SplitName | None]]) -> list[list[object]]:
    """What tells apart a file that was changed, without reading it: path, size and times.

    Raises:
        UserError: a file cannot be read.
    """
    found: list[list[object]] = []
    for file, split in files:
        try:
            about = os.stat(file)
        except OSError as error:
            raise UserError(f"{file}: cannot be read: {error.strerror}") from error
        found.append([str(file), split, about.st_size, about.st_mtime_ns, about.st_ctime_ns])
    return found


def split_named(text: str) -> SplitName | None:
    """The split that a name means.

    >>> split_named("Validation"), split_named("x")
    ('valid', None)
    """
    return SPLIT_NAMES.get(text.strip().lower())


def _in_folder(folder: Path, split: SplitName | None) -> list[Source]:
    if any((folder / name).is_file() for name in _ARRAYS):
        return [Source(folder, "folder", split)]
    found = []
    for path in sorted(folder.iterdir()):
        if is_stray(path.name) or path.name.startswith("."):
            continue
        named = _NAMED.fullmatch(path.name)
        of = SPLIT_NAMES[named[1].lower()] if named else split
        if path.is_dir():
            found += _in_folder(path, of) if named else []
        elif _kind(path) in SUFFIXES:
            found.append(_file(path, of))
    return found


def _file(path: Path, split: SplitName | None) -> Source:
    if not path.exists():
        raise UserError(f"{path}: there is no such file: give the path of a file or folder")
    if not path.is_file():
        raise UserError(f"{path}: is no file of its own: give the path of a file or folder")
    kind = _kind(path)
    if kind not in SUFFIXES:
        raise UserError(f"{path}: is of no kind that is read: give {', '.join(SUFFIXES)}")
    if path.name in _ARRAYS:
        return Source(path.parent, "folder", split)
    return Source(path, kind, split)


def _kind(path: Path) -> str:
    name = path.name.lower()
    return Path(name.removesuffix(".gz") if name.endswith(".gz") else name).suffix
