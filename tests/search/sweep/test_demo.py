"""The demo: what `make demo` types, what it would cost, and the page that it ends with."""

from __future__ import annotations

import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from search.cli import main
from search.config.config import Config, read_config
from search.ledger.files import REPORT_FILE
from search.ledger.ledger import read_trials
from search.report.facts import read_facts
from search.report.write import sections
from search.stability.result import read_result
from search.sweep.dry_run import DryRun, dry_run
from tests.support.folders import ROOT
from tests.support.whole_page import FEWEST_FINALISTS, FEWEST_RUNGS, lacking
from trm.files.run_folder import cache_folder

WHOLE, QUICK = 11e12, 3e12
"""Training FLOPs: two idle cores with the compiled step do 8e10 a second."""


def words(tmp_path: Path, *more: str) -> list[str]:
    """`make demo` in the environment that the tests have."""
    ready = tmp_path / "ready"
    ready.touch()
    folder = Path(sys.executable).parent
    return ["make", "--no-print-directory", "demo", f"BIN={folder}", f"READY={ready}", *more]


def typed(tmp_path: Path, *more: str) -> list[str]:
    """The arguments of `trm sweep` in it."""
    told = subprocess.run(
        [*words(tmp_path, *more), "--dry-run"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    _, command, *arguments = shlex.split(told.splitlines()[0])
    assert command == "sweep"
    return arguments


def config_of(arguments: list[str]) -> Config:
    preset, *options = arguments
    sets = [value for option, value in pairwise(options) if option == "--set"]
    return read_config(preset, sets)


def cost_of(config: Config, monkeypatch: pytest.MonkeyPatch) -> DryRun:
    # What a trial takes on this machine is no matter here, and timing it takes seconds.
    monkeypatch.setattr("search.sweep.dry_run._seconds_per_trial", lambda *_: (6.0, (500, 500)))
    return dry_run(config, build=lambda experiment: experiment.task.build(cache_folder()))


@pytest.mark.parametrize(("more", "most"), [((), WHOLE), (("QUICK=1", "SEED=7"), QUICK)])
def test_what_make_demo_types_costs_minutes(
    more: tuple[str, ...], most: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(typed(tmp_path, *more))
    found = cost_of(config, monkeypatch)
    assert found.estimate is not None
    assert found.infeasible == 0.0
    estimate = found.estimate
    deeper = estimate.runs * estimate.flops_per_trial * estimate.confirm_share
    assert estimate.total.flops + deeper <= most


def test_the_demo_searches_enough_for_its_page() -> None:
    plan = read_config("demo")
    search, stability = plan.sections.search, plan.sections.stability
    assert search.sampler is not None
    assert search.scheduler is not None
    assert stability.candidates >= FEWEST_FINALISTS
    assert plan.default.train.reports >= 4
    assert len(search.scheduler.build(slow_start=True).shares) - 1 >= FEWEST_RUNGS
    assert {"model.H_cycles", "model.L_cycles"} <= set(plan.space.parameters)


@pytest.mark.slow
def test_the_demo_ends_with_a_whole_page_and_the_commands_that_go_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    told = subprocess.run(
        words(tmp_path, f"RUN={run}"), cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    result, trials = read_result(run), read_trials(run)
    assert result is not None
    assert sum(t.stage == "explore" and t.completed for t in trials.values()) >= 12
    assert lacking(sections(read_facts(run))) == []
    assert result.promise.mean >= 0.9
    assert result.promise.mean > result.reference.mean
    model = trials[result.winner].config["model"]
    assert model["H_cycles"] * model["L_cycles"] > 1
    assert str(run / REPORT_FILE) in told
    *_, solve, resume, init = told.splitlines()
    assert [line.split()[1] for line in (solve, resume, init)] == ["solve", "sweep", "init"]
    assert main([*shlex.split(solve, comments=True)[1:]]) == 0
    assert main([*shlex.split(resume)[1:], "--dry-run"]) == 0
