"""Muon against its formula in float64, against torch's, and by what it does to singular values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.trm.network.test_model import batch, build, config
from trm.learning.muon import Muon, Scaling, orthogonalised, update_scale
from trm.learning.optimizers import AdamW, MuonConfig
from trm.testing import check_optimizer


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gradients(shape: tuple[int, int], steps: int = 4) -> list[Tensor]:
    return [torch.randn(shape, generator=seeded(step)) for step in range(steps)]


def newton_schulz(x: np.ndarray) -> np.ndarray:
    """Singular value by singular value: the polynomial of the rounds, on the SVD."""
    u, s, v = np.linalg.svd(x / np.linalg.norm(x), full_matrices=False)
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return np.asarray(u @ np.diag(s) @ v)


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (9, 2), (1, 5)])
def test_rounds_act_on_singular_values_alone(shape: tuple[int, int]) -> None:
    x = torch.randn(shape, generator=seeded(), dtype=torch.float64)
    found = orthogonalised(x)
    assert np.allclose(found.numpy(), newton_schulz(x.numpy()), atol=1e-9)
    assert torch.allclose(orthogonalised(x.float()).double(), found, atol=1e-4)
    assert torch.allclose(orthogonalised(1e6 * x), found, atol=1e-9)


def test_singular_values_end_near_1() -> None:
    x = torch.randn(40, 60, generator=seeded())
    values = torch.linalg.svdvals(orthogonalised(x))
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.3
    assert not orthogonalised(torch.zeros(3, 4)).any()


@pytest.mark.parametrize("scaling", ["rms", "shape"])
@pytest.mark.parametrize("shape", [(4, 6), (6, 2)])
def test_the_formula(shape: tuple[int, int], scaling: Scaling) -> None:
    start = torch.randn(shape, generator=seeded(9), dtype=torch.float64)
    p = nn.Parameter(start.clone())
    optimizer = Muon([p], 0.1, 0.8, 0.3, scaling)
    mean, true = np.zeros(shape), start.numpy().copy()
    scale = (
        0.2 * math.sqrt(max(shape)) if scaling == "rms" else math.sqrt(max(1, shape[0] / shape[1]))
    )
    assert update_scale(torch.Size(shape), scaling) == pytest.approx(scale)
    for gradient in gradients(shape):
        p.grad = gradient.double()
        optimizer.step()
        g = gradient.double().numpy()
        mean = 0.8 * mean + 0.2 * g
        true = true * (1 - 0.1 * 0.3) - 0.1 * scale * newton_schulz(0.2 * g + 0.8 * mean)
    assert np.allclose(p.detach().numpy(), true, atol=1e-8)


@pytest.mark.parametrize(("scaling", "theirs"), [("rms", "match_rms_adamw"), ("shape", "original")])
def test_it_is_torchs_but_for_bfloat16(scaling: Scaling, theirs: str) -> None:
    start = torch.randn(12, 8, generator=seeded(9))
    one, other = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    ours = Muon([one], 0.05, 0.95, 0.2, scaling)
    torchs = torch.optim.Muon([other], 0.05, 0.2, 0.95, adjust_lr_fn=theirs)
    for gradient in gradients((12, 8), 6):
        one.grad, other.grad = gradient.clone(), gradient.clone()
        ours.step()
        torchs.step()
    moved = (other - start).norm()
    assert float(((one - other).norm() / moved).detach()) < 0.02


def test_matrices_of_the_layers_are_muons_and_everything_else_adamws() -> None:
    model = build(config(state_transfer="gated", separate_networks=True, mlp="conv_swiglu"))
    muon, adamw, puzzle = MuonConfig(lr=0.01, adam_lr=0.002).build(model).parts
    assert isinstance(muon, Muon)
    assert isinstance(adamw, AdamW)
    names = {p: name for name, p in model.named_parameters()}
    of = [[names[p] for g in part.param_groups for p in g["params"]] for part in (muon, adamw)]
    assert all(name.startswith(("layers.", "H_layers.", "gate.", "H_gate.")) for name in of[0])
    assert all(model.get_parameter(name).ndim == 2 for name in of[0])
    assert {"embed_tokens", "lm_head.weight", "q_head.weight", "q_head.bias", "gate.bias",
            "layers.0.mlp.conv_weight"} <= set(of[1])  # fmt: skip
    assert sorted([*of[0], *of[1], "puzzle_emb"]) == sorted(names.values())
    assert [p for g in puzzle.param_groups for p in g["params"]] == [model.puzzle_emb]
    assert muon.param_groups[0]["lr"] == 0.01
    assert adamw.param_groups[0]["lr"] == 0.002
    both = MuonConfig(lr=0.01).build(model).parts
    assert both[1].param_groups[0]["lr"] == 0.01


@pytest.mark.parametrize("unread", [False, True])
def test_a_rate_on_the_device_does_the_same_and_an_unsound_step_nothing(unread: bool) -> None:
    p = nn.Parameter(torch.randn(4, 3, generator=seeded()))
    plain = nn.Parameter(p.detach().clone())
    ours, other = Muon([p], 0.1, weight_decay=0.1), Muon([plain], 0.1, weight_decay=0.1)
    ours.param_groups[0]["lr"] = torch.tensor(0.1)
    for step, gradient in enumerate(gradients((4, 3))):
        if unread and step == 2:
            p.grad = torch.full_like(p, math.nan)
            before = [p.detach().clone(), ours.state[p]["momentum"].clone()]
            ours.found_inf = torch.tensor(1.0)
            ours.step()
            assert torch.equal(p.detach(), before[0])
            assert torch.equal(ours.state[p]["momentum"], before[1])
        ours.found_inf = torch.tensor(0.0)
        p.grad, plain.grad = gradient.clone(), gradient.clone()
        ours.step()
        other.step()
    torch.testing.assert_close(p, plain)


def test_it_trains() -> None:
    check_optimizer(MuonConfig(weight_decay=0.1))
    check_optimizer(MuonConfig(scaling="shape", adam_lr=1e-3, momentum=0.9))


def test_a_step_lowers_the_loss() -> None:
    model = build(config())
    inputs, identifiers = batch(8)
    optimizer, losses = MuonConfig(lr=0.01, weight_decay=0.0).build(model), []
    for _ in range(30):
        _, output = model(model.fresh_latent(8), inputs, identifiers)
        loss: Any = nn.functional.cross_entropy(
            output.logits.flatten(0, 1), inputs.flatten().long()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.4 * losses[0]
