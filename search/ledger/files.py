"""The small JSON files of a run folder, read so that a damaged one is the user's to mend."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from search.ledger.seal import DamagedError, open_json, seal_json
from search.ledger.storage import Place, Remote
from trm.errors import UserError
from trm.files.replace import replacing

SWEEP_FILE = "sweep.yaml"
RUN_FILE = "run.json"
TEST_FILE = "test.json"
REPORT_FILE = "report.html"
FOLDERS = ("trials", "curves", "log")
"""Where a run's ledger lies."""
SPARE = "spare"
"""Where second copies of what cannot be made again lie."""


class DamagedFileError(UserError):
    """A file of a run folder is not as it was written.

    Attributes:
        path: its place.
        what: is wrong with it, as `is missing`.
    """

    def __init__(self, path: Place, what: str, remedy: str | None = None) -> None:
        super().__init__(f"{path}: {what}: {remedy or mend(path)}")
        self.path = path
        self.what = what


def mend(path: Place) -> str:
    """What to do about a file of a run folder that is damaged."""
    own = path.name.endswith((".json", ".yaml")) or path.name in FOLDERS
    return mend_run(path.parent if own else path.parent.parent)


def mend_run(folder: Place) -> str:
    """What to do about a run folder that is damaged."""
    return f"`trm status {folder} --check` says what is whole, `--repair` mends what can be mended"


def read_json(path: Place, remedy: str | None = None, *, own: bool = False) -> dict[str, Any]:
    """The mapping that a file holds.

    Args:
        remedy: what to do about a file that is damaged; None is to have it repaired.
        own: as it was written with.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFileError: it holds no mapping, or not the one that was written.
    """
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(path, "is damaged, not JSON", remedy) from error
    if not isinstance(tree, dict):
        raise DamagedFileError(path, "is damaged, no mapping", remedy)
    try:
        return open_json(tree, run_of(path.parent) if own else "")
    except DamagedError as error:
        also = ", or it is another run's" if own else ""
        raise DamagedFileError(path, f"is damaged, {error}{also}", remedy) from error


def write_json(
    path: Place, tree: Mapping[str, Any], *, own: bool = False, spare: bool = True
) -> None:
    """Replace a file of a run folder with a tree and its checksum.

    Args:
        own: whether it is to be read in this run alone, whose `run.json` must be there.
        spare: whether to keep a second copy.
    """
    text = seal_json(tree, run_of(path.parent) if own else "")
    if spare:
        write_spare(path, text)
    write_atomically(path, text)


def write_spare(path: Place, text: str) -> None:
    """Keep a second copy of a file, to be called before the first is replaced."""
    folder = path.parent / SPARE
    if isinstance(folder, Path):
        folder.mkdir(exist_ok=True)
    write_atomically(folder / path.name, text)


def require_unlost(path: Place) -> None:
    """Make sure that a file that is not there was never written.

    Raises:
        DamagedFileError: there is a second copy of it.
    """
    if not path.is_file() and (path.parent / SPARE / path.name).is_file():
        raise DamagedFileError(path, "is missing")


def run_of(folder: Place) -> str:
    """The id of the run that a folder holds; empty if that is not known."""
    try:
        found = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        return str(found["study"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def ledger_of(folder: Place) -> str | None:
    """Whose the ledger of a run folder is, as `run.json` has it; None if it does not say."""
    try:
        found = json.loads((folder / RUN_FILE).read_text(encoding="utf-8")).get("ledger")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


@contextmanager
def fields_of(path: Place, remedy: str | None = None) -> Iterator[None]:
    """What reads a file's fields: one that is missing or of another kind damages the file.

    Raises:
        DamagedFileError: a field is missing, unknown or of another kind.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise DamagedFileError(path, "is damaged, fields are missing or wrong", remedy) from error


def write_atomically(path: Place, content: str | bytes) -> None:
    """Replace a file's content; a crash leaves the old or the new."""
    data = content.encode() if isinstance(content, str) else content
    if isinstance(path, Remote):
        path.write_bytes(data)
        return
    with replacing(path) as file:
        file.write(data)
