"""A training as a Python call: the folder that the command makes, from any form of config."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import trm.run.folder
from search.cli import main
from search.config.config import read_config
from trm.config import experiment_from
from trm.errors import UserError
from trm.files.yaml12 import dump_yaml, read_yaml
from trm.report import MACHINE_COLUMNS, Report
from trm.run.training import Stopped, train
from trm.training.trainer import Trainer

Tiny = Callable[..., dict[str, Any]]


def curve(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "reports.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in MACHINE_COLUMNS} for row in rows]


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


def test_a_path_a_tree_and_an_experiment_train_as_the_command_does(
    tiny: Tiny, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(dump_yaml(tiny()))
    assert main(["train", str(path), "--out", str(tmp_path / "command")]) == 0
    for name, config in {
        "read": read_config(path, ["train.seed=0"]).default,
        "path": path, "text": str(path), "tree": tiny(), "experiment": experiment_from(tiny()),
    }.items():  # fmt: skip
        out = tmp_path / name
        training = train(config, out)
        assert training.folder == out
        assert not training.failed
        assert list(training.rows) == [json.loads(line) for line in (out / "reports.jsonl").open()]
        assert training.last["step"] == 20
        assert curve(out) == curve(tmp_path / "command")
        for part in ("config.yaml", "checkpoints/000000020-0002/weights.safetensors"):
            assert (out / part).read_bytes() == (tmp_path / "command" / part).read_bytes()
        assert sorted(p.name for p in out.iterdir()) == sorted(
            p.name for p in (tmp_path / "command").iterdir()
        )


def test_what_happens_is_told(tiny: Tiny, tmp_path: Path) -> None:
    told: list[Any] = []
    reports: list[Report] = []
    training = train(
        tiny({"task.seed": 901}), tmp_path / "out",
        on_data=lambda what, share: told.append("data"),
        on_begin=lambda trainer, changed: told.append((trainer.counters.step, changed)),
        on_step=told.append,
        on_report=reports.append,
    )  # fmt: skip
    begun = told.index((0, []))
    assert set(told[:begun]) == {"data"}
    assert len(told[begun + 1 :]) == 20
    assert told[-1] == 1.0
    assert [report.step for report in reports] == [row["step"] for row in training.rows] == [10, 20]


def test_a_signal_stops_and_saves_and_resume_goes_on_to_the_same_end(
    tiny: Tiny, tmp_path: Path
) -> None:
    whole = train(tiny(), tmp_path / "whole")
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def interrupt(progress: float) -> None:
        if progress == pytest.approx(0.35):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped, match="stopped at step 7 and saved") as stopped:
        train(tiny(), tmp_path / "out", on_step=interrupt)
    assert (stopped.value.step, stopped.value.folder) == (7, tmp_path / "out")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    begun: list[int] = []
    again = train(
        tiny(), tmp_path / "out", resume=True,
        on_begin=lambda trainer, changed: begun.append(trainer.counters.step),
    )  # fmt: skip
    assert begun == [7]
    assert torch.equal(weights(again.trainer), weights(whole.trainer))
    assert curve(tmp_path / "out") == curve(tmp_path / "whole")


def test_a_thread_trains_without_hearing_signals(tiny: Tiny, tmp_path: Path) -> None:
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(train(tiny(), tmp_path / "out").last))
    thread.start()
    thread.join()
    assert done[0]["step"] == 20


def test_a_folder_is_free_again_after_an_error(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(trm.run.folder, "save_checkpoint", fail)
        with pytest.raises(RuntimeError, match="disk is full"):
            train(tiny(), tmp_path / "out")
    with pytest.raises(UserError, match="already holds a run"):
        train(tiny(), tmp_path / "out")
    assert train(tiny(), tmp_path / "out", resume=True).last["step"] == 20


@pytest.mark.parametrize("setting", [{"train.device": "cuda:77"}, {"train.kernel": "fused"}])
def test_a_run_that_cannot_begin_leaves_no_folder(
    tiny: Tiny, tmp_path: Path, setting: dict[str, Any]
) -> None:
    config = tiny({**setting, "model.hidden_size": 288, "train.compile": False})
    with pytest.raises(UserError, match=next(iter(setting))):
        train(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "own").mkdir()
    with pytest.raises(UserError, match=next(iter(setting))):
        train(config, tmp_path / "own")
    assert (tmp_path / "own").is_dir(), "it was there before"


def test_a_run_that_diverges_has_failed(tiny: Tiny, tmp_path: Path) -> None:
    changes = {"optimizer.lr": 1e4, "optimizer.lr_warmup_steps": 0, "train.budget.steps": 500}
    training = train(tiny(changes), tmp_path / "out")
    assert training.failed
    assert training.last["diverged"] is True
    assert training.last["step"] == training.trainer.counters.step


def test_bad_config_is_one_line(tiny: Tiny, tmp_path: Path) -> None:
    for config, message in (
        ({**tiny(), "trian": {}}, "trian: is no section of a training: did you mean train?"),
        ({**tiny(), "search": {"trials": 2}}, "search: is no section of a training: known: "),
        (tiny({"train.seed": "a"}), "train.seed: 'a' must be a whole number"),
        (tmp_path / "no.yaml", "no.yaml: No such file"),
    ):
        with pytest.raises(UserError) as error:
            train(config, tmp_path / "out")
        assert message in str(error.value)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_plugin_lies_beside_the_file_that_names_it(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "beside_of_run_test.py").write_text("")
    path = tmp_path / "tiny.yaml"
    path.write_text(dump_yaml({**tiny(), "plugins": ["beside_of_run_test"]}))
    train(path, tmp_path / "out")
    assert read_yaml(tmp_path / "out" / "config.yaml")["plugins"] == ["beside_of_run_test"]


def test_a_relative_file_of_puzzles_is_meant_from_here(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tiny({"task": {"name": "sudoku", "box": [2, 2], "file": "puzzles.txt"}})
    with pytest.raises(UserError, match=f"{tmp_path / 'puzzles.txt'}: there is no such file"):
        train(config, "out")
