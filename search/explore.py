"""The explore stage: Optuna proposes, the scheduler stops, the ledger remembers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna

from search.book import Book
from search.parts import Trial
from search.plan import Plan
from search.samplers import Record, ask, make_study, rebuild, rebuild_journal, tell
from search.schedulers.scheduler import Decision
from search.steering import Steering
from trm.config import experiment_from
from trm.errors import UserError

STUDY_FILE = "study.log"
_MOST_INFEASIBLE = 200


class Explore:
    """A source of explore trials for the engine; rebuilt from the ledger on resume.

    Optuna numbers the explore trials 0, 1, ... without gaps; the ledger's ids may have gaps where
    other stages ran between.

    Args:
        may_draw: asked before each new trial; once it is not true, no new ones come.
        study_path: where Optuna's journal is kept, a view of the ledger for people and tools; None
            keeps it in memory.
    """

    def __init__(
        self,
        plan: Plan,
        ledger: Book,
        floor: float,
        study_path: Path | None = None,
        may_draw: Callable[[], bool] = lambda: True,
    ) -> None:
        self.plan = plan
        self.floor = floor
        self._ledger = ledger
        self._may_draw = may_draw
        self._closed = False
        explored = [t for t in ledger.trials.values() if t.stage == "explore"]
        self._steering = Steering(
            plan.early_stopping, plan.scheduler(), ledger, explored, self.score, floor
        )
        self._trials = self._steering.trials
        self._study = self._rebuild_study(study_path)

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
        if self._steering.unfinished:
            return self._steering.start(self._steering.unfinished.popleft())
        if (promoted := self._steering.promote()) is not None:
            return promoted
        for _ in range(_MOST_INFEASIBLE):
            if self._drawn():
                return self._finish()
            trial = self._draw()
            if trial.outcome is None:
                return self._steering.start(trial)
        raise UserError(
            f"{_MOST_INFEASIBLE} draws in a row were infeasible, the last because "
            f"{self._trials[-1].reason}: narrow the space"
        )

    def exhausted(self) -> bool:
        """Whether `next` will never give a trial again."""
        return self._drawn() and not self._steering.unfinished and not self._steering.waiting

    def score(self, row: Mapping[str, Any]) -> float:
        """The objective of a report."""
        return self.plan.objective.value(row)

    def on_report(self, trial: Trial, row: Mapping[str, Any]) -> Decision:
        """Whether a trial goes on after an acknowledged report."""
        return self._steering.on_report(trial, row)

    def on_end(self, trial: Trial) -> None:
        """Tell the scheduler and, once, Optuna how a trial ended."""
        self._steering.on_end(trial)
        self._tell(trial)

    def _tell(self, trial: Trial) -> None:
        assert trial.outcome is not None
        number = self._steering.number(trial)
        tell(self._study, number, trial.outcome, trial.score, self._steering.rungs(number))

    def _drawn(self) -> bool:
        """Whether no new trial will come."""
        if not self._closed:
            feasible = sum(trial.outcome != "infeasible" for trial in self._trials)
            self._closed = feasible >= self.wanted or not self._may_draw()
        return self._closed

    def _finish(self) -> Trial | None:
        """Go on with a waiting trial for which no new one must be awaited, or end all that wait."""
        trial, ended = self._steering.finish()
        for given_up in ended:
            self._tell(given_up)
        return trial

    def _draw(self) -> Trial:
        number = len(self._trials)
        params, tree = ask(self._study, self.plan.space, number)
        trial = self._ledger.add_trial(
            stage="explore", params=params, config=tree, seed=self.plan.default.train.seed
        )
        self._steering.add(trial)
        try:
            experiment_from(tree)
        except UserError as error:
            self._ledger.finish(trial.id, "infeasible", None, str(error))
            self.on_end(trial)
        return trial

    def _rebuild_study(self, path: Path | None) -> optuna.Study:
        search, study, space = self.plan.sections.search, self.plan.study, self.plan.space
        records = [
            Record(number, trial.params, trial.outcome, trial.score, self._steering.rungs(number))
            for number, trial in enumerate(self._trials)
        ]
        if path is None:
            return rebuild(make_study(study, search.sampler, search.seed), space, records)
        return rebuild_journal(path, study, space, records, search.sampler, search.seed)
