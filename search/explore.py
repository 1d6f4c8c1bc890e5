"""The explore stage: Optuna proposes, the scheduler stops, the ledger remembers."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import optuna

from search.ledger import Ledger, Trial
from search.plan import Plan
from search.samplers import Record, ask, rebuild_journal, tell
from trm.config import experiment_from
from trm.errors import UserError

STUDY_FILE = "study.log"
_MOST_INFEASIBLE = 200


class Explore:
    """A source of explore trials for the engine; rebuilt from the ledger on resume.

    Optuna numbers the explore trials 0, 1, ... without gaps; the ledger's ids may have gaps where
    other stages ran between.
    """

    def __init__(self, plan: Plan, ledger: Ledger, floor: float) -> None:
        self.plan = plan
        self.floor = floor
        self._ledger = ledger
        self._asha = plan.asha()
        self._trials = [t for t in ledger.trials.values() if t.stage == "explore"]
        self._numbers = {trial.id: number for number, trial in enumerate(self._trials)}
        self._restore_decisions()
        self._waiting = deque(t for t in self._trials if t.outcome is None)
        self._study = self._rebuild_study()

    @property
    def wanted(self) -> int:
        """Trials that the stage is to have, not counting infeasible draws."""
        return self.plan.wanted

    @property
    def done(self) -> int:
        """Trials that have ended, not counting infeasible draws."""
        return sum(trial.outcome not in (None, "infeasible") for trial in self._trials)

    def next(self) -> Trial | None:
        """The next trial to start or to go on with; None when there are enough."""
        if self._waiting:
            return self._waiting.popleft()
        for _ in range(_MOST_INFEASIBLE):
            if self.exhausted():
                return None
            trial = self._draw()
            if trial.outcome is None:
                return trial
        raise UserError(
            f"{_MOST_INFEASIBLE} draws in a row were infeasible, the last because "
            f"{self._trials[-1].reason}: narrow the space"
        )

    def exhausted(self) -> bool:
        """Whether `next` will never give a trial again."""
        feasible = sum(trial.outcome != "infeasible" for trial in self._trials)
        return not self._waiting and feasible >= self.wanted

    def score(self, row: Mapping[str, Any]) -> float:
        """The objective of a report."""
        return self.plan.objective.value(row)

    def on_report(self, trial: Trial, row: Mapping[str, Any]) -> Literal["continue", "stop"]:
        """Whether a trial goes on after an acknowledged report."""
        return self._asha.decide(trial.id, row["progress"], self.score(row))

    def on_end(self, trial: Trial) -> None:
        """Tell Optuna, once, how a trial ended."""
        assert trial.outcome is not None
        number = self._numbers[trial.id]
        tell(self._study, number, trial.outcome, trial.score, self._rungs(trial))

    def _draw(self) -> Trial:
        number = len(self._trials)
        params, tree = ask(self._study, self.plan.space, number)
        trial = self._ledger.add_trial(
            stage="explore", params=params, config=tree, seed=self.plan.default.train.seed
        )
        self._trials.append(trial)
        self._numbers[trial.id] = number
        try:
            experiment_from(tree)
        except UserError as error:
            self._ledger.finish(trial.id, "infeasible", None, str(error))
            self.on_end(trial)
        return trial

    def _restore_decisions(self) -> None:
        """Fill the rungs from the ledger; decide anew only what was reported but not decided."""
        undecided: list[tuple[Trial, dict[str, Any]]] = []
        for trial in self._trials:
            rows = self._ledger.curve(trial.id)
            if trial.outcome is None and rows:
                undecided.append((trial, rows.pop()))
            stopped = [trial.id] if trial.outcome == "pruned" else []
            self._asha.replay(
                ((trial.id, row["progress"], self.score(row)) for row in rows), stopped
            )
        for trial, row in undecided:
            if not row["diverged"] and self.on_report(trial, row) == "stop":
                self._ledger.finish(trial.id, "pruned", self.score(row))

    def _rebuild_study(self) -> optuna.Study:
        search = self.plan.sections.search
        records = [
            Record(number, trial.params, trial.outcome, trial.score, self._rungs(trial))
            for number, trial in enumerate(self._trials)
        ]
        return rebuild_journal(
            self.study_path, self.plan.study, self.plan.space, records, search.sampler, search.seed
        )

    @property
    def study_path(self) -> Path:
        """The Optuna journal, a view of the ledger for people and tools."""
        return self._ledger.folder / STUDY_FILE

    def _rungs(self, trial: Trial) -> dict[int, float]:
        """A trial's score at each rung that it reached, by the rung's index."""
        return {
            index: scores[trial.id]
            for index, scores in enumerate(self._asha.scores)
            if trial.id in scores
        }
