"""How firmly a winner stands: its settings varied around their values, over seeds, in new runs.

Two designs. One at a time: each parameter over values on its own scale, all others at the
winner's. Sobol: all at once, for the share of the variance that each causes. Points that two
designs share, or that an earlier call has run, are not run again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from search.book import Book
from search.distributions import Choice, Distribution
from search.further_runs import Runner, run_further
from search.history import FAILURES
from search.json_file import fields_of, read_json
from search.ledger import Ledger, Trial
from search.place import Place, place
from search.plan import Plan, read_plan, write_atomically
from search.response import Point, Response, response, yardstick
from search.sensitivity_design import (
    POINTS,
    Budget,
    Design,
    Params,
    Request,
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
from search.sobol import Index, indices, noise_of
from trm.evaluation import subset
from trm.run_folder import cache_folder

SENSITIVITY_FILE = "sensitivity.json"
_MEND = "remove it: `trm sensitivity RUN` writes it again from the runs that are there"
SENSITIVITY_VERSION = 1

__all__ = [
    "Budget",
    "Request",
    "Sensitivity",
    "analyse",
    "budget_of",
    "read_sensitivity",
    "sensitivity",
]


@dataclass(frozen=True)
class Sensitivity:
    """What was found of one design.

    Attributes:
        winner: the explore trial around whose config it is.
        design: `oat` or `sobol`.
        objective: the column that scores are.
        maximizes: whether more of it is better.
        confidence: of tests and intervals.
        seeds: runs of each point.
        radius: as in the request.
        margin: what a mean may lose and be safe; None in the Sobol design.
        sd: standard deviation between seeds, pooled; 0 if no point has two.
        failures: share of all runs that failed.
        responses: one a parameter, of one at a time.
        score: by parameter, Sobol's indices of the mean score.
        failure: likewise of the share of failed runs; empty if none failed.
        rows: of the Sobol design that count; those with a config that no model can be built from
            do not.
    """

    winner: int
    design: Design
    objective: str
    maximizes: bool
    confidence: float
    seeds: int
    radius: float
    margin: float | None
    sd: float
    failures: float
    responses: list[Response]
    score: dict[str, Index]
    failure: dict[str, Index]
    rows: int


def sensitivity(
    folder: Place | str, request: Request | None = None, runner: Runner | None = None
) -> Sensitivity:
    """Run a design around the winner and say what it shows; goes on where it was stopped.

    Raises:
        UserError: no winner yet, or a request that does not fit; nothing has been started.
        KeyboardInterrupt: stopped by the user; the same call goes on.
    """
    request, runner = request or Request(), runner or Runner()
    where = place(folder).absolute()
    plan = read_plan(where)
    budget_of(where, request)
    # What is found goes beside what the file holds: a damaged one is refused before any run.
    read_sensitivity(where)
    runner.check(plan)
    with runner.display.preparing() as progress:
        task = plan.default.task.build(cache_folder(), progress)
    examples = len(subset(task.split("valid"), plan.default.train.valid_examples))
    with Ledger.open(where) as ledger:
        winner = winner_of(where, ledger)
        trials = design_trials(plan, ledger, winner, request)
        run_further(plan, ledger, trials, "sensitivity", plan.objective.worst(task.floor), runner)
        found = analyse(plan, ledger, winner, request, examples)
    _save(where, found)
    return found


def read_sensitivity(folder: Place) -> dict[str, Any]:
    """What `sensitivity.json` holds, by design, as plain values; empty while there is none.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / SENSITIVITY_FILE
    if not path.is_file():
        return {}
    tree = read_json(path, _MEND)
    found: dict[str, Any] = {
        design: tree[design] for design in POINTS if tree.get(design) is not None
    }
    with fields_of(path, _MEND):
        for values in found.values():
            Sensitivity(**values)
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

    def point(params: Params, value: Any = None, position: float | None = None) -> Point:
        trials = [known[key] for seed in seeds if (key := trial_key(params, seed)) in known]
        reasons = [trial.reason for trial in trials if trial.outcome == "infeasible"]
        ran = [t for t in trials if t.outcome in ("completed", *FAILURES) and t.score is not None]
        scores = [float(trial.score or 0.0) for trial in ran]
        return Point(
            value=value,
            position=position,
            scores=scores,
            failures=sum(trial.outcome in FAILURES for trial in ran),
            merits=[objective.merit(s) for s, t in zip(scores, ran, strict=True)
                    if t.outcome == "completed"],
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
    lines: dict[str, list[Point]] = {}
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


def _save(folder: Place, found: Sensitivity) -> None:
    """Put a design's result beside that of the other."""
    tree = {"schema_version": SENSITIVITY_VERSION, **read_sensitivity(folder)}
    tree[found.design] = asdict(found)
    write_atomically(folder / SENSITIVITY_FILE, json.dumps(tree, indent=1) + "\n")
