"""Training steps of several seeds, one after another and as one model.

Both take turns in one process. On a GPU the clock counts, on a CPU the CPU time. Where there is a
GPU: `python -m tests.benchmarks stacking`, or `measured(tree, seeds)` from another program; neither
needs Ray.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.benchmarks.step import SHAPES
from trm.config import experiment_from, set_value
from trm.device import resolve
from trm.files.run_folder import cache_folder
from trm.training.stacking.stacked import Stacked
from trm.training.trainer import Trainer

SEEDS = (2, 4, 8)
SMALL = (SHAPES[0], SHAPES[3])
"""On a CPU the clock says little: it is the operators that a GPU would wait for."""
VIEWS = frozenset(
    (
        "view", "_unsafe_view", "t", "transpose", "permute", "detach", "alias", "unsqueeze",
        "squeeze", "expand", "select", "slice", "split", "split_with_sizes", "unbind",
        "as_strided", "reshape", "empty", "empty_like", "new_empty", "lift_fresh",
    )
)  # fmt: skip
"""Operators that launch nothing."""


@dataclass(frozen=True)
class Measured:
    """What so many seeds cost.

    Attributes:
        seeds: trained together.
        alone: seconds of a step of each of them, one after another.
        stacked: seconds of a step of all of them.
        calls_alone: operators of all the steps one after another that launch something.
        calls: the same of one step of all.
    """

    seeds: int
    alone: float
    stacked: float
    calls_alone: int
    calls: int

    @property
    def ratio(self) -> float:
        """How many times as fast as one after another."""
        return self.alone / self.stacked


def measured(
    tree: dict[str, Any], seeds: Sequence[int] = SEEDS, *, steps: int = 5, rounds: int = 7
) -> list[Measured]:
    """Median seconds for each number of seeds, eager both ways.

    Args:
        tree: an experiment; `train.device` decides where.
        steps: of a turn.
        rounds: turns of each way.
    """
    set_value(tree, "train.kernel", "eager")
    config = experiment_from(tree)
    task = config.task.build(cache_folder())
    found = []
    for count in seeds:
        resolved = replace(resolve(config.train), kernel="eager")
        stacked = Stacked.of_seeds(config, task, range(count), resolved=resolved)
        alone = [Trainer(config, task, resolved=resolved) for _ in range(count)]
        alone[0].prepare()

        def one_by_one(alone: Sequence[Trainer] = alone) -> None:
            for trainer in alone:
                trainer.train_step()

        def together(stacked: Stacked = stacked) -> None:
            assert not stacked.train_step()

        device = torch.device(resolved.device)
        turns: list[tuple[float, float]] = []
        for _ in range(rounds + 1):
            turns.append((_spent(one_by_one, steps, device), _spent(together, steps, device)))
        first, second = (statistics.median(column) for column in zip(*turns[1:], strict=True))
        calls = (_calls(one_by_one), _calls(together))
        found.append(Measured(count, first, second, *calls))
    return found


class _Calls(TorchDispatchMode):
    """Counts operators that do something."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.count += operator._schema.name.split("::")[1] not in VIEWS
        return operator(*args, **(kwargs or {}))


def _calls(step: Callable[[], None]) -> int:
    with _Calls() as calls:
        step()
    return calls.count


def _spent(step: Callable[[], None], steps: int, device: torch.device) -> float:
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begun = clock()
    for _ in range(steps):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (clock() - begun) / steps


def main() -> None:
    torch.set_num_threads(1)
    print("| shape | seeds | alone, ms | stacked, ms | ratio | operators alone | stacked |")
    print("|---|---|---|---|---|---|---|")
    for name, tree, steps, rounds in SHAPES if torch.cuda.is_available() else SMALL:
        for one in measured(tree, steps=steps, rounds=rounds):
            print(
                f"| {name} | {one.seeds} | {1e3 * one.alone:.1f} | {1e3 * one.stacked:.1f} "
                f"| {one.ratio:.2f} | {one.calls_alone} | {one.calls} |",
                flush=True,
            )
