"""The reference recipe's runs ahead of their stage, on workers that have nothing else to do."""

from __future__ import annotations

from search.config.plan import Plan
from search.ledger.book import Book
from search.ledger.trial import Trial
from search.stability.confirm import reference_trial


class EarlyReference:
    """Hands out the reference recipe's promise runs while a stage waits for its last trials.

    They depend on no result, and every sweep that has a winner needs them. They begin once a trial
    of the search has completed, since a search in which nothing completes ends without a winner.

    Attributes:
        running: those that a worker has, by number.
    """

    def __init__(self, plan: Plan, book: Book) -> None:
        self.running: dict[int, Trial] = {}
        self._plan = plan
        self._book = book
        self._begun = 0

    def next(self) -> Trial | None:
        """A run to start or to go on with; None if there is none, or it is too early."""
        if not any(trial.searches and trial.completed for trial in self._book.trials.values()):
            return None
        found = self._further(1)
        return found[0] if found else None

    def beside(self, trial: Trial, most: int) -> list[Trial]:
        """Further ones, to be handed out with one of them."""
        return self._further(most)

    def _further(self, most: int) -> list[Trial]:
        found: list[Trial] = []
        while len(found) < most and self._begun < self._plan.sections.stability.promise_seeds:
            trial = reference_trial(self._plan, self._book, self._begun)
            self._begun += 1
            if not trial.ended:
                self.running[trial.id] = trial
                found.append(trial)
        return found

    @property
    def done(self) -> int:
        """Runs that have ended."""
        return sum(t.stage == "reference" and t.ended for t in self._book.trials.values())

    def close(self) -> frozenset[int]:
        """End the handing out; the numbers of those that run, which their own stage now awaits."""
        running = frozenset(self.running)
        self.running.clear()
        self._begun = self._plan.sections.stability.promise_seeds
        return running
