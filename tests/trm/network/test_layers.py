"""Layers against float64 formulas, with gradients."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trm.network.layers import (
    Attention,
    CastedLinear,
    SwiGLU,
    rms_norm,
    rope_tables,
    rotate,
    swiglu_width,
    truncated_normal_,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_truncated_normal_has_the_deviation_asked_for_and_is_cut() -> None:
    sample = truncated_normal_(torch.empty(400_000), 0.3, seeded())
    # The cut lies at two deviations of the wider normal, 2 / 0.8796 of the result's own.
    assert float(sample.std()) == pytest.approx(0.3, rel=0.01)
    assert float(sample.mean()) == pytest.approx(0.0, abs=0.003)
    assert float(sample.abs().max()) <= 0.3 * 2 / 0.87962 + 1e-4
    assert float(sample.abs().max()) > 0.3 * 2.2


def test_truncated_normal_is_the_generators_and_zero_deviation_is_zero() -> None:
    def draw(seed: int) -> Tensor:
        return truncated_normal_(torch.empty(8), 1.0, seeded(seed))

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    assert torch.equal(truncated_normal_(torch.empty(8), 0.0, seeded()), torch.zeros(8))


def test_linear_starts_with_lecun_deviation() -> None:
    layer = CastedLinear(256, 512, seeded())
    assert float(layer.weight.detach().std()) == pytest.approx(1 / 16, rel=0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_linear_computes_in_the_inputs_type_and_keeps_float32_weights(dtype: torch.dtype) -> None:
    layer = CastedLinear(4, 3, seeded(), bias=True)
    out = layer(torch.randn(2, 4, generator=seeded()).to(dtype))
    assert out.dtype == dtype
    out.float().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("last", [1, 5, 64])
def test_rms_norm_and_its_gradient(last: int) -> None:
    x = torch.randn(3, 4, last, generator=seeded(), requires_grad=True)
    weight = torch.randn(3, 4, last, generator=seeded(1))
    true = x.detach().double().requires_grad_()
    formula = true / (true.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    ours = rms_norm(x, 1e-5)
    (ours * weight).sum().backward()
    (formula * weight).sum().backward()
    torch.testing.assert_close(ours.double(), formula, atol=1e-6, rtol=1e-5)
    assert x.grad is not None
    assert true.grad is not None
    torch.testing.assert_close(x.grad.double(), true.grad, atol=1e-5, rtol=1e-4)


def test_rms_norm_of_bfloat16_is_rounded_once_only() -> None:
    x = (1e3 * torch.randn(5, 200, generator=seeded())).bfloat16()
    wide = x.double() / (x.double().square().mean(-1, keepdim=True) + 1e-5).sqrt()
    assert rms_norm(x, 1e-5).dtype == torch.bfloat16
    torch.testing.assert_close(rms_norm(x, 1e-5).double(), wide, atol=0, rtol=2**-8)


@pytest.mark.parametrize(
    ("dim", "expansion", "multiple", "width"),
    [
        (512, 4.0, 256, 1536),  # round(1365.33) = 1365 -> 6 x 256
        (97, 4.0, 256, 512),  # round(258.67) = 259
        (32, 1.0, 32, 32),  # round(21.33) = 21
        (48, 1.0, 32, 32),  # exactly 32 stays
        (17, 1.0, 1, 11),  # round(11.33)
    ],
)
def test_swiglu_width_by_hand(dim: int, expansion: float, multiple: int, width: int) -> None:
    assert swiglu_width(dim, expansion, multiple) == width


def test_swiglu_formula() -> None:
    layer = SwiGLU(6, 2.0, 4, seeded())
    x = torch.randn(2, 3, 6, generator=seeded(1))
    gate_up = layer.gate_up_proj.weight.double()
    inner = len(gate_up) // 2
    gate, up = x.double() @ gate_up[:inner].T, x.double() @ gate_up[inner:].T
    true = (gate / (1 + (-gate).exp()) * up) @ layer.down_proj.weight.double().T
    torch.testing.assert_close(layer(x).double(), true, atol=1e-6, rtol=1e-5)


def test_rope_rotates_each_pair_by_its_angle() -> None:
    positions, dim, theta = 7, 8, 100.0
    cos, sin = rope_tables(positions, dim, theta)
    x = torch.randn(2, positions, 3, dim, generator=seeded(), dtype=torch.float64)
    ours = rotate(x, cos.double(), sin.double())
    for pair in range(dim // 2):
        for place in range(positions):
            angle = place * theta ** (-2 * pair / dim)
            a, b = x[:, place, :, pair], x[:, place, :, pair + dim // 2]
            turned = a * math.cos(angle) - b * math.sin(angle)
            other = a * math.sin(angle) + b * math.cos(angle)
            torch.testing.assert_close(ours[:, place, :, pair], turned, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(
                ours[:, place, :, pair + dim // 2], other, atol=1e-5, rtol=1e-5
            )


def test_rope_products_depend_on_the_distance_only() -> None:
    cos, sin = rope_tables(12, 16, 1e4)
    q, k = torch.randn(2, 16, generator=seeded(), dtype=torch.float64)
    everywhere = torch.ones(1, 12, 1, 1, dtype=torch.float64)
    turned_q = rotate(everywhere * q, cos.double(), sin.double())[0, :, 0]
    turned_k = rotate(everywhere * k, cos.double(), sin.double())[0, :, 0]
    products = turned_q @ turned_k.T
    for distance in range(12):
        along = products.diagonal(distance)
        torch.testing.assert_close(along, along[:1].expand_as(along), atol=1e-5, rtol=1e-5)
    assert float(products.diagonal(1)[0] - products.diagonal(5)[0]) != 0.0


def attention_by_hand(layer: Attention, x: Tensor, rope: tuple[Tensor, Tensor] | None) -> Tensor:
    batch, positions, dim = x.shape
    size = dim // layer.heads
    qkv = (x.double() @ layer.qkv_proj.weight.double().T).view(batch, positions, 3, -1, size)
    q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
    if rope is not None:
        q, k = (rotate(part, rope[0].double(), rope[1].double()) for part in (q, k))
    scores = torch.einsum("bihd,bjhd->bhij", q, k) / math.sqrt(size)
    mixed = torch.einsum("bhij,bjhd->bihd", scores.softmax(-1), v)
    return mixed.reshape(batch, positions, dim) @ layer.o_proj.weight.double().T


@pytest.mark.parametrize("with_rope", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_attention_and_its_gradient(with_rope: bool, dtype: torch.dtype, tolerance: float) -> None:
    layer = Attention(12, 3, seeded())
    rope = rope_tables(5, 4, 1e4) if with_rope else None
    x = torch.randn(2, 5, 12, generator=seeded(1)).to(dtype).requires_grad_()
    true_x = x.detach().double().requires_grad_()
    true = attention_by_hand(layer, true_x, rope)
    ours = layer(x, rope)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours.double(), true, atol=tolerance, rtol=tolerance)
    weight = torch.randn(2, 5, 12, generator=seeded(2), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((ours.double() * weight).sum(), x)
    (true_gradient,) = torch.autograd.grad((true * weight).sum(), true_x)
    error = (gradient.double() - true_gradient).norm() / true_gradient.norm()
    assert float(error) < tolerance


def test_attention_without_positions_does_not_see_order() -> None:
    layer = Attention(8, 2, seeded())
    x = torch.randn(1, 6, 8, generator=seeded(1))
    order = torch.randperm(6, generator=seeded(2))
    torch.testing.assert_close(layer(x[:, order], None), layer(x, None)[:, order])
    rope = rope_tables(6, 4, 1e4)
    assert not torch.allclose(layer(x[:, order], rope), layer(x, rope)[:, order], atol=1e-3)


def test_linear_matches_functional_form() -> None:
    layer = CastedLinear(5, 2, seeded(), bias=True, std=0.0)
    assert layer.bias is not None
    torch.nn.init.constant_(layer.bias, -5.0)
    x = torch.randn(3, 5, generator=seeded(1))
    assert torch.equal(layer(x), F.linear(x, layer.weight, layer.bias))
    assert torch.equal(layer(x), torch.full((3, 2), -5.0))
