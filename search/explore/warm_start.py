"""What a sweep starts from: first points, and what other runs found."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from search.config.plan import Plan, read_plan
from search.config.projection import project
from search.explore.candidates import aggregated, runs_by_config
from search.ledger.files import SWEEP_FILE, fields_of, read_json, require_unlost, write_json
from search.ledger.reader import read_curves, read_trials
from search.ledger.storage import Place, place
from search.ledger.trial import Row, Trial
from search.objectives.constraint import violations
from search.objectives.outcome import failed
from search.samplers.history import PastRun, PastTrial
from search.schedulers.rungs import highest
from search.space.space import Params
from trm.errors import UserError
from trm.files.paths import home_path

START_FILE = "warm_start.json"
START_VERSION = 1
KEY = "search.warm_start"

BEST_FEW = 3
"""Configs of each other run that are tried again here."""

SAME_BUDGET = 0.01
"""How far two budgets may differ, relative to each other, for scores to compare."""

_MEANINGLESS = (
    ("name",), ("schema_version",), ("plugins",), ("promise",),
    ("train", "seed"), ("train", "budget"), ("train", "reports"), ("train", "threads"),
    ("train", "device"), ("train", "compile"), ("train", "kernel"),
    ("train", "cuda_graphs"),
    ("train", "eval_batch_size"),
)  # fmt: skip
"""Values that may differ between two configs that are otherwise one."""


@dataclass(frozen=True)
class Warm:
    """What a sweep starts from.

    Attributes:
        first: parameters of the candidates that come before any is drawn.
        records: candidates of other runs whose scores compare; numbers below 0.
        origins: where each record comes from, `FOLDER#TRIAL`.
        notes: a line for each other run: what was taken of it and what was not.
        priors: candidates of other runs whose scores do not compare, of the same objective; numbers
            from 0.
    """

    first: tuple[Params, ...] = ()
    records: tuple[PastTrial, ...] = ()
    origins: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    priors: tuple[PastTrial, ...] = ()

    def tree(self) -> dict[str, Any]:
        """All of it as plain values; `warm_of` reads it."""
        return {"schema_version": START_VERSION, **asdict(self)}


def warm_of(stored: Mapping[str, Any]) -> Warm:
    """What `Warm.tree` gave, also once it has been JSON.

    Raises:
        UserError: a newer program wrote it.
    """
    if stored["schema_version"] > START_VERSION:
        raise UserError(
            f"{START_FILE}: schema_version", stored["schema_version"], "is newer than this program"
        )
    records, priors = (
        tuple(map(_record_of, found)) for found in (stored["records"], stored.get("priors", ()))
    )
    first, origins, notes = (tuple(stored[name]) for name in ("first", "origins", "notes"))
    return Warm(first, records, origins, notes, priors)


def _record_of(stored: Mapping[str, Any]) -> PastTrial:
    return PastTrial(
        **{
            **stored,
            "values": tuple(stored["values"]),
            "rungs": {int(step): score for step, score in stored["rungs"].items()},
            "runs": tuple(map(_run_of, stored.get("runs", ()))),
        }
    )


def _run_of(stored: Mapping[str, Any]) -> PastRun:
    curve = {int(step): row for step, row in stored["curve"].items()}
    return PastRun(**{**stored, "curve": curve})


def write_start(folder: Place, warm: Warm) -> None:
    """Keep in a run folder what it started from, so that a resume needs no other folder."""
    write_json(folder / START_FILE, warm.tree())


def read_start(folder: Place, plan: Plan) -> Warm:
    """What a run started from; the default alone where the folder does not say.

    Raises:
        UserError: the file is damaged, or a newer program wrote it.
    """
    path = folder / START_FILE
    try:
        tree = read_json(path)
    except FileNotFoundError:
        require_unlost(path)
        return Warm(first=(plan.space.default()[0],))
    with fields_of(path):
        return warm_of(tree)


def require_runs(folders: Iterable[str]) -> None:
    """
    Raises:
        UserError: a folder to start from holds no run.
    """
    for folder in folders:
        if not (_run_folder(folder) / SWEEP_FILE).is_file():
            raise UserError(KEY, folder, "holds no run: give the folder of a `trm sweep`")


def read_warm(folders: Sequence[str], plan: Plan, first: Sequence[Params] = ()) -> Warm:
    """What other runs say of a plan's space, after its own first points.

    A trial of a search stands for the parameters that its config has in this space. If the runs
    agree in task, objectives, constraints and compute, and the config is then the same in all that
    is not searched too, its result is an observation. Else scores do not compare: where the
    objective is the same one, they are a prior that has to prove itself
    (`search.samplers.gaussian.prior`). In any case the best few configs of each run that the space
    holds are tried here again.

    Raises:
        UserError: a folder holds no run, or one of a newer version.
    """
    require_runs(folders)
    warm = Warm(first=tuple(first))
    for folder in folders:
        warm = _with_run(warm, folder, plan)
    return replace(warm, first=tuple(distinct(warm.first)))


def _with_run(warm: Warm, folder: str, plan: Plan) -> Warm:
    path = _run_folder(folder)
    other = read_plan(path)
    differs = _difference(plan, other)
    informs = bool(differs) and _same_objective(plan, other)
    curves = _curves(path) if not differs or informs else {}
    records: list[PastTrial] = []
    priors: list[PastTrial] = []
    origins: list[str] = []
    points: list[tuple[float, int, Params]] = []
    dropped: Counter[str] = Counter()
    known = {tuple(sorted(record.params.items())) for record in warm.records}
    for seeds in runs_by_config(read_trials(path)).values():
        trial = seeds[0]
        if any(not seed.ended for seed in seeds) or trial.infeasible:
            continue
        try:
            params = project(plan, trial.config)
        except UserError as error:
            dropped[error.where.partition(":")[0]] += 1
            continue
        if trial.completed and trial.score is not None:
            points.append((-other.objective.merit(trial.score), trial.id, params))
        if informs:
            number = len(warm.priors) + len(priors)
            record = _record(plan, seeds, params, number, curves)
            priors += [record] if record is not None else []
        key = tuple(sorted(params.items()))
        if differs or key in known or not _same_config(plan, params, trial):
            continue
        known.add(key)
        number = -1 - len(warm.records) - len(records)
        record = _record(plan, seeds, params, number, curves)
        if record is not None:
            records.append(record)
            origins.append(f"{folder}#{trial.id}")
    best = distinct(params for *_, params in sorted(points, key=lambda point: point[:2]))[:BEST_FEW]
    words = f"{folder}: {len(records)} observations, {len(best)} first points"
    if differs:
        words += f" (scores do not compare: {differs})"
    if priors:
        words += f", {len(priors)} as a prior that has to prove itself"
    if dropped:
        reasons = ", ".join(f"{name} {count}" for name, count in dropped.most_common())
        words += f"; {dropped.total()} outside the space ({reasons})"
    return Warm(
        (*warm.first, *best),
        (*warm.records, *records),
        (*warm.origins, *origins),
        (*warm.notes, words),
        (*warm.priors, *priors),
    )


def _same_objective(plan: Plan, other: Plan) -> bool:
    """Whether both runs judge by one and the same objective, and none breeds."""
    judged = [[(o.column, o.resolved_direction) for o in each.objectives] for each in (plan, other)]
    return judged[0] == judged[1] and len(judged[0]) == 1 and not (plan.breeds or other.breeds)


def _difference(plan: Plan, other: Plan) -> str:
    """Why scores of two runs do not compare; empty if they do."""
    if not math.isclose(plan.budget, other.budget, rel_tol=SAME_BUDGET):
        return f"compute {other.budget:.3g} instead of {plan.budget:.3g} FLOPs"
    if plan.evaluated["task"] != other.evaluated["task"]:
        return "another task"
    facts = [
        (
            [(o.column, o.resolved_direction) for o in each.objectives],
            [c.text() for c in each.constraints],
            (each.seeds, each.sections.search.aggregate if each.seeds > 1 else ""),
        )
        for each in (plan, other)
    ]
    names = ("objectives", "constraints", "seeds")
    for name, ours, theirs in zip(names, *facts, strict=True):
        if ours != theirs:
            return f"other {name}"
    if plan.breeds:
        return "a population"
    return ""


def _same_config(plan: Plan, params: Params, trial: Trial) -> bool:
    """Whether the parameters make the trial's own config, in all that its score may depend on."""
    try:
        ours = plan.experiment(plan.space.apply(params)).tree()
    except UserError:
        return False
    theirs = plan.experiment(trial.config).tree()
    return _meaning(ours) == _meaning(theirs)


def _meaning(tree: dict[str, Any]) -> dict[str, Any]:
    for *parents, last in _MEANINGLESS:
        section = tree
        for key in parents:
            section = section[key]
        section.pop(last, None)
    return tree


def _record(
    plan: Plan,
    seeds: Sequence[Trial],
    params: Params,
    number: int,
    curves: Mapping[int, Sequence[Row]],
) -> PastTrial | None:
    """A candidate of another run as this one's sampler would know it; None if it says nothing."""
    scheduler, shares = plan.early_stopping, plan.scheduler().shares
    trial, rungs = seeds[0], dict[int, float]()
    for row in curves.get(trial.id, ()):
        rung = highest(shares, scheduler.share(row))
        if not failed(row) and rung > max(rungs, default=-1):
            rungs[rung] = plan.objective.value(row)
    last = {seed.id: curves[seed.id][-1] for seed in seeds if curves.get(seed.id)}
    values: tuple[float, ...] = ()
    if trial.outcome in ("pruned", "stopped"):
        if trial.id in last:
            values = tuple(objective.value(last[trial.id]) for objective in plan.objectives)
    elif trial.score is not None:
        found = aggregated(plan, seeds, last)
        values = tuple(found[objective.column] for objective in plan.objectives)
    if not values or not all(map(math.isfinite, values)):
        return None
    rows = [last[seed.id] for seed in seeds if seed.completed and seed.id in last]
    return PastTrial(
        number=number,
        params=params,
        outcome=trial.outcome,
        values=values,
        rungs=rungs,
        violations=violations(plan.constraints, rows) if rows else {},
        progress=float(last[trial.id]["progress"]) if trial.id in last else 0.0,
    )


def _run_folder(name: str) -> Place:
    where = place(name)
    return home_path(where) if isinstance(where, Path) else where


def _curves(folder: Place) -> Mapping[int, list[Row]]:
    """Every trial's reports, by mark."""
    rows: dict[int, list[Row]] = {}
    for row in read_curves(folder).to_pylist():
        rows.setdefault(row["trial"], []).append(row)
    return {trial: sorted(found, key=lambda row: row["mark"]) for trial, found in rows.items()}


def distinct(points: Iterable[Params]) -> list[Params]:
    """The points in order, without those that stand there before."""
    found: dict[tuple[tuple[str, Any], ...], Params] = {}
    for params in points:
        found.setdefault(tuple(sorted(params.items())), params)
    return [*found.values()]
