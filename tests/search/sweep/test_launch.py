"""Whole sweeps through the command line: real trainings on a real Ray, on a very small task."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
import pyarrow.dataset as ds
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from search.cli import main
from search.ledger.reader import read_curves, read_trials
from search.stability.result import read_result
from search.sweep.run import Run
from trm.config import experiment_from
from trm.files.yaml12 import parse_value, read_yaml
from trm.report import MACHINE_COLUMNS
from trm.training.trainer import Trainer

TINY = """
name: tiny
task: {name: arrows, size: 3, visited: [2, 4], train_examples: 300, valid_examples: 60,
       test_examples: 60}
model: {mixer: mlp_t, hidden_size: 16, L_layers: 1, expansion: 1.0, swiglu_multiple: 16,
        puzzle_emb_len: 1, halt_max_steps: 2,
        H_cycles: {int: {low: 1, high: 2, default: 1}}, L_cycles: {int: {low: 1, high: 2}}}
optimizer: {name: adamw, lr_warmup_steps: 5, lr: {loguniform: {low: 1e-3, high: 3e-2}}}
train: {batch_size: 32, budget: {steps: 24}, reports: 3, ema: null}
search: {trials: 5, objective: cell_accuracy}
stability: {candidates: 2, seeds: 2, promise_seeds: 2}
"""
pytestmark = pytest.mark.usefixtures("ray_cluster")  # sweeps of this process run on it
COMPARED_WITHOUT = ("trial", "attempt", *MACHINE_COLUMNS)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def finished(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One finished sweep, for every test that only reads it."""
    run = tmp_path_factory.mktemp("runs") / "finished"
    assert main(["sweep", str(tiny), "--out", str(run)]) == 0
    return run


def undisturbed(run: Path, trial_id: int) -> list[dict[str, Any]]:
    """The curve of a trial's config and seed, trained here and now."""
    plan, trial = Run(run).plan, read_trials(run)[trial_id]
    config = experiment_from(trial.config)
    assert config.train.seed == trial.seed
    trainer = Trainer(config, config.task.build(), plan.budget, plan.marks)
    return [without_clock(report.row()) for report in trainer.run()]


def without_clock(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in COMPARED_WITHOUT}


def curves(run: Path) -> dict[int, list[dict[str, Any]]]:
    rows: dict[int, list[dict[str, Any]]] = {}
    for row in (
        read_curves(run).sort_by([("trial", "ascending"), ("mark", "ascending")]).to_pylist()
    ):
        rows.setdefault(row["trial"], []).append(without_clock(row))
    return rows


def test_a_sweep_ends_in_a_winner_that_trains_to_what_was_found(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = read_result(finished)
    assert result is not None
    trials = read_trials(finished)
    stages = Counter(trial.stage for trial in trials.values())
    assert stages["explore"] == 5
    assert result.race is not None
    assert 4 <= stages["confirm"] == result.race.runs <= result.race.budget == 6
    # The default values' promise trials are those of a winner that has them.
    assert stages["promise"] + stages["reference"] in (2, 4)
    confirmed = {trial.seed for trial in trials.values() if trial.stage == "confirm"}
    assert not confirmed & set(result.promise.seeds)
    assert trials[result.winner].seed not in confirmed | set(result.promise.seeds)
    assert result.promise.low <= result.promise.mean <= result.promise.high
    # The exported file repeats its first promise seed, bit for bit.
    out = tmp_path / "again"
    assert main(["train", str(finished / "best.yaml"), "--out", str(out)]) == 0
    last = json.loads((out / "reports.jsonl").read_text().splitlines()[-1])
    assert last["cell_accuracy"] == result.promise.scores[0]
    assert "promised" in capsys.readouterr().out


def test_every_trial_equals_its_config_trained_alone(finished: Path) -> None:
    found = curves(finished)
    for trial in read_trials(finished).values():
        alone = undisturbed(finished, trial.id)
        assert found[trial.id] == alone[: len(found[trial.id])]
        assert trial.outcome == "pruned" or len(found[trial.id]) == len(alone)


def test_the_run_folder_reads_with_plain_tools(finished: Path) -> None:
    trials = ds.dataset(finished / "trials").to_table()
    rows = ds.dataset(finished / "curves").to_table()
    assert sorted(trials["id"].to_pylist()) == list(range(len(trials)))
    assert set(rows["trial"].to_pylist()) <= set(trials["id"].to_pylist())
    provenance = json.loads(trials["provenance"][0].as_py())
    assert provenance["data_hash"]
    assert provenance["torch"]
    name = json.loads((finished / "run.json").read_text())["study"]
    storage = JournalStorage(JournalFileBackend(str(finished / "study.log")))
    study = optuna.load_study(study_name=name, storage=storage)
    assert len(study.trials) == 5
    assert all(trial.state.is_finished() for trial in study.trials)
    assert study.best_trial.value == max(
        trial["score"] for trial in trials.to_pylist()
        if trial["stage"] == "explore" and trial["outcome"] == "completed"
    )  # fmt: skip


def test_status_and_export_of_a_finished_run(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", str(finished), "--json"]) == 0
    state = json.loads(capsys.readouterr().out)
    assert sum(state["stages"]["explore"].values()) == 5
    assert main(["status", str(finished)]) == 0
    assert "winner" in capsys.readouterr().out
    assert main(["export", str(finished), "--format", "reference"]) == 0
    text = capsys.readouterr().out
    assert "pretrain.py" in text
    assert "optimizer.name adamw" in text
    one = tmp_path / "one.yaml"
    assert main(["export", str(finished), "--trial", "1", "--out", str(one)]) == 0
    assert read_yaml(one)["model"] == {
        **read_yaml(one)["model"],
        **read_trials(finished)[1].config["model"],
    }
    assert main(["export", str(finished), "--trial", "99"]) == 2


def test_the_card_and_the_json_say_what_the_result_says(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, trials = read_result(finished), read_trials(finished)
    assert result is not None
    promise = result.promise
    assert main(["export", str(finished), "--format", "card"]) == 0
    card = capsys.readouterr().out
    cells = dict(
        [cell.strip() for cell in line.split("|")[1:3]]
        for line in card.splitlines()
        if line.startswith("|")
    )
    assert cells["expected score"] == f"{promise.mean:.4f}"
    assert cells["promised for one fresh seed (90%)"] == f"{promise.low:.4f} to {promise.high:.4f}"
    assert cells["seeds"] == ", ".join(map(str, promise.seeds))
    assert cells["seeds that failed"] == f"{promise.failures} of {len(promise.scores)}"
    assert cells["robust score, by which it was ranked"] == f"{result.winning.robust:.4f}"
    assert cells["training FLOPs"] == f"{Run(finished).plan.budget:.4g}"
    of_promise = next(t for t in trials.values() if t.stage in ("promise", "reference"))
    assert cells["hash"] == f"`{of_promise.provenance['data_hash']}`"
    assert cells["`torch`"] == of_promise.provenance["torch"]
    assert of_promise.provenance["host"] not in card
    assert f"trm export RUN --trial {result.winner}" in card
    block = card.partition("```yaml\n")[2].partition("```")[0]
    assert main(["export", str(finished)]) == 0
    assert parse_value(block) == parse_value(text := capsys.readouterr().out)
    assert f"mean {promise.mean:.4f}" in text
    assert main(["export", str(finished), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["promise"] == json.loads(json.dumps(asdict(promise)))
    assert found["config"] == parse_value(block)
    # A config that did not win has the seeds of the race and no promise; another has one seed.
    other = result.candidates[1]
    assert main(["export", str(finished), "--format", "json", "--trial", str(other.trial)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["standing"], found["expected"]) == ("candidate", other.mean)
    assert "promise" not in found["config"]
    assert found["scores"] == other.scores
    alone = next(
        t for t in trials.values()
        if t.stage == "explore" and t.id not in [c.trial for c in result.candidates]
    )  # fmt: skip
    assert main(["export", str(finished), "--format", "card", "--trial", str(alone.id)]) == 0
    assert "not confirmed over fresh seeds" in capsys.readouterr().out


def test_a_finished_sweep_can_be_extended_and_confirmed_further(
    tiny: Path, tmp_path: Path, finished: Path
) -> None:
    run = tmp_path / "run"
    subprocess.run(["cp", "-r", str(finished), str(run)], check=True)
    before, one = curves(run), ("--parallel", "1")
    assert main(["sweep", str(tiny), "--out", str(run), "--resume", "--trials", "7", *one]) == 0
    explored = [t for t in read_trials(run).values() if t.stage == "explore"]
    assert len(explored) == 7
    assert main(["stability", str(run), "--candidates", "3", "--seeds", "3", *one]) == 0
    result = read_result(run)
    assert result is not None
    assert len(result.candidates) == min(3, sum(t.outcome == "completed" for t in explored))
    assert all(len(candidate.scores) >= 3 for candidate in result.candidates)
    assert main(["stability", str(run), "--trials", "1,0", "--racing", "off", *one]) == 0
    named = read_result(run)
    assert named is not None
    assert {candidate.trial for candidate in named.candidates} == {0, 1}
    assert main(["stability", str(run), "--trials", "99"]) == 2
    assert read_result(run) == named
    after = curves(run)
    assert all(after[trial] == rows for trial, rows in before.items())
    seeds = Counter((t.stage, t.candidate, t.seed) for t in read_trials(run).values())
    assert all(n == 1 for (stage, _, _), n in seeds.items() if stage != "explore")


def test_resume_refuses_another_config(
    tiny: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["sweep", str(tiny), "--out", str(finished), "--resume", "--set", "model.L_layers=2"]
    assert main(argv) == 2
    assert "model.L_layers" in capsys.readouterr().err
    assert main(argv[:4]) == 2
    assert "--resume" in capsys.readouterr().err


def test_failures_end_as_what_they_are_and_the_sweep_goes_on(tiny: Path, tmp_path: Path) -> None:
    """Divergence from absurd learning rates, a crash, and infeasible draws, in one sweep."""
    plugin = tmp_path / "crashing.py"
    plugin.write_text(
        "from trm.learning.optimizers import OPTIMIZERS, AdamWConfig\n"
        "from typing import Literal\n"
        "class Crashing(AdamWConfig):\n"
        "    name: Literal['crashing'] = 'crashing'\n"
        "    def build_main(self, parameters):\n"
        "        if len(parameters) > 1:  # not what is tried before the sweep\n"
        "            raise RuntimeError('boom')\n"
        "        return super().build_main(parameters)\n"
        "OPTIMIZERS['crashing'] = Crashing\n"
    )
    run = tmp_path / "run"
    script = [str(Path(sys.executable).with_name("trm")), "sweep", str(tiny), "--out", str(run)]
    script += ["--parallel", "1"]
    sets = [
        "plugins=[crashing]",
        "optimizer.lr={choice: [0.01, 1000.0]}",
        "optimizer.name={choice: [adamw, crashing]}",
        "model.mixer={choice: [mlp_t, attention]}",
        "model.num_heads={choice: [2, 3]}",
        "search.sampler=random",
        "search.trials=12",
        "search.scheduler=none",
    ]
    for setting in sets:
        script += ["--set", setting]
    done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    trials = [t for t in read_trials(run).values() if t.stage == "explore"]
    for trial in trials:
        crashes = trial.params["optimizer.name"] == "crashing"
        infeasible = trial.params["model.mixer"] == "attention" and (
            trial.params["model.num_heads"] == "3"
        )
        diverges = trial.params["optimizer.lr"] == "1000.0"
        expected = (
            "infeasible" if infeasible
            else "crashed" if crashes
            else "diverged" if diverges
            else "completed"
        )  # fmt: skip
        assert trial.outcome == expected, (trial.params, trial.reason)
        if expected in ("crashed", "diverged"):
            assert trial.score == 0.0
            assert trial.reason
        if expected == "diverged":
            assert trial.compute < max(other.compute for other in trials)
    outcomes = {trial.outcome for trial in trials}
    assert outcomes == {"completed", "crashed", "diverged", "infeasible"}
    name = json.loads((run / "run.json").read_text())["study"]
    storage = JournalStorage(JournalFileBackend(str(run / "study.log")))
    study = optuna.load_study(study_name=name, storage=storage)
    assert len(study.trials) == len(trials)
    assert all(trial.state.is_finished() for trial in study.trials)


def test_a_source_that_is_not_there_is_refused_before_anything_starts(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = "{name: custom, sources: {name: mixture, weights: {hub: 1}}}"
    for setting in (f"curriculum={mixed}", f"curriculum={{choice: [{{name: cgar}}, {mixed}]}}"):
        words = ["sweep", str(tiny), "--out", str(tmp_path / "run"), "--set", setting]
        assert main(words) == 2
        assert "sources.weights.hub: no such source" in capsys.readouterr().err
        assert not (tmp_path / "run" / "trials").exists()


def test_nothing_of_the_users_shadows_us(tiny: Path, tmp_path: Path) -> None:
    for name in ("search.py", "trm.py", "curricula.py", "cluster/__init__.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("raise SystemExit('the wrong module was imported')\n")
    command = [str(Path(sys.executable).with_name("trm")), "sweep", str(tiny), "--trials", "2",
               "--set", "stability.candidates=1", "--set", "stability.seeds=1",
               "--parallel", "1"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "tiny" / "best.yaml").exists()
    outcomes = {trial.outcome for trial in read_trials(tmp_path / "runs" / "tiny").values()}
    assert outcomes <= {"completed", "pruned"}
