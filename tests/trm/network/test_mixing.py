"""Mixers, the convolution in the SwiGLU and 2-D RoPE against sums written out in numpy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from search.config.key_types import Value, type_text
from tests.conftest import Tiny
from tests.trm.network.test_model import batch, build, config
from trm.config import experiment_from
from trm.errors import UserError
from trm.network.block import Block
from trm.network.conv_swiglu import ConvSwiGLU
from trm.network.fused.step import unfit
from trm.network.layers import Attention, SwiGLU, rotate
from trm.network.linear_attention import LinearAttention
from trm.network.mixers import PositionsMLP
from trm.network.model import TRM, ModelConfig
from trm.network.positions import rotary_tables
from trm.tasks.base import Task
from trm.testing.fitting import check_trains
from trm.training.stacking.obstacles import obstacle
from trm.training.trainer import Trainer
from trm.validation import validate

Array = NDArray[np.float64]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(positions: int, dim: int, seed: int = 1) -> Tensor:
    return torch.randn(2, positions, dim, generator=seeded(seed), dtype=torch.float64)


def numpy(x: Tensor) -> Array:
    found: Array = x.detach().double().numpy()
    return found


# --- linear attention --------------------------------------------------------------------------


def turned(x: Array, angles: Array) -> Array:
    """Pairs (j, j + half) of a head as complex numbers, each turned by its angle."""
    half = len(x) // 2
    z = (x[:half] + 1j * x[half:]) * np.exp(1j * angles)
    return np.concatenate((z.real, z.imag))


def linear_attention_by_hand(layer: LinearAttention, x: Array, theta: float | None) -> Array:
    positions, dim = x.shape
    size = dim // layer.heads
    qkv = x @ numpy(layer.qkv_proj.weight).T
    q, k, v = (qkv[:, i * dim : (i + 1) * dim] for i in range(3))
    out = np.zeros_like(x)
    for head in range(layer.heads):
        part = slice(head * size, (head + 1) * size)
        phi = [np.where(a > 0, a + 1, np.exp(np.minimum(a, 0))) for a in (q[:, part], k[:, part])]
        for i in range(positions):
            total, weights = np.zeros(size), 0.0
            for j in range(positions):
                above = [phi[0][i], phi[1][j]]
                if theta is not None:
                    rates = theta ** (-np.arange(0, size, 2) / size)
                    above = [turned(phi[0][i], i * rates), turned(phi[1][j], j * rates)]
                total += (above[0] @ above[1]) * v[j, part]
                weights += phi[0][i] @ phi[1][j]
            out[i, part] = total / weights
    return out @ numpy(layer.o_proj.weight).T


@pytest.mark.parametrize("theta", [None, 100.0])
@pytest.mark.parametrize("heads", [1, 3])
def test_linear_attention_is_the_sum_over_pairs(heads: int, theta: float | None) -> None:
    layer = LinearAttention(12, heads, seeded()).double()
    x, tables = rows(5, 12), None
    if theta is not None:
        sizes = ModelConfig(hidden_size=12, num_heads=heads, rope_theta=theta)
        cosines, sines = rotary_tables(sizes, 5, (1, 5))
        tables = (cosines.double(), sines.double())
    found = layer(x, tables)
    for row in range(2):
        expected = linear_attention_by_hand(layer, numpy(x[row]), theta)
        assert np.allclose(numpy(found[row]), expected, atol=1e-6)


def test_linear_attention_without_positions_does_not_see_an_order() -> None:
    layer, x = LinearAttention(8, 2, seeded()).double(), rows(6, 8)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(layer(x[:, order], None), layer(x, None)[:, order])


def test_linear_attention_stays_finite_where_a_kernel_is_as_good_as_0() -> None:
    layer = LinearAttention(8, 2, seeded())
    with torch.no_grad():
        layer.qkv_proj.weight[:16] = -1e4
    x = torch.ones(2, 4, 8, requires_grad=True)
    found = layer(x, None)
    found.square().sum().backward()
    assert found.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("heads", [1, 2, 8])
def test_attention_takes_any_number_of_heads(heads: int) -> None:
    layer, x = Attention(16, heads, seeded()).double(), rows(4, 16)
    found, size = layer(x, None), 16 // heads
    qkv = numpy(x[0]) @ numpy(layer.qkv_proj.weight).T
    q, k, v = (qkv[:, i * 16 : (i + 1) * 16] for i in range(3))
    out = np.zeros((4, 16))
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = np.exp(q[:, part] @ k[:, part].T / math.sqrt(size))
        out[:, part] = scores / scores.sum(1, keepdims=True) @ v[:, part]
    assert np.allclose(numpy(found[0]), out @ numpy(layer.o_proj.weight).T, atol=1e-6)


# --- a convolution in the SwiGLU ---------------------------------------------------------------


def silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


@pytest.mark.parametrize(
    ("kernel", "seen"), [(1, [0]), (2, [-1, 0]), (3, [-1, 0, 1]), (4, [-2, -1, 0, 1])]
)
def test_the_convolution_is_inside_and_looks_at_its_neighbours(
    kernel: int, seen: list[int]
) -> None:
    layer = ConvSwiGLU(6, 2.0, 4, kernel, seeded()).double()
    with torch.no_grad():
        layer.conv_bias.normal_(generator=seeded(2))
    x = rows(5, 6)
    found = layer(x)
    gate, up = np.split(numpy(x[0]) @ numpy(layer.gate_up_proj.weight).T, 2, axis=1)
    hidden, taps = silu(gate) * up, numpy(layer.conv_weight)[:, 0]
    mixed = np.tile(numpy(layer.conv_bias), (5, 1))
    for i in range(5):
        for tap, offset in enumerate(seen):
            if 0 <= i + offset < 5:
                mixed[i] += taps[:, tap] * hidden[i + offset]
    assert np.allclose(numpy(found[0]), silu(mixed) @ numpy(layer.down_proj.weight).T, atol=1e-10)


@pytest.mark.parametrize("place", ["mlp", "mixer"])
def test_where_a_convolution_stands(place: str) -> None:
    net = build(config(**{place: "conv_swiglu"}, conv_kernel=3))
    for block in net.layers:
        assert isinstance(block, Block)
        assert type(block.mlp) is (ConvSwiGLU if place == "mlp" else SwiGLU)
        mixer = getattr(block, block.mixing)
        assert type(mixer) is (Attention if place == "mlp" else ConvSwiGLU)
    assert net.config.positions == ("rope" if place == "mlp" else "none")


# --- 2-D RoPE ----------------------------------------------------------------------------------


def test_half_of_the_pairs_turn_by_the_row_and_half_by_the_column() -> None:
    sizes = config(pos_encodings="rope_2d", num_heads=1, puzzle_emb_len=2, rope_theta=50.0)
    cosines, sines = rotary_tables(sizes, 2 + 12, (3, 4))
    assert cosines.shape == sines.shape == (14, 16)
    assert torch.equal(cosines[:2], torch.ones(2, 16))
    assert not sines[:2].any()
    x = torch.randn(1, 14, 1, 16, generator=seeded())
    found = numpy(rotate(x, cosines, sines))[0, :, 0]
    rates = 50.0 ** (-np.arange(0, 8, 2) / 8)
    for row in range(3):
        for column in range(4):
            place = 2 + 4 * row + column
            angles = np.concatenate((row * rates, column * rates))
            assert np.allclose(found[place], turned(numpy(x)[0, place, 0], angles), atol=1e-5)


def test_scores_depend_on_how_far_apart_two_cells_are_alone() -> None:
    sizes = config(pos_encodings="rope_2d", num_heads=2, puzzle_emb_len=0, puzzle_emb_ndim=0)
    tables = rotary_tables(sizes, 20, (4, 5))
    q, k = (torch.randn(1, 1, 2, 8, generator=seeded(s)).expand(1, 20, 2, 8) for s in (0, 1))
    q, k = rotate(q, *tables), rotate(k, *tables)
    scores = torch.einsum("bihd,bjhd->ij", q, k)

    def score(one: tuple[int, int], other: tuple[int, int]) -> float:
        return float(scores[5 * one[0] + one[1], 5 * other[0] + other[1]])

    assert score((0, 0), (2, 1)) == pytest.approx(score((1, 3), (3, 4)), abs=1e-4)
    assert score((0, 0), (2, 1)) != pytest.approx(score((0, 0), (1, 2)), abs=1e-2)
    # Along a row it is not the neighbour in the sequence that is near.
    assert score((0, 4), (1, 0)) != pytest.approx(score((0, 3), (0, 4)), abs=1e-2)


def test_the_tasks_grid_is_taken_and_a_puzzle_that_is_none_refused(tiny: Tiny, cache: Path) -> None:
    changes = {
        "model.mixer": "attention", "model.num_heads": 2, "model.pos_encodings": "rope_2d",
        "train.kernel": "eager",
    }  # fmt: skip
    experiment = experiment_from(tiny(changes))
    task = experiment.task.build(cache)
    assert task.grid_shape == (3, 3)
    model = Trainer(experiment, task).model
    expected, _ = rotary_tables(experiment.model, 10, (3, 3))
    assert model.cos is not None
    assert torch.equal(model.cos, expected)
    with pytest.raises(UserError, match=r"shown as 1 x 4: use rope or learned"):
        TRM(experiment.model, seq_len=9, vocab_size=5, generator=seeded(), grid=(1, 4))


# --- mixtures by layer -------------------------------------------------------------------------


def test_a_list_names_the_mixer_of_each_layer_and_begins_again() -> None:
    net = build(config(mixer=["attention", "mlp_t"], L_layers=3))
    kinds = [type(getattr(block, str(block.mixing))) for block in net.layers]
    assert kinds == [Attention, PositionsMLP, Attention]
    assert net.config.positions == "rope"
    assert config(mixer=["mlp_t", "linear_attention"]).positions == "rope"
    assert config(mixer=["mlp_t"]).positions == "none"
    inputs, identifiers = batch(3)
    _, output = net(net.fresh_latent(3), inputs, identifiers)
    output.logits.square().sum().backward()
    for name, parameter in net.named_parameters():
        assert name.startswith("q_head") or parameter.grad is not None, name


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mixer": ["attention", "mlp_t", "mlp_t"]}, ["mixer names 3 layers", "L_layers is 2"]),
        ({"mixer": ["attention", "mlp"]}, ["model.mixer", "'mlp'", "did you mean mlp_t"]),
        ({"mixer": []}, ["model.mixer", "known"]),
        ({"mixer": ["mlp_t", "conv_swiglu"], "pos_encodings": "rope"}, ["has no effect"]),
        ({"mixer": 3}, ["model.mixer", "3"]),
        ({"mixer": "linear_attention", "num_heads": 3}, ["num_heads 3 must divide"]),
        ({"pos_encodings": "rope_2d", "num_heads": 8}, ["must be a multiple of 4", "rope_2d"]),
        ({"mlp": "conv"}, ["model.mlp", "conv"]),
        ({"conv_kernel": 0}, ["model.conv_kernel", "0"]),
    ],
)
def test_what_does_not_fit_is_a_line(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        validate(ModelConfig, {"hidden_size": 16, "num_heads": 2} | changes, "model")
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_keys_say_that_a_list_is_taken_too() -> None:
    field = ModelConfig.model_fields["mixer"]
    text = type_text(Value(field.annotation, tuple(field.metadata)))
    assert text.startswith("attention | ")
    assert text.endswith(", or list of such names")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"mixer": "linear_attention"}, "a mixer of another kind (linear_attention)"),
        ({"mixer": "conv_swiglu"}, "a mixer of another kind (conv_swiglu)"),
        ({"mixer": ["attention", "mlp_t"]}, "mixers that differ by layer"),
        ({"mlp": "conv_swiglu"}, "model.mlp: 'conv_swiglu'"),
    ],
)
def test_the_compiled_library_and_stacks_leave_them_alone(
    changes: dict[str, Any], word: str, tiny: Tiny
) -> None:
    assert word in unfit(build(config(**changes)))
    tree = tiny({f"model.{key}": value for key, value in changes.items()})
    tree["model"].update(L_layers=2)
    if "mixers" not in word:
        assert "was not tried side by side" in obstacle(experiment_from(tree))


def test_the_compiled_library_turns_by_the_grid_too(tiny: Tiny, cache: Path) -> None:
    changes = {"model.mixer": "attention", "model.pos_encodings": "rope_2d"}
    task: Task = experiment_from(tiny()).task.build(cache)
    runs = [
        Trainer(experiment_from(tiny({**changes, "train.kernel": kernel})), task)
        for kernel in ("eager", "fused")
    ]
    for run in runs:
        for _ in range(3):
            run.train_step()
    for one, other in zip(*(run.model.parameters() for run in runs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"model.mixer": ["attention", "mlp_t"], "model.L_layers": 2},
        {"model.mlp": "conv_swiglu", "model.mixer": "linear_attention", "model.num_heads": 1},
        {"model.mixer": "conv_swiglu", "model.conv_kernel": 3, "model.norm": "pre"},
    ],
)
def test_a_training_with_them_goes_on_bit_for_bit(changes: dict[str, Any]) -> None:
    check_trains(changes)
