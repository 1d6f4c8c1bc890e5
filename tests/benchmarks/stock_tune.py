"""Stock Ray Tune on recorded curves: its own searcher and scheduler, driven by the virtual clock.

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
from search.simulator.recording import Recording
from search.simulator.simulator import Incumbent, SeedSplit, Simulated
from search.simulator.virtual_clock import START, Stretch, VirtualClock
from search.space.distributions import Choice, Distribution

REPORTS = 12


def simulate_stock(
    recording: Recording,
    plan: Plan,
    split: SeedSplit,
    *,
    workers: int,
    compute: float,
    grace_period: int = 1,
    reduction_factor: float = 4,
) -> Simulated:
    """One sweep of stock Ray Tune. Its defaults are those of `ASHAScheduler`, but for `max_t`.

    Like ours it tries the file's default values first.
    """
    mode = "max" if plan.objective.maximizes else "min"
    column = plan.objective.column
    searcher = OptunaSearch(
        lambda trial: plan.space.draw(lambda _, d: _suggest(trial, d))[0],
        metric=column,
        mode=mode,
        seed=plan.sections.search.seed,
        points_to_evaluate=[plan.space.default()[0]],
    )
    scheduler = ASHAScheduler(
        metric=column, mode=mode, max_t=REPORTS,
        grace_period=grace_period, reduction_factor=reduction_factor,
    )  # fmt: skip
    clock = VirtualClock(workers)
    run = _Tune(recording, plan, split, clock, searcher, scheduler)
    clock.run(run, compute)
    run.note()
    return Simulated(
        run.incumbent,
        run.points[-1].quality,
        clock.compute,
        clock.now,
        len(run.configs),
        run.points,
    )


class _Tune:
    """What Tune's controller does with a report."""

    def __init__(
        self,
        recording: Recording,
        plan: Plan,
        split: SeedSplit,
        clock: VirtualClock,
        searcher: OptunaSearch,
        scheduler: ASHAScheduler,
    ) -> None:
        self.recording, self.plan, self.split, self.clock = recording, plan, split, clock
        self.searcher, self.scheduler = searcher, scheduler
        self.configs: dict[str, int] = {}
        self.results: dict[str, dict[str, Any]] = {}
        self.points: list[Incumbent] = []
        self.incumbent: int | None = None

    def next(self) -> Stretch | None:
        key = f"{len(self.configs):08x}"
        suggestion = self.searcher.suggest(key)
        assert isinstance(suggestion, dict)
        self.configs[key] = config = self.recording.nearest(
            _active(self.plan, suggestion), set(self.configs.values())
        )
        self.scheduler.on_trial_add(None, SimpleNamespace(trial_id=key))
        run = self.recording.runs[config, self.split.search[0]]
        rows = run.reports([(index + 1) / REPORTS for index in range(REPORTS)])
        return Stretch(key, rows, START, run.outcome == "completed")

    def on_report(self, key: str, row: Row, *, last: bool) -> bool:
        trial = SimpleNamespace(trial_id=key)
        result = {
            self.plan.objective.column: self.plan.objective.value(row),
            TRAINING_ITERATION: row["mark"],
            "trial_id": key,
        }
        self.results[key] = result
        decision = self.scheduler.on_trial_result(None, trial, result)
        if decision != TrialScheduler.STOP:
            self.searcher.on_trial_result(key, result)
        self.note()
        if decision == TrialScheduler.STOP or last:
            self.scheduler.on_trial_complete(None, trial, result)
            self.searcher.on_trial_complete(key, result)
            return False
        return True

    def on_failure(self, key: str) -> None:
        trial = SimpleNamespace(trial_id=key)
        self.scheduler.on_trial_remove(None, trial)
        self.searcher.on_trial_complete(key, error=True)

    def note(self) -> None:
        """Keep `get_best_result` of this moment, with its true quality."""
        objective = self.plan.objective
        best, pick = -math.inf, None
        for key, result in self.results.items():
            merit = objective.merit(result[objective.column])
            if math.isfinite(merit) and merit > best:
                best, pick = merit, self.configs[key]
        if pick is not None and (pick != self.incumbent or not self.points):
            self.incumbent = pick
            quality = self.recording.quality(pick, self.split.truth, objective)
            self.points.append(Incumbent(self.clock.compute, self.clock.now, quality))


def _suggest(trial: Any, distribution: Distribution) -> Any:
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
