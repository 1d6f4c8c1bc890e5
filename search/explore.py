"""The explore stage: a sampler proposes, the scheduler stops, the ledger remembers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from search.book import Book
from search.history import History, Record
from search.parts import Trial
from search.plan import Plan
from search.schedulers.scheduler import Decision
from search.steering import Steering
from search.study_log import Entry, StudyLog
from search.warm_start import Warm
from trm.config import experiment_from
from trm.errors import UserError

STUDY_FILE = "study.log"
_MOST_INFEASIBLE = 200


class Explore:
    """A source of explore trials for the engine; rebuilt from the ledger on resume.

    The sampler numbers the explore trials 0, 1, ... without gaps; the ledger's ids may have gaps
    where other stages ran between.

    Args:
        may_draw: asked before each new trial; once it is not true, no new ones come.
        study_path: where an Optuna journal is kept, a view of the ledger for people and tools; None
            keeps none.
        start: what comes before any draw, and what other runs say; None is the default alone.
    """

    def __init__(
        self,
        plan: Plan,
        ledger: Book,
        floor: float,
        study_path: Path | None = None,
        may_draw: Callable[[], bool] = lambda: True,
        start: Warm | None = None,
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
        start = start or Warm()
        self._first = start.first or (plan.space.default()[0],)
        self._history = self._rebuild_history(start)
        self._log = None if study_path is None else self._rebuild_log(study_path, start)

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
        """Tell the scheduler and, once, the sampler how a trial ended."""
        self._steering.on_end(trial)
        self._tell(trial)

    def close(self) -> None:
        """Write what the study's journal still lacks."""
        if self._log is not None:
            self._log.close()

    def _tell(self, trial: Trial) -> None:
        assert trial.outcome is not None
        self._history.end(self._record(trial))
        self._mirror(trial)

    def _mirror(self, trial: Trial) -> None:
        if self._log is not None:
            self._log.update(self._entry(trial))

    def _drawn(self) -> bool:
        """Whether no new trial will come."""
        if not self._closed:
            feasible = sum(trial.outcome != "infeasible" for trial in self._trials)
            self._closed = (
                feasible >= self.wanted
                or (len(self._trials) >= len(self._first) and self._all_drawn())
                or not self._may_draw()
            )
        return self._closed

    def _all_drawn(self) -> bool:
        sampler = self.plan.sections.search.sampler
        return sampler.exhausted(self._history, self.plan.space)

    def _finish(self) -> Trial | None:
        """Go on with a waiting trial for which no new one must be awaited, or end all that wait."""
        trial, ended = self._steering.finish()
        for given_up in ended:
            self._tell(given_up)
        return trial

    def _draw(self) -> Trial:
        number, space, search = len(self._trials), self.plan.space, self.plan.sections.search
        if number < len(self._first):
            params = self._first[number]
            tree = space.apply(params)
        else:
            params, tree = search.sampler.draw(self._history, space, search.seed, self.wanted)
        trial = self._ledger.add_trial(
            stage="explore", params=params, config=tree, seed=self.plan.default.train.seed
        )
        self._steering.add(trial)
        self._history.begin(trial.params)
        self._mirror(trial)
        try:
            experiment_from(tree)
        except UserError as error:
            self._ledger.finish(trial.id, "infeasible", None, str(error))
            self.on_end(trial)
        return trial

    def _rebuild_history(self, start: Warm) -> History:
        records = [self._record(trial) for trial in self._trials]
        return History((self.plan.objective.resolved_direction,), start.records, records)

    def _rebuild_log(self, path: Path, start: Warm) -> StudyLog:
        origins = zip(start.records, start.origins, strict=True)
        return StudyLog(
            path,
            self.plan.study,
            self.plan.space,
            self._history.directions,
            [self.plan.objective.column],
            [
                *(Entry(record, {"warm_start": origin}) for record, origin in origins),
                *map(self._entry, self._trials),
            ],
            {"sampler": self.plan.sections.search.sampler.model_dump()},
        )

    def _record(self, trial: Trial) -> Record:
        """A trial as the sampler knows it."""
        number = self._steering.number(trial)
        has_values = trial.score is not None and trial.outcome not in (None, "infeasible")
        return Record(
            number=number,
            params=trial.params,
            outcome=trial.outcome,
            values=(float(trial.score or 0.0),) if has_values else (),
            rungs=self._steering.rungs(number),
            progress=trial.compute / self.plan.budget,
        )

    def _entry(self, trial: Trial) -> Entry:
        """A trial as the study's journal shows it."""
        attributes: dict[str, Any] = {"trials": [trial.id]}
        if trial.outcome is not None:
            attributes |= {"outcome": trial.outcome, "reason": trial.reason}
        return Entry(self._record(trial), attributes, trial.started, trial.finished)
