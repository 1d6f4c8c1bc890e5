"""Processes that `train` starts, and what is left when one of them ends."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from trm.checkpoint.head import read_head
from trm.errors import UserError
from trm.files.run_folder import latest_checkpoint
from trm.parallel.leading import LostProcessError
from trm.report import MACHINE_COLUMNS
from trm.run.training import Stopped, Training, train
from trm.stopping import interrupt_this

Tiny = Callable[..., dict[str, Any]]

QUICK = {"train.budget.steps": 16, "diagnostics.probe": None}


def others() -> list[psutil.Process]:
    """The processes that this one has started to follow it."""
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if "trm.parallel.following" in child.cmdline()
    ]


def assert_same(one: Training, other: Training) -> None:
    for ours, theirs in zip(one.rows, other.rows, strict=True):
        assert ours.keys() == theirs.keys()
        for key in ours.keys() - MACHINE_COLUMNS:
            same = ours[key] == theirs[key]
            assert same or ours[key] == pytest.approx(theirs[key], rel=1e-4, abs=1e-6), key
    weights = one.trainer.model.state_dict()
    for name, tensor in other.trainer.model.state_dict().items():
        torch.testing.assert_close(tensor, weights[name], rtol=0.0, atol=1e-5)


def test_two_processes_train_one_run_and_only_loopback_hears_them(
    tiny: Tiny, tmp_path: Path
) -> None:
    heard: set[str] = set()
    count: set[int] = set()

    def look(progress: float) -> None:
        if heard:
            return
        found = others()
        count.add(len(found))
        for process in [psutil.Process(), *found]:
            heard.update(
                c.laddr.ip.removeprefix("::ffff:")
                for c in process.net_connections()
                if c.status == "LISTEN"
            )

    alone = train(tiny(QUICK), tmp_path / "alone")
    both = train(tiny(QUICK), tmp_path / "both", processes=2, on_step=look)
    assert_same(alone, both)
    assert count == {1}
    assert heard == {"127.0.0.1"}
    assert not others()
    assert "GLOO_SOCKET_IFNAME" not in os.environ


def test_when_a_process_dies_all_end_and_the_run_goes_on_from_its_checkpoint(
    tiny: Tiny, tmp_path: Path
) -> None:
    def kill(progress: float) -> None:
        if progress > 0.7:
            for child in others():
                child.send_signal(signal.SIGKILL)

    with pytest.raises(LostProcessError, match=r"^process 2 of 2 was killed by SIGKILL$"):
        train(tiny(QUICK), tmp_path / "run", processes=2, on_step=kill)
    assert not others()
    saved = latest_checkpoint(tmp_path / "run")
    assert saved is not None
    assert read_head(saved).values["counters"]["step"] == 8
    resumed = train(tiny(QUICK), tmp_path / "run", resume=True)
    assert_same(train(tiny(QUICK), tmp_path / "alone"), resumed)


def test_a_stop_is_agreed_on_and_the_run_goes_on(tiny: Tiny, tmp_path: Path) -> None:
    def stop(progress: float) -> None:
        if progress > 0.3:
            interrupt_this()

    with pytest.raises(Stopped) as stopped:
        train(tiny(QUICK), tmp_path / "run", processes=2, on_step=stop)
    assert stopped.value.step == 5
    assert not others()
    resumed = train(tiny(QUICK), tmp_path / "run", processes=2, resume=True)
    assert_same(train(tiny(QUICK), tmp_path / "alone"), resumed)


def test_what_keeps_another_process_from_training_is_said(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_once.py").write_text(
        "import sys\n"
        "if 'trm.parallel.following' in ' '.join(sys.orig_argv):\n"
        "    raise RuntimeError('no second time')\n"
    )
    tree = tiny({**QUICK, "plugins": ["only_once"]})
    (tmp_path / "config.yaml").write_text(json.dumps(tree))
    with pytest.raises(UserError, match=r"process 2 of 2: plugins: 'only_once' .* no second time"):
        train(tmp_path / "config.yaml", tmp_path / "run", processes=2)
    assert not others()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train.batch_size": 2}, "train.batch_size: 2 is less than 3 processes"),
        ({"train.budget": {"minutes": 1}}, "train.budget.minutes: 1.0 is timed on one process"),
        ({"train.device": "cuda:1"}, "train.device: 'cuda:1' is not there"),
    ],
)
def test_what_cannot_be_shared_out_is_refused_before_there_is_a_folder(
    tiny: Tiny, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        train(tiny(changes), tmp_path / "run", processes=3)
    assert not (tmp_path / "run").exists()
