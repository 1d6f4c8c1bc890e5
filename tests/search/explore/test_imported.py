"""Histories of other tools as run folders: what is taken, and that sweeps start from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from search.analysis.importance import importance
from search.analysis.status import status
from search.cli import main
from search.config.config import read_config
from search.config.resolve import resolve_plan
from search.explore.warm_start import read_warm
from search.ledger.reader import read_book, read_trials
from search.report.write import write_report

YAML = """
task: {name: arrows, size: 3, visited: [2, 4], train_examples: 60, valid_examples: 20,
       test_examples: 20}
model: {mixer: mlp_t, hidden_size: 16, halt_max_steps: 2, H_cycles: {int: [1, 3]}, L_cycles: 1}
optimizer:
  choice: [{name: adamw, lr: {loguniform: [1e-4, 1e-1]}}, {name: adam_atan2}]
train: {batch_size: 16, budget: {steps: 20}, reports: 2}
search: {trials: 4, objective: exact_accuracy}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "my.yaml"
    path.write_text(YAML)
    return path


def objective(trial: optuna.Trial) -> float:
    kind = trial.suggest_categorical("optimizer", ["adamw", "adam_atan2"])
    lr = trial.suggest_float("learning_rate", 1e-5, 1e-1, log=True) if kind == "adamw" else 0.0
    cycles = trial.suggest_int("H_cycles", 1, 3)
    trial.suggest_float("other", 0, 1)
    trial.report(0.1 * cycles, step=10)
    if trial.number % 5 == 3:
        raise optuna.TrialPruned
    if trial.number % 7 == 5:
        raise ValueError("boom")
    trial.report(0.2 * cycles + lr, step=20)
    return 0.2 * cycles + lr


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_an_optuna_study(
    kind: str, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    source = tmp_path / f"study.{kind}"
    storage: Any = f"sqlite:///{source}"
    if kind == "journal":
        storage = JournalStorage(JournalFileBackend(str(source)))
    sampler = optuna.samplers.RandomSampler(seed=1)
    study = optuna.create_study(
        storage=storage, study_name="mine", direction="maximize", sampler=sampler
    )
    study.optimize(objective, n_trials=24, catch=ValueError)
    before = source.read_bytes()
    run = tmp_path / "run"
    words = ["import", str(source), str(config), "--out", str(run)]
    assert main([*words, "--map", "learning_rate=optimizer[adamw].lr"]) == 0
    assert source.read_bytes() == before
    text = capsys.readouterr().out
    assert "model.H_cycles is H_cycles there" in text
    assert "not taken, though it varies there: other" in text
    inside = [
        one
        for one in study.trials
        if one.params["optimizer"] == "adam_atan2" or one.params["learning_rate"] >= 1e-4
    ]
    assert f"{24 - len(inside)} left out: optimizer[adamw].lr is outside the space" in text
    trials = read_trials(run)
    assert len(trials) == len(inside) < 24
    assert {trial.outcome for trial in trials.values()} == {"completed", "pruned", "crashed"}
    words_of = {"COMPLETE": "completed", "PRUNED": "pruned", "FAIL": "crashed"}
    for own, theirs in zip(trials.values(), inside, strict=True):
        assert own.outcome == words_of[theirs.state.name]
        assert own.params["model.H_cycles"] == theirs.params["H_cycles"]
        assert own.params["optimizer"] == theirs.params["optimizer"]
        assert own.params.get("optimizer[adamw].lr") == theirs.params.get("learning_rate")
        if own.completed:
            assert own.score == theirs.value
        curve = read_book(run).curve(own.id)
        assert [row["exact_accuracy"] for row in curve] == [*theirs.intermediate_values.values()]
        assert [row["progress"] for row in curve] == [0.5, 1.0][: len(curve)]
    # It is a run like any other, and a sweep of the same config has its scores as observations.
    whole = sum(trial.completed for trial in trials.values())
    assert status(run)["stages"]["explore"]["completed"] == whole
    assert importance(run).completed == whole
    assert main(["status", str(run)]) == 0
    write_report(run, tmp_path / "page.html")
    read = read_config(config)
    plan = resolve_plan(read, read.default.task.build())
    warm = read_warm([str(run)], plan)
    assert len(warm.records) == len({str(sorted(one.params.items())) for one in trials.values()})
    assert len(warm.first) == 3


def test_a_table_of_wandb(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "export.csv"
    table.write_text(
        '"Name","State","Runtime","optimizer","optimizer.lr","model.H_cycles","acc"\n'
        '"a-1","finished","60","adamw","0.002","2","0.5"\n'
        '"a-2","crashed","6","adamw","0.02","3",""\n'
        '"a-3","running","6","adamw","0.02","3","0.1"\n'
        '"a-4","finished","60","adam_atan2","","1","0.25"\n'
        '"a-5","finished","60","sgd","0.1","1","0.25"\n'
    )
    run = tmp_path / "run"
    assert main(["import", str(table), str(config), "--out", str(run)]) == 2
    assert "has no column 'exact_accuracy'" in capsys.readouterr().err
    words = ["import", str(table), str(config), "--out", str(run), "--metric", "acc"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "1 left out: optimizer is outside the space" in text
    assert "1 left out: unfinished" in text
    found = [(t.outcome, t.score, t.seconds, t.params) for t in read_trials(run).values()]
    assert found == [
        ("completed", 0.5, 60.0,
         {"model.H_cycles": 2, "optimizer": "adamw", "optimizer[adamw].lr": 0.002}),
        ("crashed", 0.0, 0.0,
         {"model.H_cycles": 3, "optimizer": "adamw", "optimizer[adamw].lr": 0.02}),
        ("completed", 0.25, 60.0, {"model.H_cycles": 1, "optimizer": "adam_atan2"}),
    ]  # fmt: skip
    assert main(words) == 2, "the folder is there"


def test_results_of_ray_tune(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "exp"
    for number, steps in enumerate((4, 2, 0)):
        trial = source / f"train_{number}"
        trial.mkdir(parents=True)
        params = {"optimizer": {"name": "adamw", "lr": 0.001 * (number + 1)}, "H_cycles": 2}
        (trial / "params.json").write_text(json.dumps(params))
        (trial / "params.pkl").write_bytes(b"\x80\x04cos\nsystem\n")
        rows = [
            {"training_iteration": step, "exact_accuracy": 0.1 * step, "time_total_s": 2.0 * step}
            for step in range(1, steps + 1)
        ]
        (trial / "result.json").write_text(
            "".join(f"{json.dumps(row)}\n" for row in rows) + '{"cut sho'
        )
    (source / "train_2" / "error.txt").write_text("boom")
    run = tmp_path / "run"
    words = ["import", str(source), str(config), "--out", str(run)]
    assert main([*words, "--map", "optimizer.name=optimizer"]) == 0
    trials = list(read_trials(run).values())
    assert [trial.outcome for trial in trials] == ["completed", "pruned", "crashed"]
    assert [trial.params["optimizer[adamw].lr"] for trial in trials] == [0.001, 0.002, 0.003]
    assert trials[0].score == pytest.approx(0.4)
    assert [row["progress"] for row in read_book(run).curve(1)] == [0.25, 0.5]
    assert trials[0].provenance["imported"].startswith("train_0 of Ray Tune's results in")
    assert capsys.readouterr().out.count("left out") == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not there: check the path"),
        (b"hello", "is neither an Optuna study"),
        (b'{"op_code": "x"}\n', "cannot be read as an Optuna study"),
        (b"SQLite format 3\x00" + b"x" * 100, "cannot be read as an Optuna study"),
    ],
)
def test_what_is_no_history_is_one_line(
    content: bytes | None, message: str, config: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    source = tmp_path / "source"
    if content is not None:
        source.write_bytes(content)
    assert main(["import", str(source), str(config), "--out", str(tmp_path / "run")]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_what_does_not_fit_is_one_line(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "study.db"
    for name in ("a", "b"):
        study = optuna.create_study(storage=f"sqlite:///{source}", study_name=name)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    words = ["import", str(source), str(config), "--out", str(tmp_path / "run")]
    for more, message in (
        ([], "holds 2 studies: choose with --study: a, b"),
        (["--study", "c"], "--study: 'c' is none of"),
        (["--study", "b"], "less is better in Optuna study b"),
        (["--study", "b", "--set", "search.objective=flops_per_example"], ""),
        (["--map", "x"], "must be THEIRS=OURS"),
    ):
        assert main([*words, *more]) == 2
        assert message in capsys.readouterr().err
    loss = ["--study", "b", "--set", "search.objective={column: train_loss, floor: 100}"]
    assert main([*words, *loss]) == 2
    assert "none of its parameters (x) is one of the config's space" in capsys.readouterr().err
    assert main([*words, *loss, "--map", "y=optimizer"]) == 2
    assert "is no parameter there" in capsys.readouterr().err
    assert main([*words, *loss, "--map", "x=optimizer.lr"]) == 2
    assert "is no parameter here" in capsys.readouterr().err
