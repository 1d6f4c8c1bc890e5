"""A whole sweep: explore, confirm, promise, export. Resumes wherever it was stopped."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cluster.resources import Share
from search.config.checks import check_config, require_trainable
from search.config.config import Config, read_config
from search.config.limits import Meter
from search.config.plan import Plan, read_plan, trainable_plan, write_plan
from search.config.resolve import refuse_changes, replan, resolve_plan, with_stability
from search.config.share import devices_of
from search.engine.attempts.retry import parse_retry, retry_trials
from search.engine.driver import Runner, driving
from search.engine.presence import present_in
from search.explore.warm_start import read_warm, require_runs, write_start
from search.export.export import BEST_FILE, export
from search.export.weights import keep_weights
from search.ledger.book import holds_ablations
from search.ledger.files import RUN_FILE, DamagedFileError, write_atomically
from search.ledger.ledger import Ledger
from search.ledger.lineage import spent
from search.ledger.reader import holds_ledger
from search.ledger.storage import Place, create_run_folder, place
from search.logs.console import warn
from search.logs.terminal import SweepDisplay
from search.logs.trial_log import require_logs
from search.stability.confirm import finalists
from search.sweep.first_points import resolve_first
from search.sweep.run import Run
from search.sweep.stages import LimitReachedError, NoWinnerError, SweepStages
from search.sweep.time_left import seconds_left
from trm.errors import UserError
from trm.files.presence import Presence
from trm.files.run_folder import cache_folder
from trm.tasks.base import Task
from trm.training.steps.kernel import build_ahead

__all__ = ["LimitReachedError", "NoWinnerError", "Run", "stability", "sweep"]
_LIMIT_SECONDS = 0.5
"""How often the limits are looked at."""


def sweep(
    source: str | Path | Mapping[str, Any] | Config,
    *,
    sets: Iterable[str] = (),
    out: Place | str | None = None,
    trials: int | None = None,
    resume: bool = False,
    retry: Iterable[str] = (),
    address: str | None = None,
    parallel: int | None = None,
    warm_start: Sequence[Path | str] = (),
    display: SweepDisplay | None = None,
) -> Run:
    """Search a config's space, confirm the best, and write `best.yaml`.

    >>> run = sweep("arrows4", out="runs/mine")                               # doctest: +SKIP
    >>> sweep({"task": "arrows", "optimizer": {"lr": {"loguniform": [1e-3, 1e-4]}}})
    Traceback (most recent call last):
    trm.errors.UserError: optimizer.lr: [0.001, 0.0001] low must not be above high: swap them

    Args:
        source: a YAML file, a preset's name, a tree of plain values or a config that is read.
        sets: `key=value` settings on top of it.
        out: the run folder, a path or a URI such as `s3://bucket/run`; `runs/NAME` if None.
        trials: explore trials, instead of the file's number; more than before extend a run.
        resume: go on with the run in `out`.
        retry: on resume, failed trials to run again from their last checkpoints: `crashed`, `oom`
            or their numbers.
        address: a Ray cluster that is up, `auto` or `host:port`; None takes the file's.
        parallel: trials at once, at most; None takes the file's, or what the cluster has room for.
        warm_start: run folders that tell a new run what they can, besides the file's.
        display: shows progress; None shows nothing.

    Raises:
        UserError: bad input; nothing has been started.
        NoWinnerError: no trial completed, or none keeps the constraints.
        LimitReachedError: a limit was met before the confirm stage ended.
        KeyboardInterrupt: stopped by the user; `resume=True` goes on.
    """
    display = display or SweepDisplay(quiet=True)
    again = parse_retry(retry, resume=resume)
    config = read_config(source, sets)
    runner = Runner(address, parallel, display).with_folders(config.folders)
    if trials is not None:
        config = config.with_trials(trials)
    config = config.with_warm_start(warm_start)
    check_config(config)
    search, default = config.sections.search, config.default
    require_logs(config.sections.log)
    runner.check(config.sections.cluster, default.train.threads)
    folder = place(out) if out else Path("runs") / default.name
    begun = resume and (folder / RUN_FILE).exists()
    first = [] if begun else resolve_first(config)
    require_runs([] if begun else search.warm_start)
    create_run_folder(folder, RUN_FILE, resume=resume)
    folder = folder.absolute()
    build_ahead(default)
    with present_in(folder) as presence:
        with display.preparing() as progress:
            task = default.task.build(cache_folder(), progress)
        require_trainable(config, task)
        with Ledger.open(folder) if holds_ledger(folder) else Ledger.create(folder) as ledger:
            _refuse_ablations(ledger)
            if (folder / RUN_FILE).exists():
                plan = read_plan(folder)
                refuse_changes(plan, config.tree)
                plan = replan(plan, config)
                retry_trials(ledger, again)
            else:
                if ledger.trials:  # none is drawn before it is written
                    raise DamagedFileError(folder / RUN_FILE, "is missing")
                torch.set_num_threads(default.train.threads)
                plan = resolve_plan(config, task)
                start = read_warm(search.warm_start, plan, first)
                for line in start.notes:
                    display.note(f"warm start from {line}")
                write_start(folder, start)
            write_plan(folder, plan)
            if plan.sampler_reason:
                display.note(f"search.sampler {plan.sampler_reason}")
            _finish(plan, ledger, task, runner, presence, explore=True)
    return Run(folder)


def stability(
    folder: Place | str,
    *,
    candidates: int | None = None,
    trials: Sequence[int] | None = None,
    seeds: int | None = None,
    budget: int | None = None,
    max_seeds: int | None = None,
    racing: bool | None = None,
    promise_seeds: int | None = None,
    address: str | None = None,
    parallel: int | None = None,
    display: SweepDisplay | None = None,
) -> Run:
    """Run the confirm stage of a run again, with more candidates, seeds or runs.

    What is not said stays as before, but for the budget, which follows from the candidates and
    seeds where those are said. What ran before counts and is not run again. The promise seeds
    still take no part in the choice.

    Args:
        candidates: how many of the best explored configs, in place of any named ones.
        trials: explore trials by number, in place of the best.
        seeds: fresh seeds that every candidate gets first.
        budget: runs over fresh seeds of all candidates together, those before included.
        max_seeds: of one candidate.
        racing: whether more than the first seeds follow, where they matter.
        promise_seeds: further seeds of the winner and the reference recipe.

    Raises:
        UserError: bad input; nothing has been started.
        NoWinnerError: no trial completed, or none keeps the constraints.
        LimitReachedError: a limit was met before the confirm stage ended.
    """
    folder = place(folder).absolute()
    display = display or SweepDisplay(quiet=True)
    runner = Runner(address, parallel, display)
    plan = trainable_plan(folder)
    section = dict(plan.tree.get("stability", {}))
    if candidates is not None:
        section.pop("trials", None)
    if any(value is not None for value in (candidates, trials, seeds)):
        section.pop("budget", None)
    asked = {
        "candidates": candidates,
        "trials": None if trials is None else list(dict.fromkeys(trials)),
        "seeds": seeds,
        "budget": budget,
        "max_seeds": max_seeds,
        "racing": racing,
        "promise_seeds": promise_seeds,
    }
    section |= {key: value for key, value in asked.items() if value is not None}
    plan = with_stability(plan, section)
    if plan.sections.search.limits.cost and plan.sections.stability.budget is None:
        # Who asks for another confirm stage gets all of it, whatever limited the search.
        plan = with_stability(plan, {**section, "budget": plan.sections.stability.runs()})
    runner.check(plan.sections.cluster, plan.default.train.threads)
    with present_in(folder) as presence:
        with display.preparing() as progress:
            task = plan.default.task.build(cache_folder(), progress)
        with Ledger.open(folder) as ledger:
            _refuse_ablations(ledger)
            finalists(plan, ledger)
            write_plan(folder, plan)
            _finish(plan, ledger, task, runner, presence, explore=False)
    return Run(folder)


def _refuse_ablations(ledger: Ledger) -> None:
    if holds_ablations(ledger.trials):
        raise UserError(
            f"{ledger.folder}: holds ablations, which have no search: `trm ablate ... --resume` "
            "goes on with them; give a sweep another --out"
        )


def _finish(
    plan: Plan, ledger: Ledger, task: Task, runner: Runner, presence: Presence, *, explore: bool
) -> None:
    """Run every stage that is not done yet, and write what came of them."""
    with driving(plan, ledger, runner, presence) as driver:
        meter = Meter(
            limits=plan.sections.search.limits,
            budget=plan.budget,
            devices=devices_of(driver.share),
            parallel=driver.parallel or 1,
            wall_seconds=lambda: driver.clock.seconds,
            spent=lambda: spent(ledger.trials),
            trials=ledger.trials,
        )
        stages = SweepStages(plan, ledger, task, runner.display, meter, explore=explore)

        def resized(at_once: int, share: Share) -> None:
            meter.parallel, meter.gpus = max(at_once, 1), bool(share.gpus)
            meter.devices = devices_of(share if share.gpus else driver.share)

        runner.display.whole = lambda: seconds_left(
            plan, ledger, driver.clock.seconds, meter.parallel
        )
        over = _every(_LIMIT_SECONDS, lambda: meter.met() is not None)
        try:
            with runner.display:
                if stages.has_work():
                    driver.run(stages, resized=resized, stop=over)
        finally:
            stages.close()
        if stages.result is None:
            raise LimitReachedError(
                f"{meter.met()} is met before the confirm stage has ended; nothing is lost: raise "
                "it and resume"
            )
        ledger.room.until(ledger.flush)
        ledger.room.until(partial(stages.result.save, ledger.folder))
        best = export(ledger.folder, "trm", task=task)
        ledger.room.until(partial(write_atomically, ledger.folder / BEST_FILE, best))
        keep_weights(plan, ledger, stages.result, warn)


def _every(seconds: float, ask: Callable[[], bool]) -> Callable[[], bool]:
    """The answer of `ask`, asked at most that often."""
    answer, asked = False, -math.inf

    def cached() -> bool:
        nonlocal answer, asked
        if time.monotonic() - asked >= seconds:
            answer, asked = ask(), time.monotonic()
        return answer

    return cached
