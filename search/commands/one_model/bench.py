"""Time a trained model where it is to run: latency, throughput, memory, energy and what it answers.

PyTorch stands beside ONNX Runtime, in float32 and in int8 (its weights; its weights and what they
are multiplied with), at each batch and each halting threshold: at 1 every puzzle takes all
supervision steps, below it stops once its halting probability is above. The first table says what
each engine answers: its share of right puzzles by threshold, the share whose every cell is as
PyTorch has it, and both at four times the trained depth. Energy is the device's, whoever uses it,
where it tells: on Linux's powercap (root may have to allow it), by NVML on NVIDIA's GPUs.

ONNX Runtime needs `pip install 'trm-search[deploy]'`; without it only torch is timed.

  trm bench runs/mine
  trm bench runs/sudoku4-train --batch 1,64 --threshold 1,0.5,0.9 --seconds 5
  trm bench runs/sudoku4-train --engine torch --device cuda --json
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from search.commands.options import add_weights, positive
from trm.errors import UserError

if TYPE_CHECKING:
    from search.export.bench import Bench


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm bench`."""
    add_weights(parser)
    parser.add_argument(
        "--engine", action="append", choices=_ENGINES, metavar="ENGINE",
        help=f"one of {', '.join(_ENGINES)}; may be repeated (default: all that are installed)",
    )  # fmt: skip
    parser.add_argument(
        "--batch", type=_batches, default=[1, 64], metavar="N,N",
        help="puzzles of a call (default: 1,64)",
    )  # fmt: skip
    parser.add_argument(
        "--threshold", type=_thresholds, metavar="P,P",
        help="halting probabilities past which a puzzle stops; 1 stops none (default: 1, and the "
        "config's eval_threshold, or 0.5)",
    )  # fmt: skip
    parser.add_argument(
        "--split", choices=["train", "valid", "test"], default="valid",
        help="which puzzles (default: valid)",
    )  # fmt: skip
    parser.add_argument(
        "--examples", type=positive, default=256, metavar="N",
        help="puzzles on which answers are compared (default: 256)",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=_seconds, default=1.0, metavar="S",
        help="that each combination is timed for (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=positive, metavar="N",
        help="CPU threads of a call (default: those that it was trained with)",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="of torch: auto, cpu, cuda or mps")
    parser.add_argument("--json", action="store_true", help="print JSON")


_ENGINES = ("torch", "onnx", "onnx-int8-weights", "onnx-int8-activations")


def run(args: argparse.Namespace) -> int:
    """Time and print; returns the exit code."""
    import torch

    from search.export.bench import bench
    from search.export.onnx_format import require_deploy
    from search.export.weights import weights_of
    from search.logs.console import say, task_progress
    from trm.evaluation import subset
    from trm.learning.halting import logit_threshold
    from trm.solver import load

    with weights_of(args.checkpoint, args.trial) as weights:
        engines = args.engine
        if engines is None:
            engines = [*_ENGINES]
            try:
                require_deploy("ONNX Runtime is left out")
            except UserError as error:
                engines = ["torch"]
                say(str(error))
        if weights.words:
            say(weights.words)
        with task_progress() as progress:
            solver = load(weights.checkpoint, args.device, progress=progress, key="--device")
            split = subset(solver.split(args.split), args.examples)
        own = solver.head.config.halting
        threads = args.threads or solver.head.config.train.threads
        torch.set_num_threads(threads)
        found = bench(
            solver, split, engines=list(dict.fromkeys(engines)), batches=args.batch,
            thresholds=args.threshold or [1.0, logit_threshold(own) or 0.5],
            seconds=args.seconds, threads=threads, say=say,
        )  # fmt: skip
    if args.json:
        print(json.dumps(found.tree()))
    else:
        print(_text(found, args.split))
    return 0


def _text(found: Bench, split: str) -> str:
    threads = "1 thread" if found.threads == 1 else f"{found.threads} threads"
    lines = [
        f"{found.device}, {threads}; {found.parameters:,} parameters, {found.steps} supervision "
        f"steps; {found.puzzles:,} puzzles of {split}",
        "",
        f"{'engine':<22} {'MB':>8}  {'right at p >':<24} {'same':>7}  {'right 4x':>8} "
        f"{'same 4x':>7}",
    ]
    for one in found.quality:
        right = "  ".join(f"{at}:{share:.3f}" for at, share in one.right.items())
        lines.append(
            f"{one.engine:<22} {one.megabytes:>8.3f}  {right:<24} {one.same:>7.4f}  "
            f"{one.right_deeper:>8.3f} {one.same_deeper:>7.4f}"
        )
    energy = any(row.joules is not None for row in found.rows)
    lines += [
        "",
        f"{'engine':<22} {'batch':>5} {'p >':>5} {'p50 ms':>9} {'p99 ms':>9} {'CPU ms':>8} "
        f"{'puzzles/s':>10} {'steps':>6} {'MB':>7}" + (f" {'mJ':>8}" if energy else ""),
    ]
    for row in found.rows:
        spent = "" if row.joules is None else f" {row.joules * 1e3:>8.2f}"
        lines.append(
            f"{row.engine:<22} {row.batch:>5} {row.threshold:>5g} {row.p50_ms:>9.3f} "
            f"{row.p99_ms:>9.3f} {row.cpu_ms:>8.3f} {row.puzzles_per_s:>10,.0f} "
            f"{row.mean_steps:>6.2f} {row.memory_mb:>7.0f}{spent}"
        )
    if not energy:
        lines.append("energy: this device does not tell")
    return "\n".join(lines)


def _batches(text: str) -> list[int]:
    return sorted({positive(part.strip()) for part in text.split(",")})


def _thresholds(text: str) -> list[float]:
    found = []
    for part in text.split(","):
        try:
            value = float(part)
        except ValueError:
            value = -1.0
        if not 0.0 < value <= 1.0:
            raise argparse.ArgumentTypeError(f"{part!r} must lie above 0, and be 1 at most")
        found.append(value)
    return list(dict.fromkeys(found))


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value <= 3600.0:
        raise argparse.ArgumentTypeError(f"{text!r} must be seconds, from above 0 to 3600")
    return value
