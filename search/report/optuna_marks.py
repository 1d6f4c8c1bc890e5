"""What Optuna's dashboard is told of a run beyond its journal, and what it does not know."""

from __future__ import annotations

from search.config.plan import Plan, read_plan
from search.explore.candidates import best_first, explored
from search.ledger.files import RUN_FILE
from search.ledger.reader import read_book
from search.ledger.storage import Place
from search.logs.dashboard import Marks
from search.stability.result import Result, read_result
from trm.errors import UserError

_UNKNOWN = (
    "Optuna knows the search alone: a score a config, most of one seed. It knows nothing of the "
    "runs over fresh seeds, of the promise, of findings, or of what was lost and run again"
)


class OptunaMarks:
    """Reads a run's result when it has changed.

    Args:
        folder: a run folder.
    """

    def __init__(self, folder: Place) -> None:
        self._folder = folder
        self._seen: object = None
        self._marks = Marks("")

    def __call__(self) -> Marks:
        """What is known now; while the run cannot be read, what was known last."""
        try:
            result = read_result(self._folder)
            if (result is None, result) != self._seen and (self._folder / RUN_FILE).is_file():
                self._marks = marks_of(self._folder, result)
                self._seen = (result is None, result)
        except (UserError, OSError):
            pass
        return self._marks


def marks_of(folder: Place, result: Result | None) -> Marks:
    """The notes on the study and on the winner."""
    told = f"{_UNKNOWN}: `trm report {folder.name} --live` shows them."
    if result is None:
        return Marks(f"No winner yet. {told} Its best trial is the best score of the search.")
    plan = read_plan(folder)
    promise, column = result.promise, result.objective
    words = (
        f"**Trial {result.winner} of the run won**: over {len(promise.seeds)} fresh seeds mean "
        f"{column} {promise.mean:.3f}, promised {promise.low:.3f} to {promise.high:.3f} of one "
        f"fresh seed ({result.confidence:.0%})"
    )
    if result.winning.reservation:
        words += f"; but {result.winning.reservation}"
    shown = "the best trial here" if len(plan.objectives) == 1 else "noted here"
    return Marks(
        f"{words}. It is {shown}; the score beside it is the search's. "
        f"{_by_score(folder, plan, result)}{told}",
        result.winner,
        f"{words}. The value above is its score in the search, by which it was chosen.",
    )


def _by_score(folder: Place, plan: Plan, result: Result) -> str:
    first = best_first(plan, explored(plan, read_book(folder)))[:1]
    if not first or first[0].trial.id == result.winner:
        return ""
    return (
        f"By the search's score alone trial {first[0].trial.id} would be it, with "
        f"{first[0].score:.3f}. "
    )


def unknown_line(folder: Place, result: Result | None) -> str:
    """What the dashboard does not know, in a line for the terminal."""
    winner = "no winner yet" if result is None else f"the winner is trial {result.winner}"
    return f"{_UNKNOWN}; {winner}, see `trm report {folder} --live`"
