"""A study: named ablations of a base over the same seeds, at equal compute, tabled against it.

It lives in a run folder like a sweep's, so that it resumes, extends and shows in `trm status`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from search.book import Book
from search.config import load_tree, sweep_sections
from search.further_runs import Runner, run_further
from search.history import FAILURES
from search.ledger import Ledger, Trial, holds_ledger, read_book
from search.place import Place, create_run_folder, place
from search.plan import (
    FIXED,
    RUN_FILE,
    Plan,
    read_plan,
    refuse_changes,
    replan,
    resolve_plan,
    write_atomically,
    write_plan,
)
from search.space import FIXED_SECTIONS, Space
from search.statistics import difference
from search.study_config import BASE, PAPER, paper_ablations
from trm.component import nearest
from trm.config import SECTIONS, experiment_from, set_value
from trm.errors import UserError
from trm.run_folder import cache_folder

STUDY_JSON, STUDY_TABLE = "study.json", "study.md"
STUDY_VERSION = 1
STUDY_SEEDS = 4001
"""Offset of the first seed from the file's; no stage of a sweep uses them (at most 1,000)."""
ABLATION = "ablation"
"""The parameter of a study's trials: the ablation's name."""


@dataclass(frozen=True)
class Arm:
    """One config of a study.

    Attributes:
        name: `base` or the ablation's.
        changes: keys and the values that they have instead of the base's.
        tree: the whole config.
    """

    name: str
    changes: dict[str, Any]
    tree: dict[str, Any]


@dataclass(frozen=True)
class Line:
    """An ablation against the base.

    Attributes:
        name: its name.
        changes: what it changes.
        scores: one a seed that has ended; failures at the floor.
        failures: how many of them failed.
        mean: of the scores; None before the first.
        difference: its mean minus the base's, in the objective's own sign.
        low: lower end of the difference's interval (Welch); None where the spread is unknown.
        high: its upper end.
        settled: whether the interval leaves out 0.
        beats: probability that one fresh seed of it beats one of the base.
        seeds_needed: seeds each, at the spread so far, that would settle a difference of this size.
    """

    name: str
    changes: dict[str, Any]
    scores: list[float]
    failures: int
    mean: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    settled: bool = False
    beats: float | None = None
    seeds_needed: int | None = None


@dataclass(frozen=True)
class Study:
    """What a study has so far.

    Attributes:
        run: its folder.
        objective: the column that scores are.
        maximizes: whether more of it is better.
        confidence: of the intervals; each stands alone.
        seeds: wanted of each arm.
        budget: training FLOPs of every run.
        lines: the base first.
        left_out: by ablation of the built-in set, why it is not in this study.
    """

    run: str
    objective: str
    maximizes: bool
    confidence: float
    seeds: int
    budget: float
    lines: list[Line]
    left_out: dict[str, str]

    @property
    def runs(self) -> str:
        """How many seeds the lines rest on, in words."""
        counts = sorted({len(line.scores) for line in self.lines})
        if counts == [1]:
            return "1 seed each"
        return f"{' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))} seeds each"

    @property
    def complete(self) -> bool:
        """Whether every seed of every arm has ended."""
        return all(len(line.scores) >= self.seeds for line in self.lines)


def study(
    source: str | Path,
    *,
    sets: Iterable[str] = (),
    out: Place | str | None = None,
    seeds: int | None = None,
    resume: bool = False,
    runner: Runner | None = None,
) -> Study:
    """Run a file's study, and write `study.json` and `study.md`.

    Args:
        source: a YAML file or a preset's name.
        sets: `key=value` settings on top of it.
        out: the run folder; `runs/NAME-study` if None.
        seeds: runs of each arm, instead of the file's number; more than before extend a study.
        resume: go on with the study in `out`, with the ablations of the file.

    Raises:
        UserError: bad input; nothing has been started.
        KeyboardInterrupt: stopped by the user; `resume=True` goes on.
    """
    runner = runner or Runner()
    tree = load_tree(source, sets)
    if seeds is not None:
        section = tree.get("study", PAPER)
        section = {"ablations": section} if isinstance(section, str) else section
        # Anything else is no section, which is said below.
        tree["study"] = {**section, "seeds": seeds} if isinstance(section, dict) else section
    tree.setdefault("study", PAPER)
    arms(tree)
    space = Space.parse(tree)
    default = experiment_from(space.default()[1])
    folder = place(out) if out else Path("runs") / f"{default.name}-study"
    create_run_folder(folder, RUN_FILE, resume=resume)
    folder = folder.absolute()
    with runner.display.preparing() as progress:
        task = default.task.build(cache_folder(), progress)
    with Ledger.open(folder) if holds_ledger(folder) else Ledger.create(folder) as ledger:
        if (folder / RUN_FILE).exists():
            plan = read_plan(folder)
            _require_study(folder, ledger)
            refuse_changes(plan, tree)
            plan = replan(plan, tree)
        else:
            torch.set_num_threads(default.train.threads)
            plan = resolve_plan(tree, task, space)
        trials = study_trials(plan, ledger)
        write_plan(folder, plan)
        runner.check(plan)
        try:
            run_further(plan, ledger, trials, "study", plan.objective.worst(task.floor), runner)
        finally:
            found = tabled(str(folder), plan, ledger)
            _save(folder, found)
    return found


def read_study(folder: Place | str) -> Study:
    """The table of a study's folder as far as it has come, also while it runs.

    Raises:
        UserError: the folder holds no study.
    """
    where = place(folder)
    plan, book = read_plan(where), read_book(where)
    _require_study(where, book)
    return tabled(str(where), plan, book)


def is_study(book: Book) -> bool:
    """Whether a run folder's trials are a study's."""
    return any(trial.stage == "study" for trial in book.trials.values())


def arms(tree: Mapping[str, Any]) -> tuple[list[Arm], dict[str, str]]:
    """The base and every ablation, and which of the built-in set are left out, and why.

    Raises:
        UserError: no ablation, or one that does not fit; names it.
    """
    section = sweep_sections(tree).study
    # Without the sweep's own sections, which may differ when a study is extended.
    start = {k: v for k, v in Space.parse(tree).default()[1].items() if k in SECTIONS}
    changes = {} if isinstance(section.base, str) else section.base
    base = Arm(BASE, changes, _with(start, changes, "study.base"))
    whole = experiment_from(base.tree).tree()
    built_in = section.ablations == PAPER
    named = section.ablations
    chosen = paper_ablations(whole) if isinstance(named, str) else named
    if not chosen:
        raise UserError("study.ablations", None, "is missing: name some, or take `study: paper`")
    found, left_out = [base], {}
    for name, values in chosen.items():
        where = f"study.ablations.{name}"
        if name == BASE:
            raise UserError(where, None, "is the base's own name: take another")
        try:
            changed = _with(base.tree, values, where)
            if experiment_from(changed).tree() == whole:
                raise UserError(where, values, "changes nothing: the base has these values")
        except UserError as error:
            if not built_in:
                raise
            left_out[name] = str(error).removeprefix(f"{where}: ")
            continue
        found.append(Arm(name, dict(values), changed))
    return found, left_out


def study_trials(plan: Plan, ledger: Book) -> list[Trial]:
    """The study's trials, seed by seed: those that are there, and new ones.

    Raises:
        UserError: an ablation of that name has run with other values.
    """
    known = {(t.params[ABLATION], t.seed): t for t in ledger.trials.values() if t.stage == "study"}
    found = []
    chosen, _ = arms(plan.tree)
    firsts = {t.params[ABLATION]: t.candidate for t in reversed(known.values())}
    for arm in chosen:
        for run in known.values():
            if run.params[ABLATION] == arm.name and run.config != _seeded(arm, run.seed):
                raise UserError(
                    f"study.ablations.{arm.name}: has run with other values in this folder: give "
                    "it another name, or another --out"
                )
    for seed in _seeds(plan):
        for arm in chosen:
            trial = known.get((arm.name, seed))
            if trial is None:
                trial = ledger.add_trial(
                    stage="study", candidate=firsts.get(arm.name), seed=seed,
                    params={ABLATION: arm.name}, config=_seeded(arm, seed),
                )  # fmt: skip
                firsts.setdefault(arm.name, trial.id)
            found.append(trial)
    return found


def tabled(folder: str, plan: Plan, book: Book) -> Study:
    """The table of what has ended."""
    chosen, left_out = arms(plan.tree)
    objective, section = plan.objective, plan.sections
    ended: dict[str, list[Trial]] = {arm.name: [] for arm in chosen}
    for trial in sorted(book.trials.values(), key=lambda trial: trial.seed):
        if trial.stage == "study" and trial.outcome in ("completed", *FAILURES):
            ended.setdefault(trial.params[ABLATION], []).append(trial)
    scores = {
        name: [float(trial.score or 0.0) for trial in trials] for name, trials in ended.items()
    }
    examples = plan.default.train.valid_examples or getattr(
        plan.default.task, "valid_examples", None
    )
    lines = []
    for arm in chosen:
        own = scores[arm.name]
        line = Line(
            name=arm.name,
            changes=arm.changes,
            scores=own,
            failures=sum(trial.outcome in FAILURES for trial in ended[arm.name]),
            mean=math.fsum(own) / len(own) if own else None,
        )
        if arm.name != BASE and own and scores[BASE]:
            gap = difference(
                own, scores[BASE], section.stability.confidence,
                maximize=objective.maximizes, examples=examples if objective.is_share else None,
            )  # fmt: skip
            low, high = sorted(map(objective.merit, (gap.low, gap.high)))
            known = math.isfinite(low)
            line = Line(
                **{
                    **vars(line),
                    "difference": objective.merit(gap.mean),
                    "low": low if known else None,
                    "high": high if known else None,
                    "settled": gap.settled,
                    "beats": gap.wins,
                    "seeds_needed": gap.seeds,
                }
            )
        lines.append(line)
    return Study(
        run=folder,
        objective=objective.column,
        maximizes=objective.maximizes,
        confidence=section.stability.confidence,
        seeds=section.study.seeds,
        budget=plan.budget,
        lines=lines,
        left_out=left_out,
    )


def study_table(found: Study) -> str:
    """The table as Markdown."""
    level = f"{found.confidence:.0%}"
    lines = [
        f"| ablation | {found.objective} | difference from the base ({level} interval) | failed | "
        "beats the base | seeds to settle |",
        "|---|---|---|---|---|---|",
    ]
    for line in found.lines:
        mean = "" if line.mean is None else f"{line.mean:.3f}"
        gap, beats, needed = "", "", ""
        if line.difference is not None:
            gap = f"{line.difference:+.3f}"
            if line.low is not None and line.high is not None:
                gap += f" ({line.low:+.3f} to {line.high:+.3f})"
                gap += " \\*" if line.settled else ""
            beats = "" if line.beats is None else f"{line.beats:.2f}"
            needed = "" if line.seeds_needed is None else str(line.seeds_needed)
        lines.append(
            f"| {line.name} | {mean} | {gap} | {line.failures} of {len(line.scores)} | {beats} | "
            f"{needed} |"
        )
    better = "more" if found.maximizes else "less"
    lines += [
        "",
        f"{found.runs}, {found.budget:.3g} training FLOPs a run; {better} is better. "
        "\\* the interval leaves out 0. Each interval stands alone. Beats: the probability that "
        "one fresh seed beats one of the base. Settle: seeds each, at the spread seen so far.",
    ]
    if found.left_out:
        lines += ["", "Left out:", ""]
        lines += [f"- {name}: {why}" for name, why in found.left_out.items()]
    return "\n".join(lines)


def _with(tree: Mapping[str, Any], values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A valid config with some keys set.

    Raises:
        UserError: a key that is unknown or must be alike in all runs, or a value that does not fit.
    """
    changed = deepcopy(dict(tree))
    for key, value in values.items():
        top = key.partition(".")[0]
        if top not in SECTIONS or top in FIXED_SECTIONS or top == "task":
            sections = [name for name in SECTIONS if name not in (*FIXED_SECTIONS, "task")]
            remedy = nearest(top, sections)
            raise UserError(f"{where}.{key}", value, f"cannot be changed in a study: {remedy}")
        if any(key == fixed or key.startswith(f"{fixed}.") for fixed in FIXED):
            raise UserError(
                f"{where}.{key}", value, "must be the same in all runs, or scores would not compare"
            )
        if any(fixed.startswith(f"{key}.") for fixed in FIXED):
            raise UserError(
                f"{where}.{key}", value, "would replace the whole section, and with it what must "
                f"be the same in all runs: name its keys, as in {key}.ema"
            )  # fmt: skip
        try:
            set_value(changed, key, deepcopy(value))
        except UserError as error:
            raise UserError(f"{where}.{key}", value, f"stands nowhere: {error}") from error
    try:
        experiment_from(changed)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return changed


def _seeded(arm: Arm, seed: int) -> dict[str, Any]:
    return {**arm.tree, "train": {**arm.tree.get("train", {}), "seed": seed}}


def _seeds(plan: Plan) -> list[int]:
    base = plan.default.train.seed + STUDY_SEEDS
    return [base + index for index in range(plan.sections.study.seeds)]


def _require_study(folder: Place, book: Book) -> None:
    if any(trial.stage != "study" for trial in book.trials.values()):
        raise UserError(f"{folder}: holds a sweep and no study: choose another --out")


def _save(folder: Place, found: Study) -> None:
    tree = {"schema_version": STUDY_VERSION, **asdict(found)}
    write_atomically(folder / STUDY_JSON, json.dumps(tree, indent=1) + "\n")
    write_atomically(folder / STUDY_TABLE, study_table(found) + "\n")
