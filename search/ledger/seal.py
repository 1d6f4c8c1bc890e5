"""Checksums that files of a run folder carry inside: what was written, told from what it became.

A line of the log and a JSON file end with a key `crc32`; a YAML file ends with a comment. A Parquet
file carries 16 bytes between its last column and its footer, where the format leaves room: every
reader goes by the offsets in the footer. All are CRC-32 (ISO 3309, as `zlib.crc32` has it). A file
of an older version has no seal, and is taken as it is.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from typing import Any

KEY = "crc32"
_LINE = re.compile(rb'(.*),"crc32":"([0-9a-f]{8})"\}', re.DOTALL)
_COMMENT = re.compile(r"# crc32 ([0-9a-f]{8}) of the lines above\n\Z")
_MARK = b"TRM crc\n"
_PARQUET = b"PAR1"
_PIECE = 1 << 20


class DamagedError(ValueError):
    """Content is not what was written; the message says what is wrong with it, without a name."""


def seal_line(record: Mapping[str, Any]) -> bytes:
    """A record as one line of JSON with its checksum, the line feed included.

    >>> seal_line({"n": 1})
    b'{"n":1,"crc32":"ff61ec38"}\\n'
    """
    body = json.dumps(record, separators=(",", ":")).encode()[:-1]
    return b'%s,"crc32":"%08x"}\n' % (body, zlib.crc32(body))


def open_line(line: bytes) -> tuple[Any, bool]:
    """What a line without its line feed holds, and whether it had a checksum.

    Raises:
        DamagedError: the checksum differs, or it is no JSON.
    """
    found = _LINE.fullmatch(line)
    if found is not None and zlib.crc32(found[1]) != int(found[2], 16):
        raise DamagedError("its checksum differs")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DamagedError("not JSON") from error
    if found is not None:
        del value[KEY]
    return value, found is not None


def seal_json(tree: Mapping[str, Any], run: str = "") -> str:
    """A tree as the text of a JSON file with its checksum.

    >>> open_json(json.loads(seal_json({"a": 1})))
    {'a': 1}

    Args:
        run: without which the checksum will not be right, so that the file is no other run's.
    """
    return json.dumps({**tree, KEY: _sum_of(tree, run)}, indent=1) + "\n"


def open_json(tree: Mapping[str, Any], run: str = "") -> dict[str, Any]:
    """A tree that was read, without its checksum if it has one.

    Raises:
        DamagedError: the checksum differs.
    """
    rest = dict(tree)
    stored = rest.pop(KEY, None)
    if stored is not None and stored != _sum_of(rest, run):
        raise DamagedError("its checksum differs")
    return rest


def seal_text(text: str, run: str = "") -> str:
    """Text with a comment at its end that holds its checksum.

    >>> print(seal_text("a: 1\\n"), end="")
    a: 1
    # crc32 e3231969 of the lines above
    """
    return f"{text}# crc32 {zlib.crc32((text + run).encode()):08x} of the lines above\n"


def check_text(text: str, run: str = "") -> bool:
    """Whether text ends with a checksum.

    Raises:
        DamagedError: the checksum differs.
    """
    found = _COMMENT.search(text)
    if found is None:
        return False
    if zlib.crc32((text[: found.start()] + run).encode()) != int(found[1], 16):
        raise DamagedError("its checksum differs")
    return True


def seal_parquet(data: bytes) -> bytes:
    """A Parquet file with checksums of its columns and of its footer."""
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    body, footer = data[:start], data[start:]
    sums = zlib.crc32(body).to_bytes(4, "little") + zlib.crc32(footer).to_bytes(4, "little")
    return body + _MARK + sums + footer


def check_parquet(file: Any, *, columns: bool) -> bool:
    """Whether a Parquet file, open for reading at any position, has checksums.

    Args:
        columns: whether to read all of it; else only its footer is looked at.

    Raises:
        DamagedError: a checksum differs, or it is no Parquet.
    """
    size = file.seek(0, 2)
    size = file.tell() if size is None else size
    file.seek(max(size - 8, 0))
    end = file.read(8)
    length = int.from_bytes(end[:4], "little")
    start = size - 8 - length
    if size < 12 or end[4:] != _PARQUET or start < 4:
        raise DamagedError("empty" if size == 0 else "not Parquet, or cut off")
    sealed = max(start - 16, 0)
    file.seek(sealed)
    mark = file.read(start - sealed)
    if mark[:8] != _MARK or len(mark) != 16:
        return False
    if zlib.crc32(file.read(length + 8)) != int.from_bytes(mark[12:], "little"):
        raise DamagedError("the checksum of its footer differs")
    if columns:
        file.seek(0)
        found, left = 0, sealed
        while left:
            piece = file.read(min(left, _PIECE))
            if not piece:
                raise DamagedError("cut off while it was read")
            found, left = zlib.crc32(piece, found), left - len(piece)
        if found != int.from_bytes(mark[8:12], "little"):
            raise DamagedError("the checksum of its columns differs")
    file.seek(0)
    return True


def _sum_of(tree: Mapping[str, Any], run: str) -> str:
    return f"{zlib.crc32((json.dumps(tree, indent=1) + run).encode()):08x}"
