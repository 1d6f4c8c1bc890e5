"""Named ablations of a base over the same seeds, at equal compute, tabled against it.

They live in a run folder like a sweep's, so that they resume, extend and show in `trm status`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from search.config.ablations import PAPER, SECTION
from search.config.config import Config, read_config
from search.config.plan import Plan, read_plan, write_plan
from search.config.resolve import refuse_changes, replan, resolve_plan
from search.config.sections import with_section
from search.config.seeds import ABLATION_SEEDS
from search.engine.attempts.retry import parse_retry, retry_trials
from search.engine.driver import Runner, run_further
from search.engine.presence import present_in
from search.ledger.book import Book
from search.ledger.files import RUN_FILE, write_atomically, write_json
from search.ledger.ledger import Ledger
from search.ledger.reader import holds_ledger, read_book
from search.ledger.storage import Place, create_run_folder, place
from search.ledger.trial import Trial
from search.stability.ablation_arms import ABLATION, arms, seeded
from search.stability.ablation_table import Ablations, ablations_markdown, tabled
from trm.errors import UserError
from trm.files.run_folder import cache_folder

TABLE_VERSION = 1


def ablate(
    source: str | Path | Mapping[str, Any] | Config,
    *,
    sets: Iterable[str] = (),
    out: Place | str | None = None,
    seeds: int | None = None,
    resume: bool = False,
    retry: Iterable[str] = (),
    runner: Runner | None = None,
) -> Ablations:
    """Run a file's ablations, and write `ablations.json` and `ablations.md`.

    >>> ablate("arrows4", out="runs/ablated").lines[0].name                    # doctest: +SKIP
    'base'
    >>> ablate("arrows4", sets=["ablations.named={base: {train.ema: null}}"])
    Traceback (most recent call last):
    trm.errors.UserError: ablations.named.base: is the base's own name: take another

    Args:
        source: a YAML file, a preset's name, a tree of plain values or a config that is read.
        sets: `key=value` settings on top of it.
        out: the run folder; `runs/NAME-ablations` if None.
        seeds: runs of each arm, instead of the file's number; more than before extend a run folder.
        resume: go on with the run folder `out`, with the ablations of the file.
        retry: on resume, failed runs to run again from their last checkpoints: `crashed`, `oom` or
            their numbers.

    Raises:
        UserError: bad input; nothing has been started.
        KeyboardInterrupt: stopped by the user; `resume=True` goes on.
    """
    runner, again = runner or Runner(), parse_retry(retry, resume=resume)
    config = _asked(read_config(source, sets), seeds)
    arms(config)
    default = config.default
    folder = place(out) if out else Path("runs") / f"{default.name}-ablations"
    create_run_folder(folder, RUN_FILE, resume=resume)
    folder = folder.absolute()
    with present_in(folder) as presence:
        with runner.display.preparing() as progress:
            task = default.task.build(cache_folder(), progress)
        with Ledger.open(folder) if holds_ledger(folder) else Ledger.create(folder) as ledger:
            if (folder / RUN_FILE).exists():
                plan = read_plan(folder)
                _require_ablations(folder, ledger)
                refuse_changes(plan, config.tree)
                plan = replan(plan, config)
                retry_trials(ledger, again)
            else:
                torch.set_num_threads(default.train.threads)
                plan = resolve_plan(config, task)
            trials = ablation_trials(plan, ledger)
            write_plan(folder, plan)
            runner.check(plan.sections.cluster, plan.default.train.threads)
            runner = runner.with_folders(config.folders)
            try:
                floor = plan.objective.worst(task.floor)
                run_further(plan, ledger, trials, "ablations", floor, runner, presence)
            finally:
                found = tabled(str(folder), plan, ledger)
                _save(folder, found)
    return found


def _asked(config: Config, seeds: int | None) -> Config:
    """The config with the built-in ablations where it names none, and so many seeds."""
    section = config.tree.get(SECTION, PAPER)
    if seeds is not None:
        section = {"named": section} if isinstance(section, str) else dict(section)
        section["seeds"] = seeds
    sections = with_section(config.sections, SECTION, section)
    return replace(config, tree={**config.tree, SECTION: section}, sections=sections)


def read_ablations(folder: Place | str) -> Ablations:
    """The table of a run folder of ablations as far as it has come, also while it runs.

    Raises:
        UserError: the folder holds none.
    """
    where = place(folder)
    plan, book = read_plan(where), read_book(where)
    _require_ablations(where, book)
    return tabled(str(where), plan, book)


def ablation_trials(plan: Plan, book: Book) -> list[Trial]:
    """The trials of the base and all ablations, seed by seed: those that are there, and new ones.

    Raises:
        UserError: an ablation of that name has run with other values.
    """
    known = {(t.params[ABLATION], t.seed): t for t in book.trials.values() if t.ablates}
    stage = next(iter(known.values())).stage if known else "ablation"
    found = []
    chosen, _ = arms(plan)
    firsts = {t.params[ABLATION]: t.candidate for t in reversed(known.values())}
    for arm in chosen:
        for run in known.values():
            if run.params[ABLATION] == arm.name and run.config != seeded(arm, run.seed):
                raise UserError(
                    f"ablations.named.{arm.name}: has run with other values in this folder: give "
                    "it another name, or another --out"
                )
    for seed in _seeds(plan):
        for arm in chosen:
            trial = known.get((arm.name, seed))
            if trial is None:
                trial = book.add_trial(
                    stage=stage, candidate=firsts.get(arm.name), seed=seed,
                    params={ABLATION: arm.name}, config=seeded(arm, seed),
                )  # fmt: skip
                firsts.setdefault(arm.name, trial.id)
            found.append(trial)
    return found


def _seeds(plan: Plan) -> list[int]:
    base = plan.seed + ABLATION_SEEDS
    return [base + index for index in range(plan.sections.ablations.seeds)]


def _require_ablations(folder: Place, book: Book) -> None:
    if not all(trial.ablates for trial in book.trials.values()):
        raise UserError(f"{folder}: holds a sweep and no ablations: choose another --out")


def _save(folder: Place, found: Ablations) -> None:
    tree = {"schema_version": TABLE_VERSION, **asdict(found)}
    # An older run folder has them under another name, and two tables would differ.
    name = "study" if (folder / "study.json").exists() else "ablations"
    write_json(folder / f"{name}.json", tree, own=True)
    write_atomically(folder / f"{name}.md", ablations_markdown(found) + "\n")
