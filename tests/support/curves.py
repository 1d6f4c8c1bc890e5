"""What a training leaves in its folder, and whether two have left the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from trm.files.yaml12 import read_yaml
from trm.report import MACHINE_COLUMNS

Config = Callable[..., Path]


def curve(folder: Path) -> list[dict[str, Any]]:
    """The reports of a run, measured times left out."""
    lines = (folder / "reports.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [{k: v for k, v in row.items() if k not in MACHINE_COLUMNS} for row in rows]


def last_weights(folder: Path) -> dict[str, torch.Tensor]:
    newest = sorted((folder / "checkpoints").iterdir())[-1]
    files = sorted(newest.glob("*.safetensors"))
    return {f"{file.name}/{k}": t for file in files for k, t in load_file(file).items()}


def assert_same_run(one: Path, other: Path) -> None:
    assert read_yaml(one / "config.yaml") == read_yaml(other / "config.yaml")
    assert curve(one) == curve(other)
    a, b = last_weights(one), last_weights(other)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
