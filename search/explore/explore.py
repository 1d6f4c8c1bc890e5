"""The explore stage: a sampler proposes, the scheduler stops, the ledger remembers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from search.config.plan import Plan
from search.explore.asks import Asks
from search.explore.candidates import last_rows, past_trial
from search.explore.early_stopping import EarlyStopping
from search.explore.evidence import Evidence
from search.explore.further_seeds import FurtherSeeds
from search.explore.guide import ValueGuide
from search.explore.outlook import outlook
from search.explore.warm_start import Warm
from search.ledger.book import Book
from search.ledger.trial import Trial
from search.logs.optuna_journal import Entry, StudyLog
from search.samplers.base import draw_seed
from search.samplers.history import History, PastTrial
from search.samplers.soundness import next_draw
from search.schedulers.learned import Learned, LearnedConfig
from search.schedulers.scheduler import Decision
from search.space.space import Draw
from trm.errors import UserError

_MOST_INFEASIBLE = 200


class Explore:
    """A source of explore trials for the engine; rebuilt from the ledger on resume.

    The sampler numbers configs 0, 1, ... without gaps, each after the trial of its first seed; the
    ledger's ids have gaps where further seeds or other stages ran between. The scheduler judges
    first seeds alone; a config that has run to its end gets its other seeds, and only then is the
    sampler told what all of them came to.

    Args:
        may_draw: asked before each new config; while it is not true none comes, and once nothing
            runs either, none ever will.
        study_path: where an Optuna journal is kept, a view of the ledger for people and tools; None
            keeps none.
        start: what comes before any draw, and what other runs say; None is the default alone.
    """

    def __init__(
        self,
        plan: Plan,
        book: Book,
        floor: float,
        study_path: Path | None = None,
        may_draw: Callable[[], bool] = lambda: True,
        start: Warm | None = None,
    ) -> None:
        self.plan = plan
        self.floor = floor
        self._book = book
        self._may_draw = may_draw
        self._closed = self._held = False
        self._log: StudyLog | None = None
        explored = [t for t in book.trials.values() if t.explores]
        firsts = [trial for trial in explored if trial.candidate == trial.id]
        scheduler = plan.scheduler()
        self._steering = EarlyStopping(
            plan.early_stopping, scheduler, book, firsts, self.score, floor
        )
        self._trials = self._steering.trials
        self._feasible = sum(not trial.infeasible for trial in self._trials)
        self._further = FurtherSeeds(plan, book)
        self._asks = Asks(book)
        self._last = last_rows(plan, book, explored)
        start = start or Warm()
        self._first = start.first or (plan.space.default()[0],)
        self._evidence = Evidence(plan) if plan.learns_from_runs else None
        if self._evidence is not None:
            known = {trial.id for trial in explored}
            for trial_id, rows in book.curves():
                for row in rows if trial_id in known else ():
                    self._evidence.note(trial_id, row)
            for trial in explored:
                if trial.paused:
                    self._evidence.wait(trial.id)
        self._history = self._rebuild_history(start)
        self._guide: ValueGuide | None = None
        if isinstance(scheduler, Learned):
            scheduler.guide = self._guide = self._made_guide()
        for trial in self._steering.settle():
            self._tell(trial)
        if study_path is not None:
            self._log = self._rebuild_log(study_path, start)
        self._last = {
            t.id: self._last[t.id] for t in explored if t.id in self._last and self._open(t)
        }

    @property
    def wanted(self) -> int:
        """Trials that the stage is to have at most, not counting infeasible draws."""
        return self.plan.wanted * self.plan.seeds

    @property
    def done(self) -> int:
        """Trials that have ended, not counting infeasible draws."""
        own = sum(trial.outcome not in (None, "infeasible") for trial in self._trials)
        return own + self._further.done

    def next(self) -> Trial | None:
        """The next trial to start or to go on with; None when there are enough."""
        if self._steering.unfinished:
            return self._steering.start(self._steering.unfinished.popleft())
        if (seed := self._further.next()) is not None:
            return seed
        if (promoted := self._steering.promote()) is not None:
            return self._gone_on(promoted)
        if (seed := self._reseeded()) is not None:
            return seed
        for _ in range(_MOST_INFEASIBLE):
            if self._drawn():
                return self._finish() if self._closed else None
            trial = self._draw()
            if not trial.ended:
                return self._steering.start(trial)
        raise UserError(
            f"{_MOST_INFEASIBLE} draws in a row were infeasible, the last because "
            f"{self._trials[-1].reason}: narrow the space"
        )

    def beside(self, trial: Trial, most: int) -> list[Trial]:
        """Further seeds of a config whose first one has run to its end."""
        return self._further.beside(trial, most) if trial.candidate != trial.id else []

    def exhausted(self) -> bool:
        """Whether `next` will never give a trial again."""
        waiting = self._steering.unfinished or self._steering.waiting or self._further.waiting
        return not waiting and self._drawn() and self._closed

    def waiting(self) -> int:
        """Trials that could start now: of earlier drivers, further seeds, configs to be drawn."""
        to_draw = 0 if self._closed or self._held else max(self.plan.wanted - self._feasible, 0)
        return len(self._steering.unfinished) + len(self._further) + to_draw

    def score(self, row: Mapping[str, Any]) -> float:
        """The first objective of a report; nan where any of them is not finite."""
        first, *others = (objective.value(row) for objective in self.plan.objectives)
        return first if all(map(math.isfinite, others)) else math.nan

    def on_report(self, trial: Trial, row: Mapping[str, Any]) -> Decision:
        """Whether a trial goes on after an acknowledged report."""
        if self.plan.needs_rows:
            self._last[trial.id] = row
        if self._evidence is not None:
            self._evidence.note(trial.id, row)
            self._see(self._book.trials[trial.candidate])
        if trial.candidate != trial.id:
            return "continue"
        decision = self._steering.on_report(trial, row)
        if decision == "pause" and self._evidence is not None:
            self._evidence.wait(trial.id)
            self._see(trial)
        return decision

    def on_end(self, trial: Trial) -> None:
        """Tell the scheduler how a trial ended, and the sampler once its config has."""
        if trial.candidate == trial.id:
            self._steering.on_end(trial)
        if self._further.on_end(trial):
            self._tell(self._book.trials[trial.candidate])
        elif self._evidence is not None:
            self._see(self._book.trials[trial.candidate])

    def close(self) -> None:
        """Write what the study's journal still lacks."""
        if self._log is not None:
            self._log.close()

    def _see(self, first: Trial) -> None:
        """Let those who learn from curves see how far a config has come."""
        assert self._evidence is not None
        runs = self._evidence.runs(self._further.of(first))
        self._history.see(self._steering.number(first), runs)

    def _tell(self, trial: Trial) -> None:
        assert trial.ended
        record = self._record(trial)
        if record.number in self._history.running:
            self._history.end(record)
        else:
            self._history.amend(record)
        self._mirror(trial)
        if self._guide is None:  # else more seeds may follow, and they are judged together
            for seed in self._further.of(trial):
                self._last.pop(seed.id, None)

    def _mirror(self, trial: Trial) -> None:
        if self._log is not None:
            self._log.update(self._entry(trial))

    def _made_guide(self) -> ValueGuide:
        search = self.plan.sections.search
        return ValueGuide(
            self._history,
            self.plan.space,
            entropy=lambda: draw_seed(search.seed, len(self._trials)),
            share=lambda number: self._trials[number].compute / self.plan.budget,
            may_draw=lambda: not self._drawn(),
            may_reseed=self._may_reseed,
        )

    def _may_reseed(self) -> bool:
        """Whether there is room for one more run, beside those of configs yet to be drawn."""
        scheduler = self.plan.early_stopping
        if not isinstance(scheduler, LearnedConfig) or not scheduler.reseed:
            return False
        begun = sum(t.compute for t in self._book.trials.values() if t.explores)
        return not self._drawn() and begun / self.plan.budget + 1 <= self.plan.wanted

    def _reseeded(self) -> Trial | None:
        """A further seed of a config, if that is worth most now."""
        if self._guide is None or len(self._trials) < len(self._first):
            return None
        kind, number = self._guide.action(self._steering.paused)
        if kind != "reseed":
            return None
        first = self._trials[number]
        seed = self._further.add(first)
        self._see(first)
        return seed

    def _drawn(self) -> bool:
        """Whether no new config comes now; `_closed` says whether none will ever come."""
        if not self._closed:
            self._held = not self._may_draw()
            self._closed = (
                self._feasible >= self.plan.wanted
                or (len(self._trials) >= len(self._first) and self._all_drawn())
                # What runs may end early, and leave more room than it was thought to.
                or (self._held and not self._steering.running and not self._further.waiting)
                or (not self._held and self._enough())
            )
        return self._closed or self._held

    def _enough(self) -> bool:
        """Whether all that is left is expected to gain less than the limit says."""
        least = self.plan.sections.search.limits.gain
        if least is None or len(self._trials) < len(self._first):
            return False
        left = self.plan.wanted - self._feasible
        foreseen = outlook(self._history, self.plan.space, left)
        return foreseen is not None and foreseen.gain < least

    def _all_drawn(self) -> bool:
        sampler = self.plan.sections.search.sampler
        return sampler.exhausted(self._history, self.plan.space)

    def _finish(self) -> Trial | None:
        """Go on with a waiting trial for which no new one must be awaited, or end all that wait."""
        trial, ended = self._steering.finish()
        for given_up in ended:
            self._tell(given_up)
        return None if trial is None else self._gone_on(trial)

    def _gone_on(self, trial: Trial) -> Trial:
        """Note that a trial does not wait any more."""
        if self._evidence is not None:
            self._evidence.go_on(trial.id)
            self._see(trial)
        return trial

    def proposal(self) -> tuple[Draw, bool]:
        """The next config, and whether it was drawn, not given as a first point."""
        number, space, search = len(self._trials), self.plan.space, self.plan.sections.search
        if number < len(self._first):
            params = self._first[number]
            return (params, space.apply(params)), False
        draw = next_draw(search.sampler, self._history, space, search.seed, self.plan.wanted)
        return draw, True

    def _draw(self) -> Trial:
        asked = self._asks.note(self.plan.wanted)
        (params, tree), _ = self.proposal()
        trial = self._book.add_trial(
            stage="explore", params=params, config=tree, seed=self.plan.seed, asked=asked
        )
        self._steering.add(trial)
        self._history.begin(trial.params)
        self._mirror(trial)
        try:
            self.plan.experiment(tree)
            self._feasible += 1
        except UserError as error:
            self._book.finish(trial.id, "infeasible", None, str(error))
            self._steering.on_end(trial)
            self._tell(trial)
        return trial

    def _open(self, trial: Trial) -> bool:
        """Whether a trial's config has yet to end."""
        return not self._further.complete(self._book.trials[trial.candidate])

    def _rebuild_history(self, start: Warm) -> History:
        directions = [objective.resolved_direction for objective in self.plan.objectives]
        records = map(self._record, self._trials)
        bounds = self.plan.objective.bounds
        return History(directions, start.records, records, bounds, start.priors)

    def _rebuild_log(self, path: Path, start: Warm) -> StudyLog:
        origins = zip(start.records, start.origins, strict=True)
        return StudyLog(
            path,
            self.plan.run_id,
            self.plan.space,
            self._history.directions,
            [objective.column for objective in self.plan.objectives],
            [
                *(Entry(record, {"warm_start": origin}) for record, origin in origins),
                *map(self._entry, self._trials),
            ],
            {"sampler": self.plan.sections.search.sampler.model_dump()},
        )

    def _record(self, trial: Trial) -> PastTrial:
        """A config, by the trial of its first seed, as the sampler knows it."""
        number, seeds = self._steering.number(trial), self._further.of(trial)
        complete = self._further.complete(trial)
        several = len(self.plan.objectives) > 1
        return past_trial(
            self.plan,
            number,
            seeds,
            self._last,
            complete=complete,
            floor=self.floor,
            rungs={} if several else self._steering.rungs(number),
            runs=() if self._evidence is None else self._evidence.runs(seeds),
        )

    def _entry(self, trial: Trial) -> Entry:
        """A config as the study's journal shows it."""
        attributes: dict[str, Any] = {"trials": [seed.id for seed in self._further.of(trial)]}
        record = self._record(trial)
        if record.outcome is not None:
            attributes |= {"outcome": trial.outcome, "reason": trial.reason}
        return Entry(record, attributes, trial.started, trial.finished)
