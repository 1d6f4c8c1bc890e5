"""The winner as a file that trains alone, in our format or the reference repository's."""

from __future__ import annotations

from typing import Any

from search.candidates import explored, is_whole, pareto_front
from search.confirm import Result, read_result
from search.ledger import Trial, read_book, read_trials
from search.place import Place
from search.plan import Plan, read_plan
from trm.config import Experiment, PromiseConfig, experiment_from
from trm.errors import UserError
from trm.flops import step_flops
from trm.reference import reference_file
from trm.tasks.base import Task
from trm.yaml12 import dump_yaml

FORMATS = ("trm", "reference")


def export(folder: Place, format: str, task: Task, trial_id: int | None = None) -> str:
    """The text of an exported file.

    Args:
        folder: a run folder.
        format: `trm`, a config that `trm train` takes; or `reference`, the arch YAML of the
            reference repository and the overrides for its `pretrain.py`.
        task: the run's task, for what the reference's overrides need to know of the data.
        trial_id: an explore trial; None takes the winner.

    Raises:
        UserError: no such trial, or no winner yet.
    """
    plan, result, trials = read_plan(folder), read_result(folder), read_trials(folder)
    trial = _trial(folder, trials, result, trial_id)
    promised = result if result is not None and trial.id == result.winner else None
    config = exported_config(plan, trial, promised)
    head = "".join(f"# {line}\n" for line in _head(plan, trial, promised, config))
    if format == "reference":
        return head + reference_file(config, task, round(plan.budget / step_flops(config, task)))
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
        return result.front
    found = pareto_front(plan, explored(plan, read_book(folder)))
    if not found:
        raise UserError(f"{folder}: no trial has run to its end yet: wait, or resume the sweep")
    return [candidate.trial.id for candidate in found]


def exported_config(plan: Plan, trial: Trial, result: Result | None) -> Experiment:
    """A trial's config with the sweep's budget, and the winner's promise if it has one.

    The winner's seed is the first of those that made the promise, so that training the file on
    the same hardware repeats a run that took no part in the choice.
    """
    tree: dict[str, Any] = {**trial.config, "name": f"{plan.default.name}-best"}
    if result is not None:
        promise = result.promise
        tree["train"] = {**tree["train"], "seed": promise.seeds[0]}
        tree["promise"] = PromiseConfig(
            column=result.objective,
            mean=promise.mean,
            low=promise.low,
            high=promise.high,
            confidence=result.confidence,
        ).model_dump()
    return experiment_from(tree)


def _trial(
    folder: Place, trials: dict[int, Trial], result: Result | None, trial_id: int | None
) -> Trial:
    if trial_id is None:
        if result is None:
            raise UserError(
                f"{folder}: has no winner yet: finish it with `trm sweep ... --resume`, or name a "
                "trial with --trial"
            )
        return trials[result.winner]
    if trial_id not in trials:
        raise UserError("--trial", trial_id, f"is no trial of {folder}: see `trm status {folder}`")
    if trials[trial_id].outcome == "infeasible":
        raise UserError("--trial", trial_id, f"is infeasible: {trials[trial_id].reason}")
    return trials[trial_id]


def _head(plan: Plan, trial: Trial, result: Result | None, config: Experiment) -> list[str]:
    lines = [f"trial {trial.id} of sweep {plan.study}"]
    if result is None:
        score = "none" if trial.score is None else f"{trial.score:.4f}"
        lines.append(f"{trial.outcome or 'unfinished'}; score {score} from one seed")
        if trial.stage == "population" and not is_whole(trial, plan.generations):
            share = trial.compute / plan.budget
            lines.append(f"a stretch that ends at {share:.0%} of the budget; the rest never ran")
    else:
        promise, best = result.promise, result.candidates[0]
        lines += [
            f"{result.objective} on valid over {len(promise.scores)} fresh seeds: mean "
            f"{promise.mean:.4f} ({', '.join(f'{score:.4f}' for score in promise.scores)})",
            f"promised for one fresh seed: {promise.low:.4f} to {promise.high:.4f} "
            f"({result.confidence:.0%} prediction interval)",
            *_value_lines(promise.values, result.objective),
            f"robust score {best.robust:.4f} over {len(best.scores)} seeds, {best.failures} failed",
            f"exact accuracy on test: {promise.test_mean:.4f}; the reference recipe's: "
            f"{result.reference.test_mean:.4f}",
        ]
    budget = config.train.budget.flops
    lines.append(f"compute {budget:.3e} training FLOPs")
    return lines


def _value_lines(values: dict[str, float], first: str) -> list[str]:
    return [f"{name}: mean {value:.6g}" for name, value in values.items() if name != first]
