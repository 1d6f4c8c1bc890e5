"""A sweep as resolved: its space, its compute budget in FLOPs and when its trials report."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch

from cluster.resources import Share
from search.config.ablations import OLD_SECTION, SECTION
from search.config.checks import require_probes
from search.config.sections import SweepSections, sweep_sections
from search.ledger.files import RUN_FILE, SWEEP_FILE, fields_of, read_json, write_atomically
from search.ledger.storage import Place
from search.objectives.constraint import Constraint
from search.objectives.objective import Objective
from search.schedulers.pbt import PbtConfig
from search.schedulers.scheduler import (
    EarlyStoppingConfig,
    Mode,
    RungConfig,
    Scheduler,
    starts_slowly,
)
from search.space.space import Space
from trm.config import Experiment, experiment_from
from trm.errors import UserError
from trm.provenance import provenance
from trm.tasks.base import Task
from trm.training.budget import budget_flops
from trm.training.flops import step_flops
from trm.yaml12 import dump_yaml, parse_yaml

RUN_VERSION = 1
FULL_STEPS = "search.scheduler.full_steps"
"""What a file may leave open and a plan does not."""
WARM_START = "search.warm_start"
"""What only counts when a run is made, and may come from the command line then."""


@dataclass(frozen=True)
class Plan:
    """What a run folder's `sweep.yaml` and `run.json` say.

    Attributes:
        tree: the file with distributions, the budget in FLOPs.
        space: its space.
        sections: how to search, confirm and place trials.
        default: the experiment at the default of every parameter: the reference recipe.
        default_tree: the same as a tree.
        run_id: unique to the run; the Optuna study and the logs bear it as their name.
    """

    tree: dict[str, Any]
    space: Space
    sections: SweepSections
    default: Experiment
    default_tree: dict[str, Any]
    run_id: str

    @property
    def budget(self) -> float:
        """Training FLOPs of every trial, whatever depth it draws."""
        assert self.default.train.budget.flops is not None
        return self.default.train.budget.flops

    @property
    def marks(self) -> tuple[float, ...]:
        """Shares of the budget at which trials report: evenly spread, and the scheduler's."""
        needed = self.sections.search.scheduler.marks(starts_slowly(self.space.parameters))
        return tuple(sorted({*self.default.train.marks, *needed}))

    @property
    def objectives(self) -> list[Objective]:
        """What configs are judged by."""
        return self.sections.search.objective

    @property
    def objective(self) -> Objective:
        """What a config wins by."""
        return self.sections.search.objective[0]

    @property
    def constraints(self) -> list[Constraint]:
        """What a config must keep to win."""
        return self.sections.search.constraints

    @property
    def needs_rows(self) -> bool:
        """Whether configs are judged by more than the first objective's last value."""
        return len(self.objectives) > 1 or bool(self.constraints)

    @property
    def examples(self) -> int | None:
        """How many examples one evaluation has, as far as the config says."""
        train, task = self.default.train, self.default.task
        counts = (train.valid_examples, getattr(task, "valid_examples", None))
        return min((count for count in counts if count is not None), default=None)

    def counted(self, evaluated: int | None, objective: Objective | None = None) -> int | None:
        """How many examples a score is a share of; None where it is none, or that is unknown.

        Args:
            evaluated: examples of an evaluation, if they are known.
            objective: whose score; the first if None.
        """
        probed = self.default.diagnostics.examples
        return (objective or self.objective).counted(evaluated, probed)

    @property
    def seeds(self) -> int:
        """Runs of each config of the search."""
        return self.sections.search.seeds

    @property
    def generations(self) -> int:
        """Generations of the population that learns a curriculum; 0 if there is none."""
        scheduler = self.sections.search.scheduler
        return scheduler.generations if isinstance(scheduler, PbtConfig) else 0

    @property
    def wanted(self) -> int:
        """Trials that the search is to have, before any is confirmed."""
        scheduler = self.sections.search.scheduler
        if isinstance(scheduler, PbtConfig):
            return scheduler.members * scheduler.generations
        return self.sections.search.trials

    @property
    def early_stopping(self) -> EarlyStoppingConfig:
        """The scheduler's config, of a sweep whose trials are stopped and not bred."""
        scheduler = self.sections.search.scheduler
        assert isinstance(scheduler, EarlyStoppingConfig), scheduler
        return scheduler

    def scheduler(self) -> Scheduler:
        """Fresh early-stopping decisions of this sweep."""
        mode: Mode = "max" if self.objective.maximizes else "min"
        return self.early_stopping.build(starts_slowly(self.space.parameters), mode)


def resolve_plan(tree: Mapping[str, Any], task: Task, space: Space) -> Plan:
    """Fix what is decided once per sweep: the budget in FLOPs at the config's default values.

    Raises:
        UserError: a population's generations are shorter than a training step.
    """
    resolved = deepcopy(dict(tree))
    default = experiment_from(space.default()[1])
    require_probes(sweep_sections(tree), default.diagnostics)
    budget = float(budget_flops(default, task))
    resolved.setdefault("train", {})["budget"] = {"flops": budget}
    scheduler = sweep_sections(tree).search.scheduler
    if isinstance(scheduler, PbtConfig):
        steps = budget / step_flops(default, task)
        if steps < scheduler.generations:
            raise UserError(
                "search.scheduler.generations", scheduler.generations,
                f"is more than the {steps:.0f} training steps of a run: lower it",
            )  # fmt: skip
    if isinstance(scheduler, RungConfig) and scheduler.on == "steps":
        full = scheduler.full_steps or budget / step_flops(default, task)
        resolved["search"]["scheduler"]["full_steps"] = full
    return _plan(resolved, f"{default.name}-{uuid.uuid4().hex[:12]}")


def write_plan(folder: Place, plan: Plan) -> None:
    """Store a plan in a run folder; who made the run, and when, is stored only the first time."""
    head = {
        "schema_version": RUN_VERSION,
        "study": plan.run_id,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "provenance": provenance(plan.default.plugins),
    }
    write_atomically(folder / SWEEP_FILE, dump_yaml(plan.tree))
    # Its presence says that a run lives here, so it comes last.
    if not (folder / RUN_FILE).exists():
        write_atomically(folder / RUN_FILE, json.dumps(head, indent=1) + "\n")


def read_plan(folder: Place) -> Plan:
    """The plan of a run folder.

    Raises:
        UserError: the folder holds no run, a damaged one, or one of a newer version.
    """
    # A user's own folder may hold a file of that name; the other is written last, and ours.
    for name in (SWEEP_FILE, RUN_FILE):
        if not (folder / name).is_file():
            raise UserError(f"{folder}: holds no sweep (no {name}): give the folder of `trm sweep`")
    path = folder / RUN_FILE
    head = read_json(path)
    with fields_of(path):
        version, study = int(head["schema_version"]), str(head["study"])
    if version > RUN_VERSION:
        raise UserError(f"{path}: schema_version", version, "is newer than this program")
    path = folder / SWEEP_FILE
    return _plan(parse_yaml(path.read_text(encoding="utf-8"), str(path)), study)


def replan(plan: Plan, tree: Mapping[str, Any]) -> Plan:
    """The plan with a file's search, stability, cluster, log and ablations in place of its own."""
    sections = {key: tree[key] for key in SweepSections.model_fields if key in tree}
    if OLD_SECTION in plan.tree and SECTION in sections:
        # A run folder keeps the name that it was begun with: whatever began it can still read it.
        sections[OLD_SECTION] = sections.pop(SECTION)
    old = plan.sections.search.scheduler
    if isinstance(old, RungConfig) and old.full_steps and "search" in sections:
        scheduler = {**sections["search"]["scheduler"], "full_steps": old.full_steps}
        sections["search"] = {**sections["search"], "scheduler": scheduler}
    warm_start = plan.sections.search.warm_start
    if warm_start and "search" in sections:
        sections["search"] = {"warm_start": warm_start, **sections["search"]}
    return _plan({**plan.tree, **sections}, plan.run_id)


def simulated_plan(tree: Mapping[str, Any]) -> Plan:
    """The plan of a resolved tree that no run folder holds."""
    return _plan(dict(tree), "simulated")


def refuse_changes(plan: Plan, tree: Mapping[str, Any]) -> None:
    """Make sure that a file given on resume describes the run that is there.

    The number of trials, the limits and the stability, cluster and log sections may differ; they
    are taken anew.

    Raises:
        UserError: another value changed; names the first.
    """
    old, new = _comparable(plan.tree), _comparable(tree)
    for path in sorted(old.keys() | new.keys()):
        if path in (FULL_STEPS, WARM_START) and path not in new:
            continue
        if old.get(path) != new.get(path):
            raise UserError(
                f"{path}: the run has {old.get(path)!r}, the file {new.get(path)!r}: resume "
                "with the run's own values, or start another run with another --out"
            )


def _plan(tree: dict[str, Any], study: str) -> Plan:
    space = Space.parse(tree)
    default_tree = space.default()[1]
    return Plan(
        tree, space, sweep_sections(tree), experiment_from(default_tree), default_tree, study
    )


def _comparable(tree: Mapping[str, Any]) -> dict[str, Any]:
    leaves: dict[str, Any] = {}

    def walk(node: Any, path: str) -> None:
        if isinstance(node, Mapping) and node:
            for key, child in node.items():
                walk(child, f"{path}.{key}" if path else str(key))
        else:
            leaves[path] = node

    anew = ("stability", "cluster", "log", SECTION, OLD_SECTION)
    walk({key: value for key, value in tree.items() if key not in anew}, "")
    return {
        path: value
        for path, value in leaves.items()
        if not path.startswith(("train.budget", "search.limits")) and path != "search.trials"
    }


def share_of(plan: Plan) -> Share:
    """CPU cores and GPUs of a trial: what the file says, else its threads and a GPU if any."""
    section = plan.sections.cluster
    gpus = section.gpus_per_trial
    if gpus is None:
        gpus = 1.0 if torch.cuda.is_available() else 0.0
    return Share(section.cpus_per_trial or plan.default.train.threads, gpus)


def devices_of(share: Share) -> float:
    """What device-hours count: GPUs, or CPU cores where a trial has none."""
    return share.gpus or float(share.cpus)
