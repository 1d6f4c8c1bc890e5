"""The columns of a report that say what deeper and wider thinking is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from trm.network.model import TRM
from trm.tasks.base import Split, Task
from trm.thought.config import ThoughtConfig
from trm.thought.points import point, rollout_steps
from trm.thought.rollouts import record


@dataclass(frozen=True)
class Measures:
    """Columns of `Report`, which says what they mean; None where not asked for."""

    accuracy_x4: float | None = None
    accuracy_x16: float | None = None
    accuracy_k8: float | None = None
    thought_accuracy: float | None = None
    depth_drop: float | None = None
    depth_drop_x16: float | None = None


def measures(
    model: TRM,
    task: Task,
    split: Split,
    config: ThoughtConfig,
    *,
    beyond: int,
    batch_size: int,
    device: torch.device,
) -> Measures:
    """Evaluate a model, with the weights that it has now, as deep and wide as is asked for.

    Args:
        beyond: the depth of `depth_drop`, in multiples of the trained one.
    """
    if not config.asked:
        return Measures()
    trained = model.config.halt_max_steps
    recording = record(
        model,
        task,
        split,
        measured_steps(config, trained),
        noise=config.noise,
        batch_size=batch_size,
        device=device,
    )

    def accuracy(depth: int, breadth: int, pick: str) -> float:
        found = point(recording, depth * trained, breadth, picks=(pick,))
        return float(found.picked[pick].mean())

    # Deeper thinking alone is scored as the trained depth is: by the last answer.
    picks: Mapping[str, str] = {"accuracy_k8": config.pick, "thought_accuracy": config.pick}
    found = {
        column: accuracy(*pair, picks.get(column, "q")) for column, pair in config.asked.items()
    }
    base = accuracy(1, 1, "q")
    if f"accuracy_x{beyond}" in found:
        found["depth_drop"] = base - found[f"accuracy_x{beyond}"]
    if "accuracy_x16" in found:
        found["depth_drop_x16"] = base - found["accuracy_x16"]
    return Measures(**found)


def measured_steps(config: ThoughtConfig, trained: int) -> list[int]:
    """Supervision steps of each rollout that the columns take; empty where none is asked for.

    >>> measured_steps(ThoughtConfig(measure=["accuracy_x4", "accuracy_k8"]), 2)
    [8, 2, 2, 2, 2, 2, 2, 2]
    """
    pairs = [(depth * trained, breadth) for depth, breadth in config.asked.values()]
    return rollout_steps(pairs) if pairs else []
