"""A Ray cluster of this machine alone: on the loopback, with a token and files of its own."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cluster.admission import MODE, TOKEN, TOKEN_PATH
from cluster.errors import ClusterError
from cluster.reaper import belonging
from cluster.resources import cores
from cluster.session import MARK

_STARTS = 3
"""Times that Ray is started, if it fails."""
_SLOW_SECONDS = 20.0
"""After this long a person is told that the start is slow."""
_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
_OBJECT_STORE_BYTES = 100_000_000


def own_token(folder: Path) -> dict[str, str | None]:
    """Ray's variables for a token that is a session's alone, in a file of its folder.

    Ray's own way is one in the home folder, which others may read, and which every Ray that the
    user starts from then on asks for.
    """
    if os.environ.get(MODE, "").lower() == "disabled":
        return {}
    token = folder / "auth_token"
    with open(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    return {MODE: "token", TOKEN: None, TOKEN_PATH: str(token)}


def start(
    folder: Path,
    cpus: int | None,
    gpus: int | None,
    environment: Mapping[str, str],
    say: Callable[[str], None],
) -> None:
    """Start Ray and connect to it; on a busy machine with patience.

    Args:
        folder: of the session; Ray's files go into it.
        environment: variables of its processes.
        say: takes a line for a person when the start is slow.

    Raises:
        ClusterError: Ray does not start.
    """
    begun = time.monotonic()
    variables = {**environment, MARK: str(folder), _LOOPBACK: "0"}
    with _set(variables), _on_the_loopback():
        for attempt in range(1, _STARTS + 1):
            try:
                with _telling(attempt, say):
                    _init(folder, cpus, gpus)
                return
            # Ray gives its servers half a minute (ray 2.60), which a busy machine may not have.
            except Exception as error:
                _end(folder)
                taken = time.monotonic() - begun
                if attempt == _STARTS:
                    raise _no_start(error, taken) from error
                if taken > _SLOW_SECONDS:
                    say(
                        f"Ray has not started in {taken:.0f} s ({_load()}): "
                        f"attempt {attempt + 1} of {_STARTS}"
                    )


def _init(folder: Path, cpus: int | None, gpus: int | None) -> None:
    import ray

    ray.init(
        address="local",
        num_cpus=cpus,
        num_gpus=gpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.CRITICAL,
        object_store_memory=_OBJECT_STORE_BYTES,
        # Not the session's folder itself, whose mode Ray would set to 0777.
        _temp_dir=str(folder / "ray"),
    )


def _end(folder: Path) -> None:
    """End what an attempt has left, which would take the next one's share of the machine."""
    import ray

    ray.shutdown()
    for pid in belonging(f"{MARK}={folder}".encode(), str(folder)):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            continue


@contextmanager
def _telling(attempt: int, say: Callable[[str], None]) -> Iterator[None]:
    line = f"Ray's start takes more than {_SLOW_SECONDS:.0f} s: attempt {attempt} of {_STARTS}"
    clock = threading.Timer(_SLOW_SECONDS, lambda: say(f"{line}, {_load()}"))
    clock.daemon = True
    if attempt == 1:
        clock.start()
    try:
        yield
    finally:
        clock.cancel()


def _load() -> str:
    if not hasattr(os, "getloadavg"):
        return f"{cores()} cores"
    return f"load {os.getloadavg()[0]:.1f} on {cores()} cores"


def _no_start(error: Exception, taken: float) -> ClusterError:
    reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
    try:
        from resource import RLIMIT_NOFILE, getrlimit

        files = f" (ulimit -n says {getrlimit(RLIMIT_NOFILE)[0]}, Ray wants 256 or more)"
    except ImportError:
        files = ""
    return ClusterError(
        f"Ray does not start on this machine, {_STARTS} attempts in {taken:.0f} s: {reason} It may "
        f"be too busy ({_load()}), or short of memory or of open files{files}: `trm doctor` looks; "
        "nothing is lost, run the same again"
    )


@contextmanager
def _on_the_loopback() -> Iterator[None]:
    """Within, Ray takes this machine's address to be the loopback's."""
    # The variable is read when Ray is imported, which may be long ago (ray 2.60).
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _set(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
