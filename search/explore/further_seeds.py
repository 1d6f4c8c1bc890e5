"""Further seeds of a config in the search, once its first one has run to its end."""

from __future__ import annotations

from collections import deque

from search.config.plan import Plan
from search.config.seeds import EXPLORE_SEEDS
from search.engine.source import taken
from search.explore.candidates import runs_by_config
from search.ledger.book import Book
from search.ledger.trial import Trial


class FurtherSeeds:
    """The trials of every config in the search, its first one included.

    A config whose first seed was stopped early or failed gets no others: it has lost already.
    """

    def __init__(self, plan: Plan, book: Book) -> None:
        self._plan = plan
        self._book = book
        self._trials = {
            number: seeds
            for number, seeds in runs_by_config(book.trials).items()
            if plan.seeds > 1 or len(seeds) > 1
        }
        for seeds in self._trials.values():
            # A driver that died in here had stored some of them.
            self._fill(seeds)
        self._waiting = deque(
            trial for _, *others in self._trials.values() for trial in others if not trial.ended
        )
        self._open = len(self._waiting)

    @property
    def done(self) -> int:
        """Further seeds that have ended."""
        return sum(t.ended for _, *more in self._trials.values() for t in more)

    @property
    def waiting(self) -> bool:
        """Whether any further seed has yet to end."""
        return self._open > 0

    def next(self) -> Trial | None:
        """A further seed to start or to go on with."""
        return self._waiting.popleft() if self._waiting else None

    def beside(self, trial: Trial, most: int) -> list[Trial]:
        """Further seeds of the same config."""
        return taken(self._waiting, trial, most)

    def __len__(self) -> int:
        """Further seeds that could start now."""
        return len(self._waiting)

    def add(self, first: Trial) -> Trial:
        """One more seed of a config than were planned, to start now."""
        seeds = self._trials.setdefault(first.id, [first])
        seeds.append(self._seed(first, len(seeds)))
        self._open += 1
        return seeds[-1]

    def of(self, first: Trial) -> list[Trial]:
        """All trials of a config, by that of its first seed."""
        return self._trials.get(first.id, [first])

    def complete(self, first: Trial) -> bool:
        """Whether a config has ended with all seeds that were planned; more may be under way."""
        wanted = self._plan.seeds if first.completed else 1
        return first.ended and sum(trial.ended for trial in self.of(first)) >= wanted

    def on_end(self, trial: Trial) -> bool:
        """Take in that a trial has ended; whether its whole config has."""
        first = self._book.trials[trial.candidate]
        if trial is not first:
            self._open -= 1
        elif self._plan.seeds == 1:
            return True
        seeds = self._trials.setdefault(first.id, [first])
        known = len(seeds)
        self._fill(seeds)
        self._waiting.extend(seeds[known:])
        self._open += len(seeds) - known
        return self.complete(first)

    def _fill(self, seeds: list[Trial]) -> None:
        if seeds[0].completed:
            for index in range(len(seeds), self._plan.seeds):
                seeds.append(self._seed(seeds[0], index))

    def _seed(self, first: Trial, index: int) -> Trial:
        seed = first.seed + EXPLORE_SEEDS + index - 1
        config = {**first.config, "train": {**first.config["train"], "seed": seed}}
        return self._book.add_trial(
            stage="explore", candidate=first.id, params=first.params, config=config, seed=seed
        )
