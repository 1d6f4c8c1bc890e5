"""One event, several listeners: what one of them does wrong is nobody else's trouble."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from search.ledger.trial import Trial
from search.logs.console import warn


class Broadcast:
    """Passes every event on to each listener in turn; one that raises is told nothing more."""

    def __init__(self, listeners: Sequence[Events]) -> None:
        self._listeners = list(listeners)

    def started(self, trial: Trial, worker: str) -> None:
        """A worker (host and process id) has begun or resumed a trial."""
        self._tell(lambda listener: listener.started(trial, worker))

    def reported(self, trial: Trial, row: Mapping[str, Any], score: float) -> None:
        """A report was acknowledged."""
        self._tell(lambda listener: listener.reported(trial, row, score))

    def paused(self, trial: Trial) -> None:
        """A trial waits after its last report, and may be gone on with."""
        self._tell(lambda listener: listener.paused(trial))

    def ended(self, trial: Trial) -> None:
        """A trial has its outcome."""
        self._tell(lambda listener: listener.ended(trial))

    def _tell(self, call: Callable[[Events], None]) -> None:
        for listener in tuple(self._listeners):
            try:
                call(listener)
            except Exception as error:  # a view of the run must not stop the run
                self._listeners.remove(listener)
                words = " ".join(f"{type(error).__name__}: {error}".split())
                warn(f"{type(listener).__name__} is off after an error ({words}); the run goes on")


class Events(Protocol):
    """Is told what happens, for a display."""

    def started(self, trial: Trial, worker: str) -> None:
        """A worker (host and process id) has begun or resumed a trial."""

    def reported(self, trial: Trial, row: Mapping[str, Any], score: float) -> None:
        """A report was acknowledged."""

    def paused(self, trial: Trial) -> None:
        """A trial waits after its last report, and may be gone on with."""

    def ended(self, trial: Trial) -> None:
        """A trial has its outcome."""


class NoEvents:
    """Tells nobody."""

    def started(self, trial: Trial, worker: str) -> None: ...
    def reported(self, trial: Trial, row: Mapping[str, Any], score: float) -> None: ...
    def paused(self, trial: Trial) -> None: ...
    def ended(self, trial: Trial) -> None: ...
