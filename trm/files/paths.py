"""Paths as people write them: what no system call will take is refused in a line."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

from trm.errors import UserError

_LOOKED_FOR = (errno.ENOENT, errno.ENOTDIR)
"""What is not there may be made; whoever opens it says so better."""


def checked_path(where: Path | str, key: str = "") -> Path:
    """The path, if the system can look for it, whether or not something is there.

    Args:
        key: the option or key of the config that names it, for the message.

    Raises:
        UserError: it is empty, too long, no text, a loop of links, below what may not be read, or
            relative to a working directory that is gone.

    >>> checked_path("runs/mine")
    PosixPath('runs/mine')
    >>> checked_path("", "--out")
    Traceback (most recent call last):
        ...
    trm.errors.UserError: --out: '' is empty: name a path (is a variable of the shell unset?)
    """
    text = os.fspath(where)
    if not text.strip():
        raise _refusal(key, text, "is empty: name a path (is a variable of the shell unset?)")
    if _LEFT and not os.path.isabs(text):
        raise _refusal(key, text, "begins at a working directory that is gone: go to another (cd)")
    try:
        text.encode()
        os.lstat(text)
        # A folder into which one may not look: every name below fails, whether it is there or not.
        if Path(text).is_dir():
            os.lstat(os.path.join(text, os.curdir))
    except UnicodeEncodeError as error:
        raise _refusal(
            key, text, "is no UTF-8: give it another name, or set PYTHONUTF8=1 where it is right"
        ) from error
    except ValueError as error:
        raise _refusal(key, text, "holds a NUL character: name a path") from error
    except OSError as error:
        if error.errno not in _LOOKED_FOR:
            raise _refusal(key, text, f"cannot be used: {error.strerror}") from error
    return Path(text)


def home_path(where: Path | str, key: str = "") -> Path:
    """The path with a leading `~` or `~name` written out.

    Raises:
        UserError: nobody knows that home folder.
    """
    try:
        return Path(where).expanduser()
    except RuntimeError as error:
        raise _refusal(
            key, str(where), "begins at a home folder that is not known: write the path out"
        ) from error


def give_home() -> None:
    """Give a process whose user has no home folder one among the temporary files.

    An id that the system has no name for, as in a container, has none; Ray and other packages look
    for it while they are imported.
    """
    try:
        Path.home()
    except RuntimeError:
        if (spare := spare_folder()) is not None:
            os.environ["HOME"] = str(spare)


def working_folders() -> list[Path]:
    """The working directory, in a list; an empty list where it is gone."""
    try:
        return [] if _LEFT else [Path.cwd()]
    except FileNotFoundError:
        return []


_LEFT: list[str] = []
"""Says that the process has left a working directory that was gone, from which no path begins."""


def leave_gone_folder() -> None:
    """Leave a working directory that somebody has removed: numeric libraries do not load there.

    From then on `checked_path` refuses relative paths.
    """
    if not working_folders():
        _LEFT.append(os.sep)
        os.chdir(os.sep)


def spare_folder(*, make: bool = True) -> Path | None:
    """A folder of this user's alone among the temporary files; None if there can be none.

    For what a process would like to find again, and can do without.

    Args:
        make: whether to make it; without, None where it is not there.
    """
    # Not on Windows, where the temporary folder is the user's own.
    user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""
    try:
        folder = Path(tempfile.gettempdir(), f"trm-search{user}")
        if make:
            folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    # Others may make folders beside it, under this name too.
    theirs = hasattr(os, "getuid") and found.st_uid != os.getuid()
    return None if theirs or not stat.S_ISDIR(found.st_mode) else folder


def write_output(path: Path, content: str | bytes, key: str) -> None:
    """Write the file that an option names; text is written in UTF-8.

    Raises:
        UserError: it cannot be written.
    """
    data = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
    checked_path(path, key)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UserError(key, str(path), f"cannot be written: {error.strerror}") from error


def _refusal(key: str, text: str, remedy: str) -> UserError:
    short = text if len(text) <= 80 else f"{text[:50]}...{text[-20:]}"
    shown = ascii(short) if "\0" in short or not short.isprintable() else repr(short)
    return UserError(f"{key}: {shown} {remedy}" if key else f"{shown} {remedy}")
