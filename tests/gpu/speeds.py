"""Training steps a second: waiting for each, going ahead, compiled, and as CUDA graphs."""

from __future__ import annotations

import time
from typing import Any

import torch

from tests.gpu.trainings import HARD, TREE, going_ahead, training
from trm.errors import UserError

NANO = {
    "model.hidden_size": 512, "model.num_heads": 8, "train.batch_size": 768,
    "model.puzzle_emb_ndim": 0, "model.puzzle_emb_len": 0,
}  # fmt: skip
"""nano-trm's config, of which 14 steps a second on an H100 are known."""
SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    **{f"hidden {n}": (HARD, {"model.hidden_size": n}) for n in (64, 128, 256, 512)},
    "nano-trm: hidden 512, batch 768, H3 L6, mlp_t, no prefix": (HARD, NANO),
}
TINY: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "hidden 16": (TREE, {}),
    "as nano-trm, hidden 16": (TREE, {"model.puzzle_emb_ndim": 0, "model.puzzle_emb_len": 0}),
}
WAYS: dict[str, tuple[bool, dict[str, Any]]] = {
    "waiting": (False, {}),
    "ahead": (True, {}),
    "compiled": (True, {"train.compile": True}),
    "graphs": (True, {"train.cuda_graphs": "on"}),
}


def speed(
    shape: tuple[dict[str, Any], dict[str, Any]], way: str, device: str, seconds: float
) -> str:
    """Steps a second over about so long, or why there are none."""
    ahead, changes = WAYS[way]
    tree, more = shape
    try:
        with going_ahead(device, ahead):
            one = training(tree, device, {**more, **changes})
        for _ in range(6):
            one.train_step()
        _finish(one)
        begun, count = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            for _ in range(4):
                one.train_step()
            count += 4
        _finish(one)
        return f"{count / (time.perf_counter() - begun):.1f}"
    except (UserError, RuntimeError) as error:
        return f"none: {' '.join(str(error).split())[:90]}"


def _finish(one: Any) -> None:
    if one.ahead is not None:
        one.ahead.settle()
    if one.device.type == "cuda":
        torch.cuda.synchronize(one.device)


def table(device: str, tiny: bool, until: float) -> list[str]:
    """Markdown rows; what the time does not allow is said.

    Args:
        until: `time.monotonic()` after which nothing more is begun.
    """
    ways = [way for way in WAYS if not (tiny and way == "compiled")]
    rows = ["| model | " + " | ".join(ways) + " |", "|---" * (len(ways) + 1) + "|"]
    for name, shape in (TINY if tiny else SHAPES).items():
        cells = []
        for way in ways:
            late = time.monotonic() > until
            cells.append("no time" if late else speed(shape, way, device, 0.3 if tiny else 4.0))
            print(f"{name}, {way}: {cells[-1]}", flush=True)
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return rows
