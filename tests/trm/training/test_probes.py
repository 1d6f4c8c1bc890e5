from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trm.config import experiment_from
from trm.diagnostics import DiagnosticsConfig
from trm.evaluation import solve, subset
from trm.network.model import TRM, Latent, ModelConfig
from trm.network.residual import residual
from trm.tasks.base import IGNORE
from trm.training.probes import probe, probe_gap, spectral_radius, update_ratio
from trm.training.trainer import Trainer

Make = Callable[..., Trainer]


@pytest.fixture
def make(tiny: Callable[..., dict[str, Any]], cache: Path) -> Make:
    def trainer(changes: dict[str, Any] | None = None) -> Trainer:
        config = experiment_from(tiny(changes))
        return Trainer(config, config.task.build(cache))

    return trainer


def model(mixer: str, scale: float, seed: int = 0) -> TRM:
    """A tiny float64 model whose weights are `scale` times as large as fresh ones."""
    config = ModelConfig.model_validate(
        {
            "mixer": mixer, "hidden_size": 8, "num_heads": 2, "L_layers": 1, "H_cycles": 2,
            "L_cycles": 2, "expansion": 1.0, "swiglu_multiple": 8, "puzzle_emb_len": 1,
        }
    )  # fmt: skip
    made = TRM(
        config, seq_len=4, vocab_size=6, num_puzzle_identifiers=1,
        generator=torch.Generator().manual_seed(seed), dtype=torch.float64,
    ).double()  # fmt: skip
    with torch.no_grad():
        for layer in made.layers.parameters():
            layer.mul_(scale)
    return made


def jacobian(made: TRM, latent: Latent, x: Tensor, row: int) -> np.ndarray:
    """The Jacobian of one example, built column by column from central differences."""
    z = torch.cat([latent.z_H[row].flatten(), latent.z_L[row].flatten()])
    half = len(z) // 2
    shape = latent.z_H[row : row + 1].shape

    @torch.no_grad()
    def step(state: Tensor) -> Tensor:
        parts = Latent(state[:half].reshape(shape), state[half:].reshape(shape))
        after = made.transition(parts, x[row : row + 1])
        return torch.cat([after.z_H.flatten(), after.z_L.flatten()])

    h = 1e-3  # norms are taken in float32
    columns = [
        (step(z + h * unit) - step(z - h * unit)) / (2 * h)
        for unit in torch.eye(len(z), dtype=torch.float64)
    ]
    return torch.stack(columns, dim=1).numpy()


@pytest.mark.parametrize(("mixer", "scale"), [("mlp_t", 1.0), ("mlp_t", 2.0), ("attention", 1.0)])
def test_spectral_radius_is_that_of_the_whole_jacobian(mixer: str, scale: float) -> None:
    made = model(mixer, scale)
    draw = torch.Generator().manual_seed(3)
    inputs = torch.randint(1, 6, (3, 4), generator=draw)
    x = made.embed(inputs, torch.zeros(3, dtype=torch.int32)).detach()
    latent = made.fresh_latent(3)
    with torch.no_grad():
        for _ in range(2):
            latent = made.transition(latent, x)
    true = np.array(
        [np.abs(np.linalg.eigvals(jacobian(made, latent, x, row))).max() for row in range(3)]
    )
    converged = spectral_radius(made, latent, x, 120).numpy()
    np.testing.assert_allclose(converged, true, rtol=0.01)
    cheap = spectral_radius(made, latent, x, DiagnosticsConfig().radius_iterations).numpy()
    np.testing.assert_allclose(cheap, true, rtol=0.35)
    again = spectral_radius(made, latent, x, DiagnosticsConfig().radius_iterations).numpy()
    assert np.array_equal(again, cheap)


def test_without_a_carried_state_nothing_expands(make: Make) -> None:
    rows = [report.row() for report in make({"model.carry_latent": False}).run()]
    assert (rows[-1]["spectral_radius"], rows[-1]["late_residual"]) == (0.0, 0.0)


def test_transition_is_the_state_of_a_supervision_step() -> None:
    made = model("mlp_t", 1.0)
    inputs, none = torch.tensor([[1, 2, 3, 4]]), torch.zeros(1, dtype=torch.int32)
    after = made.transition(made.fresh_latent(1), made.embed(inputs, none))
    expected, _ = made(made.fresh_latent(1), inputs, none)
    assert torch.equal(after.z_H, expected.z_H)
    assert torch.equal(after.z_L, expected.z_L)


def test_residual_and_update_ratio_by_hand() -> None:
    before = torch.tensor([[[3.0, 4.0]], [[1.0, 0.0]]])
    after = torch.tensor([[[3.0, 4.5]], [[0.0, 0.0]]])
    assert residual(before, after).tolist() == pytest.approx([0.1, 1.0])
    assert update_ratio(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 3.0])) == pytest.approx(0.2)
    assert update_ratio(torch.zeros(2), torch.ones(2)) == 0.0


def test_a_probe_is_what_longer_evaluations_say(make: Make) -> None:
    trainer = make({"train.budget.steps": 120, "task.train_examples": 12, "model.L_layers": 2})
    list(trainer.run())
    config = DiagnosticsConfig(examples=20, beyond=4, settle_below=0.2)
    valid, train = subset(trainer.task.split("valid"), 20), subset(trainer.task.split("train"), 20)
    options: dict[str, Any] = {"batch_size": 7, "device": trainer.device}
    found = probe(trainer.model, trainer.task, config, valid=valid, train=train, steps=3, **options)
    answers = solve(trainer.model, valid, steps=12, **options).answers
    right = ((answers == valid.labels) | (valid.labels == IGNORE)).all(axis=2).mean(axis=1)
    assert found.exact_accuracy_2x == pytest.approx(right[5])
    assert found.exact_accuracy_4x == pytest.approx(right[11])
    assert found.exact_accuracy_8x is None
    assert found.depth_drop == pytest.approx(right[2] - right[11])
    fitted = solve(trainer.model, train, steps=3, **options).answers[-1]
    share = ((fitted == train.labels) | (train.labels == IGNORE)).all(axis=1).mean()
    assert found.trainset_exact_accuracy == pytest.approx(share)
    assert found.train_gap == pytest.approx(share - right[2])
    # The residuals, from states stepped by hand.
    latent, states = trainer.model.fresh_latent(20), []
    with torch.no_grad():
        for _ in range(12):
            latent, _ = trainer.model(
                latent, torch.from_numpy(valid.inputs), torch.from_numpy(valid.puzzle_identifiers)
            )
            states.append(latent.z_H.flatten(1).numpy())
    moved = [
        np.linalg.norm(states[t] - states[t - 1], axis=1) / np.linalg.norm(states[t - 1], axis=1)
        for t in (2, 11)
    ]
    assert found.residual_H == pytest.approx(moved[0].mean(), rel=1e-4)
    # Batches of another size round otherwise, and twelve steps make more of it.
    assert found.late_residual == pytest.approx(moved[1].mean(), rel=1e-3)
    assert found.settled == pytest.approx((moved[1] < 0.2).mean())


def test_how_far_apart_probes_are() -> None:
    config = DiagnosticsConfig(
        share=0.02, examples=64, beyond=4, radius_examples=1, radius_iterations=8
    )
    # 4 x 5 deeper and train passes, 4 + 1 + 8 for the radius, a quarter of a step each, at 2 %.
    assert probe_gap(config, steps=4, batch_size=64) == pytest.approx(0.25 * 33 / 0.02)
    assert probe_gap(config, steps=4, batch_size=32) == pytest.approx(0.25 * 53 / 0.02)


def trained(trainer: Trainer) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    rows = [report.row() for report in trainer.run()]
    state = trainer.state_dict()
    return rows, {**state.weights, **state.ema, **state.training}


@pytest.mark.parametrize("changes", [{}, {"train.ema": 0.9, "model.mixer": "attention"}])
def test_what_is_measured_changes_nothing(make: Make, changes: dict[str, Any]) -> None:
    off = {"probe": None, "spike_factor": None, "stop_on": []}
    rows, on = trained(make({**changes, "diagnostics.probe": "reports"}))
    others, without = trained(
        make({**changes, **{f"diagnostics.{key}": value for key, value in off.items()}})
    )
    assert on.keys() == without.keys()
    assert all(torch.equal(on[name], without[name]) for name in on)
    assert all(row["spectral_radius"] is not None for row in rows)
    assert all(row["spectral_radius"] is None for row in others)
    same = ("exact_accuracy", "train_loss", "grad_norm", "update_ratio", "q_max")
    assert [[row[name] for name in same] for row in rows] == [
        [row[name] for name in same] for row in others
    ]


def test_by_default_the_last_report_is_probed(make: Make) -> None:
    rows = [report.row() for report in make().run()]
    assert [row["spectral_radius"] is not None for row in rows] == [False, True]
    assert rows[-1]["settled"] is not None
