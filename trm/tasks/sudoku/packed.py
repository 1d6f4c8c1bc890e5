"""The lines of a text file that may be packed: with gzip, zstandard or zip, whatever its name."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, cast

LONGEST = 1_000_000
"""Characters of a line at most."""

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
DAMAGED = (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What reading raises where a file cannot be read or unpacked."""


def text_lines(raw: io.BufferedReader) -> Iterator[str]:
    """The lines of a file in UTF-8, or in UTF-16 with its byte-order mark.

    Of a zip archive those of its one file; folders and what systems leave beside it do not count.

    Raises:
        UnicodeDecodeError: it is no text.
        ValueError: a line is too long for one.
        OSError: it cannot be read; so are the other errors of `DAMAGED`.
    """
    binary = _unpacked(raw)
    wide = binary.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff")
    text = io.TextIOWrapper(binary, encoding="utf-16" if wide else "utf-8-sig", newline=None)
    while line := text.readline(LONGEST):
        if len(line) == LONGEST:
            raise ValueError(f"a line has more than {LONGEST:,} characters")
        yield line


def _unpacked(raw: io.BufferedReader) -> io.BufferedReader:
    head = raw.peek(4)[:4]
    if head[:2] == b"\x1f\x8b":
        return io.BufferedReader(gzip.GzipFile(fileobj=raw))
    if head == b"\x28\xb5\x2f\xfd":
        from pyarrow import CompressedInputStream

        return io.BufferedReader(CompressedInputStream(raw, "zstd"))
    if head in (b"PK\x03\x04", b"PK\x05\x06"):
        return io.BufferedReader(cast(io.RawIOBase, _member(raw)))
    return raw


def _member(raw: io.BufferedReader) -> IO[bytes]:
    archive = zipfile.ZipFile(raw)
    names = [
        name
        for name in archive.namelist()
        if not name.endswith("/") and not name.startswith("__MACOSX/")
        and not name.rpartition("/")[2].startswith(".")
    ]  # fmt: skip
    if len(names) != 1:
        shown = ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
        raise OSError(
            f"the archive holds {len(names)} files ({shown}); unpack it and give one"
            if names
            else "the archive holds no file"
        )
    if archive.getinfo(names[0]).compress_type not in _METHODS:
        raise OSError(f"{names[0]} is packed in an unusual way; pack it with deflate")
    return archive.open(names[0])
