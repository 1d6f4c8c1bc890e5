"""A run folder of what another tool found: to look at, and for sweeps to start from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from re import sub
from typing import Any

from curricula.component import nearest
from search.config.config import Config
from search.config.plan import Plan, write_plan
from search.explore.imported.foreign import ForeignRun, ForeignTrial
from search.ledger.files import RUN_FILE
from search.ledger.ledger import Ledger
from search.ledger.storage import create_run_folder
from search.objectives.outcome import Outcome
from search.space.distributions import Choice, Distribution
from search.space.space import Params, Tree
from trm.errors import UserError


@dataclass
class Imported:
    """What became of another tool's trials.

    Attributes:
        outcomes: of those that were taken.
        outside: those that the space does not hold, by the reason.
        names: their parameter by ours; what is not here has the file's default.
        ignored: names of theirs that are no parameter here, though they vary.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    outside: Counter[str] = field(default_factory=Counter)
    names: dict[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)


def import_run(
    found: ForeignRun, config: Config, plan: Plan, folder: Path, given: Mapping[str, str]
) -> Imported:
    """Write a run folder with the trials that the space of a config holds.

    Args:
        found: the other tool's.
        plan: of the config, which says what was trained, with which budget.
        folder: must be new.
        given: our parameter by theirs, where names do not say it.

    Raises:
        UserError: directions differ, a name is unknown, no trial is left, or the folder is taken.
    """
    if len(plan.objectives) > 1:
        raise UserError("search.objective", None, "has several columns: import takes one")
    if found.maximizes is not None and found.maximizes != plan.objective.maximizes:
        theirs, ours = (("less", "more")[flag] for flag in (found.maximizes, not found.maximizes))
        raise UserError(
            f"search.objective: {theirs} is better in {found.source}, and {ours} of "
            f"{plan.objective.column} here: set its direction"
        )
    names = _names(found, plan, given)
    result = Imported(names=names, ignored=_ignored(found, names))
    taken: list[tuple[ForeignTrial, Params, Tree]] = []
    for trial in found.trials:
        try:
            params, tree = _drawn(trial, plan, names)
            config.experiment(tree)
        except UserError as error:
            result.outside[error.where.partition(":")[0]] += 1
            continue
        taken.append((trial, params, tree))
    if not taken:
        why = ", ".join(f"{name} {count}" for name, count in result.outside.most_common())
        raise UserError(f"{found.source}: no trial that ended lies in the space ({why or 'empty'})")
    create_run_folder(folder, RUN_FILE, resume=False)
    last = max((one.curve[-1][0] for one, *_ in taken if one.curve), default=1.0)
    with Ledger.create(folder) as ledger:
        write_plan(folder, plan)
        for trial, params, tree in taken:
            result.outcomes[_write(ledger, plan, trial, params, tree, last, found.source)] += 1
    return result


def _names(found: ForeignRun, plan: Plan, given: Mapping[str, str]) -> dict[str, str]:
    """Their parameter by ours: as told, by the same path, else by the same last word."""
    theirs = list(dict.fromkeys(name for trial in found.trials for name in trial.params))
    ours = {name: _path(name) for name in plan.space.parameters}
    names: dict[str, str] = {}
    for their, our in given.items():
        if their not in theirs:
            raise UserError("--map", their, f"is no parameter there: {nearest(their, theirs)}")
        if our not in ours:
            raise UserError("--map", our, f"is no parameter here: {nearest(our, list(ours))}")
        names[our] = their
    for name, path in ours.items():
        if name in names:
            continue
        last = path.rpartition(".")[2]
        alike = [their for their in theirs if their.rpartition(".")[2] == last]
        paths = {other for other in ours.values() if other.rpartition(".")[2] == last}
        if path in theirs:
            names[name] = path
        elif len(alike) == 1 and len(paths) == 1 and alike[0] not in given:
            names[name] = alike[0]
    if not names:
        raise UserError(
            f"{found.source}: none of its parameters ({', '.join(theirs)[:300]}) is one of the "
            "config's space: name them with --map THEIRS=OURS"
        )
    return names


def _ignored(found: ForeignRun, names: Mapping[str, str]) -> list[str]:
    values: dict[str, set[str]] = {}
    for trial in found.trials:
        for name, value in trial.params.items():
            values.setdefault(name, set()).add(repr(value))
    used = set(names.values())
    return [name for name, found in values.items() if len(found) > 1 and name not in used]


def _path(name: str) -> str:
    """A parameter's path without the options that it needs."""
    return sub(r"\[[^\]]*\]", "", name)


def _drawn(trial: ForeignTrial, plan: Plan, names: Mapping[str, str]) -> tuple[Params, Tree]:
    """The parameters and the tree that a trial stands for.

    Raises:
        UserError: a value that the space does not hold.
    """

    def suggest(name: str, distribution: Distribution) -> Any:
        their = names.get(name)
        if their is None or trial.params.get(their) is None:
            return distribution.first()
        value = trial.params[their]
        if isinstance(distribution, Choice):
            words = (str(value), str(value).lower())
            value = next((word for word in words if distribution.contains(word)), value)
        if not distribution.contains(value):
            raise UserError(f"{name}: {value!r} is outside {distribution.text()}")
        return distribution.cast(value)

    return plan.space.draw(suggest)


def _write(
    ledger: Ledger, plan: Plan, trial: ForeignTrial, params: Params, tree: Tree, last: float,
    source: str,
) -> str:  # fmt: skip
    """Write one trial; returns its outcome."""
    own = ledger.add_trial(stage="explore", params=params, config=tree, seed=plan.seed)
    ledger.begin_attempt(own.id)
    curve = trial.curve or (((last, trial.score),) if trial.score is not None else ())
    for mark, (step, value) in enumerate(curve, start=1):
        share = min(step / last, 1.0) if last > 0 else 1.0
        row = {
            "mark": mark, "progress": share, "compute": share * plan.budget,
            "seconds": trial.seconds * mark / len(curve), "diverged": False, "collapsed": False,
            plan.objective.column: value,
        }  # fmt: skip
        told = {"imported": f"{trial.name} of {source}"}
        ledger.acknowledge(own.id, 1, row, provenance=told)
    outcome: Outcome = trial.state
    if outcome == "completed" and trial.score is None:
        outcome = "crashed"
    failed = outcome == "crashed"
    score = plan.objective.worst(0.0) if failed else trial.score
    ledger.finish(own.id, outcome, score, f"{trial.name} failed there" if failed else "")
    return outcome
