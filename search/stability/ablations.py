"""Named ablations of a base over the same seeds, at equal compute, tabled against it.

They live in a run folder like a sweep's, so that they resume, extend and show in `trm status`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import torch

from search.config.ablations import PAPER, SECTION
from search.config.file import load_tree
from search.config.plan import Plan, read_plan, refuse_changes, replan, resolve_plan, write_plan
from search.config.seeds import ABLATION_SEEDS
from search.engine.driver import Runner, run_further
from search.ledger.book import Book
from search.ledger.files import RUN_FILE, write_atomically
from search.ledger.ledger import Ledger
from search.ledger.reader import holds_ledger, read_book
from search.ledger.storage import Place, create_run_folder, place
from search.ledger.trial import Trial
from search.space.space import Space
from search.stability.ablation_arms import ABLATION, arms, seeded
from search.stability.ablation_table import Ablations, ablations_markdown, tabled
from trm.config import experiment_from
from trm.errors import UserError
from trm.run_folder import cache_folder

TABLE_VERSION = 1


def ablate(
    source: str | Path,
    *,
    sets: Iterable[str] = (),
    out: Place | str | None = None,
    seeds: int | None = None,
    resume: bool = False,
    runner: Runner | None = None,
) -> Ablations:
    """Run a file's ablations, and write `ablations.json` and `ablations.md`.

    Args:
        source: a YAML file or a preset's name.
        sets: `key=value` settings on top of it.
        out: the run folder; `runs/NAME-ablations` if None.
        seeds: runs of each arm, instead of the file's number; more than before extend a run folder.
        resume: go on with the run folder `out`, with the ablations of the file.

    Raises:
        UserError: bad input; nothing has been started.
        KeyboardInterrupt: stopped by the user; `resume=True` goes on.
    """
    runner = runner or Runner()
    tree = load_tree(source, sets)
    if seeds is not None:
        section = tree.get(SECTION, PAPER)
        section = {"named": section} if isinstance(section, str) else section
        # Anything else is no section, which is said below.
        tree[SECTION] = {**section, "seeds": seeds} if isinstance(section, dict) else section
    tree.setdefault(SECTION, PAPER)
    arms(tree)
    space = Space.parse(tree)
    default = experiment_from(space.default()[1])
    folder = place(out) if out else Path("runs") / f"{default.name}-ablations"
    create_run_folder(folder, RUN_FILE, resume=resume)
    folder = folder.absolute()
    with runner.display.preparing() as progress:
        task = default.task.build(cache_folder(), progress)
    with Ledger.open(folder) if holds_ledger(folder) else Ledger.create(folder) as ledger:
        if (folder / RUN_FILE).exists():
            plan = read_plan(folder)
            _require_ablations(folder, ledger)
            refuse_changes(plan, tree)
            plan = replan(plan, tree)
        else:
            torch.set_num_threads(default.train.threads)
            plan = resolve_plan(tree, task, space)
        trials = ablation_trials(plan, ledger)
        write_plan(folder, plan)
        runner.check(plan)
        try:
            run_further(plan, ledger, trials, "ablations", plan.objective.worst(task.floor), runner)
        finally:
            found = tabled(str(folder), plan, ledger)
            _save(folder, found)
    return found


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
    chosen, _ = arms(plan.tree)
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
    base = plan.default.train.seed + ABLATION_SEEDS
    return [base + index for index in range(plan.sections.ablations.seeds)]


def _require_ablations(folder: Place, book: Book) -> None:
    if not all(trial.ablates for trial in book.trials.values()):
        raise UserError(f"{folder}: holds a sweep and no ablations: choose another --out")


def _save(folder: Place, found: Ablations) -> None:
    tree = {"schema_version": TABLE_VERSION, **asdict(found)}
    # An older run folder has them under another name, and two tables would differ.
    name = "study" if (folder / "study.json").exists() else "ablations"
    write_atomically(folder / f"{name}.json", json.dumps(tree, indent=1) + "\n")
    write_atomically(folder / f"{name}.md", ablations_markdown(found) + "\n")
