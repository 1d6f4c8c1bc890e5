"""Run folders: made once, never written over, resumed on request."""

from __future__ import annotations

import os
import re
import warnings
from contextlib import suppress
from pathlib import Path

from trm.errors import NewRunWarning, UserError
from trm.files.driver_note import NOTES
from trm.files.paths import checked_path, home_path, spare_folder

LOCK = "lock"
"""The file that a run's process holds locked."""


def create_folder(folder: Path, marker: str, *, resume: bool) -> None:
    """Make a run folder, or make sure that it may be used.

    Args:
        folder: the run folder.
        marker: the file whose presence says that a run lives here.
        resume: go on with the run that is there, if any. A job that a queue starts again can so
            use the same command line every time. Where there is no folder, a warning says so.

    Raises:
        UserError: the folder holds another run or other files, or cannot be written.
    """
    require_usable(folder, marker, resume=resume)
    if resume and not folder.exists():
        tell_of_a_new_run(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError("--out", str(folder), f"cannot be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK) or not _can_write(folder):
        raise UserError("--out", str(folder), "cannot be written: name another folder")


def remove_unbegun(folder: Path) -> None:
    """Remove a folder that was made for a run which could not begin; not what others put there."""
    with suppress(OSError):
        for name in (LOCK, *NOTES):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def require_usable(folder: Path, marker: str, *, resume: bool) -> None:
    """Make sure that a run folder may be used, as `create_folder` does, without making it.

    Raises:
        UserError: the folder holds another run or other files.
    """
    if re.match("[a-z][a-z0-9+.-]+:/", str(folder)):  # a URI: a Path holds it with one slash
        raise UserError("--out", str(folder), "must be a local folder")
    checked_path(folder, "--out")
    if folder.exists() and not folder.is_dir():
        raise UserError("--out", str(folder), "is a file: name a folder")
    begun = (folder / marker).exists()
    if begun and not resume:
        raise UserError(
            "--out", str(folder), "already holds a run: add --resume, or name another folder"
        )
    # On resume, a run that was stopped before its marker was written is begun anew.
    if folder.is_dir() and not begun and not resume and not _unused(folder):
        raise UserError("--out", str(folder), "is not empty: name another folder")


def tell_of_a_new_run(where: object) -> None:
    """Say that there is nothing to resume, in case the place is misspelt."""
    warnings.warn(
        f"--resume: {where} is not there, so a new run is begun", NewRunWarning, stacklevel=3
    )


_MARKS = (("sweep.yaml", "run.json"), ("config.yaml", "reports.jsonl"), ("checkpoint.json",))
"""Files whose presence says that a folder holds a sweep, a training or a checkpoint."""
_CHECKPOINTS = ("checkpoints/*/checkpoint.json", "checkpoints/*/*/*/checkpoint.json")
"""Where a training's and a sweep's checkpoints lie: enough for `trm eval`, so enough of a mark."""


def run_folder_of(path: Path) -> Path | None:
    """The run folder or checkpoint in which a path lies, or that it is; None if there is none.

    A path lies in it too where a symbolic link leads there.
    """
    real = path.resolve()
    for folder in dict.fromkeys((path, *path.parents, real, *real.parents)):
        if any(all((folder / name).is_file() for name in names) for names in _MARKS):
            return folder
        if any(next(folder.glob(pattern), None) for pattern in _CHECKPOINTS):
            return folder
    return None


def cache_folder() -> Path | None:
    """Where generated data is kept: `$TRM_CACHE`, or `trm-search` in the user's cache folder.

    A user without a home folder has it among the temporary files; None where there are none.

    Raises:
        UserError: a variable names the home folder of nobody.
    """
    for name, below in (("TRM_CACHE", ""), ("XDG_CACHE_HOME", "trm-search")):
        if text := os.environ.get(name):
            return home_path(text, name) / below
    try:
        return Path.home() / ".cache" / "trm-search"
    except RuntimeError:  # an id that the system has no name for, as in a container
        return spare_folder()


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint below `folder/checkpoints`, or None; half-written ones do not count."""
    complete = checkpoints_in(folder / "checkpoints")
    return complete[-1] if complete else None


def checkpoints_in(parent: Path) -> list[Path]:
    """The checkpoints right below a folder, oldest first; what else lies there does not count."""
    if not parent.is_dir():
        return []
    return sorted(
        path for path in parent.iterdir() if _NUMBERED.fullmatch(path.name) and path.is_dir()
    )


_NUMBERED = re.compile(r"\d+(-\d+)*")
_STRAYS = re.compile(
    r"\.DS_Store|\._.*|\.localized|\.Spotlight-V100|\.fseventsd|\.Trashes|\.TemporaryItems"  # macOS
    r"|Thumbs\.db|ehthumbs\.db|desktop\.ini|\$RECYCLE\.BIN|System Volume Information"  # Windows
    r"|lost\+found|\.directory|\.Trash(-.*)?|\.nfs[0-9a-f]+|\.fuse_hidden.*|\.snapshots?"  # Unix
    r"|.*~|\..*\.sw[a-p]|#.*#|\.#.*"  # editors
    r"|@eaDir|#recycle|\.st(folder|versions|ignore)|\.syncthing\..*|\.dropbox.*",  # syncing
    re.IGNORECASE,
)


def is_stray(name: str) -> bool:
    """Whether a file's name is one that systems, editors and sync tools leave everywhere.

    >>> [is_stray(name) for name in (".DS_Store", "lost+found", ".notes.txt.swp", "run.json")]
    [True, True, True, False]
    """
    return _STRAYS.fullmatch(name) is not None


def checkpoint_in(path: Path) -> Path:
    """The checkpoint that a user means by a path: itself, or the newest of a training's folder.

    Raises:
        UserError: neither.
    """
    checked_path(path)
    if (path / "checkpoint.json").is_file():
        return path
    if any((path / f"think.{kind}").is_file() for kind in ("onnx", "pt2")):
        raise UserError(
            f"{path}: holds graphs for other programs: give the run or checkpoint that `trm "
            "export` made them of"
        )
    latest = latest_checkpoint(path)
    if latest is None or not (latest / "checkpoint.json").is_file():
        raise UserError(
            f"{path}: holds no checkpoint: give the folder of `trm train` or a checkpoint in it"
        )
    return latest


def _unused(folder: Path) -> bool:
    """Whether a folder holds nothing but strays, and lock and note of a run that never began."""
    names = (path.name for path in folder.iterdir())
    return all(name.partition(".")[0] == LOCK or name in NOTES or is_stray(name) for name in names)


def _can_write(folder: Path) -> bool:
    # Root passes os.access on read-only file systems, so try.
    probe = folder / f".probe-{os.getpid()}"
    try:
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True
