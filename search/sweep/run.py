"""A run folder as an object, for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from search.config.plan import read_plan
from search.ledger.reader import read_curves, read_trials
from search.ledger.storage import Place, place
from search.ledger.trial import Trial
from search.stability.result import Result, read_result

if TYPE_CHECKING:
    from trm.solver import Solver


class Run:
    """A run folder, finished or not, for notebooks.

    >>> done = Run(run)
    >>> len(done.trials()), done.curves().num_rows
    (12, 45)
    >>> done.best().winner, round(done.best().promise.mean, 3)
    (3, 0.711)
    >>> print(done.export().splitlines()[0])
    # trial 3 of sweep v1-4c28bd145f3e
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

    def export(self, format: str = "trm", trial: int | None = None) -> str:
        """The winner's config, or an explore trial's, as the text of a file.

        Args:
            format: `trm`, `reference`, `json` or `card`, as `trm export` has them.
            trial: the explore trial's id.

        Raises:
            UserError: no winner yet, or no such trial.
        """
        from search.export.export import export

        return export(self.folder, format, trial)

    def solver(self, trial: int | None = None, device: str = "auto") -> Solver:
        """The winner with its weights, or another trial's last checkpoint: it evaluates and solves.

        Args:
            trial: its number; None is the best on `valid` of the winner's promise runs, whose
                score there is a little lucky.
            device: `auto`, `cpu`, `cuda` or `mps`.

        Raises:
            UserError: no winner yet, no such trial, or its checkpoint is gone.
        """
        from search.export.weights import weights_of
        from trm.solver import load

        with weights_of(self.folder, trial) as weights:
            return load(weights.checkpoint, device)

    def best(self) -> Result | None:
        """What the confirm stage found; None while it has not ended."""
        return read_result(self.folder)
