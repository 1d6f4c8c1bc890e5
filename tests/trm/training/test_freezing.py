"""Parts of a model that stand still for a share of a run."""

from __future__ import annotations

import pytest
import torch

from tests.conftest import Tiny
from trm.config import experiment_from
from trm.errors import UserError
from trm.training.freezing import PARTS
from trm.training.trainer import Trainer


def trainer(tiny: Tiny, parts: list[str], share: float, name: str = "adamw") -> Trainer:
    config = experiment_from(
        tiny({
            "train.freeze": {"parts": parts, "share": share}, "optimizer.name": name,
            "optimizer.puzzle_emb_lr": 1e-2, "optimizer.grad_clip": 1.0, "model.mixer": "attention",
            "model.pos_encodings": "learned", "model.separate_networks": True,
            "model.state_transfer": "gated", "model.initial_state": "learned",
            "model.gradient_cycles": None,
        })
    )  # fmt: skip
    return Trainer(config, config.task.build())


def moved(run: Trainer, steps: int) -> set[str]:
    """The parameters that change over so many steps."""
    before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    for _ in range(steps):
        run.train_step()
    return {n for n, p in run.model.named_parameters() if not torch.equal(p, before[n])}


@pytest.mark.parametrize("name", ["adamw", "adam_atan2"])
def test_the_body_stands_still_for_its_share_and_then_moves(tiny: Tiny, name: str) -> None:
    run = trainer(tiny, ["body"], 0.25, name)
    everything = {name for name, _ in run.model.named_parameters()}
    assert moved(run, 5) == {"puzzle_emb"}
    assert moved(run, 2) == everything


@pytest.mark.parametrize("part", list(PARTS))
def test_each_part_alone(tiny: Tiny, part: str) -> None:
    run = trainer(tiny, [part], 1.0)
    still = {n for n, _ in run.model.named_parameters()} - moved(run, 20)
    assert still
    assert {name.partition(".")[0] for name in still} == set(PARTS[part])


def test_every_weight_belongs_to_a_part(tiny: Tiny) -> None:
    run = trainer(tiny, ["tokens"], 0.0)
    names = {name.partition(".")[0] for name, _ in run.model.named_parameters()}
    assert names == {name for part in PARTS.values() for name in part}
    assert run.frozen == []
    assert len(moved(run, 2)) > len(PARTS)


def test_nothing_left_to_train_is_one_line(tiny: Tiny) -> None:
    with pytest.raises(UserError, match=r"train.freeze.parts: .* leaves nothing to train"):
        trainer(tiny, ["body", "puzzles"], 0.5)
    config = experiment_from(
        tiny({
            "model.puzzle_emb_ndim": 0, "model.puzzle_emb_len": 0, "train.freeze.share": 0.5,
        })
    )  # fmt: skip
    with pytest.raises(UserError, match="there is no puzzle embedding"):
        Trainer(config, config.task.build())


def test_an_unknown_part_is_refused(tiny: Tiny) -> None:
    with pytest.raises(UserError, match=r"train.freeze.parts"):
        experiment_from(tiny({"train.freeze": {"parts": ["ears"], "share": 0.5}}))
