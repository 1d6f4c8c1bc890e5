"""What a sweep would do and cost, before it starts: the space, some draws, and an estimate."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from cluster.connect import ClusterError, connected
from cluster.resources import Share, cores
from cluster.resources import room as room_on
from search.config.checks import check_config, require_trainable
from search.config.config import Config
from search.config.limits import Cost, LimitsConfig, reached
from search.config.measured import confirmed_tree
from search.config.plan import Plan
from search.config.resolve import resolve_plan
from search.config.sections import SearchConfig
from search.config.share import devices_of, require_fit, share_of
from search.engine.nodes import nodes_up
from search.engine.packing.worth import long_enough, to_measure
from search.explore.warm_start import require_runs
from search.logs.console import duration
from search.schedulers.scheduler import EarlyStoppingConfig, Scheduler, starts_slowly
from search.space.space import Space
from search.sweep.first_points import resolve_first
from trm.config import Experiment
from trm.device import resolve
from trm.errors import UserError
from trm.tasks.base import Task
from trm.training.flops import step_flops, thought_flops
from trm.training.trainer import Trainer

SHOWN_DRAWS = 5
_TIMED_SECONDS = 3.0


@dataclass(frozen=True)
class SweepCost:
    """What a sweep would cost.

    Attributes:
        flops_per_trial: training FLOPs of one that is not stopped early.
        steps_per_trial: of one at the file's default values, at full depth.
        warmup: of those, at a learning rate that still rises, at most all.
        seconds_per_trial: of one at the file's default values on this machine, evaluation included.
        share: of its budget that a trial of the search gets on average, if scores never change
            their order: the least that the scheduler lets through.
        runs: full runs of the confirm stage and after it.
        total: of the whole sweep.
        parallel: trials at once.
        room: of those, how many run at full speed on this machine; the wall time assumes so many.
            CUDA's GPUs are not looked at, nor is a cluster that does not answer: all of them.
        cores: that this machine has.
        one_gpu: whether they all share an Apple GPU: in the time of one.
        nodes: of a cluster at an address that hold trials now; 0 for this machine alone.
        threads: of a trial on CPUs, at most, whose gain is measured at the start; the estimate has
            as many as the file says, or one. 0 where nothing is measured.
        measured: whether it is measured at the start how many trials share a GPU; the estimate has
            one on each.
        thought: columns that deeper and wider evaluations give, of trials of the search.
        thought_share: FLOPs of those of a run, as a share of its training FLOPs.
        confirm_thought: columns of the confirm stage's runs and those after it.
        confirm_share: what they cost, likewise.
    """

    flops_per_trial: float
    steps_per_trial: int
    warmup: int
    seconds_per_trial: float
    share: float
    runs: int
    total: Cost
    parallel: int
    room: int
    cores: int
    one_gpu: bool = False
    nodes: int = 0
    measured: bool = False
    threads: int = 0
    thought: tuple[str, ...] = ()
    thought_share: float = 0.0
    confirm_thought: tuple[str, ...] = ()
    confirm_share: float = 0.0


@dataclass(frozen=True)
class DryRun:
    """What `trm sweep --dry-run` shows.

    Attributes:
        space: parameters, distributions, defaults and conditions.
        size: how many configs there are, in words.
        draws: some random draws.
        infeasible: the share of random draws that no model could be built from.
        trials: how many the search is to have.
        sampler: how configs are drawn.
        scheduler: how trials are stopped early.
        estimate: None where the task's data cannot be made here; `unknown` then says why.
        unknown: why there is no estimate.
        limits: in the file.
    """

    space: list[tuple[str, str, str, str]]
    size: str
    draws: list[dict[str, Any]]
    infeasible: float
    trials: int
    sampler: str
    scheduler: str
    estimate: SweepCost | None
    unknown: str
    limits: LimitsConfig

    def as_json(self) -> str:
        """All of it for a script."""
        return json.dumps({**asdict(self), "limits": self.limits.model_dump()})


def dry_run(
    config: Config,
    *,
    parallel: int | None = None,
    address: str | None = None,
    build: Callable[[Experiment], Task],
) -> DryRun:
    """Look at a sweep's file; nothing is started and no folder is made.

    Args:
        parallel: trials at once; None takes the file's, or what this machine has room for.
        address: a Ray cluster that is up, on which the sweep would run; None takes the file's.
        build: makes the task's data.

    Raises:
        UserError: what the sweep itself would refuse.
    """
    check_config(config)
    space, search = config.space, config.sections.search
    resolve_first(config)
    require_runs(search.warm_start)
    rng = np.random.default_rng(0)
    estimate, unknown = None, ""
    try:
        task = build(config.default)
    except (UserError, OSError) as error:
        unknown = str(error)
    else:
        require_trainable(config, task)
        estimate = _estimate(resolve_plan(config, task), task, parallel, address)
    return DryRun(
        space=space.describe(),
        size=space.size_text,
        draws=[space.sample(rng)[0] for _ in range(SHOWN_DRAWS if space.parameters else 0)],
        infeasible=space.infeasible_share(config.experiment, rng) if space.parameters else 0.0,
        trials=search.wanted,
        sampler=_sampler_text(search, space),
        scheduler=_scheduler_text(search, space),
        estimate=estimate,
        unknown=unknown,
        limits=search.limits,
    )


def expected_training(scheduler: Scheduler, trials: int, seed: int = 0) -> tuple[float, float]:
    """The mean share of its budget that a trial gets, and the share of trials that run to the end.

    Scores never change their order; trials come one after another, in random order of scores.
    """
    scores = np.random.default_rng(seed).permutation(trials).tolist()
    had = [0.0] * trials

    def play(trial: int) -> None:
        for share in scheduler.shares:
            if share > had[trial]:
                had[trial] = share
                if scheduler.on_report(trial, share, scores[trial]) != "continue":
                    return
        scheduler.on_end(trial, failed=False)

    for number in range(trials):
        while (promoted := scheduler.promote()) is not None:
            play(promoted)
        play(number)
    while (promoted := scheduler.promote(last=True)) is not None:
        play(promoted)
    return sum(had) / trials, sum(share == scheduler.shares[-1] for share in had) / trials


def text(found: DryRun) -> str:
    """The same for a person."""
    lines = [found.size] if found.space else []
    for name, distribution, default, condition in found.space:
        where = f"  if {condition}" if condition else ""
        lines.append(f"  {name}  {distribution}  default {default}{where}")
    if found.space:
        lines.append(f"infeasible draws: {found.infeasible:.0%}")
        lines.append(f"{len(found.draws)} draws:")
        lines += ["  " + json.dumps(_short(draw)) for draw in found.draws]
    lines += [line for line in (found.sampler, found.scheduler) if line]
    estimate = found.estimate
    if estimate is None:
        return "\n".join([*lines, f"cost: unknown: {found.unknown}"])
    total = estimate.total
    lines += [
        f"one trial: {estimate.flops_per_trial:.3g} training FLOPs, which are "
        f"{estimate.steps_per_trial:,} steps at the default values, about "
        f"{duration(estimate.seconds_per_trial)} on this machine",
        f"in all: {found.trials} trials, of which early stopping lets through {estimate.share:.0%} "
        f"of the training, and {estimate.runs} runs to confirm: {total.flops:.3g} training FLOPs, "
        f"{total.device_seconds / 3600:.2g} device-hours, about {duration(total.seconds)} with "
        f"{_at_once(estimate)}",
    ]
    lines += _thought_lines(estimate)
    if estimate.measured:
        lines.append(
            "how many trials share a GPU is measured when the sweep starts; the estimate has one "
            "on each (cluster.gpus_per_trial says it, cluster.pack: false has it so)"
        )
    if estimate.threads > 1:
        lines.append(
            f"what a trial gains by threads, up to {estimate.threads} where trials leave cores, is "
            "measured when the sweep starts; the estimate has one (train.threads says it)"
        )
    if estimate.warmup > estimate.steps_per_trial / 2:
        lines.append(
            f"the learning rate warms up over {estimate.warmup:,} of those steps: shorten "
            "optimizer.lr_warmup_steps, or give trials more (train.budget)"
        )
    limit = reached(found.limits, total)
    if limit is not None:
        lines.append(f"{limit} will end the search before all of its trials have run")
    return "\n".join(lines)


def _thought_lines(estimate: SweepCost) -> list[str]:
    """What deeper and wider evaluations cost, which no budget counts."""
    found = (
        ("each trial's reports", estimate.thought, estimate.thought_share),
        ("runs that confirm", estimate.confirm_thought, estimate.confirm_share),
    )
    return [
        f"{who} also say {', '.join(columns)}: forward passes of {share:.0%} of the training "
        "FLOPs, which the budget does not count (thought.examples says of how many puzzles)"
        for who, columns, share in found
        if columns
    ]


def _at_once(estimate: SweepCost) -> str:
    if estimate.nodes:
        return f"{estimate.parallel} at once on {estimate.nodes} nodes of the cluster as it is now"
    if estimate.room == estimate.parallel:
        return f"{estimate.parallel} at once"
    where = "an Apple GPU" if estimate.one_gpu else f"{estimate.cores} cores"
    return f"{estimate.parallel} at once on {where}, no sooner than with {estimate.room}"


def _short(draw: Mapping[str, Any]) -> dict[str, Any]:
    return {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in draw.items()}


def _estimate(plan: Plan, task: Task, asked: int | None, address: str | None) -> SweepCost:
    search, stability = plan.sections.search, plan.sections.stability
    section = plan.sections.cluster
    trials = plan.wanted
    seconds, counts = _seconds_per_trial(plan, task)
    confirming = plan.experiment(confirmed_tree(stability, plan.default_tree))
    thought, confirm_thought = (
        thought_flops(config, task, counts, len(plan.marks)) / plan.budget
        for config in (plan.default, confirming)
    )
    if search.breeds:
        share = 1.0 / search.population.generations
        explored = trials * share
    else:
        share, whole = expected_training(plan.scheduler(), trials)
        explored = trials * (share + whole * (plan.seeds - 1))
    runs = stability.runs() + 2 * stability.promise_seeds
    full = explored + runs
    each = share_of(plan)
    room = max(room_on({"CPU": cores(), "GPU": torch.cuda.device_count()}, each), 1)
    limit = asked or plan.sections.cluster.parallel
    parallel = limit or room
    address = address or plan.sections.cluster.address
    away, holders = address is not None, 0
    nodes: list[dict[str, float]] = [] if away else [{"CPU": float(cores())}]
    if address is not None and (up := _nodes_at(address)) is not None:
        nodes = up
        each = share_of(plan, up)
        require_fit(each, up)
        there = [fits for node in up if (fits := room_on(node, each))]
        holders, parallel = len(there), min(sum(there), limit or sum(there))
    if away or each.gpus:
        room = parallel
    on_apple = not away and torch.device(resolve(plan.default.train).device).type == "mps"
    room = 1 if on_apple else min(room, parallel)
    devices = devices_of(each)
    steps = max(round(plan.budget / step_flops(plan.default, task)), 1)
    return SweepCost(
        flops_per_trial=plan.budget,
        steps_per_trial=steps,
        warmup=min(plan.default.optimizer.lr_warmup_steps, steps),
        seconds_per_trial=seconds,
        share=share,
        runs=runs,
        total=Cost(full * seconds / room, full * seconds * devices, full * plan.budget),
        parallel=parallel,
        room=room,
        cores=cores(),
        one_gpu=on_apple,
        nodes=holders,
        threads=_threads(plan, each, nodes, limit, full * plan.budget),
        measured=bool(each.gpus) and section.gpus_per_trial is None and section.pack,
        thought=tuple(plan.default.thought.asked),
        thought_share=thought,
        confirm_thought=tuple(confirming.thought.asked),
        confirm_share=confirm_thought,
    )


def _threads(
    plan: Plan, share: Share, nodes: Sequence[Mapping[str, float]], limit: int | None, flops: float
) -> int:
    """Threads that the sweep measures at its start, at most."""
    at_once = min(limit or plan.wanted, plan.wanted)
    return to_measure(plan, share, nodes, limit) if long_enough(flops, at_once) else 0


def _nodes_at(address: str) -> list[dict[str, float]] | None:
    """What each node of a cluster has; None if nobody answers."""
    try:
        with connected(address):
            return [dict(node["Resources"]) for node in nodes_up()]
    except ClusterError:
        return None


def _seconds_per_trial(plan: Plan, task: Task) -> tuple[float, tuple[int, int]]:
    """By timing real steps and one evaluation at the default values; and how many examples an
    evaluation has before the last, and the last.
    """
    config = plan.default
    trainer = Trainer(config, task, plan.budget, plan.marks)
    trainer.prepare()
    trainer.train_step()
    steps, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < _TIMED_SECONDS:
        trainer.train_step()
        steps += 1
    per_flop = (time.perf_counter() - begun) / (
        steps * step_flops(config, task, trainer.stage.depth)
    )
    begun = time.perf_counter()
    trainer.evaluate()
    evaluations = len(plan.marks) * (2 if trainer.ema is not None else 1)
    evaluation = time.perf_counter() - begun
    examiner, reports = trainer.examiner, len(plan.marks)
    # A forward pass of a deeper one takes as long as that of an evaluation.
    deeper = examiner.measuring_cost(reports) / examiner.cost(1) * evaluations / reports
    return plan.budget * per_flop + (evaluations + deeper) * evaluation, examiner.counts


def _sampler_text(search: SearchConfig, space: Space) -> str:
    sampler = search.sampler
    if search.breeds or not space.parameters:
        return ""
    why = sampler.reason(space, len(search.objective), search.wanted)
    return f"sampler {sampler.name}" + (f" chooses {why}" if why else "")


def _scheduler_text(search: SearchConfig, space: Space) -> str:
    scheduler = search.scheduler
    if search.breeds:
        scheduler = search.population
        return (
            f"population of {scheduler.members} members over {scheduler.generations} generations, "
            f"learning {', '.join(scheduler.learn)}"
        )
    assert isinstance(scheduler, EarlyStoppingConfig), scheduler
    shares = scheduler.build(starts_slowly(space.parameters)).shares
    return f"scheduler {scheduler.name}, decides at {', '.join(f'{s:.0%}' for s in shares)}"
