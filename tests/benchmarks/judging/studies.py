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
    points, pick = run.picks()
    quality = points[-1].quality if points else plan.objective.worst(world.floor)
    return Simulated(pick, quality, clock.compute, clock.now, len(run.trials), points)


class _Study:
    """A study as a source of runs."""

    def __init__(self, world: World, plan: Plan, study: optuna.Study, clock: VirtualClock) -> None:
        self.world, self.plan, self.study, self.clock = world, plan, study, clock
        self.trials: dict[str, tuple[optuna.Trial, Params]] = {}
        self.told: list[tuple[float, float, Params, float]] = []

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
        self.told.append((self.clock.begun, self.clock.now, params, value))
        return False

    def on_failure(self, key: str) -> None:
        self.study.tell(self.trials[key][0], state=optuna.trial.TrialState.FAIL)

    def picks(self) -> tuple[list[Incumbent], Params | None]:
        """The best values of studies of every compute, and that of this one.

        A study of less compute goes the same way until it begins no further run.
        """
        points: list[Incumbent] = []
        pick: Params | None = None
        best = -math.inf
        for begun, now, params, value in sorted(self.told, key=lambda one: one[0]):
            merit = self.plan.objective.merit(value)
            if merit > best:
                best, pick = merit, params
                points.append(Incumbent(begun, now, self.world.truth(params)))
        return points, pick
