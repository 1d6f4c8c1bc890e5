"""What was known when a config was asked for: the order of asks and tells, kept with the configs.

A draw depends on what the trials before it have come to by then, which with several workers is a
matter of chance. Each config that is drawn notes what has changed since the one before, a few
numbers for each trial that reported or ended; so a resume goes on from what the last one notes, and
whoever takes the notes up one after another knows what was known at each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from search.ledger.book import Book
from search.ledger.trial import Row, Trial
from search.objectives.outcome import Outcome

Standing = tuple[int, str | None]
"""How far a trial has come: its last mark, and its outcome, `paused` or None while it runs."""
_NEW: Standing = (0, None)


class Asks:
    """What the next config notes.

    Args:
        book: of the run; what its configs have noted counts as known.
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self._known: dict[int, Standing] = {}
        for trial in book.trials.values():
            self._known |= noted(trial)

    def note(self, planned: int) -> dict[str, Any]:
        """What has changed since the last call.

        Args:
            planned: configs that the search is to have.
        """
        new = {
            trial.id: now
            for trial in self._book.trials.values()
            if (now := standing(trial)) != self._known.get(trial.id, _NEW)
        }
        self._known |= new
        return {"planned": planned, "since": [[number, *now] for number, now in new.items()]}


def standing(trial: Trial) -> Standing:
    """How far a trial has come."""
    return trial.mark, trial.outcome or ("paused" if trial.paused else None)


def noted(trial: Trial) -> dict[int, Standing]:
    """By trial, what a config notes of those before it; nothing in older run folders."""
    return {number: (mark, state) for number, mark, state in trial.asked.get("since", ())}


class BookThen(Book):
    """A book as it stood when a config was asked for.

    Args:
        whole: the book as it stands now.
        asked: the trial that came of the ask; those after it were not there.
        known: how far trials had come, by number; others had not begun.
        curves: reports by trial.
        floor: the score of a failure that was taken back later.
    """

    def __init__(
        self,
        whole: Book,
        asked: Trial,
        known: Mapping[int, Standing],
        curves: Mapping[int, Sequence[Row]],
        floor: float,
    ) -> None:
        super().__init__()
        for trial in list(whole.trials.values())[: asked.id]:
            mark, state = known.get(trial.id, _NEW)
            rows = [row for row in curves.get(trial.id, ()) if row["mark"] <= mark]
            outcome = cast(Outcome | None, None if state == "paused" else state)
            score = trial.score if outcome == trial.outcome else floor
            self._tail[trial.id] = rows
            self.trials[trial.id] = replace(
                trial,
                mark=mark,
                compute=rows[-1]["compute"] if rows else 0.0,
                outcome=outcome,
                score=None if outcome is None else score,
                paused=state == "paused",
                # What was decided on its last report had been decided.
                attempts=trial.attempts + 1,
            )
