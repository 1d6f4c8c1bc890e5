"""`trm train` in the logs of its file: TensorBoard's event files, W&B offline and on a server."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from search.cli import main
from tests.conftest import Tiny
from trm.files.yaml12 import dump_yaml


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    from tests.support import wandb_server

    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb-config"))
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    with wandb_server.wandb_server() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", wandb_server.KEY)
        yield server


@pytest.fixture
def path(tiny: Tiny, tmp_path: Path) -> str:
    (tmp_path / "c.yaml").write_text(dump_yaml(tiny({"optimizer.lr_min_ratio": 1.0})))
    return str(tmp_path / "c.yaml")


def scalars(out: Path) -> list[tuple[int, float]]:
    reader = EventAccumulator(str(out / "tensorboard" / "tiny"))
    reader.Reload()
    return [(event.step, event.value) for event in reader.Scalars("exact_accuracy")]


def test_a_training_stopped_resumed_and_extended_is_one_run_of_each_log(
    server: Any, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    words = ["train", path, "--out", str(out), "--set", "log.wandb=online"]
    words += ["--set", "log.tensorboard=true"]
    from search.logs.console import TrainDisplay

    shown = TrainDisplay.show

    def stop_after(display: TrainDisplay, report: Any) -> None:
        shown(display, report)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(TrainDisplay, "show", stop_after)
        # A busy machine takes longer to end a run than a stop may wait.
        patch.setattr("search.logs.training_log.SECONDS_AFTER_AN_INTERRUPT", 60.0)
        assert main(words) == 130
    (stored,) = server.runs.values()
    assert (stored.steps, stored.preempting) == ([10], True)
    assert [step for step, _ in scalars(out)] == [10]
    assert main([*words, "--resume"]) == 0
    assert stored.steps == [10, 20]
    assert (stored.exit_code, stored.summary["outcome"]) == (0, "completed")
    assert main([*words, "--resume"]) == 0  # finished: nothing is logged twice
    assert main([*words, "--resume", "--set", "train.budget.steps=40"]) == 0
    assert stored.steps == [10, 20, 40]
    assert [step for step, _ in scalars(out)] == [10, 20, 40]
    assert len(server.runs) == 1
    assert stored.about["displayName"] == "tiny"
    assert stored.config["train"]["batch_size"] == 16


def test_online_without_a_key_is_refused_before_anything_is_made(
    server: Any, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.delenv("WANDB_API_KEY")
    assert main(["train", path, "--out", str(tmp_path / "out"), "--set", "log.wandb=online"]) == 2
    assert "log.wandb: 'online' needs an API key" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert server.runs == {}


@pytest.mark.parametrize("section", ["search.trials=3", "stability.seeds=2", "cluster.parallel=2"])
def test_a_setting_that_says_nothing_of_a_training_is_named(
    path: str, tmp_path: Path, section: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["--set", section, "--set", "train.budget.steps=1", "--out", str(out)]
    assert main(["train", path, *words]) == 0
    said = capsys.readouterr().err.splitlines()
    name = section.partition(".")[0]
    assert said == [
        f"trm: warning: --set {section}: does nothing here: `trm train` does not read `{name}`"
    ]
    assert not (out / "log-id.txt").exists()
