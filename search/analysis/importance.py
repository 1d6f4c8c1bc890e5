"""Which settings matter, from the trials that a sweep has anyway: no new run is made.

Two measures and three targets. fANOVA is the share of the variance over the whole space that a
parameter explains alone (Hutter et al., ICML 2014); PED-ANOVA is how much the best configs differ
from all in that parameter (Watanabe et al., IJCAI 2023; conditional parameters: arXiv 2601.20800).
Both are Optuna's. Parameters stand in the unit cube on their own scale, so that a log range counts
by ratios.

Targets are per config: the mean score of its completed runs; the share of its runs that failed;
and the standard deviation of its score over seeds, where it has any.

A conditional parameter has no value in configs without it. fANOVA looks at it among the configs
that have it, with the parameters that are always there beside it: its share is of the variance
among those. PED-ANOVA weighs it by how often it is there. Interactions are of the others alone.
"""

from __future__ import annotations

import json
import math
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    PedAnovaImportanceEvaluator,
)
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.config.plan import Plan, read_plan
from search.explore.enough import FEWEST
from search.ledger.book import Book, refuse_ablations
from search.ledger.reader import read_book
from search.ledger.storage import Place, place
from search.objectives.outcome import FAILURES
from search.samplers.view import study_of
from search.space.distributions import Choice, Distribution
from search.space.space import Space
from search.stats.forest import CELLS, decompose
from search.stats.spreads import NO_SPREAD
from trm.errors import UserError

STAGES = ("explore", "confirm", "promise", "reference")
"""Whose trials count: those that a sampler drew, and further seeds of the same configs."""
FEW = 30
"""Configs below which a warning is due."""
_TREES = 32
TOP_SHARE, TOP_LEAST = 0.1, 5
"""PED-ANOVA compares the best tenth with all, or five configs where a tenth is fewer."""


@dataclass(frozen=True)
class Sample:
    """A config with what its runs came to.

    Attributes:
        params: its drawn values.
        score: mean merit (more is better) of its completed runs; None if there are none.
        failed: share of its ended runs that failed; a stopped one has not failed.
        spread: standard deviation of the score over two or more completed runs, else None.
    """

    params: Mapping[str, Any]
    score: float | None
    failed: float
    spread: float | None


@dataclass(frozen=True)
class Interaction:
    """What two parameters do together, as a share of a forest's variance."""

    first: str
    second: str
    share: float


@dataclass(frozen=True)
class Target:
    """What one target depends on.

    Attributes:
        name: `score`, `failure` or `spread`.
        configs: how many it rests on.
        fanova: by parameter, its share of the variance, the greatest first.
        ped_anova: by parameter, its share of the divergences.
        interactions: the greatest first.
        explained: out-of-bag R^2 of the forest behind the interactions; None without one.
        notes: why there is nothing, or what to be careful about.
    """

    name: str
    configs: int
    fanova: dict[str, float]
    ped_anova: dict[str, float]
    interactions: list[Interaction]
    explained: float | None
    notes: list[str]


@dataclass(frozen=True)
class Importances:
    """What a run's scores, failures and spread depend on.

    Attributes:
        objective: the column that scores are.
        completed: trials that count for the score.
        pruned: trials that were stopped early, which have no score at full fidelity.
        conditional: by conditional parameter, what it needs and how many configs have it.
        targets: score, failure and spread.
    """

    objective: str
    completed: int
    pruned: int
    conditional: dict[str, str]
    targets: list[Target]


def importance(folder: Place | str, seed: int = 0) -> Importances:
    """What matters in a run, finished or in progress.

    >>> importance(run).objective
    'cell_accuracy'

    Raises:
        UserError: the folder holds no run, ablations, or a run that bred a population and drew no
            configs.
    """
    where = place(folder)
    plan, book = read_plan(where), read_book(where)
    refuse_ablations(where, book.trials)
    return importances(plan, book, seed)


def importances(plan: Plan, book: Book, seed: int = 0) -> Importances:
    """The same for a plan and what is known of its trials."""
    if plan.breeds:
        raise UserError(
            "search.scheduler", "pbt", "changes settings during a run, so that no run has one "
            "setting to be judged by: use a sweep with another scheduler"
        )  # fmt: skip
    trials = [trial for trial in book.trials.values() if trial.stage in STAGES]
    found = samples(plan, book)
    conditional = {
        name: f"{' and '.join(f'{c} = {o}' for c, o in d.condition)}: "
        + _configs(sum(name in sample.params for sample in found))
        for name, d in plan.space.parameters.items()
        if d.condition and d.count > 1
    }
    scored = [(s, s.score) for s in found if s.score is not None]
    spread = [(s, -s.spread) for s in found if s.spread is not None]
    # Everything is turned so that more is more of what PED-ANOVA's best configs have.
    failed = [(s, s.failed) for s in found]
    share = float(np.mean([value for _, value in failed])) if failed else 0.0
    return Importances(
        objective=plan.objective.column,
        completed=sum(trial.completed for trial in trials),
        pruned=sum(trial.pruned for trial in trials),
        conditional=conditional,
        targets=[
            _target("score", plan.space, scored, seed),
            _target("failure", plan.space, failed, seed, top=share),
            _target("spread", plan.space, spread, seed),
        ],
    )


def samples(plan: Plan, book: Book) -> list[Sample]:
    """Every config of a sweep that has ended, with all its seeds, in whatever stage they ran."""
    groups: dict[str, list[tuple[str, float | None]]] = defaultdict(list)
    params: dict[str, Mapping[str, Any]] = {}
    for trial in book.trials.values():
        if trial.stage in STAGES and trial.outcome not in (None, "infeasible", "stopped"):
            key = json.dumps(trial.params, sort_keys=True)
            params[key] = trial.params
            groups[key].append((str(trial.outcome), trial.score))
    found = []
    for key, runs in groups.items():
        scores = [
            plan.objective.merit(score)
            for outcome, score in runs
            if outcome == "completed" and score is not None
        ]
        found.append(
            Sample(
                params=params[key],
                score=float(np.mean(scores)) if scores else None,
                failed=sum(outcome in FAILURES for outcome, _ in runs) / len(runs),
                spread=float(np.std(scores, ddof=1)) if len(scores) > 1 else None,
            )
        )
    return found


def place_in_cube(distribution: Distribution, value: Any) -> float:
    """Where a value stands in [0, 1] on its own scale; options in order, in the middle of parts."""
    if isinstance(distribution, Choice):
        return (distribution.options.index(value) + 0.5) / len(distribution.options)
    return min(max(distribution.position(value), 0.0), 1.0)


def _target(
    name: str,
    space: Space,
    points: Sequence[tuple[Sample, float]],
    seed: int,
    top: float | None = None,
) -> Target:
    why = _nothing(name, points)
    if why:
        return Target(name, len(points), {}, {}, [], None, [why])
    kept = [(sample, value) for sample, value in points]
    notes = []
    if len(kept) < FEW:
        notes.append(f"{len(kept)} configs are few: below {FEW} these shares are rough guesses")
    always = [d for d in space.groups.get((), []) if _varies(d, kept)]
    fanova = _fanova(always, kept, seed)
    for condition, group in space.groups.items():
        inside = [(s, value) for s, value in kept if all(d.name in s.params for d in group)]
        if condition and len(inside) >= FEWEST and not _alike([value for _, value in inside]):
            there = [d for d in (*always, *group) if _varies(d, inside)]
            shares = _fanova(there, inside, seed)
            fanova |= {d.name: shares[d.name] for d in group if d.name in shares}
    share = max(TOP_SHARE, TOP_LEAST / len(kept)) if top is None else top
    # Optuna takes the ceiling of share times configs, and 7 / 25 * 25 is above 7 in floats.
    ped = _ped_anova(space, kept, min(max(share * (1 - 1e-12), 1e-6), 0.99))
    interactions, explained = _interactions(always, kept, seed)
    if explained is not None and explained <= 0.1:
        notes.append(
            f"a forest foresees {max(explained, 0.0):.0%} of the differences between configs: what "
            "there is to see is mostly noise, and so are these shares"
        )
    order = sorted(fanova, key=lambda key: -fanova[key])
    return Target(
        name, len(kept), {key: fanova[key] for key in order}, ped, interactions, explained, notes
    )


def _nothing(name: str, points: Sequence[tuple[Sample, float]]) -> str:
    """Why a target cannot be looked at, else nothing."""
    if name == "spread" and len(points) < FEWEST:
        return (
            f"spread needs seeds: {_configs(len(points))} with two or more completed ones, at "
            f"least {FEWEST} must be (search.seeds, or trm stability --candidates)"
        )
    if len(points) < FEWEST:
        return f"{_configs(len(points))} ended with a {name}: at least {FEWEST} must"
    if _alike([value for _, value in points]):
        none = name == "failure" and points[0][1] == 0.0
        return "no run failed" if none else f"every config has the same {name}"
    return ""


def _alike(values: Sequence[float]) -> bool:
    """Whether values differ by rounding alone, as means of equal scores over seeds do."""
    return max(values) - min(values) <= NO_SPREAD * max(1.0, abs(max(values)))


def _varies(distribution: Distribution, points: Sequence[tuple[Sample, float]]) -> bool:
    return len({s.params[distribution.name] for s, _ in points}) > 1


def _fanova(
    parameters: Sequence[Distribution], points: Sequence[tuple[Sample, float]], seed: int
) -> dict[str, float]:
    evaluator = FanovaImportanceEvaluator(n_trees=_TREES, seed=seed)
    return _evaluate(evaluator, parameters, points)


def _ped_anova(
    space: Space, points: Sequence[tuple[Sample, float]], share: float
) -> dict[str, float]:
    varied = [d for d in space.parameters.values() if d.count > 1]
    there = [d for d in varied if any(d.name in s.params for s, _ in points)]
    found = _evaluate(PedAnovaImportanceEvaluator(target_quantile=share), there, points)
    total = math.fsum(found.values())
    return {name: value / total for name, value in found.items()} if total > 0 else found


def _evaluate(
    evaluator: BaseImportanceEvaluator,
    parameters: Sequence[Distribution],
    points: Sequence[tuple[Sample, float]],
) -> dict[str, float]:
    if not parameters:
        return {}
    trials = [_trial(number, parameters, *point) for number, point in enumerate(points)]
    study = study_of(trials, ["maximize"], RandomSampler())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = evaluator.evaluate(study, [d.name for d in parameters])
    return {name: float(value) for name, value in found.items()}


def _trial(
    number: int, parameters: Sequence[Distribution], sample: Sample, value: float
) -> FrozenTrial:
    there = [d for d in parameters if d.name in sample.params]
    trial = create_trial(
        state=TrialState.COMPLETE,
        value=value,
        params={
            d.name: sample.params[d.name]
            if isinstance(d, Choice)
            else place_in_cube(d, sample.params[d.name])
            for d in there
        },
        distributions={d.name: _in_cube(d) for d in there},
    )
    trial.number = trial._trial_id = number
    return trial


def _in_cube(distribution: Distribution) -> BaseDistribution:
    if isinstance(distribution, Choice):
        return CategoricalDistribution(distribution.options)
    return FloatDistribution(0.0, 1.0)


def _interactions(
    parameters: Sequence[Distribution], points: Sequence[tuple[Sample, float]], seed: int
) -> tuple[list[Interaction], float | None]:
    if len(parameters) < 2:
        return [], None
    places = np.array([[place_in_cube(d, s.params[d.name]) for d in parameters] for s, _ in points])
    cells = [int(min(d.count, CELLS)) for d in parameters]
    found = decompose(places, np.array([value for _, value in points]), cells, seed)
    pairs = [
        Interaction(parameters[j].name, parameters[i].name, float(found.pairs[i, j]))
        for i in range(len(parameters))
        for j in range(i)
    ]
    return sorted(pairs, key=lambda pair: -pair.share), found.explained


def _configs(n: int) -> str:
    return f"{n} config{'' if n == 1 else 's'}"
