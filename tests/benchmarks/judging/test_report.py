"""What the tables say of sweeps whose regrets are made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.judging.__main__ import main
from tests.benchmarks.judging.confirming import lines
from tests.benchmarks.judging.methods import BUDGETS
from tests.benchmarks.judging.plot import draw
from tests.benchmarks.judging.report import tables
from tests.benchmarks.judging.sweeps import Judged, read


def judged(method: str, pace: float, worlds: int = 12) -> list[Judged]:
    """Regret 1 - 0.1 log2 of `pace` times the compute, and what each world adds."""
    levels = np.random.default_rng(0).normal(0, 0.05, worlds)
    return [
        Judged("made up", world, "all", method, 1, list(BUDGETS),
               [float(1 - 0.1 * np.log2(pace * b) + level) for b in BUDGETS],
               default=0.4 + (world < 3) * 0.4, best=1.0, ceiling=0.0, cpu_seconds=1.0)
        for world, level in enumerate(levels)
    ]  # fmt: skip


def test_a_table_has_ratios_null_tests_and_overtuning() -> None:
    found = [*judged("ours", 4.0), *judged("random", 1.0), *judged("stock", 2.0)]
    found += [replace(one, method="stock again") for one in judged("stock", 2.0)]
    (table,) = tables(found, ["ours", "random", "stock", "stock again"])
    rows = {line[:13].strip(): line for line in table.splitlines()}
    assert "2.00 [2.00, 2.00]" in rows["ours"]
    assert "4.00 [4.00, 4.00]" in rows["ours"]
    assert "null test holds: stock against itself 1.00 [1.00, 1.00]" in table
    # After 26 runs random is at .53, worse than the default of three quarters of the worlds.
    assert " 75%" in rows["random"]
    assert "random search after 52 runs" in table


def test_what_was_run_before_is_not_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "judged.jsonl"
    command = ["--families", "recorded", "--worlds", "2", "--workers", "1", "--jobs", "1",
               "--out", str(out)]  # fmt: skip
    main([*command, "--methods", "random"])
    before = out.read_text()
    main([*command, "--methods", "random", "tpe"])
    after = out.read_text()
    assert after.startswith(before)
    assert [(one.method, one.world) for one in read(out)] == [
        ("random", 0), ("random", 1), ("tpe", 0), ("tpe", 1)
    ]  # fmt: skip
    assert "recorded, 1 worker: 2 worlds" in capsys.readouterr().out
    main([*command, "--methods", "random", "tpe", "stock", "--tables"])
    assert out.read_text() == after
    assert "recorded, 1 worker: 2 worlds" in capsys.readouterr().out


def test_a_plot_has_a_panel_for_each_family(tmp_path: Path) -> None:
    draw([*judged("ours", 2.0), *judged("random", 1.0)], ["ours", "random"], tmp_path / "all.svg")
    assert "<svg" in (tmp_path / "all.svg").read_text()


def test_the_confirm_stage_is_judged_by_its_finalists() -> None:
    head, explored, confirmed, *_ = lines(6)
    assert "6 sweeps" in head
    assert "0.0 further runs" in explored
    assert "of it the stage's; 6.0 further runs" in confirmed
