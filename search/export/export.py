"""A config of a run as a file: to train alone, for the reference repository, or as a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from curricula.component import foreign_names
from search.config.plan import Plan, read_plan
from search.explore.candidates import explored, is_whole, pareto_front
from search.export.behaviour import behaviour
from search.export.model_card import commands, model_card
from search.export.summary import Summary, findings
from search.ledger.book import refuse_ablations
from search.ledger.reader import read_book, read_trials
from search.ledger.storage import Place
from search.ledger.trial import Trial
from search.stability.recursion import effective, effective_config
from search.stability.result import Result, read_result
from search.stability.verdict import verdict, verdict_on_other
from trm.config import Experiment, PromiseConfig, experiment_from
from trm.errors import UserError
from trm.files.run_folder import cache_folder
from trm.files.yaml12 import dump_yaml
from trm.reference.configs import reference_file
from trm.tasks import TASKS
from trm.tasks.base import Task
from trm.training.flops import step_flops

FORMATS = {"trm": ".yaml", "reference": ".yaml", "json": ".json", "card": ".md"}
"""How a file of each format is named."""


def export(
    folder: Place, format: str, trial_id: int | None = None, task: Task | None = None
) -> str:
    """The text of an exported file.

    Args:
        folder: a run folder.
        format: `trm`, a config that `trm train` takes; `reference`, the arch YAML of the
            reference repository and the overrides for its `pretrain.py`; `json`, the config and
            all that is known of it; `card`, the same as a model card in Markdown.
        trial_id: an explore trial; None takes the winner.
        task: the run's task, for what the reference's overrides need to know of the data; None
            builds it.

    Raises:
        UserError: no such trial, no winner yet, or, for the reference, a plug-in's task.
    """
    plan, result, trials = read_plan(folder), read_result(folder), read_trials(folder)
    trial = _trial(folder, trials, result, trial_id)
    promised = result if result is not None and trial.id == result.winner else None
    config = exported_config(plan, trial, promised, _threads(trials, trial, promised))
    found = findings(plan, trials, result, trial)
    if format == "card":
        won = result is not None and trial.id == result.winner
        book = read_book(folder)
        box = verdict(plan, result, book) if won else verdict_on_other(trial, result)
        params = effective(trial.params, trial.config)
        return model_card(plan, config, found, params, box, behaviour(plan, book, trial))
    if format == "json":
        return json.dumps({"config": config.tree(), **asdict(found)}, indent=1) + "\n"
    head = "".join(f"# {line}\n" for line in _head(plan, trial, found))
    if format == "reference":
        task = task or _task_of(config)
        steps = round(plan.budget / step_flops(config, task))
        precision = found.machine.get("precision")
        return head + reference_file(config, task, steps, precision=precision)
    assert format == "trm", format
    return f"{head}# train it with `trm train THIS_FILE`\n{dump_yaml(config.tree())}"


def front_trials(folder: Place) -> list[int]:
    """The trials on the Pareto front: of the confirmed ones, else of all that the search has.

    Raises:
        UserError: the sweep has one objective, or nothing has run to its end yet.
    """
    plan, result = read_plan(folder), read_result(folder)
    if len(plan.objectives) == 1:
        raise UserError(
            f"{folder}: has one objective and so no front: export the winner, or a trial with "
            "--trial"
        )
    if result is not None:
        if not result.front:
            raise UserError(
                f"{folder}: the front is empty: every confirmed trial breaks a constraint or has "
                "failed in every seed: export one with --trial"
            )
        return result.front
    found = pareto_front(plan, explored(plan, read_book(folder)))
    if not found:
        raise UserError(f"{folder}: no trial has run to its end yet: wait, or resume the sweep")
    return [candidate.trial.id for candidate in found]


def exported_config(
    plan: Plan, trial: Trial, result: Result | None, threads: int | None = None
) -> Experiment:
    """A trial's config with the sweep's budget, and the winner's promise if it has one.

    Args:
        threads: of the run that the file repeats; None leaves what the config says.

    The winner's seed is the first of those that made the promise, so that training the file on
    the same hardware repeats a run that took no part in the choice.
    """
    # `trm train` names its folder after it: other trials must not land in the winner's.
    kind = f"trial-{trial.id}" if result is None else "best"
    tree = {**effective_config(trial.config), "name": f"{plan.name}-{kind}"}
    if threads is not None:
        tree["train"] = {**tree["train"], "threads": threads}
    if result is not None:
        promise = result.promise
        tree["train"] = {**tree["train"], "seed": promise.seeds[0]}
        if not promise.undefined:
            tree["promise"] = PromiseConfig(
                column=result.objective,
                mean=promise.mean,
                low=promise.low,
                high=promise.high,
                confidence=result.confidence,
            ).model_dump()
    tree["task"] = _with_vocabulary(tree["task"], trial)
    with foreign_names():
        return experiment_from(tree)


def _threads(trials: Mapping[int, Trial], trial: Trial, result: Result | None) -> int | None:
    """Threads of the run that an exported file repeats, on which its last bits depend."""
    if result is None:
        return trial.threads
    same = (
        one.threads
        for one in trials.values()
        if one.stage == "promise" and one.seed == result.promise.seeds[0]
    )
    return next(filter(None, same), trial.threads)


def _with_vocabulary(section: dict[str, Any], trial: Trial) -> dict[str, Any]:
    """A task's section with the tokens that the trial was trained on, where it takes them from its
    data: trained on other data, the config would number them otherwise."""
    names = trial.provenance.get("vocabulary")
    kind = TASKS.get(str(section.get("name")))
    takes = kind is not None and "vocabulary" in kind.model_fields
    if names and takes and section.get("vocabulary") is None:
        return {**section, "vocabulary": names}
    return section


def _task_of(config: Experiment) -> Task:
    """
    Raises:
        UserError: the task is a plug-in's, which looking at a run does not import.
    """
    if config.task.name not in TASKS:
        raise UserError(
            "task.name", config.task.name, "comes from a plug-in, which the reference code does "
            "not have: export the format trm",
        )  # fmt: skip
    return config.task.build(cache_folder())


def _trial(
    folder: Place, trials: dict[int, Trial], result: Result | None, trial_id: int | None
) -> Trial:
    if trial_id is None:
        if result is None:
            refuse_ablations(folder, trials)
            raise UserError(
                f"{folder}: has no winner yet: finish it with `trm sweep ... --resume`, or name a "
                "trial with --trial"
            )
        return trials[result.winner]
    if trial_id not in trials:
        raise UserError("--trial", trial_id, f"is no trial of {folder}: see `trm status {folder}`")
    if trials[trial_id].infeasible:
        raise UserError("--trial", trial_id, f"is infeasible: {trials[trial_id].reason}")
    return trials[trial_id]


def _head(plan: Plan, trial: Trial, found: Summary) -> list[str]:
    what = "ablations" if trial.ablates else "sweep"
    lines = [f"trial {trial.id} of {what} {plan.run_id}"]
    sure = f"{found.confidence:.0%}"
    if found.standing == "explored":
        score = "none" if trial.score is None else f"{trial.score:.4f}"
        lines.append(f"{trial.outcome or 'unfinished'}; score {score} from one seed")
        if trial.breeds and not is_whole(trial, plan.generations):
            share = trial.compute / plan.budget
            lines.append(f"a stretch that ends at {share:.0%} of the budget; the rest never ran")
    else:
        fresh = "fresh seeds" if found.promise else "seeds of the race, in which another won"
        lines.append(
            f"{found.objective} on valid over {len(found.scores)} {fresh}: mean "
            f"{found.expected:.4f} ({', '.join(f'{score:.4f}' for score in found.scores)})"
        )
        if found.mean_low is not None:
            lines.append(
                f"its mean over all seeds: {found.mean_low:.4f} to {found.mean_high:.4f} ({sure})"
            )
    if found.promise is not None:
        lines += [
            f"promised for one fresh seed: undefined: {found.promise.undefined}"
            if found.fresh_low is None
            else f"promised for one fresh seed: {found.fresh_low:.4f} to {found.fresh_high:.4f} "
            f"({sure} prediction interval)",
            *_value_lines(found.promise.values, found.objective),
        ]
    if found.failures is not None and found.failure_low is not None:
        lines.append(
            f"failed: {found.failures} of {len(found.scores)} seeds, a rate of "
            f"{found.failure_low:.1%} to {found.failure_high:.1%} ({sure})"
        )
    if found.candidate is not None:
        best = found.candidate
        lines.append(
            f"robust score {best.robust:.4f} over {len(best.scores)} seeds, {best.failures} failed"
        )
        if best.reservation:
            lines.append(f"not fit for use: {best.reservation}")
    if found.promise is not None and found.reference is not None:
        lines.append(
            f"exact accuracy on test: {found.promise.test_mean:.4f}; your defaults': "
            f"{found.reference.test_mean:.4f}"
        )
    if found.standing != "explored":
        lines.append(f"seeds: {', '.join(map(str, found.seeds))}")
    seconds = "" if found.seconds is None else f", {found.seconds:.1f} s"
    lines.append(f"cost of a run: {found.flops:.3e} training FLOPs{seconds}")
    if found.data_hash:
        lines.append(f"data: {found.data_hash}")
    if found.versions:
        lines.append("made with: " + ", ".join(f"{k} {v}" for k, v in found.versions.items()))
    lines.append(f"made by: {commands(found)[0]}")
    return lines


def _value_lines(values: dict[str, float], first: str) -> list[str]:
    return [f"{name}: mean {value:.6g}" for name, value in values.items() if name != first]


BEST_FILE = "best.yaml"
