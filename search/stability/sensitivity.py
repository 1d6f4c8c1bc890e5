"""How firmly a winner stands: its settings varied around their values, over seeds, in new runs.

Two designs. One at a time: each parameter over values on its own scale, all others at the
winner's. Sobol: all at once, for the share of the variance that each causes. Points that two
designs share, or that an earlier call has run, are not run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from search.config.plan import Plan, trainable_plan
from search.engine.driver import Runner, run_further
from search.engine.presence import present_in
from search.ledger.book import Book
from search.ledger.ledger import Ledger
from search.ledger.storage import Place, place
from search.ledger.trial import Trial
from search.space.distributions import Choice, Distribution
from search.stability.response import TriedValue, response, yardstick
from search.stability.sensitivity_design import (
    Budget,
    Request,
    VariedValues,
    budget_of,
    design_seeds,
    design_trials,
    known_trials,
    sobol_configs,
    trial_key,
    tried_values,
    varied_parameters,
    winner_of,
    with_values,
)
from search.stability.sensitivity_result import Sensitivity, read_sensitivity, save_sensitivity
from search.stats.sobol import Index, indices, noise_of
from trm.evaluation import subset
from trm.files.run_folder import cache_folder

__all__ = [
    "Budget",
    "Request",
    "Sensitivity",
    "analyse",
    "budget_of",
    "read_sensitivity",
    "sensitivity",
]


def sensitivity(
    folder: Place | str, request: Request | None = None, runner: Runner | None = None
) -> Sensitivity:
    """Run a design around the winner and say what it shows; goes on where it was stopped.

    >>> sensitivity(run, Request(params=("model.depth",)))
    Traceback (most recent call last):
    trm.errors.UserError: --params: 'model.depth' is no parameter: did you mean model.L_cycles?

    Raises:
        UserError: no winner yet, or a request that does not fit; nothing has been started.
        KeyboardInterrupt: stopped by the user; the same call goes on.
    """
    request, runner = request or Request(), runner or Runner()
    where = place(folder).absolute()
    plan = trainable_plan(where)
    budget_of(where, request)
    # What is found goes beside what the file holds: a damaged one is refused before any run.
    read_sensitivity(where)
    runner.check(plan.sections.cluster, plan.default.train.threads)
    with present_in(where) as presence:
        with runner.display.preparing() as progress:
            task = plan.default.task.build(cache_folder(), progress)
        examples = len(subset(task.split("valid"), plan.default.train.valid_examples))
        with Ledger.open(where) as ledger:
            winner = winner_of(where, ledger)
            trials = design_trials(plan, ledger, winner, request)
            floor = plan.objective.worst(task.floor)
            run_further(plan, ledger, trials, "sensitivity", floor, runner, presence)
            found = analyse(plan, ledger, winner, request, examples)
        save_sensitivity(where, found)
    return found


def analyse(
    plan: Plan, book: Book, winner: Trial, request: Request, examples: int | None
) -> Sensitivity:
    """What the ended trials of a design show.

    Args:
        examples: how many examples a share is a share of.
    """
    known, seeds = known_trials(book), design_seeds(plan, request)
    objective = plan.objective

    def point(params: VariedValues, value: Any = None, position: float | None = None) -> TriedValue:
        trials = [known[key] for seed in seeds if (key := trial_key(params, seed)) in known]
        reasons = [trial.reason for trial in trials if trial.infeasible]
        ran = [t for t in trials if t.ran and t.score is not None]
        scores = [float(trial.score or 0.0) for trial in ran]
        return TriedValue(
            value=value,
            position=position,
            scores=scores,
            failures=sum(trial.failed for trial in ran),
            merits=[objective.merit(s) for s, t in zip(scores, ran, strict=True)
                    if t.completed],
            merit=objective.merit(float(np.mean(scores))) if scores else 0.0,
            reason=reasons[0] if reasons else "",
        )  # fmt: skip

    varied = varied_parameters(plan, winner, request)
    share = plan.counted(examples)
    if request.design == "oat":
        return _one_at_a_time(plan, winner, request, varied, point, share)
    return _sobol(plan, winner, request, varied, point)


def _one_at_a_time(
    plan: Plan,
    winner: Trial,
    request: Request,
    varied: Sequence[Distribution],
    point: Any,
    examples: int | None,
) -> Sensitivity:
    level = plan.sections.stability.confidence
    lines: dict[str, list[TriedValue]] = {}
    for d in varied:
        values = tried_values(d, winner.params[d.name], request)
        lines[d.name] = [
            point(
                with_values(plan, winner, {d.name: value}),
                value,
                None if isinstance(d, Choice) else d.position(value),
            )
            for value in values
        ]
    centre = point(winner.params)
    # The winner's own point stands in every line, and counts once.
    beside = [
        p for d in varied for p in lines[d.name] if p.value != winner.params[d.name] and p.scores
    ]
    by = yardstick([centre, *beside], centre, len(beside), level, examples)
    runs = [score for p in [centre, *beside] for score in p.scores]
    failed = sum(p.failures for p in [centre, *beside])
    return _found(
        plan, winner, request,
        margin=by.margin,
        sd=by.spread.sd if by.spread.df else 0.0,
        failures=failed / max(len(runs), 1),
        responses=[
            response(
                d,
                lines[d.name],
                [p.value for p in lines[d.name]].index(winner.params[d.name]),
                by,
            )
            for d in varied
        ],
    )  # fmt: skip


def _sobol(
    plan: Plan, winner: Trial, request: Request, varied: Sequence[Distribution], point: Any
) -> Sensitivity:
    grid = sobol_configs(plan, winner, request, varied)
    points = [[point(params) for params in row] for row in grid]
    # A row of the design counts whole or not at all.
    kept = [k for k in range(len(points[0])) if all(row[k].scores for row in points)]
    used = [[row[k] for k in kept] for row in points]
    flat = [p for row in used for p in row]
    level = plan.sections.stability.confidence
    score: dict[str, Index] = {}
    failure: dict[str, Index] = {}
    noise = noise_of([p.scores for p in flat])
    if len(kept) > 1:
        merits = np.array([[p.merit for p in row] for row in used])
        failed = np.array([[p.failed for p in row] for row in used])
        names = [d.name for d in varied]
        numbers: dict[str, int] = {}
        configs = np.array(
            [
                [numbers.setdefault(trial_key(row[k], 0)[0], len(numbers)) for k in kept]
                for row in grid
            ]
        )
        found = indices(merits, noise, level, configs=configs)
        score = dict(zip(names, found, strict=True))
        if failed.any():
            flags = [[1.0] * p.failures + [0.0] * (len(p.scores) - p.failures) for p in flat]
            found = indices(failed, noise_of(flags), level, configs=configs)
            failure = dict(zip(names, found, strict=True))
    runs = sum(len(p.scores) for p in flat)
    return _found(
        plan, winner, request,
        sd=(noise * request.seeds) ** 0.5,
        failures=sum(p.failures for p in flat) / max(runs, 1),
        score=score,
        failure=failure,
        rows=len(kept),
    )  # fmt: skip


def _found(plan: Plan, winner: Trial, request: Request, **more: Any) -> Sensitivity:
    values: dict[str, Any] = {
        "margin": None, "responses": [], "score": {}, "failure": {}, "rows": 0, **more
    }  # fmt: skip
    return Sensitivity(
        winner=winner.id,
        design=request.design,
        objective=plan.objective.column,
        maximizes=plan.objective.maximizes,
        confidence=plan.sections.stability.confidence,
        seeds=request.seeds,
        radius=request.radius,
        **values,
    )
