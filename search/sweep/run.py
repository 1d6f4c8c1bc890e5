"""A run folder as an object, for notebooks."""

from __future__ import annotations

from typing import Any

from search.config.plan import read_plan
from search.ledger.reader import read_curves, read_trials
from search.ledger.storage import Place, place
from search.ledger.trial import Trial
from search.stability.result import Result, read_result


class Run:
    """A run folder, finished or not, for notebooks.

    >>> run = Run("runs/arrows4")                                            # doctest: +SKIP
    >>> run.best().promise.mean, run.curves().to_pandas()                    # doctest: +SKIP
    """

    def __init__(self, folder: Place | str) -> None:
        self.folder = place(folder)
        self.plan = read_plan(self.folder)

    def trials(self) -> list[Trial]:
        """Every trial, by id."""
        return list(read_trials(self.folder).values())

    def curves(self) -> Any:
        """Every acknowledged report as a `pyarrow.Table`."""
        return read_curves(self.folder)

    def best(self) -> Result | None:
        """What the confirm stage found; None while it has not ended."""
        return read_result(self.folder)
