"""Several ways to search, side by side in the simulator."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from search.config.plan import Plan
from search.logs.console import task_progress
from search.simulator.recording import Recording
from search.simulator.simulator import Simulated, confirm_runs, plan_of, simulate
from search.simulator.virtual_clock import ClockName
from search.simulator.world import RecordedWorld, SeedSplit
from trm.config import set_value
from trm.errors import UserError
from trm.files.yaml12 import parse_value

SETTABLE = ("search", "stability")
RANDOM_SEARCH = "random search"


@dataclass(frozen=True)
class Method:
    """A way to search: a plan, and whether its best are confirmed over further seeds."""

    name: str
    plan: Plan
    confirm: bool = True


@dataclass(frozen=True)
class MethodLine:
    """What a method came to over all repetitions.

    Attributes:
        method: its name.
        qualities: true quality of each repetition's pick.
        quality: their mean.
        quartiles: their quartiles, the median in the middle.
        compute: mean compute, in full runs.
        time: mean virtual time: seconds, or full runs one after another on a worker.
        trials: mean number of explore trials begun.
        best: mean true quality of the best recorded config.
        defaults: mean true quality of the file's default values, or of the config nearest to them.
        overtuned: share of the repetitions whose pick is truly worse than the defaults (Schneider,
            Bischl and Feurer, "Overtuning in Hyperparameter Optimization", AutoML 2025,
            arXiv 2506.19540, who call this severe). A truth of few seeds is itself uncertain, so
            that of two equal configs either is the worse one in half of the repetitions.
        maximizes: whether more is better.
    """

    method: str
    qualities: list[float]
    quality: float
    quartiles: tuple[float, float, float]
    compute: float
    time: float
    trials: float
    best: float
    defaults: float
    overtuned: float
    maximizes: bool


def methods(
    recording: Recording,
    sets: Iterable[str] = (),
    samplers: Sequence[str] = (),
    schedulers: Sequence[str] = (),
) -> list[Method]:
    """Every sampler with every scheduler, and plain random search.

    Args:
        sets: `key=value` settings of `search` and `stability`, for all of them.
        samplers: names; none is the file's own, which keeps its settings where it is named.
        schedulers: likewise.

    Raises:
        UserError: an unknown name, or a setting that a recording cannot serve.
    """
    recorded = plan_of(recording).tree
    tree: dict[str, Any] = {key: deepcopy(recorded.get(key, {})) for key in SETTABLE}
    for setting in sets:
        path, equals, text = setting.partition("=")
        if not equals or path.partition(".")[0] not in SETTABLE:
            raise UserError(
                "--set",
                setting,
                "must be key=value under search or stability; all else is recorded",
            )
        set_value(tree, path, parse_value(text, f"--set {path}"))
    own = plan_of(recording, tree).sections.search
    # Half of the seeds search: one explores, the others confirm.
    confirms = len(recording.seeds) > 2
    found = []
    for sampler in samplers or (own.sampler.name,):
        for scheduler in schedulers or (own.scheduler.name,):
            search = {**tree["search"]}
            if sampler != own.sampler.name:
                search["sampler"] = sampler
            if scheduler != own.scheduler.name:
                search["scheduler"] = scheduler
            plan = plan_of(recording, {**tree, "search": search})
            name = f"{sampler} + {scheduler}" + (" + confirm" if confirms else "")
            found.append(Method(name, plan, confirms))
    if "random + none" in {method.name for method in found}:
        return found
    plain = {**tree["search"], "sampler": "random", "scheduler": "none"}
    found.append(Method(RANDOM_SEARCH, plan_of(recording, {**tree, "search": plain}), False))
    return found


def compare(
    recording: Recording,
    chosen: Sequence[Method],
    splits: Sequence[SeedSplit],
    *,
    workers: int,
    compute: float,
    seed: int = 0,
    clock: ClockName = "seconds",
) -> list[MethodLine]:
    """Simulate every method once for each split, with the same seeds for all.

    Args:
        compute: what each sweep may spend, in full runs.
        seed: of the first repetition's draws; each repetition has its own.

    Raises:
        UserError: a confirm stage needs all of the compute.
    """
    for method in chosen:
        needed = confirm_runs(method.plan, len(splits[0].search), compute) if method.confirm else 0
        if needed + 1 > compute:
            raise UserError(
                "--compute", compute,
                f"leaves nothing to search with: the confirm stage needs {needed} full runs; raise "
                "it, or lower stability.candidates",
            )  # fmt: skip
    done: dict[str, list[Simulated]] = {method.name: [] for method in chosen}
    with task_progress() as show:
        for number, split in enumerate(splits):
            for method in chosen:
                if show:
                    show("simulating", number / len(splits))
                done[method.name].append(
                    simulate(
                        RecordedWorld(recording, split, method.plan.objective),
                        reseeded(method.plan, seed + number),
                        workers=workers,
                        compute=compute * method.plan.budget,
                        confirm=method.confirm,
                        clock=clock,
                    )
                )
    objective = chosen[0].plan.objective
    worlds = [RecordedWorld(recording, split, objective) for split in splits]
    best = _mean([world.best() for world in worlds])
    params = recording.space.default()[0]
    defaults = [world.truth(world.stands_for(params)) for world in worlds]
    return [_line(method, done[method.name], clock, best, defaults) for method in chosen]


def reseeded(plan: Plan, seed: int) -> Plan:
    """The plan with another `search.seed`."""
    search = plan.sections.search.model_copy(update={"seed": seed})
    return replace(plan, sections=plan.sections.model_copy(update={"search": search}))


def _line(
    method: Method,
    found: Sequence[Simulated],
    clock: ClockName,
    best: float,
    defaults: Sequence[float],
) -> MethodLine:
    merit = method.plan.objective.merit
    qualities = [simulated.quality for simulated in found]
    low, middle, high = (float(value) for value in np.quantile(qualities, [0.25, 0.5, 0.75]))
    budget = method.plan.budget
    time = _mean([simulated.time for simulated in found])
    return MethodLine(
        method=method.name,
        qualities=qualities,
        quality=_mean(qualities),
        quartiles=(low, middle, high),
        compute=_mean([simulated.compute for simulated in found]) / budget,
        time=time if clock == "seconds" else time / budget,
        trials=_mean([float(simulated.trials) for simulated in found]),
        best=best,
        defaults=_mean(defaults),
        overtuned=_mean(
            [float(merit(q) < merit(d)) for q, d in zip(qualities, defaults, strict=True)]
        ),
        maximizes=method.plan.objective.maximizes,
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
