"""`train.kernel`: who decides, what is stored, and runs that go on on the fused path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch

import trm.network.fused.library
from tests.support.heads import edit_old_head
from trm.checkpoint.head import read_head
from trm.checkpoint.reading import load_model, resume
from trm.checkpoint.writing import save_checkpoint
from trm.config import experiment_from
from trm.errors import UserError
from trm.tasks.base import Task
from trm.training.steps.kernel import build_ahead
from trm.training.trainer import Trainer

TinyTree = Callable[..., dict[str, Any]]


@pytest.fixture
def task(tiny: TinyTree, cache: Path) -> Task:
    return experiment_from(tiny()).task.build(cache)


def trainer(tiny: TinyTree, task: Task, kernel: str = "auto", **changes: Any) -> Trainer:
    return Trainer(experiment_from(tiny({"train.kernel": kernel, **changes})), task)


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trm.network.fused.library, "_found", lambda: "no C++ compiler (g++)")


def test_auto_is_fused_where_it_can_be_and_says_why_where_not(tiny: TinyTree, task: Task) -> None:
    chosen = trainer(tiny, task)
    assert (chosen.resolved.kernel, chosen.resolved.kernel_reason) == ("fused", "")
    assert chosen.model.fused is not None
    for changes, reason in (
        ({"kernel": "eager"}, "as train.kernel says"),
        ({"train.precision": "bfloat16"}, "bfloat16, not float32"),
        ({"train.compile": True}, "train.compile is on"),
    ):
        other = trainer(tiny, task, **changes)  # type: ignore[arg-type]
        assert (other.resolved.kernel, other.resolved.kernel_reason) == ("eager", reason)
        assert other.model.fused is None


@pytest.mark.usefixtures("no_library")
def test_without_a_compiler_auto_is_eager_and_fused_is_refused(tiny: TinyTree, task: Task) -> None:
    chosen = trainer(tiny, task)
    assert (chosen.resolved.kernel, chosen.model.fused) == ("eager", None)
    assert chosen.resolved.kernel_reason == "no C++ compiler (g++)"
    with pytest.raises(UserError, match=r"^train.kernel: 'fused' is not .* set it to auto$"):
        trainer(tiny, task, "fused")


@pytest.mark.parametrize("mixer", ["mlp_t", "attention"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(
    tiny: TinyTree, task: Task, tmp_path: Path, mixer: str, threads: int
) -> None:
    changes = {"model.mixer": mixer, "train.threads": threads, "train.ema": 0.9}
    before = torch.get_num_threads()
    whole, half = trainer(tiny, task, **changes), trainer(tiny, task, **changes)
    assert whole.resolved.kernel == "fused"
    whole.prepare()
    for _ in range(6):
        whole.train_step()
    for _ in range(3):
        half.train_step()
    save_checkpoint(tmp_path / "half", half)
    assert read_head(tmp_path / "half").resolved == half.resolved
    again = resume(tmp_path / "half", task)
    assert again.model.fused is not None
    for _ in range(3):
        again.train_step()
    torch.set_num_threads(before)
    one, other = whole.state_dict(), again.state_dict()
    for mine, theirs in ((one.weights, other.weights), (one.training, other.training)):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_run_keeps_what_was_decided(tiny: TinyTree, task: Task, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "eager", trainer(tiny, task, "eager"))
    assert resume(tmp_path / "eager", task).model.fused is None
    save_checkpoint(tmp_path / "old", trainer(tiny, task))

    def without_kernel(head: dict[str, Any]) -> None:
        del head["resolved"]["kernel"], head["resolved"]["kernel_reason"]
        del head["config"]["train"]["kernel"]

    edit_old_head(tmp_path / "old", without_kernel)
    old = resume(tmp_path / "old", task)
    assert (old.resolved.kernel, old.model.fused) == ("eager", None)
    assert load_model(tmp_path / "old", task)[0].fused is None


def test_a_run_goes_on_eagerly_where_there_is_no_library(
    tiny: TinyTree, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path / "saved", trainer(tiny, task, "fused"))
    assert load_model(tmp_path / "saved", task)[0].fused is not None
    monkeypatch.setattr(trm.network.fused.library, "_found", lambda: "no C++ compiler (g++)")
    again = resume(tmp_path / "saved", task)
    assert again.resolved == replace(again.resolved, kernel="eager")
    assert again.resolved.kernel_reason == "no C++ compiler (g++)"
    assert load_model(tmp_path / "saved", task)[0].fused is None


def test_both_kernels_train_alike(tiny: TinyTree, task: Task) -> None:
    fused, eager = trainer(tiny, task), trainer(tiny, task, "eager")
    for _ in range(3):
        fused.train_step(), eager.train_step()
    assert fused.counters.sums["loss"] == pytest.approx(eager.counters.sums["loss"], rel=1e-4)
    mine, other = fused.evaluate(), eager.evaluate()
    assert mine.lm_loss == pytest.approx(other.lm_loss, rel=1e-3)


def test_the_library_is_built_while_other_things_begin(
    tiny: TinyTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, others_have_begun, asked = Event(), Event(), []

    def found() -> str:
        begun.set()
        assert others_have_begun.wait(60)
        asked.append("library")
        return "no C++ compiler (g++)"

    monkeypatch.setattr(trm.network.fused.library, "_found", found)
    builder = build_ahead(experiment_from(tiny()))
    assert builder is not None
    assert begun.wait(60)
    assert not asked
    others_have_begun.set()
    builder.join()
    assert asked == ["library"]


@pytest.mark.parametrize(
    "changes",
    [
        {"train.kernel": "eager"},
        {"train.compile": True},
        {"train.precision": "bfloat16"},
        {"train.device": "cuda:99"},
        {"model.hidden_size": 512},
    ],
)
def test_a_library_that_nobody_will_want_is_not_built(
    tiny: TinyTree, changes: dict[str, Any]
) -> None:
    assert build_ahead(experiment_from(tiny(changes))) is None
