"""The metadata of a model card, as Hugging Face's hub reads it from the head of the file."""

from __future__ import annotations

from typing import Any

from search.config.plan import Plan
from search.export.summary import Summary
from trm.config import Experiment
from trm.files.yaml12 import dump_yaml

SPLIT = "validation"


def card_head(plan: Plan, config: Experiment, found: Summary) -> str:
    """The YAML between two lines of dashes.

    The keys are those of the hub's specification of model cards: `license` is `unknown` until
    whoever owns the data and the weights says otherwise, `model-index` holds what was measured.
    """
    task = config.tree()["task"]
    name = str(task["name"])
    metrics: list[dict[str, Any]] = []
    if found.expected is not None:
        seeds = len(found.scores)
        over = f"{found.objective}, mean over {seeds} seed{'' if seeds == 1 else 's'}"
        metrics.append({"type": found.objective, "name": over, "value": round(found.expected, 6)})
    results = [_result(name, SPLIT, metrics)] if metrics else []
    if found.promise is not None:
        test = {
            "type": "exact_accuracy",
            "name": "exact accuracy, looked at once",
            "value": round(found.promise.test_mean, 6),
        }
        results.append(_result(name, "test", [test]))
    head: dict[str, Any] = {
        "license": "unknown",
        "library_name": "trm-search",
        "tags": ["tiny-recursive-model", "trm", "recursive-reasoning", name],
        "metrics": list(dict.fromkeys(m["type"] for one in results for m in one["metrics"])),
    }
    if results:
        title = f"{plan.name}-trial-{found.trial}"
        head["model-index"] = [{"name": title, "results": results}]
    return f"---\n{dump_yaml(head)}---\n"


def _result(task: str, split: str, metrics: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "task": {"type": "other", "name": f"puzzles: {task}"},
        "dataset": {"type": task, "name": task, "split": split},
        "metrics": metrics,
    }
