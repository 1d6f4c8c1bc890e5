"""A run that is given a larger budget, finished or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Tiny
from tests.support.heads import edit_head
from trm.errors import UserError
from trm.files.yaml12 import read_yaml
from trm.run.training import Stopped, Training, train

STEADY = {"optimizer.lr_min_ratio": 1.0, "train.ema": 0.9}
"""Nothing that depends on the budget."""


def longer(tree: dict[str, Any], out: Path, **more: Any) -> tuple[Training, list[str]]:
    said: list[str] = []
    return train(tree, out, resume=True, on_extended=said.append, **more), said


def same_weights(one: Training, other: Training) -> bool:
    first, second = one.trainer.state_dict(), other.trainer.state_dict()
    return all(
        torch.equal(a[key], b[key])
        for a, b in ((first.weights, second.weights), (first.ema, second.ema))
        for key in a
    )


@pytest.mark.parametrize("at", [20, 7])
def test_an_extended_run_is_the_one_that_was_planned_so_long(
    tiny: Tiny, tmp_path: Path, at: int
) -> None:
    planned = train(tiny(STEADY | {"train.budget.steps": 50}), tmp_path / "planned")
    if at == 20:
        train(tiny(STEADY), tmp_path / "out")
    else:
        with pytest.raises(Stopped):
            train(tiny(STEADY), tmp_path / "out", on_step=_stop_at(at))
    tree = tiny(STEADY | {"train.budget.steps": 50, "train.reports": 4})
    training, said = longer(tree, tmp_path / "out")
    assert same_weights(training, planned)
    assert training.last["step"] == 50
    assert said == [f"extended from step {at} to 2.5 times its budget, as the run that was "
                    "planned so long"]  # fmt: skip
    steps = [row["step"] for row in training.rows]
    assert steps == {20: [10, 20, 25, 38, 50], 7: [13, 25, 38, 50]}[at]
    assert [row["mark"] for row in training.rows] == list(range(1, len(steps) + 1))
    for row in training.rows:
        assert row["progress"] == pytest.approx(row["step"] / 50)
    assert read_yaml(tmp_path / "out" / "config.yaml")["train"]["budget"]["steps"] == 50
    again, said = longer(tree, tmp_path / "out")  # finished, with nothing to do
    assert (said, again.rows) == ([], training.rows)


def test_one_that_is_killed_right_after_is_extended_again(tiny: Tiny, tmp_path: Path) -> None:
    planned = train(tiny(STEADY | {"train.budget.steps": 50}), tmp_path / "planned")
    train(tiny(STEADY), tmp_path / "out")
    tree = tiny(STEADY | {"train.budget.steps": 50})

    def killed(*_: Any) -> None:
        raise SystemError("killed")

    with pytest.raises(SystemError):
        longer(tree, tmp_path / "out", on_begin=killed)
    with pytest.raises(UserError, match=r"^train.budget.steps: 20 differs from 50"):
        train(tiny(STEADY), tmp_path / "out", resume=True)
    training, said = longer(tree, tmp_path / "out")
    assert len(said) == 1
    assert same_weights(training, planned)
    assert [row["progress"] for row in training.rows] == pytest.approx([0.2, 0.4, 0.5, 1.0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimizer.lr_min_ratio": 0.1}, "the learning rate falls over the budget: it stood at"),
        ({**STEADY, "curriculum": {"name": "cgar"}}, "the curriculum moves over the budget"),
        ({**STEADY, "train.freeze.share": 0.5}, "train.freeze.share is a share of the budget"),
    ],
)
def test_what_depends_on_the_budget_is_said(
    tiny: Tiny, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    train(tiny(changes), tmp_path / "out")
    training, said = longer(tiny(changes | {"train.budget.steps": 30}), tmp_path / "out")
    assert training.last["step"] >= 30
    assert "but not as the run that was planned so long" in said[0]
    assert words in said[0]


def test_what_cannot_be_extended_is_one_line(tiny: Tiny, tmp_path: Path) -> None:
    train(tiny(), tmp_path / "out")
    for changes, words in (
        ({"train.budget.steps": 10}, r"^train.budget: is 50% of what the run in .* was given"),
        ({"train.budget": {"flops": 1.0}}, r"^train.budget: is 0% of"),
        ({"train.reports": 4}, r"^train.reports: 4 differs from 2"),
        ({"train.budget.steps": 40, "train.seed": 3}, r"^train.seed: 3 differs from 0"),
        ({"train.budget.steps": 40, "optimizer.lr": 0.3}, r"^optimizer.lr: 0.3 differs"),
    ):
        with pytest.raises(UserError, match=words):
            longer(tiny(changes), tmp_path / "out")
    assert len((tmp_path / "out" / "reports.jsonl").read_text().splitlines()) == 2
    last = tmp_path / "out" / "checkpoints" / "000000020-0002"
    edit_head(last, lambda head: head["values"]["counters"].update(diverged=True))
    with pytest.raises(UserError, match=r"^train.budget: the run has diverged at step 20"):
        longer(tiny({"train.budget.steps": 40}), tmp_path / "out")


def _stop_at(step: int) -> Any:
    import signal

    steps = 0

    def told(_: float) -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            signal.raise_signal(signal.SIGINT)

    return told
