"""Which configs a sensitivity analysis runs: around the winner, on the parameters' own scales."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from curricula.component import nearest
from search.config.plan import Plan, read_plan
from search.config.seeds import SENSITIVITY_SEEDS
from search.ledger.book import Book, refuse_ablations
from search.ledger.reader import read_book
from search.ledger.storage import Place, place
from search.ledger.trial import Trial
from search.space.distributions import Choice, Distribution, Range
from search.stability.result import read_result
from search.stats.sobol import saltelli
from trm.errors import UserError

Design = Literal["oat", "sobol"]
POINTS: dict[Design, int] = {"oat": 5, "sobol": 16}
"""Values a parameter beside the winner's; rows of the Sobol design, of parameters + 2 runs each."""
RADIUS, SEEDS = 0.3, 2

VariedValues = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """What is to be varied, and how far.

    Attributes:
        design: `oat`, one at a time, or `sobol`.
        params: parameters to vary; none is all that the winner has.
        points: as in `POINTS`; None takes that.
        seeds: runs of each point.
        radius: how far from the winner's value on the own scale, as a share of the whole range;
            1 reaches all of it. A choice always has all its options.
    """

    design: Design = "oat"
    params: tuple[str, ...] = ()
    points: int | None = None
    seeds: int = SEEDS
    radius: float = RADIUS


@dataclass(frozen=True)
class Budget:
    """What a request costs.

    Attributes:
        configs: different configs that a model can be built from.
        runs: of all their seeds.
        done: runs that have ended before.
        seconds: mean seconds of a run so far; None if there is none.
        varied: by parameter, the values that are tried; of the Sobol design the ends.
    """

    configs: int
    runs: int
    done: int
    seconds: float | None
    varied: dict[str, list[Any]]


def budget_of(folder: Place | str, request: Request) -> Budget:
    """What a request would run; nothing is started or stored.

    Raises:
        UserError: no winner yet, or a request that does not fit.
    """
    where = place(folder)
    plan, book = read_plan(where), read_book(where)
    winner = winner_of(where, book)
    varied = varied_parameters(plan, winner, request)
    known = known_trials(book)
    configs = [params for params, reason in design_configs(plan, winner, request) if not reason]
    keys = [trial_key(params, seed) for seed in design_seeds(plan, request) for params in configs]
    ended = [t for t in book.trials.values() if t.completed and t.seconds]
    return Budget(
        configs=len(configs),
        runs=len(keys),
        done=sum(key in known and known[key].ended for key in keys),
        seconds=float(np.mean([t.seconds for t in ended])) if ended else None,
        varied={d.name: tried_values(d, winner.params[d.name], request) for d in varied},
    )


def design_trials(plan: Plan, book: Book, winner: Trial, request: Request) -> list[Trial]:
    """The trials of a design, seed by seed: those that are there, and new ones.

    A config that no model can be built from is one trial, `infeasible`.
    """
    known, found = known_trials(book), []
    base, *others = design_seeds(plan, request)
    configs = design_configs(plan, winner, request)
    for seed in (base, *others):
        for params, reason in configs:
            if reason and seed != base:
                continue
            trial = known.get(trial_key(params, seed))
            if trial is None:
                tree = plan.space.apply(params)
                trial = book.add_trial(
                    stage="sensitivity", candidate=winner.id, seed=seed, params=params,
                    config={**tree, "train": {**tree.get("train", {}), "seed": seed}},
                )  # fmt: skip
            if reason and not trial.ended:
                book.finish(trial.id, "infeasible", None, reason)
            found.append(trial)
    return found


def winner_of(folder: Place, book: Book) -> Trial:
    result = read_result(folder)
    if result is None:
        refuse_ablations(folder, book.trials)
        raise UserError(f"{folder}: has no winner yet: finish it with `trm sweep ... --resume`")
    return book.trials[result.winner]


def varied_parameters(plan: Plan, winner: Trial, request: Request) -> list[Distribution]:
    """The parameters to vary.

    Raises:
        UserError: one that is unknown, that the winner does not have or that has one value,
            numbers that make no design, or a run that bred a population.
    """
    if plan.generations:
        raise UserError(
            "search.scheduler", "pbt", "changes settings during a run, so that the winner has no "
            "one value of each to vary: use a sweep with another scheduler"
        )  # fmt: skip
    there = {
        name: d
        for name, d in plan.space.parameters.items()
        if d.count > 1 and name in winner.params
    }
    for name in request.params:
        if name in plan.space.parameters and name not in there:
            raise UserError("--params", name, "does not exist in the winner's config, or has one "
                            f"value: it has {', '.join(there)}")  # fmt: skip
        if name not in there:
            raise UserError("--params", name, f"is no parameter: {nearest(name, [*there])}")
    if not there:
        raise UserError("nothing to vary: the winner has no parameter of more than one value")
    if not 0 < request.radius <= 1:
        raise UserError("--radius", request.radius, "must be above 0 and at most 1")
    points = points_of(request)
    if request.design == "sobol" and (points < 2 or points & (points - 1)):
        raise UserError(
            "--points", points, "must be a power of two from 2 for --design sobol, as 16"
        )
    if request.design == "oat" and points < 2:
        raise UserError("--points", points, "must be at least 2: the ends of what is tried")
    wanted = request.params or tuple(there)
    return [d for name, d in there.items() if name in wanted]


def points_of(request: Request) -> int:
    return POINTS[request.design] if request.points is None else request.points


def design_seeds(plan: Plan, request: Request) -> list[int]:
    base = plan.seed + SENSITIVITY_SEEDS
    return [base + index for index in range(request.seeds)]


def tried_values(distribution: Distribution, centre: Any, request: Request) -> list[Any]:
    """What is tried of a parameter, in order, the winner's value among it; ends of a Sobol design.

    Evenly spread positions on the own scale within the radius; one that nearly is the winner's is
    left out.
    """
    if isinstance(distribution, Choice):
        return list(distribution.options)
    low, high = _reach(distribution, centre, request.radius)
    if request.design == "sobol":
        return [distribution.at(low), distribution.at(high)]
    positions, at = np.linspace(low, high, points_of(request)), distribution.position(centre)
    step = float(positions[1] - positions[0])
    kept = [p for p in positions[1:-1] if abs(p - at) > step / 3]
    kept += [p for p in (low, high) if abs(p - at) > step / 100]
    return sorted({*(distribution.at(float(p)) for p in kept), centre})


def _reach(distribution: Distribution, centre: Any, radius: float) -> tuple[float, float]:
    """Lowest and highest position within the radius."""
    assert isinstance(distribution, Range), distribution
    at = distribution.position(centre)
    return max(0.0, at - radius), min(1.0, at + radius)


def design_configs(plan: Plan, winner: Trial, request: Request) -> list[tuple[dict[str, Any], str]]:
    """Every config of a design once, with why no model can be built from it."""
    varied = varied_parameters(plan, winner, request)
    found: dict[str, dict[str, Any]] = {}
    params: Iterable[dict[str, Any]]
    if request.design == "oat":
        params = (
            with_values(plan, winner, {d.name: value})
            for d in varied
            for value in tried_values(d, winner.params[d.name], request)
        )
        params = [dict(winner.params), *params]
    else:
        params = [p for row in sobol_configs(plan, winner, request, varied) for p in row]
    for each in params:
        found.setdefault(trial_key(each, 0)[0], each)
    return [(each, _why_not(plan, each)) for each in found.values()]


def _why_not(plan: Plan, params: VariedValues) -> str:
    try:
        plan.experiment(plan.space.apply(params))
    except UserError as error:
        return str(error)
    return ""


def sobol_configs(
    plan: Plan, winner: Trial, request: Request, varied: Sequence[Distribution]
) -> list[list[dict[str, Any]]]:
    """The design's configs, `[parameters + 2][points]`."""

    def value(d: Distribution, share: float) -> Any:
        if isinstance(d, Choice):
            return d.at(share)
        low, high = _reach(d, winner.params[d.name], request.radius)
        return d.at(low + share * (high - low))

    design = saltelli(points_of(request), len(varied))
    return [
        [
            with_values(
                plan, winner, {d.name: value(d, x) for d, x in zip(varied, row, strict=True)}
            )
            for row in matrix.tolist()
        ]
        for matrix in design
    ]


def with_values(plan: Plan, winner: Trial, values: VariedValues) -> dict[str, Any]:
    """The winner's parameters with some changed; those that come with a new option at default."""

    def suggest(name: str, distribution: Distribution) -> Any:
        if name in values:
            return values[name]
        return winner.params[name] if name in winner.params else distribution.first()

    return dict(plan.space.draw(suggest)[0])


def known_trials(book: Book) -> dict[tuple[str, int], Trial]:
    return {
        trial_key(trial.params, trial.seed): trial
        for trial in book.trials.values()
        if trial.stage == "sensitivity"
    }


def trial_key(params: VariedValues, seed: int) -> tuple[str, int]:
    return json.dumps(params, sort_keys=True), seed
