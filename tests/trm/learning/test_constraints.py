"""What a loss has beside the reference's: against numpy in float64, and finite differences."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.conftest import Tiny
from trm.config import experiment_from
from trm.errors import UserError
from trm.learning.constraints import Past, corrupted_targets
from trm.learning.halting_rules import HaltingConfig
from trm.learning.losses import TOKEN_LOSSES, LossConfig, act_loss
from trm.learning.memory import blank_memory, forgotten, remembered
from trm.learning.probabilities import probabilities
from trm.network.model import Latent, Output
from trm.network.noise import Noise
from trm.tasks.base import IGNORE, Task
from trm.testing.fitting import check_trains
from trm.training.stacking.obstacles import unstackable
from trm.training.trainer import Trainer

ROWS, CELLS, VOCAB = 4, 6, 5
Array = NDArray[np.float64]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def step() -> tuple[Output, Tensor, Past]:
    """A step of float64 numbers, its labels of which some are ignored, and what was before it."""
    states = [draw(ROWS, 3, 4, seed=seed) for seed in (3, 4, 5, 6)]
    output = Output(
        2 * draw(ROWS, CELLS, VOCAB), draw(ROWS, seed=1), draw(ROWS, seed=2),
        state=Latent(states[0], states[1]),
    )  # fmt: skip
    labels = torch.randint(0, VOCAB, (ROWS, CELLS), generator=seeded(1))
    labels[0, :3] = IGNORE
    old = draw(ROWS, CELLS, VOCAB, seed=7).softmax(-1)
    old[1] = 0.0  # a row whose first step it is
    q = draw(ROWS, seed=8)
    q[1] = -math.inf
    return output, labels, Past(Latent(states[2], states[3]), {"q": q, "probabilities": old})


def weights_of(x: Array, kind: str) -> Array:
    if kind == "softmax":
        return np.exp(x)
    return np.where(x < 0, 1 / (1 - np.minimum(x, 0)), x + 1)


def by_hand(output: Output, labels: Tensor, config: LossConfig, past: Past) -> float:
    """The total of a step, row by row and cell by cell."""
    kind = config.loss_type.removesuffix("_cross_entropy")
    total = 0.0
    x, q = output.logits.detach().numpy(), output.q_halt.detach().numpy()
    for row in range(ROWS):
        cells, right, lm, changed = 0, True, 0.0, 0.0
        for cell in range(CELLS):
            label = int(labels[row, cell])
            if label == IGNORE:
                continue
            cells += 1
            w = weights_of(x[row, cell], kind)
            p = w / w.sum()
            right = right and int(x[row, cell].argmax()) == label
            lm += -(1 - config.label_smoothing) * math.log(p[label])
            lm += -config.label_smoothing * float(np.log(p).mean())
            lm += config.z_loss * math.log(w.sum()) ** 2
            before = past.memory["probabilities"][row, cell].numpy()
            if before.sum() > 0:
                changed += float(((p - before) ** 2).sum())
        chance = 1 / (1 + math.exp(-q[row]))
        if config.halt_loss == "brier":
            halt = (chance - right) ** 2
        else:
            halt = -math.log(chance if right else 1 - chance)
        total += lm / cells + config.halt_weight * halt
        total += config.consistency_weight * changed / cells
        total += config.monotonic_weight * max(float(past.memory["q"][row]) - q[row], 0.0) ** 2
        assert output.state is not None
        moved = []
        for old, new in (
            (past.before.z_H, output.state.z_H), (past.before.z_L, output.state.z_L)
        ):  # fmt: skip
            a, b = old[row].numpy(), new[row].detach().numpy()
            moved.append(((b - a) ** 2).sum() / (a**2).sum())
        total += config.residual_weight * float(np.mean(moved))
    return total / ROWS


CONFIGS: list[dict[str, Any]] = [
    {"halt_loss": "brier"},
    {"label_smoothing": 0.2},
    {"z_loss": 0.3},
    {"monotonic_weight": 0.7},
    {"residual_weight": 0.4},
    {"consistency_weight": 0.6},
    {
        "halt_loss": "brier", "halt_weight": 0.2, "label_smoothing": 0.1, "z_loss": 0.01,
        "monotonic_weight": 0.3, "residual_weight": 0.1, "consistency_weight": 0.2,
    },
]  # fmt: skip


@pytest.mark.parametrize("loss_type", sorted(TOKEN_LOSSES))
@pytest.mark.parametrize("section", CONFIGS, ids=lambda section: ",".join(section))
def test_the_total_is_that_of_the_formulas(section: dict[str, Any], loss_type: str) -> None:
    config = LossConfig.model_validate({"loss_type": loss_type, **section})
    output, labels, past = step()
    found = act_loss(output, labels, config, past=past).total
    # Softmax and states are computed in float32.
    assert float(found) == pytest.approx(by_hand(output, labels, config, past), rel=1e-5)
    assert float(found) != pytest.approx(
        by_hand(output, labels, LossConfig(loss_type=loss_type), past), rel=1e-4
    )


@pytest.mark.parametrize("section", CONFIGS, ids=lambda section: ",".join(section))
def test_gradients_are_those_of_finite_differences(section: dict[str, Any]) -> None:
    config = LossConfig.model_validate(section)
    output, labels, past = step()
    assert output.state is not None
    leaves = [output.logits, output.q_halt, output.state.z_H, output.state.z_L]
    for leaf in leaves:
        leaf.requires_grad_()
    total = act_loss(output, labels, config, past=past).total
    found = torch.autograd.grad(total, leaves, allow_unused=True)
    for leaf, gradient in zip(leaves, found, strict=True):
        direction, size = draw(*leaf.shape, seed=9), 1e-4
        sides = []
        for sign in (1, -1):
            with torch.no_grad():
                leaf += sign * size * direction
                sides.append(by_hand(output, labels, config, past))
                leaf -= sign * size * direction
        expected = (sides[0] - sides[1]) / (2 * size)
        mine = 0.0 if gradient is None else float((gradient * direction).sum())
        assert mine == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_the_continue_head_has_the_same_loss() -> None:
    output, labels, _ = step()
    target = torch.tensor([0.2, 0.9, 0.5, 0.0], dtype=torch.float64)
    for kind in ("bce", "brier"):
        cont = act_loss(output, labels, LossConfig(halt_loss=kind), target).cont  # type: ignore[arg-type]
        chance = 1 / (1 + np.exp(-output.q_continue.numpy()))
        wanted = target.numpy()
        if kind == "brier":
            expected = ((chance - wanted) ** 2).sum()
        else:
            expected = -(wanted * np.log(chance) + (1 - wanted) * np.log(1 - chance)).sum()
        assert float(cont) == pytest.approx(expected, rel=1e-9)


def test_a_row_whose_first_step_it_is_has_nothing_to_compare_with() -> None:
    output, labels, past = step()
    config = LossConfig(monotonic_weight=1.0, consistency_weight=1.0, halt_weight=0.0)
    memory = blank_memory(HaltingConfig(), config, ROWS, CELLS, VOCAB, torch.device("cpu"))
    for leaf in (output.logits, output.q_halt):
        leaf.requires_grad_()
    first = act_loss(output, labels, config, past=replace(past, memory=memory)).total
    alone = act_loss(output, labels, LossConfig(halt_weight=0.0)).total
    assert torch.equal(first, alone)
    gradients = torch.autograd.grad(first, [output.logits, output.q_halt])
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_what_is_remembered_is_what_the_step_said() -> None:
    output, _, _ = step()
    for loss_type in TOKEN_LOSSES:
        config = LossConfig(loss_type=loss_type, monotonic_weight=1.0, consistency_weight=1.0)
        memory = blank_memory(HaltingConfig(), config, ROWS, CELLS, VOCAB, torch.device("cpu"))
        after = remembered(memory, output, config)
        kind = loss_type.removesuffix("_cross_entropy")
        weights = weights_of(output.logits.numpy(), kind)
        expected = weights / weights.sum(-1, keepdims=True)
        assert np.allclose(after["probabilities"].numpy(), expected, atol=1e-6)
        assert torch.equal(after["q"], output.q_halt.float())
        rows = torch.tensor([True, False, False, True])
        begun = forgotten(after, rows, None)
        assert begun["q"][rows].tolist() == [-math.inf] * 2
        assert torch.equal(begun["probabilities"][~rows], after["probabilities"][~rows])
        told = probabilities(output.logits, loss_type)
        assert torch.allclose(told.sum(-1), torch.ones(ROWS, CELLS))


# --- wrong targets -----------------------------------------------------------------------------


def drawn(rows: int, cells: int, config: LossConfig) -> dict[str, Tensor]:
    memory = blank_memory(HaltingConfig(), config, rows, cells, VOCAB, torch.device("cpu"))
    return forgotten(memory, torch.ones(rows, dtype=torch.bool), Noise(seeded()))


@pytest.mark.parametrize("limit", [1, 2, 5])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_fewer_cells_are_wrong_with_each_step_and_none_at_the_last(
    limit: int, as_tensor: bool
) -> None:
    rows, cells = 50, 400
    config = LossConfig(target_corruption=0.6, corrupt_with="random")
    memory = drawn(rows, cells, config)
    labels = torch.randint(0, VOCAB, (rows, cells), generator=seeded(2), dtype=torch.int32)
    labels[:, :7] = IGNORE
    last: Any = torch.tensor(limit) if as_tensor else limit
    before = torch.ones(rows, cells, dtype=torch.bool)
    for number in range(1, limit + 2):
        steps = torch.full((rows,), number, dtype=torch.int32)
        found = corrupted_targets(labels, labels, steps, last, config, memory, VOCAB)
        assert found is not None
        assert found.dtype == labels.dtype
        assert torch.equal(found[:, :7], labels[:, :7])
        wrong = found != labels
        assert not (wrong & ~before).any(), "a cell that was put right stays right"
        share = 0.6 * max(limit - number, 0) / max(limit - 1, 1)
        expected = share * (1 - 1 / VOCAB) * (1 - 7 / cells)  # a random token may be the right one
        assert float(wrong.float().mean()) == pytest.approx(expected, abs=0.01)
        before = wrong


def test_a_wrong_target_is_the_input_or_a_token_of_its_own() -> None:
    labels = torch.full((3, 200), 2, dtype=torch.int32)
    inputs = torch.full((3, 200), 1, dtype=torch.int32)
    steps = torch.tensor([1, 2, 3], dtype=torch.int32)
    for kind, tokens in (("input", {1, 2}), ("random", set(range(VOCAB)))):
        config = LossConfig(target_corruption=1.0, corrupt_with=kind)  # type: ignore[arg-type]
        memory = drawn(3, 200, config)
        found = corrupted_targets(labels, inputs, steps, 3, config, memory, VOCAB)
        assert found is not None
        assert set(found.unique().tolist()) == tokens
        assert (found[2] == 2).all()
    assert corrupted_targets(labels, inputs, steps, 3, LossConfig(), {}, VOCAB) is None


def test_an_answer_is_right_by_its_label_whatever_the_target() -> None:
    output, labels, _ = step()
    found = act_loss(output, labels, LossConfig(), targets=torch.zeros_like(labels))
    plain = act_loss(output, labels, LossConfig())
    assert torch.equal(found.exact, plain.exact)
    assert float(found.halt) == float(plain.halt)
    assert float(found.lm) != float(plain.lm)


# --- in training -------------------------------------------------------------------------------

TRAINED: list[dict[str, Any]] = [
    {"loss.halt_loss": "brier", "loss.monotonic_weight": 0.1, "model.no_ACT_continue": False},
    {"loss.residual_weight": 0.1, "loss.consistency_weight": 0.5},
    {"loss.target_corruption": 0.5, "loss.corrupt_with": "random"},
    {"loss.target_corruption": 0.5, "halting": "fixed", "loss.halt_weight": 0.0},
    {"loss.label_smoothing": 0.1, "loss.z_loss": 1e-3, "loss.loss_type": "softmax_cross_entropy"},
]


@pytest.mark.parametrize("changes", TRAINED, ids=lambda changes: ",".join(changes))
def test_a_training_goes_on_bit_for_bit(changes: dict[str, Any]) -> None:
    check_trains(changes)


@pytest.fixture
def task(tiny: Tiny, cache: Path) -> Task:
    return experiment_from(tiny()).task.build(cache)


def trainer(tiny: Tiny, task: Task, changes: dict[str, Any]) -> Trainer:
    return Trainer(experiment_from(tiny(changes)), task)


@pytest.mark.parametrize("changes", TRAINED, ids=lambda changes: ",".join(changes))
def test_the_compiled_step_does_not_take_what_it_does_not_compute(
    tiny: Tiny, task: Task, changes: dict[str, Any]
) -> None:
    run = trainer(tiny, task, {**changes, "train.kernel": "auto"})
    assert not run.waiting.at_once
    if "loss.residual_weight" in changes:
        assert run.resolved.kernel == "eager"
        assert "loss.residual_weight" in run.resolved.kernel_reason
        with pytest.raises(UserError, match=r"loss\.residual_weight"):
            trainer(tiny, task, {**changes, "train.kernel": "fused"})
        return
    assert run.resolved.kernel == "fused"
    eager = trainer(tiny, task, {**changes, "train.kernel": "eager"})
    for _ in range(4):
        run.train_step()
        eager.train_step()
    for mine, other in zip(run.model.parameters(), eager.model.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("changes", TRAINED, ids=lambda changes: ",".join(changes))
def test_seeds_are_stacked_where_a_step_is_enough(
    tiny: Tiny, task: Task, changes: dict[str, Any]
) -> None:
    alone = "loss.label_smoothing" in changes
    assert bool(unstackable(trainer(tiny, task, changes))) != alone


@pytest.mark.parametrize("key", ["label_smoothing", "z_loss", "consistency_weight"])
def test_a_plugins_loss_has_no_probabilities(
    key: str, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TOKEN_LOSSES, "mine", TOKEN_LOSSES["softmax_cross_entropy"])
    with pytest.raises(UserError, match=f"{key} needs probabilities, which loss_type 'mine'"):
        experiment_from(tiny({"loss": {"loss_type": "mine", key: 0.1}}))
    assert experiment_from(tiny({"loss": {"loss_type": "mine"}})).loss.plain
