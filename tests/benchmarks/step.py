"""What a training step costs through the compiled library and through torch; how exact both are.

Both kinds take turns in one process on one thread; times are CPU time, so that neighbours cost
less than they do on the clock. For vectors of AVX2 on a machine that has wider ones:

    CXXFLAGS="-mno-avx512f" ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 \\
        ONEDNN_MAX_CPU_ISA=AVX2 python -m tests.benchmarks step
"""

from __future__ import annotations

import copy
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from search.config.file import load_tree
from search.space.space import Space
from tests.benchmarks.compilation import build
from trm.learning.losses import act_loss
from trm.training.flops import step_flops
from trm.training.steps.at_once import learn_at_once
from trm.training.trainer import Trainer


def preset(name: str) -> dict[str, Any]:
    return dict(Space.parse(load_tree(name)).default()[1])


def sudoku(
    box: int, hidden: int, mixer: str, batch: int, expansion: float = 1.0, multiple: int = 32
) -> dict[str, Any]:
    blanks = {2: 8, 3: 30}[box]
    return {
        "task": {
            "name": "sudoku", "box": [box, box], "blanks": blanks, "train_examples": 256,
            "valid_examples": 16, "test_examples": 16,
        },
        "model": {
            "mixer": mixer, "hidden_size": hidden, "expansion": expansion,
            "swiglu_multiple": multiple, "puzzle_emb_len": 1, "H_cycles": 2, "L_cycles": 2,
            "halt_max_steps": 4,
        },
        "train": {"batch_size": batch, "budget": {"steps": 10_000}, "ema": None},
        "optimizer": {"name": "adamw", "lr": 1e-3},
    }  # fmt: skip


SHAPES: tuple[tuple[str, dict[str, Any], int, int], ...] = (
    ("arrows4 (mlp_t, hidden 32)", preset("arrows4"), 5, 11),
    ("arrows5 (mlp_t, hidden 32)", preset("arrows5"), 5, 11),
    ("4x4 Sudoku, mlp_t, hidden 64", sudoku(2, 64, "mlp_t", 64), 2, 9),
    ("4x4 Sudoku, attention, hidden 64", sudoku(2, 64, "attention", 64), 2, 9),
    ("9x9 Sudoku, mlp_t, hidden 64", sudoku(3, 64, "mlp_t", 32), 1, 7),
    ("9x9 Sudoku, attention, hidden 64", sudoku(3, 64, "attention", 32), 1, 7),
    ("9x9 Sudoku, mlp_t, hidden 128", sudoku(3, 128, "mlp_t", 16), 1, 7),
    ("9x9 Sudoku, attention, hidden 128", sudoku(3, 128, "attention", 16), 1, 7),
    ("the same, expansion 4", sudoku(3, 128, "attention", 16, 4.0, 256), 1, 5),
    ("9x9 Sudoku, mlp_t, hidden 512", sudoku(3, 512, "mlp_t", 4, 4.0, 256), 1, 5),
    ("9x9 Sudoku, attention, hidden 512", sudoku(3, 512, "attention", 4, 4.0, 256), 1, 5),
)
"""Name, config, steps of a turn, turns."""


def spent(trainer: Trainer, count: int) -> float:
    """CPU seconds of one step, the mean of some."""
    begun = time.process_time()
    for _ in range(count):
        trainer.train_step()
    assert not trainer.counters.diverged
    return (time.process_time() - begun) / count


def peak() -> float:
    """FLOP/s of torch's product of two matrices that suit it."""
    a, best = torch.randn(768, 768), float("inf")
    for _ in range(12):
        begun = time.process_time()
        torch.mm(a, a)
        best = min(best, time.process_time() - begun)
    return 2 * 768**3 / best


@dataclass(frozen=True)
class Pair:
    """Steps of two trainings of one shape, taken in turns.

    Attributes:
        slow: median CPU seconds of a step of the one that is compared with.
        fast: of the other.
        ratios: of the pairs, rising.
        flops: training FLOPs of a step.
    """

    slow: float
    fast: float
    ratios: list[float]
    flops: float

    @property
    def ratio(self) -> float:
        """How many times as fast."""
        return self.slow / self.fast


def in_turns(
    slow: Callable[[int], float],
    fast: Callable[[int], float],
    flops: float,
    count: int,
    rounds: int,
) -> Pair:
    """Time so many steps of each, so many times, after one uncounted turn."""
    slow(count), fast(count)
    pairs = [(slow(count), fast(count)) for _ in range(rounds)]
    return Pair(
        statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs),
        sorted(a / b for a, b in pairs), flops,
    )  # fmt: skip


def measured(tree: dict[str, Any], count: int, rounds: int, fast: str = "fused") -> Pair:
    """The eager step beside that of another kernel."""
    one, other = (build(tree, **{"train.kernel": kernel}) for kernel in ("eager", fast))
    flops = step_flops(one.config, one.task)
    return in_turns(partial(spent, one), partial(spent, other), flops, count, rounds)


def ratio(name: str, tree: dict[str, Any], count: int, rounds: int) -> None:
    found = measured(tree, count, rounds)
    print(
        f"| {name} | {1e3 * found.slow:.1f} | {1e3 * found.fast:.1f} | {found.ratio:.2f} "
        f"| {found.ratios[0]:.2f}-{found.ratios[-1]:.2f} | {found.flops / found.slow / 1e9:.0f} "
        f"| {found.flops / found.fast / 1e9:.0f} |",
        flush=True,
    )


def gradients(trainer: Trainer, dtype: torch.dtype, fused: bool) -> dict[str, torch.Tensor]:
    """Of the next step's loss, on a copy of the model, which is left as it is."""
    model, carry = copy.deepcopy(trainer.model), trainer.carry
    model.fused = model.fused if fused else None
    model, model.dtype = model.to(dtype), dtype
    latent = copy.deepcopy(carry.latent)
    latent.z_H, latent.z_L = latent.z_H.to(dtype), latent.z_L.to(dtype)
    model.zero_grad()
    rows, loss = len(carry.labels), trainer.config.loss
    if fused:
        learn_at_once(model, latent, carry, trainer.stage, loss, None, rows)
    else:
        _, output = model(latent, carry.inputs, carry.puzzle_identifiers)
        act_loss(output, carry.labels, loss).total.backward()  # type: ignore[no-untyped-call]
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def exactness(name: str, tree: dict[str, Any]) -> None:
    trainer = build(tree, **{"train.kernel": "fused"})
    for until in (0, 100, 300):
        while trainer.counters.step < max(until, 1):  # the first step fills the batch
            trainer.train_step()
        true = gradients(trainer, torch.float64, fused=False)
        worst = []
        for fused in (True, False):
            found = gradients(trainer, torch.float32, fused)
            errors = [
                float((found[key].double() - true[key]).abs().max() / true[key].abs().max())
                for key in true
                if true[key].any()
            ]
            worst.append(max(errors))
        print(f"| {name} | {until} | {worst[0]:.1e} | {worst[1]:.1e} |", flush=True)


def main() -> None:
    torch.set_num_threads(1)
    print(
        f"load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores, "
        f"{torch.backends.cpu.get_cpu_capability()}, product of matrices {peak() / 1e9:.0f} GFLOP/s"
    )
    print("| model | eager ms | fused ms | ratio | of pairs | eager GFLOP/s | fused GFLOP/s |")
    for shape in SHAPES:
        ratio(*shape)
    print(f"load {os.getloadavg()[0]:.0f}, product of matrices {peak() / 1e9:.0f} GFLOP/s")
    print("| model | step | worst gradient, fused | eager |")
    for name, tree, *_ in (SHAPES[0], SHAPES[3], SHAPES[6]):
        exactness(name, tree)
