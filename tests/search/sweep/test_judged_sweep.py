"""Real sweeps that are judged by several objectives, constraints, seeds and limits."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.cli import main
from search.ledger.lineage import spent
from search.ledger.reader import read_trials
from search.ledger.wall_clock import TIME_FILE
from search.stability.result import read_result
from tests.support.planned import planned
from trm.config import experiment_from
from trm.files.yaml12 import dump_yaml, read_yaml

TINY: dict[str, Any] = {
    "name": "judged",
    "task": {"name": "arrows", "size": 3, "visited": [2, 4], "train_examples": 200,
             "valid_examples": 60, "test_examples": 60},
    "model": {"mixer": "mlp_t", "hidden_size": {"choice": [8, 16, 24]}, "L_layers": 1,
              "expansion": 1.0, "swiglu_multiple": 8, "puzzle_emb_len": 1, "halt_max_steps": 2,
              "H_cycles": {"int": {"low": 1, "high": 2, "default": 1}}, "L_cycles": 1},
    "optimizer": {"name": "adamw", "lr_warmup_steps": 5, "lr": {"loguniform": [1e-3, 3e-2]}},
    "train": {"batch_size": 32, "budget": {"steps": 24}, "reports": 3, "ema": None},
    "search": {"trials": 6, "objective": ["cell_accuracy", "parameters"], "seeds": 2,
               "sampler": {"name": "tpe", "n_startup_trials": 3},
               "scheduler": {"name": "halving", "eta": 2, "min_share": 0.3},
               "constraints": ["parameters <= 8000"]},
    "stability": {"candidates": 2, "seeds": 2, "promise_seeds": 2},
}  # fmt: skip

pytestmark = pytest.mark.usefixtures("ray_cluster")  # sweeps of this process run on it


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(dump_yaml(TINY))
    return path


@pytest.fixture(scope="module")
def finished(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "finished"
    assert main(["sweep", str(tiny), "--parallel", "1", "--out", str(run)]) == 0
    return run


def facts(run: Path) -> list[tuple[Any, ...]]:
    return [
        (t.id, t.stage, t.candidate, t.seed, t.params, t.outcome, t.score)
        for t in read_trials(run).values()
    ]


def test_the_winner_keeps_the_constraints_and_the_front_is_shown_and_exported(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = read_result(finished)
    assert result is not None
    assert result.objective == "cell_accuracy"
    assert all(candidate.feasible for candidate in result.candidates)
    assert result.promise.values["parameters"] <= 8000
    assert set(result.front) <= {candidate.trial for candidate in result.candidates}
    assert result.front
    explored = [t for t in read_trials(finished).values() if t.stage == "explore"]
    assert any(t.seed != 0 for t in explored), "further seeds were run"
    assert main(["status", str(finished)]) == 0
    shown = capsys.readouterr().out
    assert "objective cell_accuracy, then parameters" in shown
    assert "must keep parameters <= 8000" in shown
    assert "Pareto front of the search" in shown
    assert main(["export", str(finished), "--front", str(tmp_path / "front")]) == 0
    files = sorted((tmp_path / "front").glob("*.yaml"))
    assert [file.stem for file in files] == sorted(f"trial-{number}" for number in result.front)
    for file in files:
        experiment_from(read_yaml(file))


def test_a_front_without_a_config_is_said(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "broken"
    shutil.copytree(finished, run)
    result = read_result(run)
    assert result is not None
    broken = {"parameters <= 8000": 0.5}
    unfit = [replace(candidate, violations=broken) for candidate in result.candidates]
    replace(result, candidates=unfit, front=[]).save(run)
    assert main(["export", str(run), "--front", str(tmp_path / "front")]) == 2
    assert "the front is empty" in capsys.readouterr().err
    assert not (tmp_path / "front").exists()
    best = tmp_path / "best.yaml"
    assert main(["export", str(run), "--out", str(best)]) == 0
    assert "# not fit for use: over fresh seeds breaks parameters <= 8000" in best.read_text()
    assert main(["export", str(run), "--format", "card"]) == 0
    assert (
        "it ranks first, and is not fit for use: over fresh seeds breaks" in capsys.readouterr().out
    )
    assert main(["status", str(run)]) == 0
    assert ", but over fresh seeds breaks parameters <= 8000" in capsys.readouterr().out


def test_a_serial_sweep_is_the_same_from_its_seed(
    finished: Path, tiny: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    assert main(["sweep", str(tiny), "--parallel", "1", "--out", str(again)]) == 0
    assert facts(again) == facts(finished)


def test_every_trials_export_is_its_config_and_trains_to_its_score(
    finished: Path, tmp_path: Path
) -> None:
    trials = read_trials(finished)
    for trial in trials.values():
        out = tmp_path / f"{trial.id}.yaml"
        assert main(["export", str(finished), "--trial", str(trial.id), "--out", str(out)]) == 0
        config, own = experiment_from(read_yaml(out)), experiment_from(trial.config)
        assert config.model_copy(update={"name": own.name, "promise": None}) == own or (
            read_result(finished).winner == trial.id  # type: ignore[union-attr]
        )
        assert own.train.seed == trial.seed
    later = next(t for t in trials.values() if t.stage == "explore" and t.seed != 0)
    out = tmp_path / "run"
    assert main(["train", str(tmp_path / f"{later.id}.yaml"), "--out", str(out)]) == 0
    last = json.loads((out / "reports.jsonl").read_text().splitlines()[-1])
    assert last["cell_accuracy"] == later.score


def test_a_limit_keeps_back_what_confirming_costs(tiny: Path, tmp_path: Path) -> None:
    run = tmp_path / "limited"
    plain = ["--set", "search.seeds=1", "--set", "search.scheduler=none", "--parallel", "1"]
    budget = planned(read_yaml(tiny)).budget
    # Four runs to promise, one to confirm with, as so short a search pays for no race, and three
    # to search, the last of which just fits.
    limit = f"search.limits.flops={8.5 * budget}"
    assert main(["sweep", str(tiny), *plain, "--set", limit, "--out", str(run)]) == 0
    trials = read_trials(run)
    stages = Counter(trial.stage for trial in trials.values())
    assert (stages["explore"], stages["confirm"]) == (3, 1)
    assert spent(trials)[0] <= 8.6 * budget
    assert read_result(run) is not None
    assert json.loads((run / TIME_FILE).read_text())["wall_seconds"] > 0


def test_a_limit_that_is_met_stops_cleanly_and_a_higher_one_goes_on(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "met"
    words = ["sweep", str(tiny), "--parallel", "1", "--out", str(run)]
    assert main([*words, "--set", "search.limits.hours=1e-6"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "search.limits.hours 1e-06" in error
    assert "--resume" in error
    assert read_result(run) is None
    assert main([*words, "--set", "search.limits.hours=10", "--resume"]) == 0
    assert read_result(run) is not None


def test_no_config_that_keeps_the_constraints_is_no_winner(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = ["--set", "search.constraints=[parameters <= 10]", "--set", "search.seeds=1"]
    out = str(tmp_path / "none")
    assert main(["sweep", str(tiny), *sets, "--trials", "2", "--parallel", "1", "--out", out]) == 1
    error = capsys.readouterr().err
    assert "break search.constraints 'parameters <= 10'" in error


def test_a_dry_run_says_what_it_would_cost(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("search.sweep.dry_run._TIMED_SECONDS", 0.1)
    assert main(["sweep", str(tiny), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    for words in ("3 parameters", "infeasible draws: 0%", "5 draws:", "one trial:", "in all: 6"):
        assert words in shown
    assert "24 steps at the default values" in shown
    assert "warms up" not in shown
    assert main(["sweep", str(tiny), "--dry-run", "--set", "optimizer.lr_warmup_steps=20"]) == 0
    assert "warms up over 20 of those steps" in capsys.readouterr().out
    assert main(["sweep", str(tiny), "--dry-run", "--json", "--parallel", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    estimate = found["estimate"]
    assert estimate["flops_per_trial"] > 0
    assert 0 < estimate["share"] <= 1
    assert estimate["total"]["seconds"] == pytest.approx(
        estimate["total"]["device_seconds"] / 2, rel=1e-6
    )


BAD = [
    ("search.sampler=tpo", "search.sampler: unknown name 'tpo': did you mean tpe"),
    ("search.sampler={name: gp, sead: 1}", "search.sampler.sead: unknown key"),
    ("search.sampler={name: grid, points: 1}", "search.sampler.points"),
    ("search.sampler={name: cmaes, population: -1}", "search.sampler"),
    ("search.scheduler=ahsa", "did you mean asha"),
    ("search.scheduler={name: halving, eta: 1}", "search.scheduler.eta: 1 must be"),
    ("search.scheduler={name: asha, on: epochs}", "search.scheduler.on: 'epochs' is unknown"),
    ("search.scheduler={name: asha, on: seconds}", "full_seconds"),
    ("search.scheduler={name: asha, metric: cell_acuracy}", "did you mean cell_accuracy"),
    ("search.scheduler={name: asha, metric: H_cycles}", "needs mode"),
    ("search.objective=[]", "search.objective: give at least one column"),
    ("search.objective=accuracy", "is no column of the reports"),
    ("search.objective=latency", "give it a floor"),
    ("search.objective=[cell_accuracy, cell_accuracy]", "2 times"),
    ("search.constraints=[mean_step <= 6]", "did you mean mean_steps"),
    ("search.constraints=[mean_steps < 6]", "use <= or >="),
    ("search.constraints=mean_steps <= 6", "must be a list"),
    ("search.seeds=0", "search.seeds: 0 must be at least 1"),
    ("search.aggregate=median", "search.aggregate: 'median' is unknown"),
    ("search.limits.hours=0", "search.limits.hours: 0 must be greater than 0"),
    ("search.limits.hour=1", "did you mean hours"),
    ("search.limits.flops=.inf", "must be a finite number"),
    ("search.first=[{optimizer.lr: 1.0}]", "optimizer.lr"),
    ("search.first=[{optimizer.le: 0.01}]", "did you mean optimizer.lr"),
    ("search.first=[no-such-run]", "is no run folder and no file"),
    ("search.warm_start=[no-such-run]", "holds no run"),
    ("optimizer.lr={loguniform: {low: 0.001, high: 0.01, confidence: 0.5}}", "default"),
    ("optimizer.lr={loguniform: {low: 0.001, high: 0.01, default: 0.002, confidence: 1}}",
     "confidence"),
    ("log.wandb=onlin", "log.wandb"),
    ("log.tensorbord=true", "did you mean tensorboard"),
]  # fmt: skip


@pytest.mark.parametrize(("setting", "words"), BAD, ids=[setting for setting, _ in BAD])
def test_bad_input_is_one_line_and_starts_nothing(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str, words: str
) -> None:
    run = tmp_path / "run"
    sweep = ["sweep", str(tiny), "--set", setting, "--out", str(run)]
    for command in (sweep, [*sweep, "--dry-run"]):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
        assert not run.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["simulate", "nowhere"], "neither a run folder nor a file"),
        (["report", "--dashboard", "nowhere"], "nowhere"),
        (["compare", "nowhere", "nowhere"], "nowhere"),
        (["export", "nowhere", "--front", "x"], "nowhere"),
        (["sweep", "arrows4", "--warm-start", "nowhere"], "holds no run"),
        (["sweep", "arrows4", "--warm-start", "nowhere", "--dry-run"], "holds no run"),
        (["sweep", "arrows4", "--out", "s4://bucket/x"], "s4"),
    ],
)
def test_bad_arguments_are_one_line(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
