"""NVIDIA's Multi-Process Service: processes that share a GPU run at once instead of in turns.

Its daemon is this run's own: it has a folder of its own for its sockets, so that neither another
user's daemon nor a later run's meets it, and ends with the run. Commands and variables are those of
NVIDIA's guide (docs.nvidia.com/deploy/mps, "Common Tasks").
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from cluster.errors import ClusterError
from cluster.session import MARK

CONTROL = "nvidia-cuda-mps-control"
PIPES, LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
_SECONDS = 5.0
"""For the daemon to start, and to end."""


def require_mps(address: str | None) -> None:
    """
    Args:
        address: of a cluster that is up; None for one that is started here.

    Raises:
        ClusterError: there is no daemon here to start, or none to be started from here.
    """
    if address is not None:
        raise ClusterError(
            f"is for a cluster that is started here, not for {address}: start `{CONTROL} -d` on "
            f"each of its nodes before Ray, with the same {PIPES}, and set it to false"
        )
    if PIPES not in os.environ and shutil.which(CONTROL) is None:
        raise ClusterError(
            f"needs {CONTROL}, which comes with NVIDIA's driver and is not on PATH: put it there, "
            "or set it to false"
        )


@contextmanager
def mps(folder: Path) -> Iterator[Mapping[str, str]]:
    """Within, a daemon is there for processes that have these variables.

    Where the environment names one already, that is taken and left running.

    Args:
        folder: of the session, for its sockets and logs.

    Raises:
        ClusterError: it does not start.
    """
    if PIPES in os.environ:
        yield {}
        return
    require_mps(None)
    variables = {PIPES: str(folder / "mps"), LOGS: str(folder / "mps-log")}
    for path in variables.values():
        Path(path).mkdir()
    # With the session's mark: it does not outlive a driver that is killed.
    environment = {**os.environ, **variables, MARK: str(folder)}
    _control(["-d"], environment, "")
    try:
        yield variables
    finally:
        with suppress(ClusterError):
            _control([], environment, "quit\n")


def _control(options: list[str], environment: Mapping[str, str], said: str) -> None:
    try:
        done = subprocess.run(
            [CONTROL, *options],
            input=said,
            env=environment,
            # Files, not pipes: the daemon would keep those open.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=_SECONDS,
            check=False,
            start_new_session=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClusterError(f"{CONTROL} does not start ({type(error).__name__}): {error}") from error
    if done.returncode:
        said = f"{CONTROL} {' '.join(options)} ended with code {done.returncode}"
        raise ClusterError(
            f"{said} ({_last_line(environment)}): is there an NVIDIA GPU? If not, set cluster.mps "
            "to false"
        )


def _last_line(environment: Mapping[str, str]) -> str:
    try:
        lines = (Path(environment[LOGS]) / "control.log").read_text(errors="replace").split("\n")
    except OSError:
        return "its log is empty"
    said = (line.strip()[:200] for line in reversed(lines) if line.strip())
    return next(said, "its log is empty")
