"""The compiled library: built once a machine into the cache, shared by all processes."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock

from trm.errors import LockWarning, UserError
from trm.files.lock import FileLock
from trm.files.run_folder import cache_folder

SOURCE = Path(__file__).parent / "source"
COMPILERS = ("g++", "c++", "clang++")
"""Tried in turn where the environment variable CXX names none."""
BUILD_SECONDS = 120.0
"""A build takes a few; one that takes longer has hung."""
_FINDING = Lock()
"""Held by a thread that looks for it: another one waits rather than looks too."""
MEMORY, TOKEN, LABEL = 1, 2, 3
"""What the library's functions return where memory is short, or a token or label is none."""


class NoLibraryError(Exception):
    """There is no compiled library here; the message says why, in a few words."""


class StepCall(ctypes.Structure):
    """What the passes are told; the same fields as `Task` in `source/layout.h`."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in (
            "rows", "positions", "channels", "layers", "inner", "mixing", "heads", "H_cycles",
            "L_cycles", "L_kept", "threads", "prefix", "vocab", "puzzle",
        )),
        ("eps", ctypes.c_float),
        ("scale", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in (
            "weights", "cosines", "sines", "tokens", "table", "puzzles", "x", "lm_head", "q_head",
            "q_bias",
        )),
    )  # fmt: skip


class Gradients(ctypes.Structure):
    """Where gradients go; the same fields as in `source/layout.h`."""

    _fields_ = tuple(
        (name, ctypes.c_void_p)
        for name in ("weights", "table", "puzzles", "x", "lm_head", "q_head", "q_bias")
    )


def library() -> ctypes.CDLL:
    """The library, built if it is not in the cache.

    Raises:
        NoLibraryError: it cannot be built or loaded; the first call's reason, in every later one.
    """
    with _FINDING:
        found = _found()
    if isinstance(found, str):
        raise NoLibraryError(found)
    return found


@cache
def _found() -> ctypes.CDLL | str:
    try:
        return _bound(_built())
    except NoLibraryError as error:
        return str(error)


def _bound(path: Path) -> ctypes.CDLL:
    try:
        found = ctypes.CDLL(str(path))
    except OSError as error:
        raise NoLibraryError(f"its library cannot be loaded ({_short(str(error))})") from error
    pointer = ctypes.c_void_p
    found.kept_size.argtypes, found.kept_size.restype = [pointer], ctypes.c_int64
    found.forward.argtypes, found.forward.restype = [pointer] * 8, ctypes.c_int32
    found.backward.argtypes, found.backward.restype = [pointer] * 5, ctypes.c_int32
    found.learn.argtypes = [
        *[pointer] * 6, ctypes.c_int32, *[pointer] * 2, ctypes.c_double, *[pointer] * 3,
    ]  # fmt: skip
    found.learn.restype = ctypes.c_int32
    size = ctypes.c_int64
    found.cells.argtypes, found.cells.restype = [size, size, *[pointer] * 3], ctypes.c_int32
    found.cells_backward.argtypes = [size, size, *[pointer] * 4]
    found.cells_backward.restype = None
    return found


def _built() -> Path:
    """The library's file; made here unless another process has done it or is at it."""
    command = [*_compiler(), *_flags()]
    folder = _folder()
    path = folder / f"recursion-{_key(command)}.so"
    deadline = time.monotonic() + BUILD_SECONDS
    while not _is_own(path):
        with _lock(path.with_suffix(".lock")) as mine:
            if mine and not path.exists():
                _build(command, path)
        if time.monotonic() > deadline:
            raise NoLibraryError("another process's build of it takes too long")
    return path


def _compiler() -> list[str]:
    named = shlex.split(os.environ.get("CXX", ""))
    for name in [named] if named else [[name] for name in COMPILERS]:
        if (found := shutil.which(name[0])) is not None:
            return [found, *name[1:]]
    raise NoLibraryError(f"no C++ compiler ({' '.join(named) or ', '.join(COMPILERS)})")


def _flags() -> list[str]:
    native = "-march" if platform.machine() in ("x86_64", "AMD64", "i686") else "-mcpu"
    return [
        "-std=c++17", "-O3", f"{native}=native", "-ffp-contract=fast", "-fno-math-errno",
        "-fno-trapping-math", "-fPIC", "-shared", "-pthread",
        *shlex.split(os.environ.get("CXXFLAGS", "")),
    ]  # fmt: skip


def _key(command: list[str]) -> str:
    """Of all that the library depends on: source, compiler, flags and the kind of CPU."""
    digest = hashlib.sha256(" ".join(command).encode())
    for path in _sources():
        digest.update(path.read_bytes())
    digest.update(_output([command[0], "--version"]).encode())
    digest.update(f"{sys.platform} {platform.machine()} {_cpu()}".encode())
    return digest.hexdigest()[:24]


def _sources() -> Iterator[Path]:
    yield from sorted([*SOURCE.glob("*.h"), *SOURCE.glob("*.cpp")])


def _cpu() -> str:
    """What the CPU can do, as far as the system says."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features", "CPU part")
    return " ".join(sorted({line for line in lines if line.startswith(wanted)}))


def _folder() -> Path:
    """Where it lies. Nobody else may write there: what is in it is run."""
    try:
        cached = cache_folder()
        if cached is None:
            raise NoLibraryError("there is no cache folder")
        folder = cached / "kernels"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, UserError) as error:
        raise NoLibraryError(f"the cache cannot be written ({_short(str(error))})") from error
    if not _is_own(folder):
        raise NoLibraryError(f"{folder} belongs to another user")
    return folder


def _is_own(path: Path) -> bool:
    """Whether it is there, and nobody but this user can have written it."""
    try:
        status = path.stat()
    except OSError:
        return False
    if not hasattr(os, "geteuid"):
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & 0o002


@contextmanager
def _lock(path: Path) -> Iterator[bool]:
    """Whether this process holds the lock; if not, some time has passed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LockWarning)
            held = FileLock(path)
    except UserError:
        time.sleep(0.1)
        yield False
        return
    except OSError as error:
        raise NoLibraryError(f"the cache cannot be written ({error.strerror})") from error
    try:
        yield True
    finally:
        held.release()


def _build(command: list[str], path: Path) -> None:
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".build-") as room:
            made = Path(room, path.name)
            _output([*command, "-o", str(made), str(SOURCE / "recursion.cpp")])
            os.replace(made, path)
    except OSError as error:
        raise NoLibraryError(f"the cache cannot be written ({error.strerror})") from error


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False,
            stdin=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoLibraryError(f"{command[0]} does not run ({_short(str(error))})") from error
    if done.returncode:
        raise NoLibraryError(f"{command[0]} fails ({_short(done.stderr)})")
    return done.stdout


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 160 else f"{line[:157]}..."
