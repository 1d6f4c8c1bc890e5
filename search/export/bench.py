"""What a checkpoint costs where it runs, by engine, batch and halting threshold."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from search.export.onnx_run import Thinker, Thoughts
from trm.deployment.timing import device_name, timed
from trm.evaluation import think as think_through
from trm.files.weights_only import weights_bytes
from trm.learning.halting import HaltingConfig
from trm.solver import Solver
from trm.tasks.base import Split

ENGINES = ("torch", "onnx", "onnx-int8-weights", "onnx-int8-activations")
DEEPER = 4
"""A multiple of the trained depth at which answers are compared too."""
Think = Callable[[Split, int, float], Thoughts]
"""Answers to puzzles, after so many steps at most and past so large a halting probability."""


@dataclass(frozen=True)
class Row:
    """One engine at one batch and threshold.

    Attributes:
        engine: a name of `ENGINES`.
        batch: puzzles of a call.
        threshold: halting probability past which a puzzle stops; 1 stops none.
        p50_ms: milliseconds of a call, half of them at most.
        p99_ms: 99 % of them at most.
        cpu_ms: CPU time of a call, the mean: on a busy machine it says more than the others.
        puzzles_per_s: of calls one after another.
        mean_steps: supervision steps that a puzzle took.
        memory_mb: peak of the process (of a CUDA device what torch handed out), in 1e6 bytes.
        joules: of the device for one puzzle; None where it does not tell.
        calls: timed.
    """

    engine: str
    batch: int
    threshold: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    puzzles_per_s: float
    mean_steps: float
    memory_mb: float
    joules: float | None
    calls: int


@dataclass(frozen=True)
class Quality:
    """What an engine answers, whatever its speed.

    Attributes:
        engine: a name of `ENGINES`.
        megabytes: of its file or files of weights, in 1e6 bytes.
        right: share of puzzles answered right by threshold.
        same: share of puzzles with every cell as torch answers it, at full depth.
        right_deeper: at `DEEPER` times the depth.
        same_deeper: likewise.
    """

    engine: str
    megabytes: float
    right: dict[str, float]
    same: float
    right_deeper: float
    same_deeper: float


@dataclass(frozen=True)
class Bench:
    """The result.

    Attributes:
        device: the hardware by its own name.
        threads: of a call on a CPU.
        puzzles: on which answers were compared.
        steps: supervision steps of training.
        parameters: of the model.
        quality: a row an engine.
        rows: a row an engine, batch and threshold.
    """

    device: str
    threads: int
    puzzles: int
    steps: int
    parameters: int
    quality: list[Quality]
    rows: list[Row]

    def tree(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def bench(
    solver: Solver,
    split: Split,
    *,
    engines: Sequence[str],
    batches: Sequence[int],
    thresholds: Sequence[float],
    seconds: float,
    threads: int,
    say: Callable[[str], object] = lambda text: None,
) -> Bench:
    """Compare and time the engines, one after another.

    Args:
        split: puzzles with their answers.
        seconds: that each combination is timed for.
        say: told what is being measured.

    Raises:
        UserError: packages of an engine are missing.
    """
    device = torch.device("cpu") if "torch" not in engines else solver.device
    steps = solver.head.config.model.halt_max_steps
    quality, rows = [], []
    with TemporaryDirectory() as folder:
        own = _torch(solver)
        first, deeper = own(split, steps, 1.0), own(split, DEEPER * steps, 1.0)
        for engine, think, size in _engines(solver, engines, Path(folder), threads, own):
            say(engine)
            mine = think(split, steps, 1.0)
            mine_deeper = think(split, DEEPER * steps, 1.0)
            right = {
                f"{threshold:g}": _right(solver, split, think(split, steps, threshold).answers)
                for threshold in thresholds
            }
            quality.append(
                Quality(
                    engine,
                    size / 1e6,
                    right,
                    _same(mine, first),
                    _right(solver, split, mine_deeper.answers),
                    _same(mine_deeper, deeper),
                )
            )
            where = device if engine == "torch" else torch.device("cpu")
            rows += [
                _timed(engine, think, split, steps, batch, threshold, seconds, where)
                for batch in batches
                for threshold in thresholds
            ]
    count = sum(p.numel() for p in solver.model.parameters())
    return Bench(device_name(device), threads, len(split), steps, count, quality, rows)


def _engines(
    solver: Solver, names: Sequence[str], folder: Path, threads: int, own: Think
) -> Iterator[tuple[str, Think, float]]:
    """Each engine with how it thinks and the bytes of its weights."""
    if "torch" in names:
        yield "torch", own, weights_bytes(solver.folder)
    if graphs := [name for name in names if name != "torch"]:
        from search.export.onnx_format import loop_model, require_deploy, step_model
        from search.export.onnx_int8 import int8_model
        from trm.deployment.graphs import SupervisionStep

        require_deploy(f"--engine {graphs[0]}")
        step = step_model(SupervisionStep(solver.model, HaltingConfig()), solver.task.seq_len)
        for name in graphs:
            kind: Any = name.removeprefix("onnx-int8-")
            content = loop_model(step if name == "onnx" else int8_model(step, kind))
            path = folder / f"{name}.onnx"
            path.write_bytes(content.SerializeToString())
            yield name, _onnx(Thinker(path, threads)), path.stat().st_size


def _onnx(thinker: Thinker) -> Think:
    def think(split: Split, steps: int, threshold: float) -> Thoughts:
        return thinker.think(split.inputs, split.puzzle_identifiers, steps, threshold)

    return think


def _torch(solver: Solver) -> Think:
    """The model itself; a batch goes on until its last puzzle has stopped, as the graphs do."""
    rows = solver.head.config.train.eval_batch_size

    def think(split: Split, steps: int, threshold: float) -> Thoughts:
        parts = [
            _thought(solver, split.take(slice(begin, begin + rows)), steps, threshold)
            for begin in range(0, len(split), rows)
        ]
        names = ("answers", "chance", "taken")
        return Thoughts(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))

    return think


def _thought(solver: Solver, split: Split, steps: int, threshold: float) -> Thoughts:
    inputs = torch.from_numpy(split.inputs).to(solver.device)
    kinds = torch.from_numpy(split.puzzle_identifiers).to(solver.device)
    least = math.inf if threshold >= 1.0 else math.log(threshold / (1.0 - threshold))
    done = torch.zeros(len(split), dtype=torch.bool, device=solver.device)
    taken = torch.zeros(len(split), dtype=torch.int64, device=solver.device)
    answers, chance = torch.zeros_like(inputs, dtype=torch.int64), taken.float()
    for step, output in enumerate(think_through(solver.model, inputs, kinds, steps), 1):
        answers = torch.where(done[:, None], answers, output.logits.argmax(-1))
        chance = torch.where(done, chance, output.q_halt.float().sigmoid())
        taken = torch.where(done, taken, step)
        done |= output.q_halt > least
        if threshold < 1.0 and bool(done.all()):
            break
    return Thoughts(*(tensor.cpu().numpy() for tensor in (answers, chance, taken)))


def _timed(
    engine: str,
    think: Think,
    split: Split,
    steps: int,
    batch: int,
    threshold: float,
    seconds: float,
    device: torch.device,
) -> Row:
    order: NDArray[np.intp] = np.arange(batch)
    taken: list[float] = []

    def call(number: int) -> None:
        rows = (order + number * batch) % len(split)
        taken.append(float(think(split.take(rows), steps, threshold).taken.mean()))

    found = timed(call, seconds, device)
    return Row(
        engine,
        batch,
        threshold,
        found.p50 * 1e3,
        found.p99 * 1e3,
        found.cpu * 1e3,
        batch / found.mean,
        float(np.mean(taken)),
        found.memory / 1e6,
        None if found.joules is None else found.joules / batch,
        found.calls,
    )


def _right(solver: Solver, split: Split, answers: NDArray[np.int64]) -> float:
    return float(solver.task.right(split.inputs, split.labels, answers.astype(np.int32)).mean())


def _same(one: Thoughts, other: Thoughts) -> float:
    return float((one.answers == other.answers).all(axis=1).mean())
