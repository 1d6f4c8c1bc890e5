"""The small JSON files of a run folder, read so that a damaged one is the user's to mend."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from search.ledger.storage import Place, Remote
from trm.errors import UserError

COPY = "restore it from a copy"


def read_json(path: Place, remedy: str = COPY) -> dict[str, Any]:
    """The mapping that a file holds.

    Args:
        remedy: what to do about a file that is damaged.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it holds no mapping.
    """
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: is damaged, not JSON: {remedy}") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path}: is damaged, no mapping: {remedy}")
    return tree


@contextmanager
def fields_of(path: Place, remedy: str = COPY) -> Iterator[None]:
    """What reads a file's fields: one that is missing or of another kind damages the file.

    Raises:
        UserError: a field is missing, unknown or of another kind.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: is damaged, fields are missing or wrong: {remedy}") from error


SWEEP_FILE = "sweep.yaml"
RUN_FILE = "run.json"


def write_atomically(path: Place, text: str) -> None:
    """Replace a file's content; a crash leaves the old or the new."""
    if isinstance(path, Remote):
        path.write_bytes(text.encode())
        return
    partial = path.with_name(f".{path.name}.tmp")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
