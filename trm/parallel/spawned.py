"""Further processes on this machine, which live no longer than the one that started them."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from trm.parallel.meeting import BEREFT, host
from trm.ranks import LostRankError
from trm.stopping import before_leaving, forget_before_leaving

END_SECONDS = 5.0
"""How long a process takes to end by itself when the first one has."""


class Spawned:
    """`processes - 1` further processes, which join the meeting of this one.

    They are in a session of their own: a terminal's Ctrl-C reaches the first one, which tells them.
    """

    def __init__(self, processes: int) -> None:
        self.meeting, port = host(processes)
        self._said = [tempfile.TemporaryFile() for _ in range(1, processes)]  # noqa: SIM115
        self._children = [
            subprocess.Popen(
                # -P: no module of the working directory stands for one of ours.
                [sys.executable, "-P", "-m", "trm.parallel.following", "127.0.0.1", str(port),
                 str(rank), str(processes), str(rank)],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
            for rank, said in enumerate(self._said, start=1)
        ]  # fmt: skip
        before_leaving(self._kill)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        end = time.monotonic() + (END_SECONDS if kind is None else 0.0)
        for child in self._children:
            with suppress(subprocess.TimeoutExpired):
                child.wait(max(end - time.monotonic(), 0.0))
        self._kill()
        forget_before_leaving(self._kill)
        for child, said in zip(self._children, self._said, strict=True):
            child.wait()
            said.close()

    def require_alive(self) -> None:
        """
        Raises:
            LostRankError: one of them has ended.
        """
        if any(child.poll() is not None for child in self._children):
            raise LostRankError("a process has ended")

    def lost(self) -> str:
        """Which of them ended, and how; empty if all are there."""
        # A connection breaks a moment before its process can be waited for.
        end = time.monotonic() + 2.0
        while all(child.poll() is None for child in self._children) and time.monotonic() < end:
            time.sleep(0.05)
        size = len(self._children) + 1
        codes = {number: child.poll() for number, child in enumerate(self._children, start=2)}
        ended = [
            f"process {number} of {size} {self._how(number - 2, code)}"
            for number, code in codes.items()
            if code not in (None, BEREFT)
        ]
        return "; ".join(ended)

    def _how(self, index: int, code: int) -> str:
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        said = self._said[index]
        said.seek(0)
        lines = said.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"ended with code {code}{last and f': {last[:300]}'}"

    def _kill(self) -> None:
        for child in self._children:
            if child.poll() is None:
                child.kill()
