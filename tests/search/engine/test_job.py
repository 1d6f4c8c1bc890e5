"""Jobs of the TRM trainer: as JSON and back, seeds, data built once, resumed bit for bit."""

from __future__ import annotations

import dataclasses
import gc
import json
import shutil
import time
import weakref
from pathlib import Path
from typing import Any

import pytest

from search.engine.job import Job, TRMTraining, build_trainer
from search.engine.worker import TrialRunner
from trm.checkpoint.head import read_head
from trm.errors import UserError
from trm.files.driver_note import LocalFiles, ask_to_stop
from trm.report import MACHINE_COLUMNS, Report
from trm.tasks.arrows import ArrowsConfig
from trm.training.trainer import Trainer

CONFIG: dict[str, Any] = {
    "task": {
        "name": "arrows",
        "size": 4,
        "train_examples": 60,
        "valid_examples": 20,
        "test_examples": 10,
    },
    "model": {
        "mixer": "mlp_t",
        "hidden_size": 16,
        "L_layers": 1,
        "expansion": 1.0,
        "swiglu_multiple": 16,
        "puzzle_emb_len": 1,
        "H_cycles": 1,
        "L_cycles": 1,
        "halt_max_steps": 2,
    },
    "optimizer": {"name": "adamw", "lr": 1e-2, "lr_warmup_steps": 2},
    "train": {"batch_size": 8, "budget": {"steps": 1000}, "ema": None, "valid_examples": 16},
}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(
        folder=str(tmp_path),
        trial=4,
        attempt=1,
        config=CONFIG,
        seed=11,
        budget=5e6,
        marks=(0.5, 1.0),
        cache=str(tmp_path / "cache"),
    )


def timeless(report: Report) -> dict[str, Any]:
    return {name: value for name, value in report.row().items() if name not in MACHINE_COLUMNS}


def test_a_job_travels_as_json(job: Job) -> None:
    assert Job.from_json(job.to_json()) == job


def test_the_jobs_seed_is_the_trials_and_the_data_is_built_once(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []
    real = ArrowsConfig.build
    monkeypatch.setattr(
        ArrowsConfig, "build", lambda self, *args: (built.append(1), real(self, *args))[1]
    )
    first = [timeless(report) for report in build_trainer(job).run()]
    again = [timeless(report) for report in build_trainer(job).run()]
    other = [timeless(r) for r in build_trainer(dataclasses.replace(job, seed=12)).run()]
    assert len(first) == 2
    assert first == again
    assert first != other
    assert len(built) == 1


def test_a_resumed_job_goes_on_bit_for_bit(job: Job, tmp_path: Path) -> None:
    expected = [timeless(report) for report in build_trainer(job).run()]
    training = build_trainer(job)
    reports = training.run()
    assert timeless(next(reports)) == expected[0]
    training.save(tmp_path / "checkpoints/4/1/1")
    resumed = build_trainer(dataclasses.replace(job, attempt=2, checkpoint="checkpoints/4/1/1"))
    assert [timeless(report) for report in resumed.run()] == expected[1:]
    assert resumed.finished
    provenance = resumed.provenance()
    assert {"torch", "data_hash", "resolved", "python"} <= provenance.keys()
    json.dumps(provenance)


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "all"])
def test_a_damaged_checkpoint_is_made_again_from_the_start(
    damage: str, job: Job, tmp_path: Path
) -> None:
    training = build_trainer(job)
    next(training.run())
    folder = tmp_path / "checkpoints/4/1/1"
    training.save(folder)
    file = folder / "weights.safetensors"
    if damage == "all":
        shutil.rmtree(folder)
    elif damage == "remove":
        file.unlink()
    else:
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data if damage == "flip" else data[:99])
    told: list[str] = []
    later = dataclasses.replace(job, attempt=2, checkpoint="checkpoints/4/1/1")
    again = build_trainer(later, told.append)
    assert [report.mark for report in again.run()] == [1, 2]
    [noted] = told
    assert noted.startswith("attempt 2: checkpoints/4/1/1: ")
    assert noted.endswith(": begun afresh\n")


def test_a_runner_whose_driver_is_asked_to_stop_saves_where_it_stands(
    ray_cluster: Any, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrialRunner, "_setup_logdir", lambda self: None)
    monkeypatch.setattr("search.engine.bell.LOOK", 0.02)
    job = dataclasses.replace(job, budget=5e7)
    expected = [timeless(report) for report in build_trainer(job).run()]
    runner = TrialRunner({"job": dataclasses.replace(job, driver="mine").to_json()})
    assert [json.loads(runner.train()["message"])["kind"] for _ in range(2)] == [
        "started",
        "report",
    ]
    ask_to_stop(LocalFiles(tmp_path), "another's")
    time.sleep(0.2)
    assert runner._bell is not None
    assert not runner._bell.rung
    ask_to_stop(LocalFiles(tmp_path), "mine")
    end = time.monotonic() + 20
    while not runner._bell.rung:
        assert time.monotonic() < end
        time.sleep(0.01)
    message = json.loads(runner.train()["message"])
    assert (message["kind"], message["checkpoint"]) == ("saved", "checkpoints/4/1/2")
    runner.stop()
    steps = [
        read_head(tmp_path / f"checkpoints/4/1/{n}").values["counters"]["step"] for n in (1, 2)
    ]
    assert steps[0] < steps[1] < expected[1]["step"], "between the two reports"
    later = dataclasses.replace(job, attempt=2, checkpoint="checkpoints/4/1/2")
    assert [timeless(report) for report in build_trainer(later).run()] == expected[1:]


def test_a_bad_config_is_the_users_error(job: Job) -> None:
    with pytest.raises(UserError, match="hidden"):
        TRMTraining(dataclasses.replace(job, config={**CONFIG, "model": {"hidden": 3}}))


def test_the_runners_messages_and_checkpoints(
    ray_cluster: Any, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a controller Tune would make a folder in the user's home.
    monkeypatch.setattr(TrialRunner, "_setup_logdir", lambda self: None)
    runner = TrialRunner({"job": job.to_json()})
    stale = tmp_path / "checkpoints/4/0/1"
    stale.mkdir(parents=True)
    # Of one that began while this one's node was frozen.
    later = tmp_path / "checkpoints/4/2/2"
    later.mkdir(parents=True)
    messages = [json.loads(runner.train()["message"]) for _ in range(4)]
    assert [m["kind"] for m in messages] == ["started", "report", "report", "end"]
    assert [m["last"] for m in messages[1:3]] == [False, True]
    assert messages[3]["outcome"] == "completed"
    assert "provenance" in messages[1]
    assert "provenance" not in messages[2]
    assert messages[2]["checkpoint"] == "checkpoints/4/1/2"
    assert (tmp_path / "checkpoints/4/1/2/checkpoint.json").is_file()
    assert not stale.exists()
    assert later.exists()
    # Paused and resumed by Tune, as population schedulers do.
    pointer = runner.save_checkpoint("")
    assert pointer == {"checkpoint": "checkpoints/4/1/2"}
    assert runner.reset_config({"job": dataclasses.replace(job, trial=5).to_json()})
    assert runner.save_checkpoint("") == {"checkpoint": None}
    assert json.loads(runner.train()["message"])["trial"] == 5
    broken = dataclasses.replace(job, config={**CONFIG, "model": {"hidden": 3}})
    runner.reset_config({"job": broken.to_json()})
    runner.train()
    message = json.loads(runner.train()["message"])
    assert (message["outcome"], message["kind"]) == ("crashed", "end")
    assert message["reason"].startswith("UserError: model.hidden: unknown key")
    assert "Traceback" in (tmp_path / "logs/4/1.txt").read_text()
    runner.stop()


def test_a_job_trains_through_the_library_where_a_training_alone_does(job: Job) -> None:
    run = TRMTraining(job)
    alone = Trainer(run._experiment, run._task, job.budget, job.marks)
    assert run.provenance()["resolved"]["kernel"] == alone.resolved.kernel
    eager = {**CONFIG, "train": {**CONFIG["train"], "kernel": "eager"}}
    there = TRMTraining(dataclasses.replace(job, config=eager)).provenance()["resolved"]
    assert there["kernel"] == "eager"


def test_between_two_trials_only_what_is_new_is_looked_through(
    ray_cluster: Any, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrialRunner, "_setup_logdir", lambda self: None)
    runner = TrialRunner({"job": job.to_json()})
    for trial in (5, 6):
        assert [json.loads(runner.train()["message"])["kind"] for _ in range(4)][-1] == "end"
        before = weakref.ref(runner._attempts[0].training)
        assert runner.reset_config({"job": dataclasses.replace(job, trial=trial).to_json()})
        assert before() is None
        assert len(gc.get_objects()) < 20_000  # torch alone is 300,000
        runner._introduced = False
    runner.stop()
