"""A sweep's file: one experiment, plus how to search it, confirm it and where to run it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializeAsAny,
    field_validator,
    model_validator,
)

from cluster.launch.settings import Machines
from curricula.component import Component, SectionIn
from curricula.limits import MOST_SEED
from search.config.ablations import OLD_SECTION, SECTION, AblationsConfig, parse_ablations
from search.config.limits import LimitsConfig
from search.config.logs import LogConfig
from search.config.seeds import MOST_SEEDS
from search.objectives.constraint import Constraint, parse_constraint
from search.objectives.objective import Aggregate, Objective, check_objectives, parse_objectives
from search.samplers import SAMPLERS, SamplerConfig
from search.samplers.auto import AutoConfig
from search.schedulers import SCHEDULERS
from search.schedulers.asha import AshaConfig
from search.schedulers.pbt import PbtConfig
from search.schedulers.scheduler import SchedulerConfig
from trm.files.secret_uris import refuse_secrets
from trm.validation import validate

MOST_TRIALS = 1_000_000
"""Of a search, and of a race."""
RACE_FACTOR = 1.5
"""Trials of a race for each trial of its first seeds, unless `stability.budget` says otherwise."""


class SearchConfig(Component):
    """The explore stage: one seed a trial, early stopping.

    A trial's score is the last value of the first objective; a failed one scores its floor.

    Attributes:
        objective: a column of the reports, a mapping (`column`, `direction`, `floor`), or a list
            of them: then a config wins by the first, and the others make a Pareto front.
        constraints: conditions on the last report, as `mean_steps <= 6`; only configs that keep
            them all can win.
        seeds: trials of each config, one after another; a config whose first one is
            stopped early has no others.
        aggregate: what the seeds come to: `mean`, `lower` (its lower confidence bound, at
            `stability.confidence`) or `worst`.
        first: known good points, tried after the default and before any draw: `default`,
            `reference` (the reference code's values), mappings from parameters to values, run
            folders (their winners) and YAML files.
        warm_start: run folders whose trials tell this sweep what they can.
        limits: what the sweep may cost.
        sampler: how candidates are drawn.
        scheduler: which trials end early.
        trials: configs to draw, those of `first` included, infeasible draws not counted.
        seed: of the draws; each config trains with `train.seed`.
    """

    sampler: SerializeAsAny[Annotated[SamplerConfig, SectionIn(SAMPLERS)]] = AutoConfig()
    scheduler: SerializeAsAny[Annotated[SchedulerConfig, SectionIn(SCHEDULERS)]] = AshaConfig()
    trials: int = Field(default=64, ge=1, le=MOST_TRIALS)
    objective: Annotated[
        list[Objective],
        BeforeValidator(
            parse_objectives, json_schema_input_type=str | Objective | list[str | Objective]
        ),
    ] = Field(default=[Objective(column="exact_accuracy")])
    constraints: list[
        Annotated[
            Constraint, BeforeValidator(parse_constraint, json_schema_input_type=str | Constraint)
        ]
    ] = Field(default=[])
    seeds: int = Field(default=1, ge=1, le=1000)
    aggregate: Aggregate = "mean"
    limits: LimitsConfig = LimitsConfig()
    first: list[str | dict[str, Any]] = Field(default=[])
    warm_start: list[str] = Field(default=[])
    seed: int = Field(default=0, ge=0, le=MOST_SEED)

    @field_validator("objective")
    @classmethod
    def _sensible(cls, objective: list[Objective]) -> list[Objective]:
        check_objectives(objective)
        return objective

    @property
    def breeds(self) -> bool:
        """Whether a population learns a curriculum, instead of trials that are stopped early."""
        return isinstance(self.scheduler, PbtConfig)

    @property
    def wanted(self) -> int:
        """Trials that the search is to have, before any is confirmed."""
        if self.breeds:
            return self.population.members * self.population.generations
        return self.trials

    @property
    def population(self) -> PbtConfig:
        """The scheduler's config, of a search that breeds."""
        assert isinstance(self.scheduler, PbtConfig), self.scheduler
        return self.scheduler

    @model_validator(mode="after")
    def _together(self) -> SearchConfig:
        if self.seeds > 1 and self.breeds:
            raise ValueError(
                f"seeds {self.seeds} does not count with pbt: give its population more members"
            )
        if self.limits.gain is not None and (self.breeds or len(self.objective) > 1):
            what = "a population" if self.breeds else f"{len(self.objective)} objectives"
            raise ValueError(
                f"limits.gain {self.limits.gain:g} is of one objective and no population, not of "
                f"{what}: leave it out"
            )
        return self


class StabilityConfig(Component):
    """The confirm stage: the best candidates again over fresh seeds, never pruned.

    The best candidates of the explore stage run over `seeds` fresh seeds each, and then race:
    further seeds go to those that may still be the best, until one is separated from the others
    or the `budget` ends. The robust score picks the winner. The winner, and the reference recipe
    (the file's default values), then run over `promise_seeds` more, which took no part in the
    choice: they make the promised interval at `confidence`, and the one look at `test`.

    Attributes:
        candidates: how many of the best explored configs.
        trials: explore trials by number instead of the best; null takes the best.
        seeds: fresh seeds that every candidate gets first.
        racing: whether further seeds follow; false leaves it at `seeds` for each.
        budget: trials over fresh seeds of all candidates together, at most; null is one and a half
            times what the first seeds take, but in a sweep with `search.limits` at most an eighth
            of the full runs that the search had, with fewer candidates where that is too little.
            Where it is too small for the first seeds, all candidates get fewer.
        max_seeds: of one candidate; null is no limit but the budget.
        confidence: of robust scores and intervals, and at which a candidate leaves the race.
        deep: whether all these runs are also evaluated at 16 times the trained depth, on
            `thought.examples` puzzles: the table says what a config loses there.
        depth: in multiples of the trained depth, at which accuracy is promised beside the
            objective.
        breadth: rollouts with which it is; `thought.noise` and `thought.pick` say which and whose
            answer counts.
        promise_seeds: further seeds of the winner and of the reference recipe, which make the
            promised interval.
        keep: of how many of the winner's promise trials, the best first, the weights are kept in
            `winner/`; 0 keeps none.
        keep_mb: megabytes that these may take; a trial's that do not fit are left out. null is no
            limit.
    """

    candidates: int = Field(default=3, ge=1, le=10_000)
    trials: list[int] | None = Field(default=None, min_length=1)
    seeds: int = Field(default=2, ge=1, le=1000)
    racing: bool = True
    budget: int | None = Field(default=None, ge=1, le=MOST_TRIALS)
    max_seeds: int | None = Field(default=None, ge=1, le=1000)
    promise_seeds: int = Field(default=3, ge=2, le=1000)
    keep: int = Field(default=1, ge=0, le=1000)
    keep_mb: float | None = Field(default=None, gt=0.0, le=1e9)
    confidence: float = Field(default=0.9, gt=0.0, lt=1.0)
    deep: bool = True
    depth: int = Field(default=1, ge=1, le=1024)
    breadth: int = Field(default=1, ge=1, le=4096)

    @model_validator(mode="after")
    def _together(self) -> StabilityConfig:
        if self.budget is not None and self.budget < self.entrants:
            raise ValueError(
                f"budget {self.budget} is less than one trial for each of {self.entrants} "
                "candidates: raise it, or take fewer candidates"
            )
        if self.max_seeds is not None and self.max_seeds < self.seeds:
            raise ValueError(
                f"max_seeds {self.max_seeds} is less than seeds {self.seeds}: raise it, or lower "
                "seeds"
            )
        return self

    @property
    def entrants(self) -> int:
        """How many candidates there are to be."""
        return self.candidates if self.trials is None else len(set(self.trials))

    def runs(self, entrants: int | None = None) -> int:
        """The most trials over fresh seeds, the promise's not counted.

        Args:
            entrants: candidates that there are, if that is known; the search may have found fewer.
        """
        count = self.entrants if entrants is None else entrants
        first = count * self.seeds
        if not self.racing or count == 1:
            return first if self.budget is None else min(first, self.budget)
        budget = math.ceil(RACE_FACTOR * first) if self.budget is None else self.budget
        return min(budget, count * min(self.max_seeds or MOST_SEEDS, MOST_SEEDS))


def _whole_above_one(gpus: float) -> float:
    if gpus > 1.0 and not gpus.is_integer():
        raise ValueError(f"{gpus:g} must be a whole number above 1: parts are of one GPU")
    return gpus


class ClusterConfig(Machines):
    """Where trials run; the keys from `nodes` to `aws` are for `trm cluster` alone.

    Attributes:
        address: null starts Ray on this machine and stops it afterwards; `auto` or `host:port`
            joins a cluster that is already up.
        parallel: trials that run at once, at most; null is as many as the nodes have room for, as
            they come and go.
        cpus_per_trial: CPU cores of a trial; null is `train.threads`, and where the file does not
            say that either, one or as many as a measurement finds.
        gpus_per_trial: GPUs of a trial, parts of one included; null is one if any node has one as
            the sweep starts, and nodes without one then get no trials; if none has, a trial has one
            on nodes with GPUs that join later. An Apple GPU does not count: all trials at once
            share it.
        pack: with `gpus_per_trial` null, whether trials share a GPU where that is measured to be
            faster for all together; false gives each a whole one. The measurement is made once for
            each kind of GPU, kept in the run folder, and cut short where the sweep is. On CPUs:
            whether what trials gain by threads, and the memory that they take, is measured.
        stack: whether several seeds of one config (`search.seeds`, confirm, promise, ablations)
            train in one worker as one model; `auto` does so on CUDA devices, with small models,
            where seeds would wait for a worker and their memory was measured; a number has up to so
            many begin together, on CPUs too; `off` trains one by one. No result depends on it but
            for rounding, and trials may be resumed either way.
        mps: whether trials share GPUs through NVIDIA's Multi-Process Service, whose daemon is then
            started and ended with the sweep, on a cluster that is started here: their kernels run
            at once instead of in turns. A fatal fault of one trial may then end its neighbours'
            attempts, which go on from their checkpoints.
        storage_minutes: how long a sweep waits for a run folder's storage that is full, read-only
            or gone, before it ends so that it can be resumed; 0 is not at all.
        price: of a device-hour (a GPU's, or a CPU core's where trials have none), in whatever
            currency: `trm status` says what a run has cost; null says it in device-hours alone.
        niceness: how far trials give way to other programs of this machine, from 0 (no more than
            the command itself) to 19; a cluster that is already up keeps its nodes' own.
    """

    address: str | None = None
    parallel: int | None = Field(default=None, ge=1, le=100_000)
    cpus_per_trial: int | None = Field(default=None, ge=1, le=10_000)
    gpus_per_trial: Annotated[float, AfterValidator(_whole_above_one)] | None = Field(
        default=None, ge=0.0, le=10_000.0
    )
    pack: bool = True
    stack: Literal["auto", "off"] | Annotated[int, Field(ge=2, le=64)] = "auto"
    mps: bool = False
    storage_minutes: float = Field(default=30.0, ge=0.0, le=1e6)
    price: float | None = Field(default=None, ge=0.0, le=1e9)
    niceness: int = Field(default=0, ge=0, le=19)


class SweepSections(Component):
    """The sections of a sweep's file that training does not read.

    Attributes:
        search: how configs are drawn and stopped early.
        stability: how the best are confirmed over fresh seeds.
        cluster: where trials run.
        log: where learning curves are shown live.
        ablations: named ablations, for `trm ablate`.
    """

    search: SearchConfig = SearchConfig()
    stability: StabilityConfig = StabilityConfig()
    cluster: ClusterConfig = ClusterConfig()
    log: LogConfig = LogConfig()
    ablations: Annotated[
        AblationsConfig,
        BeforeValidator(parse_ablations, json_schema_input_type=Literal["paper"] | AblationsConfig),
    ] = AblationsConfig()


def with_section(sections: SweepSections, key: str, value: Any) -> SweepSections:
    """The sections with one of them read anew.

    Raises:
        UserError: it breaks the schema.
    """
    return sections.model_copy(update={key: getattr(sweep_sections({key: value}), key)})


def sweep_sections(tree: Mapping[str, Any]) -> SweepSections:
    """Validate the search, stability, cluster, log and ablations sections of a file."""
    given = {key: tree[key] for key in SweepSections.model_fields if key in tree}
    if OLD_SECTION in tree:
        given[SECTION] = tree[OLD_SECTION]
    # Before the schema's own messages, which show what they are about.
    for uri in _uris(given):
        refuse_secrets(uri)
    return validate(SweepSections, given)


def _uris(tree: Mapping[str, Any]) -> Iterator[str]:
    for section, key in (("cluster", "storage"), ("search", "warm_start")):
        found = tree[section].get(key) if isinstance(tree.get(section), Mapping) else None
        for one in found if isinstance(found, list) else [found]:
            if isinstance(one, str):
                yield one
