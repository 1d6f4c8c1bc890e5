"""The stages of one run as one source: explore or breed, confirm, promise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from functools import partial
from typing import Any

from search.config.limits import Meter
from search.config.plan import Plan
from search.engine.source import FixedTrials, Verdict
from search.explore.candidates import explored
from search.explore.explore import Explore
from search.explore.population import Population
from search.explore.warm_start import read_start
from search.ledger.files import TEST_FILE, fields_of, read_json, require_unlost, write_json
from search.ledger.ledger import Ledger
from search.ledger.storage import local_copy
from search.ledger.trial import Trial
from search.logs.deciding import decides, place_of
from search.logs.optuna_journal import STUDY_FILE
from search.logs.terminal import SweepDisplay
from search.stability.confirm import (
    confirmed_front,
    finalists,
    improvement,
    optimism,
    promise,
    promise_trials,
    rank,
)
from search.stability.confirm_race import ConfirmRace
from search.stability.reserve import granted
from search.stability.result import Finalist, Promise, Result
from search.sweep.early_reference import EarlyReference
from trm.checkpoint.reading import load_model
from trm.evaluation import evaluate, subset
from trm.tasks.base import Task


class NoWinnerError(RuntimeError):
    """A sweep that ended without one completed trial.

    >>> raise NoWinnerError("no trial completed (3 diverged)")
    Traceback (most recent call last):
    search.sweep.stages.NoWinnerError: no trial completed (3 diverged)
    """


class LimitReachedError(RuntimeError):
    """A sweep that met one of its limits before its result was there; nothing is lost.

    >>> raise LimitReachedError("search.limits.hours 2 is met")
    Traceback (most recent call last):
    search.sweep.stages.LimitReachedError: search.limits.hours 2 is met
    """


class SweepStages:
    """The stages of one run as one source for the engine, so that they share worker processes.

    A stage is drawn up once the one before has ended: its trials depend on all results before it.
    Workers that a stage has nothing for while its last trials run get the reference recipe's runs.
    """

    def __init__(
        self,
        plan: Plan,
        ledger: Ledger,
        task: Task,
        display: SweepDisplay,
        meter: Meter,
        *,
        explore: bool,
    ) -> None:
        self.plan = plan
        self.ledger = ledger
        self.task = task
        self.floor = plan.objective.worst(task.floor)
        self.result: Result | None = None
        self._display = display
        display.maximizes = plan.objective.maximizes
        display.order = plan.space.as_written
        self._meter = meter
        self._sources = self._stages(explore)
        self._current: Explore | Population | FixedTrials | None = None
        self._running = 0
        self._early = EarlyReference(plan, ledger)
        self._first: Trial | None = None

    def has_work(self) -> bool:
        """Whether any trial has to run: looking at a finished run needs no Ray."""
        self._first = self.next()
        return self._first is not None

    def next(self) -> Trial | None:
        """The next trial of the current stage, or one that depends on none; None for not now."""
        if self._first is not None:
            trial, self._first = self._first, None
            return trial
        while not self.exhausted():
            assert self._current is not None
            chosen = self._current.next()
            if chosen is not None:
                self._running += 1
                return chosen
            if self._running:
                return self._early.next()
        return None

    def beside(self, trial: Trial, most: int) -> list[Trial]:
        """Further seeds of its config that its stage is to run anyway."""
        if trial.id in self._early.running:
            return self._early.beside(trial, most)
        assert self._current is not None
        found = self._current.beside(trial, most)
        self._running += len(found)
        return found

    def exhausted(self) -> bool:
        """Whether every stage has ended; enters the next stage once the current one has."""
        while self.result is None and not self._running and self._first is None:
            if self._current is not None and not self._current.exhausted():
                return False
            self._current = next(self._sources, None)
            if self._current is None:
                return True
        return self.result is not None

    def waiting(self) -> int:
        """Trials of the current stage that could start now."""
        return (self._first is not None) + (self._current.waiting() if self._current else 0)

    def score(self, row: Mapping[str, Any]) -> float:
        """The objective of a report."""
        return self.plan.objective.value(row)

    def on_report(self, trial: Trial, row: Mapping[str, Any]) -> Verdict:
        """Only exploring trials are ever stopped or wait, and only stretches complete early."""
        if trial.id in self._early.running:
            return "continue"
        assert self._current is not None
        decision = self._current.on_report(trial, row)
        if decision == "pause":
            self._running -= 1
        return decision

    def close(self) -> None:
        """Write what the current stage still holds back."""
        self._sources.close()

    def on_end(self, trial: Trial) -> None:
        """A trial has its outcome."""
        if self._early.running.pop(trial.id, None) is not None:
            return
        assert self._current is not None
        self._running -= 1
        self._current.on_end(trial)

    def _stages(self, explore: bool) -> Generator[Explore | Population | FixedTrials]:
        objective = self.plan.objective
        if explore and self.plan.breeds:
            population = Population(self.plan, self.ledger, self.floor)
            self._enter("population", population.wanted, population.done)
            yield population
        elif explore:
            journal = self.ledger.scratch / STUDY_FILE
            start = read_start(self.ledger.folder, self.plan)
            exploring = Explore(self.plan, self.ledger, self.floor, journal, self._may_draw, start)
            self._enter("explore", exploring.wanted, exploring.done)
            try:
                yield exploring
            finally:
                exploring.close()
        chosen = finalists(self.plan, self.ledger)
        if not chosen:
            if not any(trial.outcome for trial in self.ledger.trials.values()):
                limit = self._meter.met() or "search.limits"
                raise LimitReachedError(
                    f"{limit} leaves no room for a single trial: raise it and resume"
                )
            raise NoWinnerError(_why_no_winner(self.plan, self.ledger))
        examples = len(subset(self.task.split("valid"), self.plan.default.train.valid_examples))
        race = ConfirmRace(self.plan, self.ledger, chosen, examples)
        trials = race.trials()
        self._enter("confirm", race.rules.budget, _ended(trials))
        yield FixedTrials(trials, objective, self.floor, race)
        candidates = rank(self.plan, self.ledger, examples)
        winner = self.ledger.trials[candidates[0].trial]
        promised, reference = promise_trials(self.plan, self.ledger, winner)
        trials = list({trial.id: trial for trial in (*promised, *reference)}.values())
        self._enter("promise", len(trials), _ended(trials))
        begun = self._early.close()
        self._running += len(begun)
        waiting = [trial for trial in trials if trial.id not in begun]
        yield FixedTrials(waiting, objective, self.floor)
        # Of the winner the race has told how far seeds fall apart; of the reference recipe not.
        own = self._promise(promised, examples, candidates)
        promises = own, own if promised == reference else self._promise(reference, examples)
        self.result = Result(
            winner=winner.id,
            objective=objective.column,
            confidence=self.plan.sections.stability.confidence,
            candidates=candidates,
            promise=promises[0],
            reference=promises[1],
            direction=objective.resolved_direction,
            front=confirmed_front(self.plan, candidates),
            race=race.summary(),
            improvement=None if promised == reference else improvement(self.plan, *promises),
            optimism=optimism(self.plan, candidates, promises[0]),
        )

    def _enter(self, stage: str, wanted: int, done: int) -> None:
        decided = decides(stage, self.plan)
        self._display.stage(stage, wanted, done, place=place_of(stage), decides=decided)

    def _may_draw(self) -> bool:
        """Whether the limits leave room for one more trial and all that comes after the search."""
        section = granted(self.plan, self.ledger.trials, ahead=1.0)
        promised = 2 * section.promise_seeds - self._early.done
        return self._meter.leaves_room(section.runs() + promised)

    def _promise(
        self, trials: Sequence[Trial], examples: int, raced: Sequence[Finalist] = ()
    ) -> Promise:
        return promise(self.plan, self.ledger, trials, self._test(trials), examples, raced)

    def _test(self, trials: Sequence[Trial]) -> list[float]:
        """Exact accuracy on `test` of each trial, looked at once and then kept in `test.json`."""
        path = self.ledger.folder / TEST_FILE
        require_unlost(path)
        known = read_json(path, own=True) if path.is_file() else {}
        for trial in trials:
            if str(trial.id) not in known:
                known[str(trial.id)] = self._test_one(trial)
        self.ledger.room.until(partial(write_json, path, known, own=True))
        with fields_of(path):
            return [float(known[str(trial.id)]) for trial in trials]

    def _test_one(self, trial: Trial) -> float:
        """Exact accuracy of a trial's last checkpoint; a failure stands at the floor."""
        if not trial.completed or trial.checkpoint is None:
            return self.task.floor
        with local_copy(self.ledger.folder / trial.checkpoint) as checkpoint:
            model, head = load_model(checkpoint, self.task)
        return evaluate(
            model,
            self.task,
            self.task.split("test"),
            steps=head.config.model.halt_max_steps,
            batch_size=head.config.train.eval_batch_size,
            device=model.H_init.device,
            loss=head.config.loss,
        ).exact_accuracy


def _ended(trials: Sequence[Trial]) -> int:
    return sum(trial.ended for trial in trials)


def _why_no_winner(plan: Plan, ledger: Ledger) -> str:
    broken = [name for c in explored(plan, ledger) for name, v in c.violations.items() if v > 0]
    if broken:
        name, count = Counter(broken).most_common(1)[0]
        return (
            f"no completed trial keeps every constraint: {count} break search.constraints "
            f"'{name}': loosen it, or search where it holds"
        )
    outcomes = Counter(trial.outcome for trial in ledger.trials.values())
    words = ", ".join(f"{n} {outcome}" for outcome, n in outcomes.most_common())
    reasons = [trial.reason for trial in ledger.trials.values() if trial.reason]
    return f"no trial completed ({words}); the last failure: {reasons[-1] if reasons else 'none'}"
