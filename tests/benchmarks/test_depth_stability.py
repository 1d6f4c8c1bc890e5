"""The tables of depth stability, of made-up runs whose loss is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from search.config.file import load_tree
from search.space.space import Space
from tests.benchmarks import breadth, depth_stability
from tests.benchmarks.depth_stability import DEPTHS, FEATURES, KEPT, auc_with_interval, report
from tests.benchmarks.record import draws

TREE = load_tree(depth_stability.SPACES["sudoku6"])


def made_up(config: int, seed: int, params: dict[str, Any]) -> dict[str, Any]:
    """A run that loses where its learning rate is high, which its radius foretells."""
    rng = np.random.default_rng([config, seed])
    high = bool(params["optimizer.lr"] > 0.009)
    base, lost = 0.9 + 0.05 * rng.random(), (0.3 if high else 0.0)
    accuracy = [base, base - lost / 2, base - lost, base - lost]
    rows = [
        {
            **dict.fromkeys(KEPT, 0.5),
            "progress": progress,
            "spectral_radius": 2.0 ** (progress if high else -progress) + 0.01 * rng.random(),
            "residual_H": 0.1,
        }
        for progress in np.linspace(1 / 6, 1.0, 6)
    ]
    return {
        "config": config, "seed": seed, "params": params, "diverged": False, "rows": rows,
        "q": accuracy, "best_q": [a + 0.01 for a in accuracy], "residuals": [0.5, 0.1, 0.05],
        "changed": 0.02, "examples": 300, "cpu_seconds": 20.0,
    }  # fmt: skip


@pytest.fixture(scope="module")
def runs() -> list[dict[str, Any]]:
    drawn = list(draws(Space.parse(TREE), 24, 2026))
    return [made_up(c, seed, params) for seed in range(2) for c, (params, _) in enumerate(drawn)]


def test_the_tables_say_what_the_runs_have(runs: list[dict[str, Any]]) -> None:
    lines = list(report(TREE, runs))
    high = sum(run["params"]["optimizer.lr"] > 0.009 for run in runs)
    assert 0 < high < len(runs)
    [at_16] = [line for line in lines if line.startswith("| 16x | ") and " of " in line]
    assert f"{high} of {len(runs)}" in at_16
    [trend] = [line for line in lines if line.startswith("| spectral radius, trend")]
    assert trend.startswith("| spectral radius, trend | 1.00 | 1.00 to 1.00 |")
    at = lines.index(next(line for line in lines if line.startswith("| setting |")))
    assert lines[at + 2].startswith("| `optimizer.lr` |")
    for name in FEATURES:
        assert any(line.startswith(f"| {name} |") for line in lines)


def test_the_interval_resamples_configs() -> None:
    rng = np.random.default_rng(0)
    unstable = np.repeat(rng.random(30) < 0.5, 2)
    scores = unstable + rng.normal(0, 1, 60)
    value, low, high = auc_with_interval(scores, unstable, np.repeat(np.arange(30), 2))
    assert low < value < high
    assert high - low < 0.4


def test_the_file_of_the_runs(runs: list[dict[str, Any]], tmp_path: Path) -> None:
    failed = {**runs[0], "diverged": True}
    for name in ("q", "best_q", "residuals", "changed", "examples"):
        del failed[name]
    depth_stability.save([*runs, failed], tmp_path / "runs.parquet")
    rows = pq.read_table(tmp_path / "runs.parquet").to_pylist()
    assert len(rows) == len(runs) + 1
    assert [rows[0][f"accuracy_{depth}x"] for depth in DEPTHS] == runs[0]["q"]
    assert json.loads(rows[3]["params"]) == runs[3]["params"]
    assert rows[0]["spectral_radius"] == [row["spectral_radius"] for row in runs[0]["rows"]]
    assert rows[-1]["accuracy_1x"] is None


def test_the_table_of_breadth() -> None:
    shares = dict.fromkeys(("pass", "any step", "q", "best_q", "vote"), 0.8)
    at = {str(times): shares for times in breadth.TIMES}
    runs = [
        {"seed": seed, "examples": 500, "cpu_seconds": 40.0, "depth": at,
         "breadth": dict.fromkeys(breadth.NOISES, at)}
        for seed in range(3)
    ]  # fmt: skip
    lines = list(breadth.table(runs))
    assert sum(line.startswith("| 16x |") for line in lines) == 1
    assert any(line.startswith("| noise both 1 |") for line in lines)
