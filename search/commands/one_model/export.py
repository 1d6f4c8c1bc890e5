"""Write a run's best config, or the weights of a checkpoint, in a form that others read.

Configs (of a run: its best by robust score, one trial's, or those of the Pareto front) say what is
known of them: expected score, intervals, failures, seeds, cost, versions and data. Format `trm` is
a config that `trm train` takes. Format `reference` is the arch YAML of the reference repository
with the exact overrides for its `pretrain.py`; it lists what the reference cannot express. Format
`json` is for scripts, and `card` a model card in Markdown.

  trm export runs/mine --out best.yaml
  trm export runs/mine --format reference --out trm_best.yaml
  trm export runs/mine --format card --out CARD.md
  trm export runs/mine --trial 12 --out other.yaml
  trm export runs/mine --front front

Weights (of a run: the winner's; else of a checkpoint or a training's folder): format
`reference-weights` is the file that the reference's `pretrain.py` loads, with its arch YAML beside
it.

Formats `onnx` and `torch` are folders that run without this project: one supervision step, and the
loop around it that stops each puzzle by its halting rule, for any number of puzzles at once, held
against the checkpoint before the command ends. `onnx` needs `pip install 'trm-search[deploy]'`.

  trm export runs/mine --format reference-weights --out step_700
  trm export runs/mine --format onnx --out deployed
  trm export runs/mine --format onnx --int8 activations --out deployed-int8
  trm export runs/sudoku4-train --format torch --out deployed-torch
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from search.commands.options import a_path, a_place
from search.logs.plain import write_exactly
from trm.errors import UserError
from trm.files.paths import write_output

CONFIGS = ("trm", "reference", "json", "card")
WEIGHTS = ("reference-weights", "onnx", "torch")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm export`."""
    parser.add_argument(
        "run", type=a_place, metavar="RUN",
        help="a run folder of `trm sweep`, or its URI; for weights a checkpoint too",
    )  # fmt: skip
    parser.add_argument(
        "--format", choices=[*CONFIGS, *WEIGHTS], default="trm",
        help="trm: for `trm train`; reference: for the reference repository; json: config and "
        "figures; card: a model card in Markdown; reference-weights: the checkpoint that the "
        "reference repository loads; onnx, torch: graphs that run by themselves (default: trm)",
    )  # fmt: skip
    parser.add_argument(
        "--trial", type=int, metavar="ID", help="an explore trial instead of the winner"
    )
    parser.add_argument(
        "--front", type=a_path, metavar="DIR",
        help="one file for every config of the Pareto front, in this folder",
    )  # fmt: skip
    parser.add_argument(
        "--out",
        type=a_path,
        metavar="FILE",
        help="a file (default: print it; weights need one); of onnx and torch a folder",
    )
    parser.add_argument(
        "--prefix", default="_orig_mod.model.", metavar="TEXT",
        help="reference-weights: before every name (default: _orig_mod.model., as the reference "
        "has them where it compiles; without, model.)",
    )  # fmt: skip
    parser.add_argument(
        "--int8", choices=["weights", "activations"],
        help="onnx: matrices in int8, or their products as well",
    )  # fmt: skip
    parser.add_argument(
        "--halt", metavar="RULE",
        help="onnx, torch: the halting rule of the loop, as of `trm eval` (default: its own)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Export; returns the exit code."""
    from search.export.export import FORMATS, export, front_trials
    from search.ledger.storage import place

    if args.format in WEIGHTS:
        return _weights(args)
    run = place(args.run)
    if args.front is not None:
        if args.trial is not None or args.out is not None:
            raise UserError("--front", str(args.front), "goes with neither --trial nor --out")
        for trial in front_trials(run):
            path = args.front / f"trial-{trial}{FORMATS[args.format]}"
            _write(path, export(run, args.format, trial), "--front")
        return 0
    text = export(run, args.format, args.trial)
    if args.out is None:
        write_exactly(text, sys.stdout)
    else:
        _write(args.out, text, "--out")
    return 0


def _weights(args: argparse.Namespace) -> int:
    """Write trained weights; returns the exit code."""
    from search.export.reference_weights import write_reference_weights
    from search.export.weights import weights_of
    from search.logs.console import say

    if args.front is not None:
        raise UserError("--front", str(args.front), f"does not go with --format {args.format}")
    with weights_of(args.run, args.trial) as weights:
        if args.out is None:
            what = "a file" if args.format == "reference-weights" else "a folder"
            raise UserError(f"--out: is missing: --format {args.format} writes {what}: name it")
        if weights.words:
            say(weights.words)
        if args.format == "reference-weights":
            lines = write_reference_weights(weights.checkpoint, args.out, args.prefix)
        else:
            lines = _deployed(args, weights.checkpoint)
    print("\n".join(lines))
    return 0


def _deployed(args: argparse.Namespace, checkpoint: Path) -> list[str]:
    """Write graphs; returns what is to be said."""
    from search.commands.one_model.thinking import halt_of
    from search.export.deploy import deploy
    from search.logs.console import task_progress
    from trm.solver import load

    with task_progress() as progress:
        solver = load(checkpoint, "cpu", progress=progress)
    rule = halt_of(args.halt, solver).rule
    return deploy(solver, args.out, args.format, rule=rule, int8=args.int8).lines(args.out)


def _write(path: Path, text: str, option: str) -> None:
    try:
        if option == "--front":
            path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(option, str(path), f"cannot be written: {error.strerror}") from error
    write_output(path, text, option)
    print(f"written to {path}")
