"""A file that is replaced as a whole: whoever reads it, or comes after a crash, has old or new."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path, partial: Path | None = None) -> Iterator[BinaryIO]:
    """What is written in the block is the file's content after it; nothing is if the block raises.

    Args:
        partial: where the new content lies until it is whole, on the same disk. None is a hidden
            file beside `path`, which suits a file that one process at a time writes.

    Raises:
        OSError: the disk refuses; the file is as it was.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "a")) as file:
    ...         _ = file.write(b"new")
    ...     Path(folder, "a").read_text()
    'new'
    """
    # pyarrow's dataset reader skips names that start with a dot.
    partial = partial or path.with_name(f".{path.name}.tmp")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Wait until the disk has a file's content, or the names in a folder (made, renamed, removed).

    Raises:
        OSError: the disk refuses.
    """
    if os.name == "nt":  # which syncs what is open for writing, and opens no folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
