"""Stock Ray Tune in a simulated world: its own searcher and scheduler, driven by the virtual clock.

`OptunaSearch` suggests and `ASHAScheduler` stops, told in the order in which Tune's controller
tells them; the pick is `ResultGrid.get_best_result`'s: the best last result of any trial.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from ray.tune.result import TRAINING_ITERATION
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from search.config.plan import Plan
from search.ledger.trial import Row
from search.simulator.simulator import Incumbent, Simulated
from search.simulator.virtual_clock import START, Stretch, VirtualClock
from search.simulator.world import Params, World
from search.space.distributions import Choice, Distribution


def simulate_stock(
    world: World,
    plan: Plan,
    *,
    workers: int,
    compute: float,
    grace_period: int = 1,
    reduction_factor: float = 4,
) -> Simulated:
    """One sweep of stock Ray Tune. Its defaults are those of `ASHAScheduler`, but for `max_t`.

    Like ours it tries the file's default values first.
    """
    reports = int(plan.evaluated["train"]["reports"])
    mode = "max" if plan.objective.maximizes else "min"
    column = plan.objective.column
    searcher = OptunaSearch(
        lambda trial: plan.space.draw(lambda _, d: suggested(trial, d))[0],
        metric=column,
        mode=mode,
        seed=plan.sections.search.seed,
        points_to_evaluate=[plan.space.default()[0]],
    )
    scheduler = ASHAScheduler(
        metric=column, mode=mode, max_t=reports,
        grace_period=grace_period, reduction_factor=reduction_factor,
    )  # fmt: skip
    clock = VirtualClock(workers)
    run = _Tune(world, plan, reports, clock, searcher, scheduler)
    clock.run(run, compute)
    points, pick = run.picks()
    quality = points[-1].quality if points else plan.objective.worst(world.floor)
    return Simulated(pick, quality, clock.compute, clock.now, len(run.trained), points)


class _Tune:
    """What Tune's controller does with a report."""

    def __init__(
        self,
        world: World,
        plan: Plan,
        reports: int,
        clock: VirtualClock,
        searcher: OptunaSearch,
        scheduler: ASHAScheduler,
    ) -> None:
        self.world, self.plan, self.reports, self.clock = world, plan, reports, clock
        self.searcher, self.scheduler = searcher, scheduler
        self.trained: dict[str, Params] = {}
        self.told: list[tuple[float, float, str, float]] = []

    def next(self) -> Stretch | None:
        key = f"{len(self.trained):08x}"
        suggestion = self.searcher.suggest(key)
        assert isinstance(suggestion, dict)
        params = self.world.stands_for(_active(self.plan, suggestion))
        self.trained[key] = params
        self.scheduler.on_trial_add(None, SimpleNamespace(trial_id=key))
        run = self.world.run(params, 0)
        rows = run.reports([(index + 1) / self.reports for index in range(self.reports)])
        return Stretch(key, rows, START, run.outcome == "completed")

    def on_report(self, key: str, row: Row, *, last: bool) -> bool:
        trial = SimpleNamespace(trial_id=key)
        result = {
            self.plan.objective.column: self.plan.objective.value(row),
            TRAINING_ITERATION: row["mark"],
            "trial_id": key,
        }
        self.told.append(
            (self.clock.begun, self.clock.now, key, result[self.plan.objective.column])
        )
        decision = self.scheduler.on_trial_result(None, trial, result)
        if decision != TrialScheduler.STOP:
            self.searcher.on_trial_result(key, result)
        if decision == TrialScheduler.STOP or last:
            self.scheduler.on_trial_complete(None, trial, result)
            self.searcher.on_trial_complete(key, result)
            return False
        return True

    def on_failure(self, key: str) -> None:
        trial = SimpleNamespace(trial_id=key)
        self.scheduler.on_trial_remove(None, trial)
        self.searcher.on_trial_complete(key, error=True)

    def picks(self) -> tuple[list[Incumbent], Params | None]:
        """`get_best_result` of sweeps of every compute, and that of this one.

        A sweep of less compute goes the same way until it begins no further report.
        """
        merit = self.plan.objective.merit
        points: list[Incumbent] = []
        last: dict[str, float] = {}
        pick: str | None = None
        for begun, now, key, value in sorted(self.told, key=lambda one: one[0]):
            if not math.isfinite(value):
                last.pop(key, None)
            else:
                last[key] = merit(value)
            best = max(last, key=lambda known: last[known], default=None)
            if best is not None and best != pick:
                pick = best
                points.append(Incumbent(begun, now, self.world.truth(self.trained[best])))
        return points, None if pick is None else self.trained[pick]


def suggested(trial: Any, distribution: Distribution) -> Any:
    """A value of one of our distributions from an Optuna trial."""
    if isinstance(distribution, Choice):
        return trial.suggest_categorical(distribution.name, list(distribution.options))
    name, log = distribution.name, distribution.log
    if distribution.integer:
        low, high, step = int(distribution.low), int(distribution.high), int(distribution.step or 1)
        return trial.suggest_int(name, low, high, step=step, log=log)
    return trial.suggest_float(
        name, distribution.low, distribution.high, step=distribution.step, log=log
    )


def _active(plan: Plan, suggestion: dict[str, Any]) -> dict[str, Any]:
    known: Sequence[str] = [*plan.space.parameters]
    return {name: suggestion[name] for name in known if name in suggestion}
