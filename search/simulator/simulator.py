"""Whole sweeps in virtual time: the real search and confirm stages over a world's curves.

Nothing trains, nothing is written and no Ray runs; draws, early stopping, bookkeeping and the
choice of the winner are those of a real sweep. A trial that waits goes on at no cost. Reports come
at the first recorded report at or past each mark that the sweep asks for, so rungs are as exact as
the recording is dense. A population's runs take over from each other, which no recording can show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from search.config.limits import LimitsConfig, Meter
from search.config.plan import Plan, simulated_plan
from search.config.sections import StabilityConfig, sweep_sections
from search.config.seeds import CONFIRM_SEEDS, EXPLORE_SEEDS, MOST_SEEDS
from search.engine.events import NoEvents
from search.engine.execution import Execution
from search.engine.job import Job
from search.engine.source import FixedTrials
from search.explore.explore import Explore
from search.ledger.book import Book
from search.ledger.trial import Row, Trial
from search.objectives.objective import Objective
from search.schedulers.learned import LearnedConfig
from search.schedulers.scheduler import RungConfig
from search.simulator.recording import Recording
from search.simulator.virtual_clock import START, ClockName, Stretch, VirtualClock
from search.simulator.world import Params, World
from search.stability.confirm import finalists, rank
from search.stability.confirm_race import ConfirmRace
from search.stability.reserve import SHARE, afforded
from trm.errors import UserError

MOST_TRIALS = 10
"""Explore trials that a simulated sweep of given compute plans with, for each full run of it: more
than it will begin, so that compute ends it and not their number."""


@dataclass(frozen=True)
class Incumbent:
    """The incumbent at some moment: compute whose reports have come (FLOPs), virtual time, and its
    true quality.
    """

    compute: float
    time: float
    quality: float


@dataclass(frozen=True)
class Simulated:
    """What a simulated sweep came to.

    Attributes:
        pick: the values of the config that it picked; None if no trial completed.
        quality: that config's true mean score.
        compute: training FLOPs, the confirm stage's too.
        time: virtual time at the end.
        trials: explore trials begun.
        points: the incumbent whenever it changed: the best completed trial, at the end the pick.
    """

    pick: Params | None
    quality: float
    compute: float
    time: float
    trials: int
    points: Sequence[Incumbent]

    def compute_to(self, target: float, objective: Objective) -> float:
        """Compute from which on the incumbent's true quality stays at a target; inf if never."""
        reached = math.inf
        for point in self.points:
            if objective.merit(point.quality) < objective.merit(target):
                reached = math.inf
            elif reached == math.inf:
                reached = point.compute
        return reached


def plan_of(recording: Recording, changes: Mapping[str, Mapping[str, Any]] | None = None) -> Plan:
    """The recorded sweep's plan with other `search` and `stability` settings.

    A sweep that neither modelled nor stopped anything was made to be recorded: what it says of
    sampler, scheduler and confirm stage is no wish, and the defaults take their place.

    Raises:
        UserError: settings that make no sense, or that a recording cannot serve.
    """
    tree = _wished(recording.tree)
    for section, values in (changes or {}).items():
        tree[section] = {**tree.get(section, {}), **values}
    # The numbers of recorded trials mean nothing among the simulated ones.
    tree["stability"] = {k: v for k, v in tree.get("stability", {}).items() if k != "trials"}
    plan = simulated_plan(tree)
    scheduler = plan.sections.search.scheduler
    if isinstance(scheduler, RungConfig) and scheduler.on == "steps" and not scheduler.full_steps:
        tree["search"]["scheduler"] = {
            **tree["search"]["scheduler"], "full_steps": _full_steps(recording)
        }  # fmt: skip
        return simulated_plan(tree)
    if plan.breeds:
        raise UserError(
            "search.scheduler", "pbt", "cannot be simulated: its runs take over from each other, "
            "which no recording shows; name another scheduler",
        )  # fmt: skip
    return plan


def _wished(recorded: Mapping[str, Any]) -> dict[str, Any]:
    tree = deepcopy(dict(recorded))
    search = sweep_sections(tree).search
    if (search.sampler.name, search.scheduler.name) == ("random", "none"):
        tree["search"] = {
            key: value
            for key, value in tree["search"].items()
            if key not in ("sampler", "scheduler", "trials")
        }
        tree.pop("stability", None)
    return tree


def _full_steps(recording: Recording) -> float:
    """Steps of a run with the file's default values, if it was recorded."""
    params, _ = recording.space.default()
    for config, known in enumerate(recording.params):
        if known == params:
            return float(recording.runs[config, recording.seeds[0]].rows[-1]["step"])
    raise UserError(
        "search.scheduler.full_steps", None,
        "is missing: no run with the default values was recorded, so give it",
    )  # fmt: skip


def simulate(
    world: World,
    plan: Plan,
    *,
    workers: int = 1,
    compute: float | None = None,
    confirm: bool = True,
    clock: ClockName = "seconds",
) -> Simulated:
    """Run one sweep in virtual time.

    Args:
        world: made for this sweep.
        plan: of its space; its `search.trials` counts only without `compute`.
        compute: training FLOPs that the sweep may spend, the confirm stage included, as under
            `search.limits.flops`; what runs when too little is left for confirming is cut off.
        confirm: whether to confirm; else the best completed trial is picked.
        clock: whether a report takes its recorded seconds or its compute at one rate.
    """
    if world.seeds is not None and plan.seeds > world.seeds:
        raise UserError(
            "search.seeds", plan.seeds, f"is more than the {world.seeds} seeds that are "
            "recorded for a search: lower it",
        )  # fmt: skip
    runs = None if compute is None else compute / plan.budget
    update: dict[str, Any] = {"stability": _race(plan, world.seeds, runs)}
    if runs is not None:
        most = max(math.ceil(MOST_TRIALS * runs / plan.seeds), 1)
        update["search"] = plan.sections.search.model_copy(update={"trials": most})
    if isinstance(plan.sections.search.scheduler, LearnedConfig) and world.seeds is not None:
        # What seeds there are beyond those planned are the confirm stage's.
        search = update.get("search", plan.sections.search)
        alone = search.scheduler.model_copy(update={"reseed": False})
        update["search"] = search.model_copy(update={"scheduler": alone})
    needed = confirm_runs(plan, world.seeds, runs) if confirm else 0
    plan = replace(plan, sections=plan.sections.model_copy(update=update))
    run = _Run(world, plan, VirtualClock(workers, clock))
    if compute is None:
        run.explore(math.inf, lambda: True)
    else:
        meter = Meter(
            limits=LimitsConfig(flops=compute), budget=plan.budget, devices=1.0, parallel=workers,
            wall_seconds=lambda: 0.0, spent=lambda: (run.clock.arrived, 0.0),
            trials=run.book.trials,
        )  # fmt: skip
        run.explore(compute - needed * plan.budget, lambda: meter.leaves_room(needed))
    return run.result(needed > 0)


def confirm_runs(plan: Plan, seeds: int | None, compute: float | None = None) -> int:
    """The most full runs of the confirm stage.

    One candidate alone has won already; a real sweep has it run once more.

    Args:
        seeds: that a sweep may see, in all; None for any number.
        compute: full runs that the sweep may spend in all; None for any number.
    """
    race = _race(plan, seeds, compute)
    return 0 if seeds == plan.seeds or race.entrants == 1 else race.runs()


def _race(plan: Plan, seeds: int | None, compute: float | None) -> StabilityConfig:
    """The race over the seeds and the compute that are left."""
    section = plan.sections.stability
    if seeds is not None:
        left = max(seeds - plan.seeds, 1)
        most = min(section.max_seeds or left, left)
        section = section.model_copy(update={"seeds": min(section.seeds, most), "max_seeds": most})
    return section if compute is None else afforded(section, compute / (1 + SHARE))


class _StandIns(Book):
    """A book whose trials have the configs that their suggestions stand for."""

    def __init__(self, world: World, plan: Plan) -> None:
        super().__init__()
        self.world, self.plan = world, plan
        self.trained: dict[int, Params] = {}

    def add_trial(self, **values: Any) -> Trial:
        candidate, params = values.get("candidate"), values["params"]
        trained = self.world.stands_for(params) if candidate is None else self.trained[candidate]
        if trained is not params:
            tree = {**self.plan.space.apply(trained), "train": values["config"]["train"]}
            values = {**values, "config": tree}
        trial = super().add_trial(**values)
        self.trained[trial.id] = trained
        return trial


class _Run(NoEvents):
    """One simulated sweep under way; told of events, it notes every new incumbent."""

    def __init__(self, world: World, plan: Plan, clock: VirtualClock) -> None:
        self.world = world
        self.plan = plan
        self.clock = clock
        self.book = _StandIns(world, plan)
        self.objective = plan.objective
        self.floor = self.objective.worst(world.floor)
        self.points: list[Incumbent] = []
        self._best = -math.inf
        self._incumbent: int | None = None

    def explore(self, limit: float, may_draw: Callable[[], bool]) -> None:
        self._play(Explore(self.plan, self.book, self.floor, may_draw=may_draw), limit)

    def confirm(self) -> Trial:
        """The winner over the confirm seeds, in place of the best explored."""
        chosen = finalists(self.plan, self.book)
        race = ConfirmRace(self.plan, self.book, chosen, self.world.examples)
        self._play(FixedTrials([], self.objective, self.floor, race), math.inf)
        ranked = rank(self.plan, self.book, self.world.examples)
        return self.book.trials[ranked[0].trial]

    def result(self, confirm: bool) -> Simulated:
        trials = sum(trial.attempts > 0 for trial in self.book.trials.values())
        pick = next(iter(finalists(self.plan, self.book)), None)
        if pick is not None and confirm:
            pick = self.confirm()
        trained = None if pick is None else self.book.trained[pick.id]
        quality = self._note(trained)
        return Simulated(trained, quality, self.clock.compute, self.clock.now, trials, self.points)

    def ended(self, trial: Trial) -> None:
        if not trial.explores or not trial.completed:
            return
        assert trial.score is not None
        merit = self.objective.merit(trial.score)
        if merit > self._best or self.plan.seeds > 1 or self.plan.learns_from_runs:
            self._best = max(merit, self._best)
            best = next(iter(finalists(self.plan, self.book)), None)
            if best is not None and best.id != self._incumbent:
                self._incumbent = best.id
                self._note(self.book.trained[best.id])

    def recorded(self, trial: Trial) -> tuple[list[Row], str, str]:
        """A trial's reports at the plan's marks, and how it ends."""
        offset = trial.seed - self.plan.seed
        if trial.explores:
            index = offset - EXPLORE_SEEDS + 1 if offset else 0
        else:
            # Where seeds are without number, those that a leader got in the search are no others'.
            before = self.plan.seeds if self.world.seeds is not None else MOST_SEEDS
            index = offset - CONFIRM_SEEDS + before
        run = self.world.run(self.book.trained[trial.id], index)
        return run.reports(self.plan.marks), run.outcome, run.reason

    def _play(self, source: Explore | FixedTrials, limit: float) -> None:
        self.clock.run(_Driver(Execution(source, self.book, self, _job), self), limit)

    def _note(self, params: Params | None) -> float:
        """Note the incumbent of this moment; its true quality."""
        quality = self.floor if params is None else self.world.truth(params)
        self.points.append(Incumbent(self.clock.arrived, self.clock.now, quality))
        return quality


class _Driver:
    """An execution as a source of recorded runs: what Ray is to a real sweep."""

    def __init__(self, execution: Execution, run: _Run) -> None:
        self._execution = execution
        self._run = run
        self._names: Iterator[int] = iter(range(10**12))
        self._jobs: dict[str, tuple[Job, str, str]] = {}

    def next(self) -> Stretch | None:
        name = str(next(self._names))
        job = self._execution.suggest(name)
        if not isinstance(job, Job):
            return None
        trial = self._run.book.trials[job.trial]
        rows, outcome, reason = self._run.recorded(trial)
        self._jobs[name] = (job, outcome, reason)
        before = [row for row in rows if row["mark"] <= trial.mark]
        return Stretch(
            name, rows[len(before) :], before[-1] if before else START, outcome == "completed"
        )

    def on_report(self, key: str, row: Row, *, last: bool) -> bool:
        return self._tell(key, {"kind": "report", "row": row, "last": last})

    def on_failure(self, key: str) -> None:
        _, outcome, reason = self._jobs[key]
        self._tell(key, {"kind": "end", "outcome": outcome, "reason": reason})

    def _tell(self, key: str, message: dict[str, Any]) -> bool:
        attempt = self._jobs[key][0].attempt
        goes_on = self._execution.on_message(key, {**message, "attempt": attempt}) == "continue"
        if not goes_on:
            del self._jobs[key]
            self._execution.on_end(key)
        return goes_on


def _job(trial: Trial, attempt: int) -> Job:
    return Job("", trial.id, attempt, {}, trial.seed, 1.0, (1.0,))
