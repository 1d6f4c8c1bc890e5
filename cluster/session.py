"""The surroundings of a driver: a folder that is its alone, its workers' path, signals, the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

MARK = "TRM_RAY_SESSION"
"""The variable that processes of a session carry, with its folder."""
_OURS = ("cluster", "curricula", "search", "trm")
_STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@contextmanager
def session_folder() -> Iterator[Path]:
    """A new folder that nobody else may look into, until the end of this process or of the block.

    What carries the session's mark then ends too.
    """
    # Ray opens what it makes to everybody, so that only this one stands between.
    folder = Path(tempfile.mkdtemp(prefix="trm-ray-", dir=_short_temporary_folder()))
    with _reaper(folder):
        yield folder


@contextmanager
def signals_are_ours() -> Iterator[None]:
    """Processes begun within never hear of a stop; what handles our signals stays as it was.

    What stops a job (a queue, a container's runtime, `timeout`) signals all of its processes. Ray's
    servers would be gone before the driver has put its affairs in order, which waits for them.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _STOP_SIGNALS}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        yield
    except SystemExit as leave:  # Ray's own handler of SIGTERM, which another thread may hear
        raise KeyboardInterrupt from leave
    finally:
        for number, handler in handlers.items():
            if handler is not None:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def workers_path(folder: Path) -> str:
    """Workers' PYTHONPATH: ours with our packages first, as they are not in another's stead."""
    packages = folder / "packages"
    packages.mkdir()
    for name in _OURS:
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            (packages / name).symlink_to(Path(spec.origin).parent)
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    # Their working directory is another one.
    return os.pathsep.join([str(packages), *(os.path.abspath(entry) for entry in given if entry)])


@contextmanager
def _reaper(folder: Path) -> Iterator[None]:
    """A process of its own that ends what this session leaves, even if we are killed."""
    script = str(Path(__file__).with_name("reaper.py"))
    mark = f"{MARK}={folder}"
    with signals_are_ours():
        reaper = subprocess.Popen(
            [sys.executable, "-I", "-S", script, str(os.getpid()), mark, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
    assert reaper.stdin is not None
    try:
        yield
    finally:
        reaper.stdin.close()
        reaper.wait()


@contextmanager
def working_directory(folder: Path) -> Iterator[None]:
    """Within, this new folder is the working directory."""
    # Ray's workers get the driver's working directory as the first entry of their module path:
    # a user's own search.py there would shadow ours.
    folder.mkdir()
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _short_temporary_folder() -> str | None:
    # A Unix socket's path has at most 107 bytes, and Ray puts about 70 behind this folder.
    return None if len(tempfile.gettempdir()) < 20 or not os.path.isdir("/tmp") else "/tmp"
