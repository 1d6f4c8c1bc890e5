"""The model's recursion, its state, its config and what a row may depend on."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trm.errors import UserError
from trm.learning.losses import LossConfig, act_loss
from trm.network.model import TRM, Latent, ModelConfig
from trm.validation import validate

SEQ_LEN, VOCAB, IDENTIFIERS = 5, 7, 4
SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_heads": 2,
    "expansion": 1.0,
    "swiglu_multiple": 8,
    "H_cycles": 2,
    "L_cycles": 2,
    "puzzle_emb_len": 2,
    "halt_max_steps": 3,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "rope": {},
    "learned": {"pos_encodings": "learned"},
    "none": {"pos_encodings": "none"},
    "mlp_t": {"mixer": "mlp_t"},
    "mlp_t learned": {"mixer": "mlp_t", "pos_encodings": "learned"},
    "no prefix": {"puzzle_emb_ndim": 0, "puzzle_emb_len": 0},
}


def config(**changes: Any) -> ModelConfig:
    return ModelConfig.model_validate(SMALL | changes)


def build(
    model: ModelConfig, dtype: torch.dtype = torch.float32, seed: int = 0, stir: bool = True
) -> TRM:
    """A model; `stir` gives weight to the parts that start at zero."""
    generator = torch.Generator().manual_seed(seed)
    net = TRM(
        model,
        seq_len=SEQ_LEN,
        vocab_size=VOCAB,
        num_puzzle_identifiers=IDENTIFIERS,
        generator=generator,
        dtype=dtype,
    )
    if stir:
        with torch.no_grad():
            net.q_head.weight.normal_(std=0.3, generator=generator)
            if net.puzzle_emb is not None:
                net.puzzle_emb.normal_(generator=generator)
    return net


def batch(rows: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randint(0, VOCAB, (rows, SEQ_LEN), generator=generator, dtype=torch.int32),
        torch.randint(0, IDENTIFIERS, (rows,), generator=generator, dtype=torch.int32),
    )


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shapes_and_types(variant: str, dtype: torch.dtype) -> None:
    net = build(config(**VARIANTS[variant]), dtype)
    inputs, identifiers = batch(3)
    latent, output = net(net.fresh_latent(3), inputs, identifiers)
    assert output.logits.shape == (3, SEQ_LEN, VOCAB)
    assert output.logits.dtype == latent.z_H.dtype == latent.z_L.dtype == dtype
    assert output.q_halt.shape == output.q_continue.shape == (3,)
    assert output.q_halt.dtype == output.q_continue.dtype == torch.float32
    assert latent.z_H.shape == latent.z_L.shape == (3, net.prefix + SEQ_LEN, 16)
    assert not latent.z_H.requires_grad
    assert not latent.z_L.requires_grad
    assert all(p.dtype == torch.float32 for p in net.parameters())


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_has_a_gradient(variant: str) -> None:
    net = build(config(**VARIANTS[variant]))
    inputs, identifiers = batch(4)
    _, output = net(net.fresh_latent(4), inputs, identifiers)
    total = act_loss(output, inputs, LossConfig(), torch.full((4,), 0.5)).total
    total.backward()  # type: ignore[no-untyped-call]
    for name, p in net.named_parameters():
        assert p.grad is not None, name
        assert p.grad.isfinite().all(), name
        assert p.grad.any(), name


def by_hand(net: TRM, latent: Latent, inputs: Tensor, identifiers: Tensor) -> tuple[Tensor, Tensor]:
    """The recursion written out after section 4 of the paper, all of it with gradient."""
    x = net.embed(inputs, identifiers)
    z_H, z_L = latent.z_H, latent.z_L

    def f(h: Tensor) -> Tensor:
        rope = None if net.cos is None or net.sin is None else (net.cos, net.sin)
        for layer in net.layers:
            h = layer(h, rope)
        return h

    for cycle in range(net.config.H_cycles):
        if cycle == net.config.H_cycles - 1:
            z_H, z_L, x = z_H.detach(), z_L.detach(), net.embed(inputs, identifiers)
        for _ in range(net.config.L_cycles):
            z_L = f(z_L + z_H + x)
        z_H = f(z_H + z_L)
    return z_H, z_L


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_recursion_and_its_gradient_on_the_last_cycle_only(variant: str) -> None:
    net = build(config(H_cycles=3, **VARIANTS[variant])).double()
    net.dtype = torch.float64
    inputs, identifiers = batch(2)
    latent, output = net(net.fresh_latent(2), inputs, identifiers)
    z_H, z_L = by_hand(net, net.fresh_latent(2), inputs, identifiers)
    torch.testing.assert_close(latent.z_H, z_H.detach(), atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(latent.z_L, z_L.detach(), atol=1e-12, rtol=1e-10)
    logits = net.lm_head(z_H[:, net.prefix :])
    torch.testing.assert_close(output.logits, logits, atol=1e-12, rtol=1e-10)
    q = net.q_head(z_H[:, 0]).float()
    torch.testing.assert_close(output.q_halt, q[:, 0])
    torch.testing.assert_close(output.q_continue, q[:, 1])
    names = [n for n, _ in net.named_parameters() if not n.startswith("q_head")]
    weights = [dict(net.named_parameters())[n] for n in names]
    probe = torch.randn(logits.shape, generator=torch.Generator().manual_seed(3)).double()
    ours = torch.autograd.grad((output.logits * probe).sum(), weights)
    true = torch.autograd.grad((logits * probe).sum(), weights)
    for name, a, b in zip(names, ours, true, strict=True):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-8, msg=name)


def test_the_one_step_gradient_is_the_last_updates_alone() -> None:
    whole, short, hand = (
        build(config(L_cycles=3, one_step_gradient=one)).double() for one in (False, True, False)
    )
    for net in (whole, short, hand):
        net.dtype = torch.float64
    inputs, identifiers = batch(3)
    start = whole.fresh_latent(3)
    latent, output = whole(start, inputs, identifiers)
    other, same = short(start, inputs, identifiers)
    assert torch.equal(output.logits, same.logits)
    assert torch.equal(latent.z_H, other.z_H)
    same.logits.square().sum().backward()
    found = [p.grad.clone() for p in short.parameters() if p.grad is not None]
    # By hand: everything before the last update of z_L is a constant.
    with torch.no_grad():
        z_H, z_L = start.z_H, start.z_L
        constant = hand.embed(inputs, identifiers)
        for _ in range(3):
            z_L = hand.through_layers(z_L + z_H + constant)
        z_H = hand.through_layers(z_H + z_L)
        for _ in range(2):
            z_L = hand.through_layers(z_L + z_H + constant)
    z_L = hand.through_layers(z_L + z_H + hand.embed(inputs, identifiers))
    z_H = hand.through_layers(z_H + z_L)
    hand.lm_head(z_H[:, hand.prefix :]).square().sum().backward()
    expected = [p.grad for p in hand.parameters() if p.grad is not None]
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-9)
    output.logits.square().sum().backward()
    assert not torch.allclose(found[0], next(p.grad for p in whole.parameters()), rtol=0.01)  # type: ignore[arg-type]


def test_without_carry_every_step_is_the_first() -> None:
    net, carries = build(config(carry_latent=False)), build(config())
    inputs, identifiers = batch(3)
    latent, first = net(net.fresh_latent(3), inputs, identifiers)
    _, second = net(latent, inputs, identifiers)
    assert torch.equal(first.logits, second.logits)
    latent, first = carries(net.fresh_latent(3), inputs, identifiers)
    _, second = carries(latent, inputs, identifiers)
    assert not torch.equal(first.logits, second.logits)


def test_depth_can_be_overridden() -> None:
    deep, shallow = build(config(H_cycles=3, L_cycles=4)), build(config(H_cycles=2, L_cycles=1))
    inputs, identifiers = batch(2)
    cut = deep(deep.fresh_latent(2), inputs, identifiers, H_cycles=2, L_cycles=1)[1]
    true = shallow(shallow.fresh_latent(2), inputs, identifiers)[1]
    assert torch.equal(cut.logits, true.logits)
    full = deep(deep.fresh_latent(2), inputs, identifiers)[1]
    assert not torch.allclose(cut.logits, full.logits)


@pytest.mark.parametrize("variant", VARIANTS)
@given(rows=st.integers(2, 6), row=st.integers(0, 5), seed=st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_a_row_does_not_depend_on_the_others(variant: str, rows: int, row: int, seed: int) -> None:
    net, row = build(config(**VARIANTS[variant])), row % rows
    inputs, identifiers = batch(rows, seed)
    other_inputs, other_identifiers = batch(rows, seed + 1)
    other_inputs[row], other_identifiers[row] = inputs[row], identifiers[row]
    with torch.no_grad():
        latent, mine = net(net.fresh_latent(rows), inputs, identifiers)
        _, mine = net(latent, inputs, identifiers)
        latent, other = net(net.fresh_latent(rows), other_inputs, other_identifiers)
        _, other = net(latent, other_inputs, other_identifiers)
    torch.testing.assert_close(mine.logits[row], other.logits[row], atol=1e-4, rtol=0)
    torch.testing.assert_close(mine.q_halt[row], other.q_halt[row], atol=1e-4, rtol=0)


def test_what_a_row_does_depend_on() -> None:
    net = build(config())
    inputs, identifiers = batch(1)
    changed, renamed = inputs.clone(), (identifiers + 1) % IDENTIFIERS
    changed[0, 2] = (changed[0, 2] + 1) % VOCAB
    with torch.no_grad():
        base = net(net.fresh_latent(1), inputs, identifiers)[1].logits
        for answer in (
            net(net.fresh_latent(1), changed, identifiers)[1].logits,
            net(net.fresh_latent(1), inputs, renamed)[1].logits,
        ):
            assert not torch.allclose(base, answer, atol=1e-3)


def test_reset_touches_the_given_rows_only() -> None:
    net = build(config())
    inputs, identifiers = batch(4)
    latent, _ = net(net.fresh_latent(4), inputs, identifiers)
    rows = torch.tensor([True, False, False, True])
    new, fresh = net.reset(latent, rows), net.fresh_latent(4)
    for mine, old, start in ((new.z_H, latent.z_H, fresh.z_H), (new.z_L, latent.z_L, fresh.z_L)):
        assert torch.equal(mine[rows], start[rows])
        assert torch.equal(mine[~rows], old[~rows])


def test_no_grad_and_inference_give_the_training_numbers() -> None:
    net = build(config())
    inputs, identifiers = batch(3)
    true = net(net.fresh_latent(3), inputs, identifiers)[1].logits
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            logits = net(net.fresh_latent(3), inputs, identifiers)[1].logits
        assert torch.equal(logits, true.detach())
        assert not logits.requires_grad


def test_weights_are_the_generators_alone() -> None:
    torch.manual_seed(1)
    one = build(config(), stir=False).state_dict()
    torch.manual_seed(2)
    two, other = build(config(), stir=False).state_dict(), build(config(), seed=9).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["embed_tokens"], other["embed_tokens"])


def test_initial_weights_of_the_reference() -> None:
    big = config(hidden_size=256, num_heads=4, expansion=4.0, swiglu_multiple=256)
    generator = torch.Generator().manual_seed(0)
    net = TRM(big, seq_len=64, vocab_size=500, num_puzzle_identifiers=3, generator=generator)
    assert not net.q_head.weight.any()
    assert net.q_head.bias is not None
    assert net.q_head.bias.tolist() == [-5.0, -5.0]
    assert net.puzzle_emb is not None
    assert not net.puzzle_emb.any()
    assert float(net.embed_tokens.detach().std()) == pytest.approx(1 / 16, rel=0.02)
    assert float(net.lm_head.weight.detach().std()) == pytest.approx(1 / 16, rel=0.02)
    assert float(net.H_init.std()) == pytest.approx(1.0, rel=0.15)
    x = net.embed(torch.arange(64)[None], torch.zeros(1, dtype=torch.int32))
    assert float(x[:, net.prefix :].detach().std()) == pytest.approx(1.0, rel=0.05)
    _, output = net(net.fresh_latent(1), torch.arange(64)[None], torch.zeros(1, dtype=torch.int32))
    assert output.q_halt.tolist() == [-5.0]


def test_buffers_are_saved_but_not_trained() -> None:
    net = build(config())
    assert {"H_init", "L_init"} <= set(net.state_dict())
    assert not {"H_init", "L_init", "cos", "sin"} & {name for name, _ in net.named_parameters()}
    assert not {"cos", "sin"} & set(net.state_dict())


@pytest.mark.parametrize("variant", VARIANTS)
def test_bfloat16_trains_with_finite_gradients_where_logits_are_exactly_one(variant: str) -> None:
    net = build(config(**VARIANTS[variant]), torch.bfloat16)
    inputs, identifiers = batch(4)
    _, output = net(net.fresh_latent(4), inputs, identifiers)
    # The values become 1, the gradient still reaches every weight.
    output.logits = output.logits - output.logits.detach() + 1.0
    assert (output.logits == 1.0).all()
    act_loss(output, inputs, LossConfig()).total.backward()  # type: ignore[no-untyped-call]
    for name, p in net.named_parameters():
        assert p.grad is not None, name
        assert p.grad.isfinite().all(), name
        assert p.grad.any(), name


@pytest.mark.parametrize("loss", ["stablemax_cross_entropy", "softmax_cross_entropy"])
def test_bfloat16_stays_close_to_float32_for_one_cycle(loss: str) -> None:
    inputs, identifiers = batch(8)
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        net = build(config(H_cycles=1, L_cycles=1), dtype)
        _, output = net(net.fresh_latent(8), inputs, identifiers)
        total = act_loss(output, inputs, LossConfig(loss_type=loss)).total
        total.backward()  # type: ignore[no-untyped-call]
        gradients.append(
            torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
        )
    assert float((gradients[0] - gradients[1]).norm() / gradients[0].norm()) < 0.05


def test_the_prefix_holds_the_embedding_padded_with_zeros() -> None:
    net = build(config(puzzle_emb_ndim=24, puzzle_emb_len=3))
    inputs, identifiers = batch(2)
    x = net.embed(inputs, identifiers).detach()
    assert x.shape == (2, 3 + SEQ_LEN, 16)
    assert net.puzzle_emb is not None
    room = x[:, :3].reshape(2, 48)
    scale = math.sqrt(16)
    torch.testing.assert_close(room[:, :24], scale * net.puzzle_emb.detach()[identifiers])
    assert not room[:, 24:].any()
    torch.testing.assert_close(x[:, 3:], scale * net.embed_tokens.detach()[inputs])


@pytest.mark.parametrize(
    ("ndim", "length", "prefix"), [(0, 0, 0), (16, 0, 1), (17, 0, 2), (None, 0, 1), (16, 3, 3)]
)
def test_prefix_length(ndim: int | None, length: int, prefix: int) -> None:
    assert config(puzzle_emb_ndim=ndim, puzzle_emb_len=length).prefix == prefix


def test_defaults_are_the_references() -> None:
    defaults = ModelConfig()
    assert (defaults.positions, defaults.embedding_dim, defaults.prefix) == ("rope", 512, 16)
    assert ModelConfig(mixer="mlp_t").positions == "none"
    for mixer, millions in (("attention", 7), ("mlp_t", 5)):
        model = ModelConfig(mixer=mixer)
        generator = torch.Generator().manual_seed(0)
        net = TRM(model, seq_len=81, vocab_size=11, generator=generator)
        assert round(sum(p.numel() for p in net.parameters()) / 1e6) == millions


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mixer": "mlp_t", "pos_encodings": "rope"}, ["pos_encodings", "mlp_t", "none"]),
        ({"num_heads": 3}, ["num_heads", "3", "hidden_size", "16"]),
        ({"hidden_size": 18, "num_heads": 6}, ["18", "6", "even"]),
        ({"puzzle_emb_ndim": 40}, ["puzzle_emb_ndim", "40", "puzzle_emb_len"]),
        ({"puzzle_emb_ndim": 0}, ["puzzle_emb_ndim", "puzzle_emb_len"]),
        ({"H_cycles": 0}, ["model.H_cycles", "0"]),
        ({"L_cycles": 0}, ["model.L_cycles", "0"]),
        ({"L_layers": 0}, ["model.L_layers", "0"]),
        ({"hidden_size": 0}, ["model.hidden_size", "0"]),
        ({"halt_max_steps": 0}, ["model.halt_max_steps", "0"]),
        ({"halt_exploration_prob": 1.5}, ["model.halt_exploration_prob", "1.5"]),
        ({"expansion": 0.0}, ["model.expansion", "0.0"]),
        ({"mixer": "mlp"}, ["model.mixer", "mlp"]),
        ({"H_cycle": 2}, ["H_cycle", "did you mean", "H_cycles"]),
        ({"hidden_size": "16"}, ["model.hidden_size", "16"]),
    ],
)
def test_bad_settings_name_key_value_and_remedy(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        validate(ModelConfig, SMALL | changes, "model")
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_mlp_t_needs_no_heads_that_divide() -> None:
    net = build(config(mixer="mlp_t", hidden_size=18, num_heads=5))
    inputs, identifiers = batch(2)
    assert net(net.fresh_latent(2), inputs, identifiers)[1].logits.isfinite().all()
