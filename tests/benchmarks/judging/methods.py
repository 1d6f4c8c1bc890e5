"""What is judged: ours and others, each at its own defaults."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Literal

import optuna

from search.config.plan import Plan
from search.config.sections import sweep_sections
from search.simulator.methods import reseeded
from search.simulator.simulator import Simulated, confirm_runs, simulate
from tests.benchmarks.judging.problem import Problem
from tests.benchmarks.judging.smac_runs import simulate_smac
from tests.benchmarks.judging.studies import simulate_study
from tests.benchmarks.stock_tune import simulate_stock
from trm.config import set_value
from trm.files.yaml12 import parse_value

MOST = 52
BUDGETS = (4, 8, 13, 19, 26, 37, MOST)
"""Full runs that a sweep may spend."""
FURTHER = (74, 104, 148, 208, 295, 416, 512)
"""Of random search."""
ROOM = 1e-6
"""Beyond a budget, as a share: a sweep of ours begins no run that would meet its limit exactly."""
LEAST_EXPLORED = 2
"""Full runs that the search must have left of a budget, or there is no confirm stage."""
AGAIN = 1_000_000
"""Between the seeds of a method and of the same one again."""

Sweep = Callable[[Problem, int, int, float], Simulated]
"""Of (problem, seed, workers, compute in full runs)."""

Reserve = Callable[[Problem, float], int]
"""Of (problem, compute in full runs): the full runs that a sweep keeps back for its end."""


@dataclass(frozen=True)
class Method:
    """A way to search.

    Attributes:
        sweep: runs one.
        anytime: whether the picks along one sweep are those of sweeps of less compute: `never`,
            with one worker `alone`, or `always`.
        budgets: full runs that it is judged at.
        share: of the worlds that it is judged in, for methods that take long.
        alone: whether several workers make the same of it as one.
        reserve: makes sweeps that keep nothing back `anytime` with one worker.
    """

    sweep: Sweep
    anytime: Literal["never", "alone", "always"]
    budgets: tuple[int, ...] = BUDGETS
    share: float = 1.0
    alone: bool = False
    reserve: Reserve | None = None

    def regrets(self, problem: Problem, seed: int, workers: int) -> list[float]:
        """Regret at each budget, the world's best true mean less that of the pick."""
        merit = problem.plan.objective.merit

        def regret(found: Simulated, budget: float) -> float:
            quality = problem.plan.objective.worst(problem.world().floor)
            for point in found.points:
                if point.compute <= budget * problem.plan.budget * (1 + 1e-6):
                    quality = point.quality
            return merit(problem.best) - merit(quality)

        regrets = []
        for together in self._together(problem, workers):
            found = self.sweep(problem, seed, workers, together[-1])
            regrets += [
                regret(found, budget if len(together) > 1 else math.inf) for budget in together
            ]
        return regrets

    def _together(self, problem: Problem, workers: int) -> list[tuple[int, ...]]:
        """The budgets that one sweep serves, and the next one."""
        if self.anytime == "always" or (self.anytime == "alone" and workers == 1):
            return [self.budgets]
        plain: tuple[int, ...] = ()
        if self.reserve is not None and workers == 1:
            plain = tuple(b for b in self.budgets if self.reserve(problem, b) == 0)
        return ([plain] if plain else []) + [(b,) for b in self.budgets if b not in plain]


def method(text: str) -> Method:
    """A method by its name in `METHODS`, with words behind it.

    `key=value` is a setting of ours; `anytime` takes all budgets from one sweep, as a search that
    keeps nothing back for its end allows; `again` takes other seeds, for a null test.
    `optuna:MODULE:CLASS` is any Optuna sampler that takes a `seed`.
    """
    name, *words = text.split()
    settings = [word for word in words if "=" in word]
    if "again" in words:
        first = method(" ".join([name, *(word for word in words if word != "again")]))

        def other(problem: Problem, seed: int, workers: int, compute: float) -> Simulated:
            return first.sweep(problem, seed + AGAIN, workers, compute)

        return replace(first, sweep=other)
    if name.startswith("optuna:"):
        _, module, kind = name.split(":")
        return _study(getattr(importlib.import_module(module), kind))
    found = METHODS[name]
    if "anytime" in words:
        found = replace(found, anytime="alone")
    if not settings:
        return found

    def other_plan(problem: Problem) -> Problem:
        return replace(problem, plan=with_settings(problem.plan, settings))

    def changed(problem: Problem, seed: int, workers: int, compute: float) -> Simulated:
        return found.sweep(other_plan(problem), seed, workers, compute)

    keeps = found.reserve
    if keeps is None:
        return replace(found, sweep=changed)
    return replace(
        found, sweep=changed, reserve=lambda problem, compute: keeps(other_plan(problem), compute)
    )


def with_settings(plan: Plan, settings: list[str]) -> Plan:
    """A plan with other settings of `search` and `stability`."""
    tree = deepcopy(dict(plan.tree))
    for setting in settings:
        path, _, text = setting.partition("=")
        set_value(tree, path, parse_value(text, path))
    return replace(plan, tree=tree, sections=sweep_sections(tree))


def _reserve(problem: Problem, compute: float) -> int:
    return confirm_runs(problem.plan, problem.world().seeds, compute)


def _ours(problem: Problem, seed: int, workers: int, compute: float) -> Simulated:
    """Search and confirm; the search alone where confirming would leave it next to nothing."""
    needed = _reserve(problem, compute)
    return simulate(
        problem.world(),
        reseeded(problem.plan, seed),
        workers=workers,
        compute=compute * problem.plan.budget * (1 + ROOM),
        confirm=compute >= needed + LEAST_EXPLORED,
    )


def _random(problem: Problem, seed: int, workers: int, compute: float) -> Simulated:
    """One worker's sweep: that of several makes the same draws, and in the end has the same."""
    plan = with_settings(problem.plan, ["search.sampler=random", "search.scheduler=none"])
    return simulate(
        problem.world(), reseeded(plan, seed), workers=1,
        compute=compute * problem.plan.budget * (1 + ROOM), confirm=False,
    )  # fmt: skip


def _stock(problem: Problem, seed: int, workers: int, compute: float) -> Simulated:
    return simulate_stock(
        problem.world(), reseeded(problem.plan, seed), workers=workers,
        compute=compute * problem.plan.budget,
    )  # fmt: skip


def _study(sampler: Callable[..., optuna.samplers.BaseSampler], share: float = 1.0) -> Method:
    def sweep(problem: Problem, seed: int, workers: int, compute: float) -> Simulated:
        return simulate_study(
            problem.world(), problem.plan, sampler(seed=seed), workers=workers,
            compute=compute * problem.plan.budget,
        )  # fmt: skip

    return Method(sweep, "always", share=share)


def _smac(problem: Problem, seed: int, workers: int, compute: float) -> Simulated:
    return simulate_smac(
        problem.world(), problem.plan, seed, workers=workers, compute=compute * problem.plan.budget
    )


METHODS: dict[str, Method] = {
    "ours": Method(_ours, "never", budgets=(4, 8, 13, 26, MOST), reserve=_reserve),
    "random": Method(_random, "always", budgets=BUDGETS + FURTHER, alone=True),
    "stock": Method(_stock, "always"),
    "tpe": _study(optuna.samplers.TPESampler),
    "gp": _study(optuna.samplers.GPSampler, share=0.4),
    "smac": Method(_smac, "always", share=0.2),
}
"""`stock` is Ray Tune's OptunaSearch with its ASHAScheduler; `tpe` and `gp` are Optuna's. With
several workers `smac` is judged up to a run of each late, but for the last budget."""
