"""A run folder as an object, for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from search.config.plan import read_plan
from search.ledger.reader import read_curves, read_trials
from search.ledger.storage import Place, place
from search.stability.result import Result, read_result
from search.sweep.run_view import as_html, as_text
from trm.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from search.ledger.trial import Trial
    from trm.solver import Solver


class Run:
    """A run folder, finished or not, for notebooks, which show it as a table.

    >>> done = Run(run)
    >>> len(done.trials()), len(done.curves())
    (12, 45)
    >>> list(done.trials().query("stage == 'explore'").nlargest(2, "score").index)
    [3, 0]
    >>> done.best().winner, round(done.best().promise.mean, 3)
    (3, 0.711)
    >>> print(done.export().splitlines()[0])
    # trial 3 of sweep v1-4c28bd145f3e
    """

    def __init__(self, folder: Place | str) -> None:
        self.folder = place(folder)
        self.plan = read_plan(self.folder)

    def __repr__(self) -> str:
        return as_text(self.folder, self.plan)

    def _repr_html_(self) -> str:
        return as_html(self.folder, self.plan)

    def trials(self) -> pd.DataFrame:
        """Every trial, a row each, by number; the drawn values are columns by their paths.

        Columns are those of `trial`, but for its config and provenance; times are UTC.

        Raises:
            UserError: pandas is not installed.
        """
        pandas = _pandas()
        rows = [_row(trial) for trial in read_trials(self.folder).values()]
        frame = pandas.DataFrame(rows, columns=None if rows else ["trial", *_COLUMNS])
        for name in ("started", "finished"):
            frame[name] = pandas.to_datetime(frame[name], utc=True, format="ISO8601")
        return frame.set_index("trial").sort_index()

    def trial(self, number: int) -> Trial:
        """One trial with all that is known of it.

        Raises:
            UserError: there is none.
        """
        found = read_trials(self.folder).get(number)
        if found is None:
            raise UserError("trial", number, f"is none of {self.folder}: `trials()` has them")
        return found

    def curves(self) -> pd.DataFrame:
        """Every acknowledged report, a row each, by trial and mark; the columns are those of
        `trm guide columns`, and the attempt's number.

        Raises:
            UserError: pandas is not installed.
        """
        _pandas()
        frame = read_curves(self.folder).to_pandas()
        return frame.sort_values(["trial", "mark"], ignore_index=True)

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
            trial: its number; None is the best on `valid` of the winner's promise trials, whose
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


_COLUMNS = (
    "stage", "candidate", "seed", "outcome", "score", "reason", "mark", "compute", "seconds",
    "attempts", "preempted", "started", "finished",
)  # fmt: skip


def _row(trial: Trial) -> dict[str, Any]:
    return {"trial": trial.id, **{name: getattr(trial, name) for name in _COLUMNS}, **trial.params}


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise UserError(
            "trials() and curves() are tables of pandas, which is not installed: `pip install "
            "pandas`; the run folder is plain Parquet as well"
        ) from error
    return pandas
