"""Norms, networks, transfers, initial states and the gradient's reach, against formulas by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.trm.network.test_model import batch, build, config
from trm.errors import UserError
from trm.network.fused.step import unfit
from trm.network.model import TRM, Latent, ModelConfig
from trm.network.noise import Noise
from trm.network.transfer import STATE_TRANSFERS, DampedTransfer, GatedTransfer
from trm.ranks import OwnRows
from trm.testing import check_transfer
from trm.testing.fitting import check_trains
from trm.validation import validate

OPTIONS: dict[str, dict[str, Any]] = {
    "pre-norm": {"norm": "pre"},
    "pre-norm, mlp_t": {"norm": "pre", "mixer": "mlp_t"},
    "separate networks": {"separate_networks": True},
    "gated": {"state_transfer": {"name": "gated", "open": 0.7}},
    "gated, separate networks": {"state_transfer": "gated", "separate_networks": True},
    "damped": {"state_transfer": {"name": "damped", "share": 0.8, "noise": 0.0}},
    "learned start, whole gradient": {"initial_state": "learned", "gradient_cycles": None},
    "random start": {"initial_state": "random"},
    "gradient of two cycles": {"gradient_cycles": 2},
    "gradient of all cycles": {"gradient_cycles": None},
}


def norm(x: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()


def through(net: TRM, layers: Any, h: Tensor) -> Tensor:
    """The network by its weights and the formulas of its parts; positions as it has them."""
    rope = None if net.cos is None or net.sin is None else (net.cos, net.sin)
    for layer in layers:

        def mixed(x: Tensor, layer: Any = layer) -> Tensor:
            if layer.turned:
                part = layer.mlp_t
                gate, up = (part.gate_up_proj.weight @ x).chunk(2, dim=1)
                return part.down_proj.weight @ (F.silu(gate) * up)  # type: ignore[no-any-return]
            return layer.self_attn(x, rope)  # type: ignore[no-any-return]

        def channels(x: Tensor, layer: Any = layer) -> Tensor:
            gate, up = (x @ layer.mlp.gate_up_proj.weight.T).chunk(2, dim=-1)
            return (F.silu(gate) * up) @ layer.mlp.down_proj.weight.T  # type: ignore[no-any-return]

        if net.config.norm == "pre":
            h = h + mixed(norm(h))
            h = h + channels(norm(h))
        else:
            h = norm(h + mixed(h))
            h = norm(h + channels(h))
    return norm(h) if net.config.norm == "pre" else h


def by_hand(net: TRM, start: Latent, inputs: Tensor, identifiers: Tensor) -> tuple[Tensor, Tensor]:
    H, kept = net.config.H_cycles, net.config.gradient_cycles
    x = net.embed(inputs, identifiers)
    z_H, z_L = start.z_H, start.z_L

    def update(z: Tensor, injection: Tensor, answer: bool) -> Tensor:
        own = answer and net.config.separate_networks
        h = z + injection
        new = through(net, net.H_layers if own else net.layers, h)
        transfer = net.config.state_transfer
        if isinstance(transfer, GatedTransfer):
            gate: Any = net.H_gate if own else net.gate
            g = 1 / (1 + (-(h @ gate.weight.T + gate.bias)).exp())
            return g * new + (1 - g) * z
        if isinstance(transfer, DampedTransfer):
            return transfer.share * new + (1 - transfer.share) * z
        return new

    for cycle in range(H):
        if kept is not None and cycle == H - kept:
            z_H, z_L, x = z_H.detach(), z_L.detach(), net.embed(inputs, identifiers)
        for _ in range(net.config.L_cycles):
            z_L = update(z_L, z_H + x, answer=False)
        z_H = update(z_H, z_L, answer=True)
    return z_H, z_L


def in_float64(**changes: Any) -> TRM:
    net = build(config(H_cycles=3, **changes)).double()
    net.dtype = torch.float64
    with torch.no_grad():  # a gate that begins at 0 would hide how it looks at its input
        for gate in (net.gate, net.H_gate):
            if gate is not None:
                gate.weight.normal_(std=0.3, generator=torch.Generator().manual_seed(5))
    return net


@pytest.mark.parametrize("option", OPTIONS)
def test_states_and_gradients_are_those_of_the_formulas(option: str) -> None:
    net = in_float64(**OPTIONS[option])
    inputs, identifiers = batch(2)
    latent, output = net(net.fresh_latent(2), inputs, identifiers)
    z_H, z_L = by_hand(net, net.fresh_latent(2), inputs, identifiers)
    torch.testing.assert_close(latent.z_H, z_H.detach(), atol=1e-11, rtol=1e-9)
    torch.testing.assert_close(latent.z_L, z_L.detach(), atol=1e-11, rtol=1e-9)
    logits = net.lm_head(z_H[:, net.prefix :])
    probe = torch.randn(logits.shape, generator=torch.Generator().manual_seed(3)).double()
    names = [n for n, _ in net.named_parameters() if not n.startswith("q_head")]
    weights = [dict(net.named_parameters())[n] for n in names]
    ours = torch.autograd.grad((output.logits * probe).sum(), weights)
    true = torch.autograd.grad((logits * probe).sum(), weights)
    for name, a, b in zip(names, ours, true, strict=True):
        assert a.any(), name
        torch.testing.assert_close(a, b, atol=1e-8, rtol=1e-7, msg=name)


def test_the_gradient_of_all_cycles_is_that_of_finite_differences() -> None:
    # Attention computes its weights in float32 at most.
    net = in_float64(
        mixer="mlp_t", initial_state="learned", gradient_cycles=None, state_transfer="gated"
    )
    inputs, identifiers = batch(2)

    def total() -> Tensor:
        latent = net.reset(net.fresh_latent(2), torch.tensor([True, False]))
        return net(latent, inputs, identifiers)[1].logits.square().mean()

    block: Any = net.layers[0]
    gate: Any = net.gate
    down = block.mlp_t.down_proj.weight
    checked = [net.H_init, net.L_init, gate.weight, net.embed_tokens, down]
    found = torch.autograd.grad(total(), checked)
    for weight, gradient in zip(checked, found, strict=True):
        direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)).double()
        with torch.no_grad():
            weight += 1e-6 * direction
            above = total()
            weight -= 2e-6 * direction
            below = total()
            weight += 1e-6 * direction
        expected = float(above - below) / 2e-6
        assert float((gradient * direction).sum()) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_less_reach_is_another_gradient_of_the_same_numbers() -> None:
    inputs, identifiers = batch(3)
    gradients, logits = [], []
    for kept in (1, 2, 3, None):
        net = in_float64(gradient_cycles=kept)
        said = net(net.fresh_latent(3), inputs, identifiers)[1].logits
        said.square().sum().backward()
        gradients.append(net.layers[0].mlp.down_proj.weight.grad)  # type: ignore[union-attr]
        logits.append(said.detach())
    assert all(torch.equal(one, logits[0]) for one in logits)
    assert torch.equal(gradients[2], gradients[3])  # type: ignore[arg-type]
    assert not torch.allclose(gradients[0], gradients[1], rtol=0.01)  # type: ignore[arg-type]
    assert not torch.allclose(gradients[1], gradients[2], rtol=0.01)  # type: ignore[arg-type]


@pytest.mark.parametrize("mixer", ["attention", "mlp_t"])
def test_normed_before_a_state_stays_as_large_however_deep(mixer: str) -> None:
    net = build(config(norm="pre", mixer=mixer, H_cycles=6, L_cycles=6))
    inputs, identifiers = batch(3)
    latent = net.fresh_latent(3)
    with torch.no_grad():
        for _ in range(4):
            latent, _ = net(latent, inputs, identifiers)
    for z in (latent.z_H, latent.z_L):
        torch.testing.assert_close(z.square().mean(-1), torch.ones(z.shape[:-1]), atol=1e-3, rtol=0)


def test_a_gate_begins_open_by_as_much_as_is_said() -> None:
    net = build(config(state_transfer={"name": "gated", "open": 0.6}, H_cycles=1, L_cycles=1))
    plain = build(config(state_transfer={"name": "damped", "share": 0.6, "noise": 0.0}, H_cycles=1,
                         L_cycles=1))  # fmt: skip
    inputs, identifiers = batch(2)
    gated, _ = net(net.fresh_latent(2), inputs, identifiers)
    damped, _ = plain(plain.fresh_latent(2), inputs, identifiers)
    torch.testing.assert_close(gated.z_H, damped.z_H)


# --- noise -------------------------------------------------------------------------------------


def noise(seed: int = 0, place: OwnRows | None = None) -> Noise:
    return Noise(torch.Generator().manual_seed(seed), place)


def test_noise_is_normal_in_training_and_none_in_evaluation() -> None:
    damped = DampedTransfer(share=0.9, noise=0.2)
    state, new = torch.zeros(64, 16, 32), torch.ones(64, 16, 32)
    quiet = damped.carried(state, state, new, None, None)
    assert torch.equal(quiet, damped.carried(state, state, new, None, None))
    torch.testing.assert_close(quiet, torch.full_like(quiet, 0.9))
    added = damped.carried(state, state, new, None, noise()) - quiet
    assert float(added.std()) == pytest.approx(0.2, rel=0.02)
    assert abs(float(added.mean())) < 0.005
    silent = DampedTransfer(share=0.9, noise=0.0).carried(state, state, new, None, noise())
    assert torch.equal(silent, quiet)


def test_every_update_draws_its_own_noise() -> None:
    net = build(config(state_transfer="damped", H_cycles=2, L_cycles=3))
    inputs, identifiers = batch(2)
    drawn: list[Tensor] = []

    class Counted(Noise):
        def normal(self, like: Tensor) -> Tensor:
            drawn.append(super().normal(like))
            return drawn[-1]

    net(net.fresh_latent(2), inputs, identifiers, noise=Counted(torch.Generator()))
    assert len(drawn) == 2 * (3 + 1)
    assert not torch.equal(drawn[0], drawn[1])


@pytest.mark.parametrize("draw", ["normal", "truncated"])
def test_several_processes_draw_what_one_does(draw: str) -> None:
    whole = getattr(noise(), draw)(torch.zeros(7, 3, 4))
    for begin, end in ((0, 3), (3, 7)):
        place = OwnRows(begin, end, 7)
        own = getattr(noise(place=place), draw)(torch.zeros(end - begin, 3, 4))
        assert torch.equal(own, whole[begin:end])
    assert getattr(noise(), draw)(torch.zeros(2, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_random_states_differ_by_row_and_position_and_are_cut_at_two_deviations() -> None:
    net = build(config(initial_state="random", hidden_size=64))
    drawn = net.fresh_latent(200, noise())
    for z in (drawn.z_H, drawn.z_L):
        assert float(z.std()) == pytest.approx(1.0, rel=0.02)
        assert float(z.abs().max()) < 2.0 / 0.8796 + 1e-3  # sqrt of a cut normal's variance
        assert not torch.equal(z[0], z[1])
        assert not torch.equal(z[0, 0], z[0, 1])
    assert not torch.equal(drawn.z_H, drawn.z_L)
    still, again = net.fresh_latent(3), net.fresh_latent(5)
    assert torch.equal(still.z_H[2], again.z_H[0])
    assert not torch.equal(still.z_H[0, 0], still.z_H[0, 1])
    rows = torch.tensor([True, False, True])
    new = net.reset(still, rows, noise(3))
    assert torch.equal(new.z_H[1], still.z_H[1])
    assert not torch.equal(new.z_H[0], still.z_H[0])
    assert not torch.equal(new.z_H[0], new.z_H[2])


def test_without_carry_random_states_are_new_in_every_step() -> None:
    net = build(config(initial_state="random", carry_latent=False))
    inputs, identifiers = batch(2)
    source = noise()
    first = net(net.fresh_latent(2), inputs, identifiers, noise=source)[1].logits
    second = net(net.fresh_latent(2), inputs, identifiers, noise=source)[1].logits
    assert not torch.equal(first, second)


# --- what goes with what -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"initial_state": "learned"}, ["learned", "gradient_cycles", "null", "H_cycles"]),
        ({"initial_state": "learned", "gradient_cycles": None, "one_step_gradient": True}, ["one"]),
        ({"gradient_cycles": 2, "one_step_gradient": True}, ["gradient_cycles 2"]),
        ({"gradient_cycles": 0}, ["model.gradient_cycles", "0"]),
        ({"norm": "middle"}, ["model.norm", "middle"]),
        ({"state_transfer": "gate"}, ["model.state_transfer", "gate", "gated"]),
        ({"state_transfer": {"name": "damped", "share": 0.0}}, ["state_transfer.share", "0.0"]),
        ({"state_transfer": {"name": "residual", "share": 1.0}}, ["state_transfer.share"]),
    ],
)
def test_what_does_not_go_together_is_a_line(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        validate(ModelConfig, {"hidden_size": 16, "num_heads": 2} | changes, "model")
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_learned_states_need_no_more_than_one_cycle_with_a_gradient() -> None:
    assert config(initial_state="learned", H_cycles=1).gradient_cycles == 1


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"norm": "pre"}, "model.norm: 'pre'"),
        ({"separate_networks": True}, "model.separate_networks: true"),
        ({"state_transfer": "gated"}, "model.state_transfer"),
        ({"state_transfer": "damped"}, "model.state_transfer"),
        ({"initial_state": "learned", "gradient_cycles": None}, "model.initial_state: 'learned'"),
        ({"gradient_cycles": None}, "model.gradient_cycles: null"),
        ({"gradient_cycles": 2}, "model.gradient_cycles: 2"),
    ],
)
def test_the_compiled_library_leaves_them_alone(changes: dict[str, Any], key: str) -> None:
    assert key in unfit(build(config(**changes)))


@pytest.mark.parametrize("name", STATE_TRANSFERS)
def test_transfers_keep_what_their_suite_asks(name: str) -> None:
    check_transfer(STATE_TRANSFERS[name].model_validate({"name": name}))


@pytest.mark.parametrize(
    "changes",
    [
        {"model.norm": "pre", "model.separate_networks": True, "model.state_transfer": "gated"},
        {
            "model.initial_state": "random",
            "model.state_transfer": {"name": "damped"},
            "model.gradient_cycles": None,
            "model.H_cycles": 2,
        },
        {"model.initial_state": "learned", "train.ema": 0.9, "model.mixer": "mlp_t"},
    ],
)
def test_a_training_with_them_goes_on_bit_for_bit(changes: dict[str, Any]) -> None:
    check_trains(changes)


def test_the_reference_names_the_deviation_of_the_cut() -> None:
    inside = math.erf(2 / math.sqrt(2))
    phi = math.exp(-2.0) / math.sqrt(2 * math.pi)
    assert math.sqrt(1 - 4 * phi / inside) == pytest.approx(0.8796, abs=1e-4)
