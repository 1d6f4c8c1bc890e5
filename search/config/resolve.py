"""What is decided once per sweep, and what a resume may change of it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from search.config.ablations import OLD_SECTION, SECTION
from search.config.checks import require_probes
from search.config.config import Config
from search.config.measured import asked_thought
from search.config.plan import Plan
from search.config.sections import SweepSections, with_section
from search.schedulers.scheduler import RungConfig
from search.space.space import Space
from trm.config import Experiment
from trm.errors import UserError
from trm.tasks.base import Task
from trm.train_config import BudgetConfig
from trm.training.budget import budget_flops, early_examples
from trm.training.flops import step_flops

FULL_STEPS = "search.scheduler.full_steps"
EARLY_EXAMPLES = "train.early_examples"
THOUGHT = ("thought.measure", "thought.at")
LEFT_OPEN = (FULL_STEPS, EARLY_EXAMPLES, *THOUGHT)
"""What a file may leave open and a plan does not."""
WARM_START = "search.warm_start"
"""What only counts when a run is made, and may come from the command line then."""


def resolve_plan(config: Config, task: Task) -> Plan:
    """Fix what is decided once per sweep, at the config's default values: the budget in FLOPs,
    and how many examples an early evaluation has, for trials to be compared on the same ones.

    Raises:
        UserError: a population's generations are shorter than a training step, or trials are to
            be judged by a column that not all of their reports have.
    """
    default, sections = config.default, config.sections
    thought = asked_thought(sections, default.thought, default.diagnostics)
    require_probes(sections, default.diagnostics, thought)
    budget = float(budget_flops(default, task))
    tree = {**config.tree, "train": {**config.tree.get("train", {}), "budget": {"flops": budget}}}
    if thought != default.thought:
        asked = {"measure": list(thought.measure), "at": thought.at}
        tree["thought"] = {**tree.get("thought", {}), **asked}
        default = default.model_copy(update={"thought": thought})
    scheduler = sections.search.scheduler
    steps = budget / step_flops(default, task)
    generations = sections.search.population.generations if sections.search.breeds else 0
    if steps < generations:
        raise UserError(
            "search.scheduler.generations", generations,
            f"is more than the {steps:.0f} training steps of a run: lower it",
        )  # fmt: skip
    if isinstance(scheduler, RungConfig) and scheduler.on == "steps":
        full = scheduler.full_steps or steps
        sections = _with_full_steps(sections, full)
        # A file that says `on: steps` has a section to say it in.
        section = {**tree["search"]["scheduler"], "full_steps": full}
        tree["search"] = {**tree["search"], "scheduler": section}
    plan = Plan(
        tree=tree,
        space=Space.parse(tree),
        sections=sections,
        run_id=f"{default.name}-{uuid.uuid4().hex[:12]}",
        read_default=_with_budget(default, budget),
    )
    return _with_early_examples(plan, task)


def replan(plan: Plan, config: Config) -> Plan:
    """A run's plan with a file's sections of the sweep in place of its own.

    Sections that the file leaves out stay; so do the warm start and what a file may leave open.
    The number of trials never falls.
    """
    given = [key for key in SweepSections.model_fields if key in config.tree]
    tree = {**plan.tree, **{key: config.tree[key] for key in given}}
    if OLD_SECTION in plan.tree and SECTION in tree:
        # A run folder keeps the name that it was begun with: whatever began it can still read it.
        tree[OLD_SECTION] = tree.pop(SECTION)
    sections = plan.sections.model_copy(
        update={key: getattr(config.sections, key) for key in given}
    )
    if "search" in given:
        old, new = plan.sections.search, config.sections.search
        section, values = dict(config.tree["search"]), dict[str, Any]()
        if isinstance(old.scheduler, RungConfig) and old.scheduler.full_steps:
            full = old.scheduler.full_steps
            section["scheduler"] = {**section["scheduler"], "full_steps": full}
            values["scheduler"] = new.scheduler.model_copy(update={"full_steps": full})
        if "sampler" not in section:
            values["sampler"] = old.sampler
        if old.warm_start and "warm_start" not in section:
            section["warm_start"] = values["warm_start"] = old.warm_start
        if old.trials > new.trials:
            section["trials"] = values["trials"] = old.trials
        tree["search"] = section
        sections = sections.model_copy(update={"search": new.model_copy(update=values)})
    default = _with_budget(config.default, plan.budget, plan.tree["train"].get("early_examples"))
    return replace(plan, tree=tree, sections=sections, read_default=default)


def with_stability(plan: Plan, section: Mapping[str, Any]) -> Plan:
    """A run's plan with another `stability` section.

    Raises:
        UserError: it breaks the schema.
    """
    sections = with_section(plan.sections, "stability", section)
    return replace(plan, tree={**plan.tree, "stability": dict(section)}, sections=sections)


def refuse_changes(plan: Plan, tree: Mapping[str, Any]) -> None:
    """Make sure that a file given on resume describes the run that is there.

    The number of trials, the limits and the stability, cluster and log sections may differ; they
    are taken anew.

    Raises:
        UserError: another value changed; names the first.
    """
    old, new = _comparable(plan.tree), _comparable(tree)
    for path in sorted(old.keys() | new.keys()):
        if path in (*LEFT_OPEN, WARM_START) and path not in new:
            continue
        if old.get(path) != new.get(path):
            raise UserError(
                f"{path}: the run has {old.get(path)!r}, the file {new.get(path)!r}: resume "
                "with the run's own values, or start another run with another --out"
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


def _with_early_examples(plan: Plan, task: Task) -> Plan:
    """The plan with a number of them, which a trial that draws another depth would not find."""
    default, budget = plan.default, plan.budget
    count = default.train.early_examples
    tree = plan.tree
    if count is None and default.train.eval_share is not None:
        count = early_examples(default, task, budget, len(plan.marks))
        tree = {**tree, "train": {**tree["train"], "early_examples": count}}
    default = _with_budget(default, budget, count)
    return replace(
        plan, tree=tree, space=Space.parse(tree), given_recipe=default.tree(), read_default=default
    )


def _with_budget(default: Experiment, flops: float, early: int | None = None) -> Experiment:
    values: dict[str, Any] = {"budget": BudgetConfig(flops=flops)}
    if early is not None:
        values["early_examples"] = early
    train = default.train.model_copy(update=values)
    return default.model_copy(update={"train": train})


def _with_full_steps(sections: SweepSections, steps: float) -> SweepSections:
    scheduler = sections.search.scheduler.model_copy(update={"full_steps": steps})
    search = sections.search.model_copy(update={"scheduler": scheduler})
    return sections.model_copy(update={"search": search})
