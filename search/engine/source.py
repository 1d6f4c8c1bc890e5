"""A config again under other seeds: the trials, and what hands them out to the engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from search.ledger.book import Book
from search.ledger.trial import StageName, Trial
from search.objectives.objective import Objective


def replicate(
    book: Book,
    stage: StageName,
    candidate: int,
    seed: int,
    params: dict[str, Any],
    config: dict[str, Any],
) -> Trial:
    """The trial of a config with a seed: the one that is there, or a new one."""
    for trial in book.trials.values():
        if (trial.stage, trial.candidate, trial.seed) == (stage, candidate, seed):
            return trial
    train = {**config["train"], "seed": seed}
    return book.add_trial(
        stage=stage,
        candidate=candidate,
        seed=seed,
        params=params,
        config={**config, "train": train},
    )


def taken(waiting: deque[Trial], trial: Trial, most: int) -> list[Trial]:
    """Take those out of a queue that are of a trial's config, so many at most."""
    found = [one for one in waiting if one.differs_in_seed_alone(trial)][: max(most, 0)]
    for one in found:
        waiting.remove(one)
    return found


class Further(Protocol):
    """Gives runs as those before come to something."""

    def next(self) -> Trial | None:
        """A further one; None if there is none right now."""

    def beside(self, trial: Trial, most: int) -> list[Trial]:
        """Further seeds of a trial's config, to be run whatever comes of the runs before."""

    def waiting(self) -> int:
        """Runs to come whatever comes of those before."""


class FixedTrials:
    """A source of trials for the engine that are never stopped early.

    Args:
        trials: given beforehand; those that have ended are left out.
        more: gives further ones, once all given ones have been handed out, and is asked again
            after every end.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        objective: Objective,
        floor: float,
        more: Further | None = None,
    ) -> None:
        self.floor = floor
        self._objective = objective
        self._waiting = deque(trial for trial in trials if not trial.ended)
        self._more = more

    def next(self) -> Trial | None:
        """The next trial to start or to go on with."""
        return self._waiting.popleft() if self._waiting else self._further()

    def beside(self, trial: Trial, most: int) -> list[Trial]:
        """Further seeds of its config."""
        found = taken(self._waiting, trial, most)
        if self._more is not None and not self._waiting:
            found += self._more.beside(trial, most - len(found))
        return found

    def exhausted(self) -> bool:
        """Whether `next` will never give a trial again, once all that run have ended."""
        if not self._waiting and (trial := self._further()) is not None:
            self._waiting.append(trial)
        return not self._waiting

    def waiting(self) -> int:
        """Trials that could start now."""
        return len(self._waiting) + (self._more.waiting() if self._more is not None else 0)

    def _further(self) -> Trial | None:
        return self._more.next() if self._more is not None else None

    def score(self, row: Mapping[str, Any]) -> float:
        """The objective of a report."""
        return self._objective.value(row)

    def on_report(self, trial: Trial, row: Mapping[str, Any]) -> Literal["continue", "stop"]:
        """Replicates always go on."""
        return "continue"

    def on_end(self, trial: Trial) -> None:
        """Nobody needs to be told."""


Verdict = Literal["continue", "stop", "pause", "complete", "replace", "drop"]
"""Go on; end early, `pruned`; free the worker and wait until the source gives the trial again; or
end as planned, `completed`, short of the whole budget. The others are the engine's own: `replace`
has the worker's process ended, and another one take what comes next; `drop` has the worker go on
without one of several trials."""


class TrialSource(Protocol):
    """Says which trials run, and for how long. It is plain Python and knows no Ray."""

    floor: float
    """The score of a trial that failed."""

    def next(self) -> Trial | None:
        """The next trial to start or to go on with, from the ledger; None if none right now."""

    def beside(self, trial: Trial, most: int) -> list[Trial]:
        """Further seeds of the config of a trial that it just gave, handed out with it.

        Only those that `next` would give whatever comes of the trials that run.

        Args:
            most: so many, at most.
        """

    def exhausted(self) -> bool:
        """Whether `next` will never give a trial again."""

    def waiting(self) -> int:
        """Trials that `next` would give now, as far as it is known without drawing them."""

    def score(self, row: Mapping[str, Any]) -> float:
        """The objective of a report."""

    def on_report(self, trial: Trial, row: Mapping[str, Any]) -> Verdict:
        """Called for every report, after it was acknowledged; not for a failed trial's last."""

    def on_end(self, trial: Trial) -> None:
        """Called once, after the ledger has the outcome."""
