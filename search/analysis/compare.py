"""Runs side by side: what differed, which won, and how sure that is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.config.plan import Plan, read_plan
from search.explore.candidates import best_first, explored
from search.ledger.lineage import spent
from search.ledger.reader import read_book
from search.ledger.storage import Place, place
from search.ledger.trial import Trial
from search.objectives.objective import Objective
from search.stability.result import Result, read_result
from search.stats.intervals import Difference, difference
from trm.errors import UserError

_NOT_COMPARED = ("name", "schema_version", "plugins", "log", "promise")
_NOT_VERSIONS = ("data_hash", "host", "node", "device")
_MOST_RUNS = 26


@dataclass(frozen=True)
class RunFacts:
    """What a run folder says of itself.

    Attributes:
        label: A, B, ... in the order given.
        folder: as given.
        study: unique to the run.
        objectives: what its configs are judged by; the first decides.
        task: the task's config at the default of every parameter, as plain values.
        data: hashes of the data that its trials used.
        examples: of one evaluation; None if the config does not say.
        probed: examples of a probe.
        settings: every value of the config and of the sweep's sections by its path, defaults
            written out, distributions in words.
        versions: of what the numbers depend on, and the git revision.
        outcomes: trials by outcome; `unfinished` for those without.
        compute: training FLOPs of all trials.
        seconds: worker seconds, evaluation included.
        explored: the best score of the search, by which it was chosen and therefore optimistic.
        result: what its confirm stage found; None while it has not ended.
        winner: the drawn values of the winner, else of the best explored; None if there is none.
    """

    label: str
    folder: str
    study: str
    objectives: list[Objective]
    task: dict[str, Any]
    data: tuple[str, ...]
    examples: int | None
    probed: int
    settings: dict[str, Any]
    versions: dict[str, str]
    outcomes: dict[str, int]
    compute: float
    seconds: float
    explored: float | None
    result: Result | None
    winner: dict[str, Any] | None

    @property
    def objective(self) -> Objective:
        """What the winner is chosen by."""
        return self.objectives[0]


@dataclass(frozen=True)
class Comparison:
    """Two or more runs.

    Attributes:
        runs: in the order given.
        differences: setting to its value in each run, by label; a run without it is left out.
        versions: the same of versions and revisions.
        hindrance: why the runs do not compare, else empty.
        pairs: the first run's winner against each other's, by label; empty if they do not compare
            or have no winners yet. Each interval stands alone.
        confidence: of the intervals.
    """

    runs: list[RunFacts]
    differences: dict[str, dict[str, Any]]
    versions: dict[str, dict[str, Any]]
    hindrance: str
    pairs: dict[str, Difference]
    confidence: float


def compare(folders: Sequence[Place | str], confidence: float | None = None) -> Comparison:
    """Compare runs, finished or not; the winners by their promise seeds.

    >>> found = compare([run, unfinished_run])
    >>> [one.label for one in found.runs], found.hindrance
    (['A', 'B'], '')

    Args:
        folders: two to 26 run folders, local or URIs.
        confidence: of the intervals; None takes the first run's.

    Raises:
        UserError: fewer or more runs, the same one twice, or a folder without a run.
    """
    if not 2 <= len(folders) <= _MOST_RUNS:
        raise UserError("trm compare", None, f"takes 2 to {_MOST_RUNS} run folders")
    runs = [read_facts(place(folder), chr(ord("A") + i)) for i, folder in enumerate(folders)]
    studies = Counter(run.study for run in runs)
    for run in runs:
        if studies[run.study] > 1:
            raise UserError(f"{run.folder}: is the same run as another: name each run once")
    first, others = runs[0], runs[1:]
    plan = read_plan(place(folders[0]))
    level = confidence or plan.sections.stability.confidence
    hindrance = next(filter(None, (_hindrance(first, other) for other in others)), "")
    pairs = {}
    for other in others:
        if not hindrance and first.result is not None and other.result is not None:
            pairs[other.label] = difference(
                first.result.promise.scores,
                other.result.promise.scores,
                level,
                maximize=first.objective.maximizes,
                examples=plan.counted(first.examples),
            )
    settings = {run.label: run.settings for run in runs}
    versions = {run.label: run.versions for run in runs}
    return Comparison(runs, differing(settings), differing(versions), hindrance, pairs, level)


def read_facts(folder: Place, label: str) -> RunFacts:
    """The facts of one run folder, also while a driver is writing.

    Raises:
        UserError: the folder holds no run.
    """
    plan, book, result = read_plan(folder), read_book(folder), read_result(folder)
    trials = book.trials
    best = next(iter(best_first(plan, explored(plan, book))), None)
    compute, seconds = spent(trials)
    winner = trials[result.winner] if result is not None else best.trial if best else None
    hashes = {trial.provenance.get("data_hash") for trial in trials.values()}
    return RunFacts(
        label=label,
        folder=str(folder),
        study=plan.run_id,
        objectives=plan.objectives,
        task=plan.evaluated["task"],
        data=tuple(sorted(filter(None, hashes))),
        examples=plan.examples,
        probed=plan.evaluated["diagnostics"]["examples"],
        settings=settings_of(plan),
        versions=_versions(trials),
        outcomes=dict(Counter(trial.outcome or "unfinished" for trial in trials.values())),
        compute=compute,
        seconds=seconds,
        explored=None if best is None else best.score,
        result=result,
        winner=None if winner is None else dict(winner.params),
    )


def settings_of(plan: Plan) -> dict[str, Any]:
    """Every value by its path, defaults written out; a distribution as words with its default."""
    tree = {**plan.recipe, **plan.sections.model_dump(mode="json")}
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if key not in _NOT_COMPARED:
            _flatten(value, key, found)
    for name, text, default, condition in plan.space.describe():
        found[name] = f"{text}, default {default}" + (f", if {condition}" if condition else "")
    return found


def differing(values: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The keys whose values are not the same in all runs, and the values where there are any.

    >>> differing({"A": {"x": 1, "y": 2}, "B": {"x": 1, "y": 3}, "C": {"x": 1}})
    {'y': {'A': 2, 'B': 3}}
    """
    keys = {key: None for run in values.values() for key in run}
    found = {key: {label: run[key] for label, run in values.items() if key in run} for key in keys}
    return {
        key: given
        for key, given in found.items()
        if len(given) < len(values) or len({json.dumps(value) for value in given.values()}) > 1
    }


def _hindrance(first: RunFacts, other: RunFacts) -> str:
    """Why two runs do not compare, else nothing."""
    names = f"{first.label} and {other.label}"
    ours, theirs = (
        [(each.column, each.resolved_direction) for each in run.objectives]
        for run in (first, other)
    )
    if ours != theirs:
        words = (", ".join(each.text() for each in run.objectives) for run in (first, other))
        return f"{names} have different objectives: {' against '.join(words)}"
    tasks = differing({"A": first.task, "B": other.task})
    if tasks:
        return f"{names} have different tasks ({', '.join(f'task.{key}' for key in tasks)})"
    if first.examples != other.examples:
        return f"{names} are judged on {first.examples} and {other.examples} valid examples"
    if first.data and other.data and first.data != other.data:
        return f"{names} have different data, although their tasks read the same"
    return ""


def _versions(trials: Mapping[int, Trial]) -> dict[str, str]:
    """What the trials ran with; several values of one run stand side by side."""
    found: dict[str, set[str]] = {}
    for trial in trials.values():
        resolved = trial.provenance.get("resolved", {})
        for key, value in {**trial.provenance, **resolved}.items():
            if key not in _NOT_VERSIONS and isinstance(value, str):
                found.setdefault(key, set()).add(value)
    return {key: ", ".join(sorted(values)) for key, values in found.items()}


def _flatten(node: Any, path: str, found: dict[str, Any]) -> None:
    if isinstance(node, Mapping) and node:
        for key, child in node.items():
            _flatten(child, f"{path}.{key}", found)
    else:
        found[path] = node
