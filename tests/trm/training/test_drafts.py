"""Training from drafts: what is redrawn, what is undone when, and runs that repeat bit by bit."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch

from trm.config import Experiment, experiment_from, set_value
from trm.errors import UserError
from trm.evaluation import solve
from trm.learning.constraints import corrupted_targets
from trm.learning.losses import LossConfig
from trm.network.model import TRM, ModelConfig
from trm.tasks.base import IGNORE, Task
from trm.tasks.sudoku import SudokuConfig
from trm.train_config import DraftConfig
from trm.training.drafts import make_drafts
from trm.training.stacking.obstacles import obstacle
from trm.training.trainer import Trainer

TREE: dict[str, Any] = {
    "task": {"name": "sudoku", "box": [2, 2], "blanks": 8, "train_examples": 200,
             "valid_examples": 20, "test_examples": 20},
    "model": {"hidden_size": 16, "num_heads": 2, "L_layers": 1, "H_cycles": 2, "L_cycles": 2,
              "expansion": 1.0, "swiglu_multiple": 16, "puzzle_emb_len": 1, "halt_max_steps": 3},
    "optimizer": {"name": "adamw", "lr": 1e-3},
    "train": {"batch_size": 16, "budget": {"steps": 8}, "reports": 2,
              "draft": {"share": 0.75, "corruption": 0.8}},
}  # fmt: skip


def experiment(**changes: Any) -> Experiment:
    tree = experiment_from(TREE).tree()
    for path, value in changes.items():
        set_value(tree, path.replace("__", "."), value)
    return experiment_from(tree)


@pytest.fixture(scope="module")
def task() -> Task:
    return experiment().task.build()


@pytest.fixture(scope="module")
def many() -> Task:
    return SudokuConfig(
        box=(2, 2), blanks=8, train_examples=3000, valid_examples=10, test_examples=10
    ).build()


@pytest.mark.parametrize("with_what", ["random", "input"])
@pytest.mark.parametrize("corruption", [0.0, 0.3, 1.0])
def test_cells_are_redrawn_as_often_as_the_formula_says(
    many: Task, with_what: Any, corruption: float
) -> None:
    train, rng = many.split("train"), np.random.default_rng(0)
    config = DraftConfig(share=0.8, corrupt_with=with_what)
    drafts = make_drafts(
        train.inputs, train.labels, many, config, corruption,
        lambda shape: rng.random(shape, dtype=np.float32),
    )  # fmt: skip
    begun = (drafts != IGNORE).any(axis=1)
    assert abs(begun.mean() - 0.8) < 0.03
    assert (drafts[~begun] == IGNORE).all()
    drafts, inputs, labels = drafts[begun], train.inputs[begun], train.labels[begun]
    open_cells = many.unknown(inputs)
    assert np.array_equal(drafts[~open_cells], labels[~open_cells]), "a given was redrawn"
    wrong = (drafts != labels)[open_cells].mean()
    # Over rows the chance is corruption / 2; of a 4x4 answer's own tokens 3 of 4 are others.
    expected = corruption / 2 * (0.75 if with_what == "random" else 1.0)
    assert abs(wrong - expected) < 0.02
    if with_what == "input":
        assert set(np.unique(drafts[open_cells][(drafts != labels)[open_cells]])) <= {1}
    # Rows are redrawn with chances of their own: uniform, so of variance corruption^2 / 12.
    spread = (drafts != labels).sum(axis=1).var()
    n, p = 8, np.linspace(0, corruption, 1001) * (0.75 if with_what == "random" else 1.0)
    assert spread == pytest.approx((n * p * (1 - p)).mean() + (n * p).var(), rel=0.12, abs=1e-9)


def test_the_answer_begins_as_the_formula_has_it() -> None:
    config = ModelConfig(hidden_size=8, num_heads=2, puzzle_emb_len=1)
    model = TRM(config, seq_len=4, vocab_size=6, generator=torch.Generator().manual_seed(0))
    drafts = torch.tensor([[2, IGNORE, 5, 0], [IGNORE] * 4], dtype=torch.int32)
    found, plain = model.fresh_latent(2, drafts=drafts), model.fresh_latent(2)
    assert torch.equal(found.z_L, plain.z_L)
    table, start = model.embed_tokens.detach().double(), model.H_init.double()
    for row in range(2):
        for position in range(5):
            token = IGNORE if position == 0 else int(drafts[row, position - 1])
            expected = start + (0.0 if token < 0 else 8**0.5 * table[token])
            assert torch.allclose(found.z_H[row, position].double(), expected, atol=1e-6)


def test_targets_undo_the_draft_step_by_step() -> None:
    config = LossConfig(target_corruption=0.8, corrupt_with="draft")
    chances = torch.tensor([[0.1, 0.3, 0.5, 0.9, 0.0, 0.0]])
    labels = torch.tensor([[2, 3, 4, 5, 2, IGNORE]], dtype=torch.int32)
    draft = torch.tensor([[3, 4, 5, 2, IGNORE, 3]], dtype=torch.int32)
    memory = {"chances": chances, "tokens": torch.zeros_like(chances), "draft": draft}
    found = [
        corrupted_targets(labels, labels, torch.tensor([step]), 3, config, memory, 6).tolist()[0]  # type: ignore[union-attr]
        for step in (1, 2, 3)
    ]
    # Wrong where the chance is below .8, .4 and 0; never where the draft says nothing.
    assert found == [
        [3, 4, 5, 5, 2, IGNORE], [3, 4, 4, 5, 2, IGNORE], labels[0].tolist(),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"loss.target_corruption": 0.5, "loss.corrupt_with": "draft"},
        {"train.draft.corruption": {"name": "linear", "start": 0.1, "end": 1.0}},
    ],
)
def test_a_resumed_run_is_the_same_run(task: Task, changes: dict[str, Any]) -> None:
    config = experiment(**changes)
    whole = Trainer(config, task)
    reports = list(whole.run())
    first = Trainer(config, task)
    next(iter(first.run()))
    state = first.state_dict()
    again = Trainer(config, task)
    again.load_state_dict(state)
    rest = list(again.run())
    timed = ("seconds", "train_seconds", "latency", "memory")
    for report, other in zip(reports[1:], rest, strict=True):
        mine, theirs = asdict(report), asdict(other)
        assert {k: v for k, v in mine.items() if not any(t in k for t in timed)} == pytest.approx(
            {k: v for k, v in theirs.items() if not any(t in k for t in timed)}, nan_ok=True
        )
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, again.model.state_dict()[name]), name


def test_the_batch_begins_from_drafts_that_a_curriculum_makes_worse(task: Task) -> None:
    def wrong(corruption: Any) -> float:
        changes = {"train.draft.share": 1.0, "train.draft.corruption": corruption,
                   "loss.target_corruption": 0.5, "loss.corrupt_with": "draft"}  # fmt: skip
        trainer = Trainer(experiment(**changes), task)
        list(trainer.run())
        carry = trainer.carry
        return float((carry.memory["draft"] != carry.labels).float().mean())

    assert wrong(0.0) == 0.0
    assert wrong({"name": "linear", "start": 0.0, "end": 1.0}) > 0.1


def test_a_draft_changes_the_answer_and_nothing_said_changes_nothing(task: Task) -> None:
    trainer = Trainer(experiment(), task)
    list(trainer.run())
    valid = task.split("valid")

    def answered(drafts: Any) -> Any:
        return solve(
            trainer.model, valid, steps=2, batch_size=7, device=torch.device("cpu"), drafts=drafts
        )

    silent = np.full_like(valid.labels, IGNORE)
    assert np.array_equal(answered(None).q_halt, answered(silent).q_halt)
    assert not np.array_equal(answered(None).q_halt, answered(valid.labels).q_halt)


def test_without_drafts_nothing_changes(task: Task) -> None:
    runs = []
    for corruption in (0.2, 0.9):
        config = experiment(**{"train.draft": {"share": 0.0, "corruption": corruption}})
        trainer = Trainer(config, task)
        list(trainer.run())
        runs.append(trainer.model.state_dict())
    for name, weight in runs[0].items():
        assert torch.equal(weight, runs[1][name])


def test_what_does_not_go_together(task: Task) -> None:
    with pytest.raises(UserError, match=r"train\.draft\.share: 0\.75 needs model\.carry_latent"):
        Trainer(experiment(**{"model.carry_latent": False}), task)
    undone = {"loss.target_corruption": 0.5, "loss.corrupt_with": "draft"}
    with pytest.raises(UserError, match=r"loss\.corrupt_with: 'draft' needs drafts"):
        Trainer(experiment(**undone, **{"train.draft.share": 0.0}), task)
    with pytest.raises(UserError, match="corruption"):
        experiment(**{"train.draft.corruption": 1.5})
    assert "drafts" in obstacle(experiment())
