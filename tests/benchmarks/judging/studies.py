"""Any Optuna sampler on full runs, asked and told as `study.optimize` does; the best value wins."""

from __future__ import annotations

import math
import warnings
from typing import Any

import optuna

from search.config.plan import Plan
from search.simulator.simulator import Incumbent, Simulated
from search.simulator.virtual_clock import START, Stretch, VirtualClock
from search.simulator.world import Params, World
from search.space.distributions import Distribution
from tests.benchmarks.stock_tune import suggested


def simulate_study(
    world: World,
    plan: Plan,
    sampler: optuna.samplers.BaseSampler,
    *,
    workers: int,
    compute: float,
) -> Simulated:
    """One study. Like ours it tries the file's default values first; a failed run is FAIL."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    direction = plan.objective.resolved_direction
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(sampler=sampler, direction=direction)
        study.enqueue_trial(plan.space.default()[0])
        clock = VirtualClock(workers)
        run = _Study(world, plan, study, clock)
        clock.run(run, compute)
    quality = run.points[-1].quality if run.points else plan.objective.worst(world.floor)
    return Simulated(run.pick, quality, clock.compute, clock.now, len(run.trials), run.points)


class _Study:
    """A study as a source of runs."""

    def __init__(self, world: World, plan: Plan, study: optuna.Study, clock: VirtualClock) -> None:
        self.world, self.plan, self.study, self.clock = world, plan, study, clock
        self.trials: dict[str, tuple[optuna.Trial, Params]] = {}
        self.points: list[Incumbent] = []
        self.pick: Params | None = None
        self._best = -math.inf

    def next(self) -> Stretch | None:
        trial = self.study.ask()

        def suggest(_: str, distribution: Distribution) -> Any:
            return suggested(trial, distribution)

        params = self.world.stands_for(self.plan.space.draw(suggest)[0])
        key = str(trial.number)
        self.trials[key] = trial, params
        run = self.world.run(params, 0)
        return Stretch(key, list(run.rows), START, run.outcome == "completed")

    def on_report(self, key: str, row: dict[str, Any], *, last: bool) -> bool:
        if not last:
            return True
        trial, params = self.trials[key]
        value = self.plan.objective.value(row)
        self.study.tell(trial, value)
        merit = self.plan.objective.merit(value)
        if merit > self._best:
            self._best, self.pick = merit, params
            quality = self.world.truth(params)
            self.points.append(Incumbent(self.clock.arrived, self.clock.now, quality))
        return False

    def on_failure(self, key: str) -> None:
        self.study.tell(self.trials[key][0], state=optuna.trial.TrialState.FAIL)
