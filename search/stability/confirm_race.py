"""The race of the confirm stage over a run's ledger: who runs again, and with which seed.

Its state is the ledger alone, so it resumes and extends: what ran before counts and is not run
again. A candidate's seeds come in order, the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from search.config.measured import confirmed_tree
from search.config.plan import Plan
from search.config.seeds import CONFIRM_SEEDS, MOST_SEEDS
from search.engine.source import replicate
from search.ledger.book import Book
from search.ledger.trial import Row, Trial
from search.objectives.constraint import violations
from search.stability.reserve import granted
from search.stability.result import RaceSummary
from search.stats.race_rules import Entrant, Rules, ending, first_seeds, next_seed


class ConfirmRace:
    """What the finalists have, and what comes next.

    Args:
        chosen: the finalists' explore trials, the best explored first.
        examples: how many examples a share is a share of, if that is known.
    """

    def __init__(
        self, plan: Plan, book: Book, chosen: Sequence[Trial], examples: int | None
    ) -> None:
        self.plan = plan
        self.rules = rules(plan, len(chosen), book.trials)
        self._book = book
        self._chosen = {trial.id: trial for trial in chosen}
        self._examples = plan.counted(examples)
        self._last: dict[int, Row] = {}

    def trials(self) -> list[Trial]:
        """The finalists' runs so far, in the order in which they were given."""
        return [
            trial
            for trial in self._book.trials.values()
            if trial.stage == "confirm" and trial.candidate in self._chosen
        ]

    def next(self) -> Trial | None:
        """A further run, new in the ledger; None if there is none right now."""
        key = next_seed(self._entrants(), self.rules, self._examples)
        if key is None:
            return None
        return self._further(key)

    def beside(self, trial: Trial, most: int) -> list[Trial]:
        """Those of its candidate's first seeds that are yet to be given, new in the ledger."""
        key = trial.candidate
        first = first_seeds(self._entrants(), self.rules).get(key, 0)
        return [self._further(key) for _ in range(min(first, most))]

    def _further(self, key: int) -> Trial:
        """A candidate's run over the next seed that it was not given, new in the ledger."""
        origin = self._chosen[key]
        seed = self.plan.seed + CONFIRM_SEEDS + len(self._runs()[key])
        tree = confirmed_tree(self.plan.sections.stability, origin.config)
        return replicate(self._book, "confirm", key, seed, origin.params, tree)

    def waiting(self) -> int:
        """First seeds that are yet to be given."""
        return sum(first_seeds(self._entrants(), self.rules).values())

    def summary(self) -> RaceSummary:
        """The race, once all its runs have ended."""
        entrants = self._entrants()
        return RaceSummary(
            racing=self.rules.racing,
            runs=sum(entrant.given for entrant in entrants.values()),
            budget=self.rules.budget,
            ending=ending(entrants, self.rules, self._examples),
        )

    def _runs(self) -> dict[int, list[Trial]]:
        runs: dict[int, list[Trial]] = {key: [] for key in self._chosen}
        for trial in self.trials():
            runs[trial.candidate].append(trial)
        return runs

    def _entrants(self) -> dict[int, Entrant]:
        merit = self.plan.objective.merit
        entrants = {}
        for key, runs in self._runs().items():
            merits = [merit(trial.score) for trial in runs if trial.score is not None]
            entrants[key] = Entrant(merits, len(runs) - len(merits), self._eligible(runs))
        return entrants

    def _eligible(self, runs: Sequence[Trial]) -> bool:
        """Whether the mean over the seeds so far keeps every constraint."""
        if not self.plan.constraints:
            return True
        done = [trial for trial in runs if trial.completed]
        for trial in done:
            if trial.id not in self._last:
                self._last[trial.id] = self._book.curve(trial.id)[-1]
        rows = [self._last[trial.id] for trial in done]
        return not rows or all(v <= 0 for v in violations(self.plan.constraints, rows).values())


def rules(plan: Plan, entrants: int, trials: Mapping[int, Trial]) -> Rules:
    """What the `stability` section grants to so many candidates, within the sweep's limits.

    Args:
        trials: of the run.
    """
    section = granted(plan, trials)
    return Rules(
        seeds=section.seeds,
        budget=section.runs(entrants),
        max_seeds=section.max_seeds or MOST_SEEDS,
        confidence=section.confidence,
        racing=section.racing,
    )
