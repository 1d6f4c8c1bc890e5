"""Where a run lies: a folder of this machine, or a prefix on an object store.

A local place is a `pathlib.Path`. `Remote` has as much of its interface as a run needs, so that
most code does not ask which of the two it has; the functions here are for what must differ.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from trm.blame import StorageError
from trm.errors import UserError
from trm.files.driver_note import NOTES
from trm.files.paths import checked_path
from trm.files.run_folder import create_folder, is_stray, tell_of_a_new_run
from trm.files.secret_uris import refuse_secrets

LEASE_FILE = "lease.json"
"""The object that says whose an object store's run is."""


@dataclass(frozen=True)
class Remote:
    """An object, or a prefix of objects, on a file system that pyarrow knows.

    An object is written whole: a reader sees the old one or the new one.

    Attributes:
        uri: its URI without the query.
        query: the query with its `?`, or empty; every name below has the same.
        path: its name on the file system.
        filesystem: pyarrow's connection.
    """

    uri: str
    query: str
    path: str
    filesystem: Any = field(compare=False, repr=False)

    def __str__(self) -> str:
        """The whole URI, from which `place` makes the same again."""
        return self.uri + self.query

    def __truediv__(self, name: str) -> Remote:
        return Remote(f"{self.uri}/{name}", self.query, f"{self.path}/{name}", self.filesystem)

    @property
    def name(self) -> str:
        """The last part of the name."""
        return self.path.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The last part of the name without its suffix."""
        return Path(self.name).stem

    @property
    def parent(self) -> Remote:
        """The prefix that holds it."""
        return Remote(
            self.uri.rpartition("/")[0], self.query, self.path.rpartition("/")[0], self.filesystem
        )

    def absolute(self) -> Remote:
        """Itself: a URI always says where it is."""
        return self

    def exists(self) -> bool:
        """Whether an object has this name, or names below it."""
        return bool(self._kind() != fs.FileType.NotFound)

    def is_file(self) -> bool:
        """Whether an object has this name."""
        return bool(self._kind() == fs.FileType.File)

    def is_dir(self) -> bool:
        """Whether objects have names below this one."""
        return bool(self._kind() == fs.FileType.Directory)

    def iterdir(self) -> Iterator[Remote]:
        """What is right below."""
        below = fs.FileSelector(self.path, allow_not_found=True)
        yield from (self / info.base_name for info in self.filesystem.get_file_info(below))

    def glob(self, pattern: str) -> Iterator[Remote]:
        """What is right below and has a name of this pattern."""
        yield from (child for child in self.iterdir() if fnmatch(child.name, pattern))

    def open(self) -> Any:
        """The object as a random-access file of pyarrow.

        Raises:
            FileNotFoundError: there is none.
        """
        return self.filesystem.open_input_file(self.path)

    def read_bytes(self) -> bytes:
        """The object's content.

        Raises:
            FileNotFoundError: there is none.
        """
        with self.open() as file:
            return bytes(file.read())

    def read_text(self, encoding: str = "utf-8") -> str:
        """The object's content as text."""
        return self.read_bytes().decode(encoding)

    def write_bytes(self, data: bytes | pa.Buffer) -> None:
        """Make or replace the object."""
        # By itself pyarrow would pack what goes into a file whose name ends in `.gz`.
        with self.filesystem.open_output_stream(self.path, compression=None) as stream:
            stream.write(data)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the object."""
        with suppress(*([FileNotFoundError] if missing_ok else [])):
            self.filesystem.delete_file(self.path)

    def _kind(self) -> Any:
        return self.filesystem.get_file_info(self.path).type


Place: TypeAlias = Path | Remote


class StoreError(StorageError):
    """An object store failed a worker: not the fault of what it was running."""


def place(where: Place | str) -> Place:
    """The place that a path or a URI names.

    >>> place("runs/mine"), place("file:///srv/runs/mine")
    (PosixPath('runs/mine'), PosixPath('/srv/runs/mine'))

    Raises:
        UserError: a path that no file can have; a URI that pyarrow does not take, with a password
            in it, or whose store does not answer, refuses us or has no such bucket.
    """
    if isinstance(where, Remote):
        return where
    if isinstance(where, Path) or "://" not in where:
        return checked_path(where)
    return _connect(where)


@cache
def _connect(text: str) -> Place:
    refuse_secrets(text)
    try:
        url = urlsplit(text)
        filesystem, path = fs.FileSystem.from_uri(text)
        if isinstance(filesystem, fs.LocalFileSystem):
            return Path(path)
        path = path.rstrip("/")
        bucket = path.partition("/")[0]
        absent = filesystem.get_file_info(bucket or path).type == fs.FileType.NotFound
    except UserError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        line = " ".join(str(error).split())[:300]
        raise UserError(
            text, None, f"cannot be used ({line}); check the URI, the credentials and the network"
        ) from error
    if not path:
        raise UserError(text, None, "names no bucket; write it as in s3://bucket/runs/mine")
    if absent and bucket:
        raise UserError(text, None, f"names a bucket that does not exist ({bucket}); make it first")
    query = f"?{url.query}" if url.query else ""
    return Remote(text.partition("?")[0].rstrip("/"), query, path, filesystem)


def create_run_folder(folder: Place, marker: str, *, resume: bool) -> None:
    """`trm.files.run_folder.create_folder` for any place.

    Raises:
        UserError: the folder holds another run or other files, or cannot be written.
    """
    if isinstance(folder, Path):
        create_folder(folder, marker, resume=resume)
        return
    if resume and not folder.exists():
        tell_of_a_new_run(folder)
    begun = (folder / marker).exists()
    if begun and not resume:
        raise UserError(
            "--out", str(folder), "already holds a run: add --resume, or name another folder"
        )
    if (
        not begun
        and not resume
        and any(
            child.name not in {LEASE_FILE, *NOTES} and not is_stray(child.name)
            for child in folder.iterdir()
        )
    ):
        raise UserError("--out", str(folder), "is not empty: name another folder")


def readable(file: Place) -> Any:
    """What pyarrow's readers take.

    Raises:
        FileNotFoundError: there is no such object; a local path is not looked at.
    """
    return file if isinstance(file, Path) else file.open()


def remove_tree(folder: Place) -> None:
    """Remove a folder and all below it; what is not there or cannot be removed stays."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
        return
    with suppress(OSError):
        folder.filesystem.delete_dir(folder.path)


def write_folder(folder: Place, write: Callable[[Path], None]) -> None:
    """Have a folder written that replaces what is there.

    Nothing is left of a folder that could not be written as a whole.

    Args:
        write: is given the path of a local folder that it makes.

    Raises:
        StoreError: an object store does not take it.
    """
    remove_tree(folder)
    if isinstance(folder, Path):
        try:
            write(folder)
        except BaseException:
            remove_tree(folder)
            for partial in folder.parent.glob(f".{folder.name}.*"):
                remove_tree(partial)
            raise
        return
    with tempfile.TemporaryDirectory(prefix="trm-") as scratch:
        written = Path(scratch, folder.name)
        write(written)
        try:
            fs.copy_files(
                str(written), folder.path,
                source_filesystem=fs.LocalFileSystem(), destination_filesystem=folder.filesystem,
            )  # fmt: skip
        except OSError as error:
            remove_tree(folder)
            raise StoreError(str(folder), " ".join(str(error).split())[:300]) from error


@contextmanager
def local_copy(folder: Place) -> Iterator[Path]:
    """The folder itself, or a copy of it on this machine for the time being.

    Raises:
        StoreError: an object store does not give it.
    """
    if isinstance(folder, Path):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="trm-") as scratch:
        copy = Path(scratch, folder.name)
        copy.mkdir()
        try:
            if folder.is_dir():  # else the reader says what is missing, as it does locally
                fs.copy_files(
                    folder.path, str(copy),
                    source_filesystem=folder.filesystem,
                    destination_filesystem=fs.LocalFileSystem(),
                )  # fmt: skip
        except OSError as error:
            raise StoreError(str(folder), " ".join(str(error).split())[:300]) from error
        yield copy
