"""A checkpoint for the reference repository: the file that it loads, and the arch config for it."""

from __future__ import annotations

from pathlib import Path

import torch

from trm.checkpoint.head import read_head
from trm.checkpoint.reading import read_state
from trm.errors import UserError
from trm.files.paths import write_output
from trm.files.run_folder import cache_folder, checkpoint_in
from trm.reference.configs import forward_dtype, inexpressible, reference_file
from trm.reference.weights import CHECKPOINT_PREFIX, export_state_dict, unloadable, widened
from trm.tasks import TASKS
from trm.training.flops import step_flops


def write_reference_weights(
    checkpoint: Path, out: Path, prefix: str = CHECKPOINT_PREFIX
) -> list[str]:
    """Write `out`, which `+load_checkpoint=` of the reference takes, and `out.yaml`, its arch.

    The averaged weights where the run kept them, which the reference too saves.

    Args:
        checkpoint: a checkpoint, or the folder of a training for its newest.
        out: a file.
        prefix: of the names; without compilation (`DISABLE_COMPILE`) the reference's are `model.`.

    Returns:
        What was written, and what the reference cannot express, a line each.

    Raises:
        UserError: the reference has no such model, or the file cannot be written.
    """
    folder = checkpoint_in(checkpoint)
    head = read_head(folder, plugins=True)
    config, precision = head.config, head.resolved.precision
    if missing := unloadable(config):
        raise UserError(
            f"{missing[0]}: the reference has no such model, so these weights would compute "
            "something else there: use --format torch or onnx"
        )
    state = read_state(folder, head, training=False)
    weights = state.weights | state.ema
    wide = widened(weights, config.model.expansion)
    filled = sum(t.numel() for t in wide.values()) - sum(t.numel() for t in weights.values())
    dtype = getattr(torch, forward_dtype(config, precision))
    told = [line for line in inexpressible(config, precision) if not _filled(line, filled)]
    if filled:
        told.append(
            f"model.swiglu_multiple {config.model.swiglu_multiple}: {filled:,} zeros make every "
            "SwiGLU as wide as the reference's, which computes the same and stays so in training"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.save(export_state_dict(wide, prefix, dtype), out)
    except (OSError, RuntimeError) as error:
        raise UserError("--out", str(out), f"cannot be written: {error}") from error
    arch = out.with_name(f"{out.name}.yaml")
    name = out.stem.replace(".", "-") or "trm_best"
    head_lines = [
        f"{out.name} holds the weights after step {state.values['counters']['step']:,}; load them "
        f"with +load_checkpoint={out.absolute()}"
    ]  # fmt: skip
    write_output(arch, _arch_text(folder, name, head_lines, told), "--out")
    count = sum(t.numel() for t in wide.values())
    return [
        f"{out}: {count:,} numbers in {len(wide)} tensors named {prefix}inner..., initial states "
        f"in {str(dtype).removeprefix('torch.')}",
        f"{arch}: the arch config that goes with them",
        *(f"  {line}" for line in told),
    ]


def _filled(line: str, filled: int) -> bool:
    return bool(filled) and line.startswith("model.swiglu_multiple ")


def _arch_text(folder: Path, name: str, first: list[str], told: list[str]) -> str:
    """The arch config with the command that goes on with the weights, where the data is known."""
    head = read_head(folder, plugins=True)
    comments = "".join(f"# {line}\n" for line in first)
    if head.config.task.name not in TASKS:
        raise UserError(
            "task.name", head.config.task.name, "comes from a plug-in, which the reference code "
            "does not have: use --format torch or onnx",
        )  # fmt: skip
    task = head.config.task.build(cache_folder())
    steps = round(head.budget / step_flops(head.config, task))
    return comments + reference_file(
        head.config, task, steps, name=name, precision=head.resolved.precision, told=told
    )
