"""A made-up recording: hundreds of configs whose curves rise, cross, are noisy, and may fail."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from search.ledger.trial import Row
from search.simulator.recording import RecordedRun, Recording
from search.space.space import Space
from trm.report import COLUMNS

MARKS = 12
BUDGET = 1e9
TREE: dict[str, Any] = {
    "name": "made-up",
    "task": {"name": "arrows", "size": 4, "train_examples": 40, "valid_examples": 10,
             "test_examples": 10},
    "model": {"hidden_size": 16, "L_cycles": {"int": {"low": 1, "high": 6, "default": 3}}},
    "optimizer": {
        "choice": {
            "options": [
                {
                    "name": "adamw",
                    "lr": {"loguniform": {"low": 1e-4, "high": 1e-1, "default": 1e-3}},
                },
                {"name": "adam_atan2", "weight_decay": {"uniform": [0.0, 1.0]}},
            ],
            "default": "adamw",
        }
    },
    "train": {"batch_size": 8, "budget": {"flops": BUDGET}, "reports": 12},
    "search": {"trials": 12},
    "stability": {"candidates": 3, "seeds": 2},
}  # fmt: skip


def quality(params: dict[str, Any]) -> float:
    """The best is adamw at 3e-3 with 4 cycles; learning rates beyond 5e-2 diverge."""
    good = 0.5 + 0.1 * params.get("optimizer[adam_atan2].weight_decay", 0.0)
    if params["optimizer"] == "adamw":
        good = 0.9 - 0.25 * abs(math.log10(params["optimizer[adamw].lr"] / 3e-3))
    return good - 0.03 * abs(params["model.L_cycles"] - 4)


def made_up(configs: int = 150, seeds: int = 6, noise: float = 0.04) -> Recording:
    rng = np.random.default_rng(0)
    space = Space.parse(TREE)
    params = [space.default()[0], *(space.sample(rng)[0] for _ in range(configs - 1))]
    runs = {
        (config, seed): run(drawn, np.random.default_rng([config, seed]), noise)
        for config, drawn in enumerate(params)
        for seed in range(seeds)
    }
    return Recording(TREE, params, tuple(range(seeds)), runs, floor=0.0, examples=400)


def run(params: dict[str, Any], rng: np.random.Generator, noise: float) -> RecordedRun:
    final = quality(params) + rng.normal(0, noise)
    rate = rng.uniform(2, 8)
    wild = params.get("optimizer[adamw].lr", 0.0) > 5e-2
    end = int(rng.integers(1, MARKS)) if wild else MARKS
    rows = []
    for mark in range(1, end + 1):
        share = mark / MARKS
        rise = (1 - math.exp(-rate * share)) / (1 - math.exp(-rate))
        rows.append(
            row(
                mark,
                share,
                min(max(final * rise + rng.normal(0, noise / 2), 0.0), 1.0),
                seconds=10 * share * params["model.L_cycles"],
                diverged=wild and mark == end,
            )
        )
    return RecordedRun(rows, "diverged" if wild else "completed")


def row(
    mark: int, share: float, score: float, *, seconds: float = 0.0, diverged: bool = False
) -> Row:
    values: Row = {
        name: {"int": 0, "float": 0.0, "bool": False}[column.kind]
        for name, column in COLUMNS.items()
    }
    return values | {
        "mark": mark,
        "step": round(100 * share),
        "progress": share,
        "compute": BUDGET * share,
        "seconds": seconds,
        "train_seconds": seconds,
        "exact_accuracy": score,
        "cell_accuracy": score,
        "train_loss": math.nan if diverged else 1 - score,
        "diverged": diverged,
    }
