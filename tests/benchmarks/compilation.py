"""What `train.compile` gains in a training step, what it costs first, and how many graphs it has.

Compiled and eager steps take turns in one process, on one thread.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from search.config.file import load_tree
from search.space.space import Space
from tests.benchmarks.side_by_side import compare
from tests.support.compiled import GROWING
from trm.config import experiment_from, set_value
from trm.files.run_folder import cache_folder
from trm.training.trainer import Trainer

ARROWS = Space.parse(load_tree("arrows5")).default()[1]
SUDOKU: dict[str, Any] = {
    "task": {
        "name": "sudoku", "blanks": 30, "train_examples": 64, "valid_examples": 16,
        "test_examples": 16,
    },
    "model": {"mixer": "mlp_t", "H_cycles": 2, "L_cycles": 2},
    "train": {"batch_size": 8, "budget": {"steps": 1000}, "ema": None},
}  # fmt: skip


def build(tree: dict[str, Any], **changes: Any) -> Trainer:
    tree = {**tree, "train": dict(tree["train"])}
    for key, value in changes.items():
        set_value(tree, key, value)
    config = experiment_from(tree)
    trainer = Trainer(config, config.task.build(cache_folder()))
    trainer.prepare()
    return trainer


def steps(trainer: Trainer, count: int) -> float:
    """Seconds of so many training steps."""
    begun = time.perf_counter()
    for _ in range(count):
        trainer.train_step()
    assert not trainer.counters.diverged
    return time.perf_counter() - begun


def speed(name: str, tree: dict[str, Any], count: int, rounds: int) -> None:
    """Print the ratio for one model, and how many steps make up for the compiler's time."""
    eager = build(tree)
    compiled = build(tree, **{"train.compile": True})
    first = []
    for _ in ("cold", "warm"):
        torch._dynamo.reset()
        first.append(steps(compiled, 2))
    fast, slow = compare(lambda: steps(compiled, count), lambda: steps(eager, count), rounds)
    gain = (slow - fast) / count
    even = [f"{seconds / gain:.0f}" if gain > 0 else "never" for seconds in first]
    print(
        f"{name}: compiled step {1e3 * fast / count:.1f} ms, eager {1e3 * slow / count:.1f} ms, "
        f"ratio {fast / slow:.2f}; first two steps {first[0]:.1f} s, with graphs on disk "
        f"{first[1]:.1f} s; even after {even[0]} and {even[1]} steps"
    )


def graphs(curriculum: Any) -> int:
    """Graphs that a short run takes in a process that has none."""
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    before = counters["stats"]["unique_graphs"]
    small = {"train.compile": True, "train.budget": {"steps": 20}, "train.reports": 4}
    trainer = build({**ARROWS, "curriculum": curriculum}, **small)
    depths = [(report.H_cycles, report.L_cycles) for report in trainer.run()]
    assert not trainer.counters.diverged
    assert (len(set(depths)) == 3) == (curriculum == GROWING), depths
    return int(counters["stats"]["unique_graphs"] - before)


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(folder, "inductor"))
        speed("arrows5, hidden 32", ARROWS, 20, 11)
        speed("9x9 Sudoku, hidden 512, batch 8", SUDOKU, 1, 7)
        constant, growing = graphs("none"), graphs(GROWING)
        print(f"graphs: {constant} at constant depth, {growing} at (1,1), (2,1), (2,2)")
        assert constant == growing
