"""A sweep's file: one experiment, plus how to search it, confirm it and where to run it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SerializeAsAny, field_validator, model_validator

from search.constraint import Constraint, parse_constraint
from search.limits import LimitsConfig
from search.log_config import LogConfig
from search.objective import Aggregate, Objective, check_objectives, parse_objectives
from search.samplers import SAMPLERS, SamplerConfig, TpeConfig
from search.schedulers import SCHEDULERS
from search.schedulers.asha import AshaConfig
from search.schedulers.pbt import PbtConfig
from search.schedulers.scheduler import SchedulerConfig
from search.study_config import StudyConfig, parse_study
from trm.component import Component, by_name, nearest, validate
from trm.config import SECTIONS, set_value
from trm.errors import UserError
from trm.yaml12 import parse_value, read_yaml


class SearchConfig(Component):
    """The explore stage: one seed a trial, early stopping.

    A trial's score is the last value of the first objective; a failed one scores its floor.

    Attributes:
        objective: a column of the reports, a mapping (`column`, `direction`, `floor`), or a list
            of them: then a config wins by the first, and the others make a Pareto front.
        constraints: conditions on the last report, as `mean_steps <= 6`; only configs that keep
            them all can win.
        seeds: runs of each config, one after another; a config whose first one is
            stopped early has no others.
        aggregate: what the seeds come to: `mean`, `lower` (its lower confidence bound, at
            `stability.confidence`) or `worst`.
        first: known good points, tried after the default and before any draw: `default`,
            `reference` (the reference code's values), mappings from parameters to values, run
            folders (their winners) and YAML files.
        warm_start: run folders whose trials tell this sweep what they can.
        limits: what the sweep may cost.
    """

    sampler: SerializeAsAny[
        Annotated[SamplerConfig, BeforeValidator(lambda s: by_name(SAMPLERS, s))]
    ] = TpeConfig()
    scheduler: SerializeAsAny[
        Annotated[SchedulerConfig, BeforeValidator(lambda s: by_name(SCHEDULERS, s))]
    ] = AshaConfig()
    trials: int = Field(default=64, ge=1)
    objective: Annotated[list[Objective], BeforeValidator(parse_objectives)] = Field(
        default=[Objective(column="exact_accuracy")]
    )
    constraints: list[Annotated[Constraint, BeforeValidator(parse_constraint)]] = Field(default=[])
    seeds: int = Field(default=1, ge=1, le=1000)
    aggregate: Aggregate = "mean"
    limits: LimitsConfig = LimitsConfig()
    first: list[str | dict[str, Any]] = Field(default=[])
    warm_start: list[str] = Field(default=[])
    seed: int = Field(default=0, ge=0)

    @field_validator("objective")
    @classmethod
    def _sensible(cls, objective: list[Objective]) -> list[Objective]:
        check_objectives(objective)
        return objective

    @model_validator(mode="after")
    def _together(self) -> SearchConfig:
        if self.seeds > 1 and isinstance(self.scheduler, PbtConfig):
            raise ValueError(
                f"seeds {self.seeds} does not count with pbt: give its population more members"
            )
        return self


class StabilityConfig(Component):
    """The confirm stage: the best candidates again over fresh seeds, never pruned.

    The best `candidates` of the explore stage run over `seeds` fresh seeds each; the robust score
    picks the winner. The winner, and the reference recipe (the file's default values), then run
    over `promise_seeds` more, which took no part in the choice: they make the promised interval
    at `confidence`, and the one look at `test`.
    """

    candidates: int = Field(default=3, ge=1)
    seeds: int = Field(default=3, ge=1)
    promise_seeds: int = Field(default=3, ge=2)
    confidence: float = Field(default=0.9, gt=0.0, lt=1.0)


class ClusterConfig(Component):
    """Where trials run. `parallel: null` takes as many trials as the cluster has room for.

    `cpus_per_trial: null` is `train.threads`; `gpus_per_trial: null` is one if there are any.

    `address: null` starts Ray on this machine and stops it afterwards; `auto` or `host:port`
    joins a cluster that is already up.
    """

    address: str | None = None
    parallel: int | None = Field(default=None, ge=1)
    cpus_per_trial: int | None = Field(default=None, ge=1)
    gpus_per_trial: float | None = Field(default=None, ge=0.0)


class SweepSections(Component):
    """The sections of a sweep's file that training does not read."""

    search: SearchConfig = SearchConfig()
    stability: StabilityConfig = StabilityConfig()
    cluster: ClusterConfig = ClusterConfig()
    log: LogConfig = LogConfig()
    study: Annotated[StudyConfig, BeforeValidator(parse_study)] = StudyConfig()


def sweep_sections(tree: Mapping[str, Any]) -> SweepSections:
    """Validate the search, stability, cluster, log and study sections of a file."""
    return validate(
        SweepSections, {key: tree[key] for key in SweepSections.model_fields if key in tree}
    )


def require_trials_count(tree: Mapping[str, Any], trials: int) -> None:
    """
    Raises:
        UserError: a number of trials was asked of a scheduler that has none.
    """
    if isinstance(sweep_sections(tree).search.scheduler, PbtConfig):
        raise UserError("--trials", trials, "does not count with pbt: set search.scheduler.members")


def load_tree(source: str | Path, sets: Iterable[str] = ()) -> dict[str, Any]:
    """The tree of a YAML file, or of the preset of that name, with `key=value` settings on top.

    Raises:
        UserError: neither file nor preset, broken YAML, an unknown section or a malformed setting.
    """
    tree = read_yaml(_path_of(source))
    for setting in sets:
        path, equals, text = setting.partition("=")
        if not equals or not path:
            raise UserError("--set", setting, "must be key=value, as in train.seed=3")
        set_value(tree, path, parse_value(text, f"--set {path}"))
    known = [*SECTIONS, *SweepSections.model_fields]
    for key in tree:
        if key not in known:
            raise UserError(f"{key}: unknown section: {nearest(str(key), known)}")
    if "task" in tree:
        tree["task"] = _absolute_files(tree["task"])
    return tree


def _absolute_files(node: Any) -> Any:
    """A copy of a task section in which each `file`, those of sections within too, is absolute.

    Workers have another working directory, and so has whoever trains an exported config.
    """
    if isinstance(node, list):
        return [_absolute_files(child) for child in node]
    if not isinstance(node, dict):
        return node
    return {
        key: str(Path(child).expanduser().absolute())
        if key == "file" and isinstance(child, str)
        else _absolute_files(child)
        for key, child in node.items()
    }


def presets() -> dict[str, Path]:
    """The YAML files that ship with the package, by name."""
    folder = Path(str(resources.files("search") / "presets"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def _path_of(source: str | Path) -> Path:
    path = Path(source)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        return path
    known = presets()
    if str(source) in known:
        return known[str(source)]
    hint = nearest(str(source), list(known))
    raise UserError(f"{source}: neither a file nor a preset: {hint}")
