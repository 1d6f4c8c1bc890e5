"""The fused supervision step against the layers' own in float64: states, outputs, gradients."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trm.network.fused import step as fused_step
from trm.network.fused.step import MOST_VOCAB, unfit, use_fused
from trm.network.mixers import MIXERS, Mixer
from trm.network.model import SPARSE_FROM, TRM, Latent, ModelConfig

FACTOR = 4.0
"""Times eager float32's own distance from float64, which a sum in another order may be off."""
FLOOR = 2e-6
"""Of the largest number of a tensor: about 16 roundings."""

BASE: dict[str, Any] = {
    "hidden_size": 32, "num_heads": 4, "L_layers": 2, "H_cycles": 2, "L_cycles": 2,
    "expansion": 1.0, "swiglu_multiple": 32, "puzzle_emb_len": 1,
}  # fmt: skip
VOCAB = 7


def build(dtype: torch.dtype = torch.float32, **changes: Any) -> TRM:
    seq_len = changes.pop("seq_len", 16)
    vocab, identifiers = changes.pop("vocab", VOCAB), changes.pop("identifiers", 3)
    generator = torch.Generator().manual_seed(0)
    model = TRM(
        ModelConfig.model_validate(BASE | changes),
        seq_len=seq_len,
        vocab_size=vocab,
        num_puzzle_identifiers=identifiers,
        generator=generator,
        dtype=dtype,
    )
    with torch.no_grad():  # what begins at 0 would hide errors
        model.q_head.weight.normal_(generator=generator)
        if model.puzzle_emb is not None:
            model.puzzle_emb.normal_(std=0.1, generator=generator)
    return model.to(dtype)


def fused(**changes: Any) -> TRM:
    model = build(**changes)
    use_fused(model)
    return model


def batch(model: TRM, rows: int) -> tuple[Latent, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    seq_len, vocab = model.positions - model.prefix, len(model.embed_tokens)
    inputs = torch.randint(0, vocab, (rows, seq_len), generator=generator, dtype=torch.int32)
    table = model.puzzle_emb
    puzzles = torch.randint(0, 1 if table is None else len(table), (rows,), generator=generator)
    shape = (2, rows, model.positions, model.config.hidden_size)
    z_H, z_L = torch.randn(shape, generator=generator, dtype=torch.float64).to(model.dtype)
    probe = torch.randn((rows, seq_len, vocab), generator=generator, dtype=torch.float64)
    return Latent(z_H, z_L), inputs, puzzles, probe.to(model.dtype)


def step(model: TRM, rows: int, **depth: int) -> dict[str, Tensor]:
    """All that a supervision step computes, by name."""
    latent, inputs, puzzles, probe = batch(model, rows)
    after, output = model(latent, inputs, puzzles, **depth)
    assert not after.z_H.requires_grad
    assert not after.z_L.requires_grad
    model.zero_grad()
    total = (output.logits * probe).sum() + output.q_halt.sum() - 2 * output.q_continue.sum()
    total.backward()  # type: ignore[no-untyped-call]
    found = {
        "z_H": after.z_H, "z_L": after.z_L, "logits": output.logits.detach(),
        "q_halt": output.q_halt.detach(), "q_continue": output.q_continue.detach(),
    }  # fmt: skip
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            found[name] = parameter.grad.to_dense()
    return found


def errors(found: dict[str, Tensor], true: dict[str, Tensor]) -> dict[str, float]:
    """The largest error of each tensor, as a share of its largest number."""
    assert found.keys() == true.keys()
    return {
        name: float((found[name].double() - true[name]).abs().max() / true[name].abs().max())
        for name in true
    }


def require_close(rows: int = 5, depth: dict[str, int] | None = None, **changes: Any) -> None:
    model = fused(**changes)
    assert model.fused is not None
    assert model.fused.takes(model, model.fresh_latent(rows), torch.zeros(rows, 1))
    depth = depth or {}
    true = step(build(torch.float64, **changes), rows, **depth)
    eager = errors(step(build(**changes), rows, **depth), true)
    mine = errors(step(model, rows, **depth), true)
    allowed = max(FLOOR, FACTOR * max(eager.values()))
    assert max(mine.values()) <= allowed, (mine, eager)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


MIXER_NAMES = ("mlp_t", "attention")


@pytest.mark.parametrize("mixer", MIXER_NAMES)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"hidden_size": 24, "swiglu_multiple": 1, "L_layers": 1},
        {"hidden_size": 100, "swiglu_multiple": 1, "expansion": 1.3, "num_heads": 5},
        {"hidden_size": 64, "seq_len": 81, "expansion": 4.0, "swiglu_multiple": 64},
        {"hidden_size": 16, "num_heads": 8, "L_layers": 3, "seq_len": 5},
        {"puzzle_emb_len": 16, "seq_len": 9},
        {"puzzle_emb_len": 2, "puzzle_emb_ndim": 40},
        {"puzzle_emb_len": 0, "puzzle_emb_ndim": 0},
        {"one_step_gradient": True, "L_cycles": 3},
        {"carry_latent": False},
        {"pos_encodings": "learned"},
        {"pos_encodings": "none"},
        {"rms_norm_eps": 0.1},
        {"vocab": 40},
        {"identifiers": SPARSE_FROM + 1},
    ],
    ids=lambda changes: ",".join(f"{key}={value}" for key, value in changes.items()) or "base",
)
def test_every_size_agrees_with_float64(mixer: str, changes: dict[str, Any]) -> None:
    require_close(mixer=mixer, **changes)


@pytest.mark.parametrize("mixer", MIXER_NAMES)
@pytest.mark.parametrize(("H", "L"), [(1, 1), (1, 4), (4, 1), (3, 2)])
def test_every_depth_agrees_with_float64(mixer: str, H: int, L: int) -> None:
    require_close(mixer=mixer, H_cycles=H, L_cycles=L)
    require_close(mixer=mixer, depth={"H_cycles": H, "L_cycles": L})


@pytest.mark.parametrize("mixer", MIXER_NAMES)
@pytest.mark.parametrize("rows", [1, 2, 65])
def test_every_number_of_rows_and_threads(mixer: str, rows: int, threads: int) -> None:
    require_close(rows, mixer=mixer)


def test_a_row_that_does_not_stay_in_cache() -> None:
    require_close(2, mixer="mlp_t", hidden_size=64, seq_len=81, L_cycles=4)
    require_close(2, mixer="attention", hidden_size=64, seq_len=81, L_cycles=4)


def test_a_large_vocabulary_is_embedded_outside() -> None:
    require_close(2, vocab=MOST_VOCAB + 1)


def test_threads_change_nothing_but_rounding_and_a_repetition_nothing(threads: int) -> None:
    one, other = step(fused(), 7), step(fused(), 7)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("mixer", MIXER_NAMES)
def test_without_gradients_the_results_are_the_same_bits(mixer: str) -> None:
    model = fused(mixer=mixer)
    latent, inputs, puzzles, _ = batch(model, 5)
    after, output = model(latent, inputs, puzzles)
    with torch.no_grad():
        again, said = model(latent, inputs, puzzles)
    assert output.logits.requires_grad
    assert not said.logits.requires_grad
    assert torch.allclose(after.z_H, again.z_H, rtol=1e-5, atol=1e-5)
    assert torch.allclose(output.logits, said.logits, rtol=1e-5, atol=1e-5)


def test_without_gradients_nothing_is_kept_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    rooms: list[int] = []

    def room(_: object, floats: int) -> Tensor:
        rooms.append(floats)
        return torch.empty(floats)

    monkeypatch.setattr(fused_step, "_room", room)
    model = fused()
    latent, inputs, puzzles, _ = batch(model, 5)
    with torch.no_grad():
        model(latent, inputs, puzzles)
    assert not rooms
    model(latent, inputs, puzzles)
    assert len(rooms) == 1


def test_a_fresh_state_is_taken_though_it_is_no_memory_of_its_own() -> None:
    model, eager = fused(), build()
    _, inputs, puzzles, _ = batch(model, 3)
    mine, _ = model(model.fresh_latent(3), inputs, puzzles)
    other, _ = eager(eager.fresh_latent(3), inputs, puzzles)
    assert torch.allclose(mine.z_H, other.z_H, atol=1e-5)


def test_parameters_that_stand_still_have_no_gradient() -> None:
    model, free = fused(), fused()
    model.layers.requires_grad_(False)
    found, whole = step(model, 4), step(free, 4)
    assert not any(name.startswith("layers") for name in found)
    assert all(torch.equal(found[name], whole[name]) for name in found)


def test_only_one_output_of_the_heads_is_differentiated() -> None:
    true = build(torch.float64)
    for use in (lambda o: o.q_halt.sum(), lambda o: o.q_continue.sum(), lambda o: o.logits.sum()):
        model = fused()
        for each in (model, true):
            latent, inputs, puzzles, _ = batch(each, 4)
            each.zero_grad()
            use(each(latent, inputs, puzzles)[1]).backward()
        mine = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        other = {name: p.grad for name, p in true.named_parameters() if p.grad is not None}
        assert mine.keys() == other.keys()
        for name, gradient in mine.items():
            scale = other[name].abs().max()
            assert (gradient - other[name]).abs().max() <= 1e-4 * scale, name


def test_weights_that_are_swapped_or_changed_count_at_once() -> None:
    model, other = fused(), build(seq_len=16)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1)
    for mine, changed in zip(model.parameters(), other.parameters(), strict=True):
        mine.data = changed.data
    found, true = step(model, 3), step(other, 3)
    assert max(errors(found, {k: v.double() for k, v in true.items()}).values()) < 1e-4


def test_a_state_that_is_not_finite_stays_so() -> None:
    for mixer in MIXER_NAMES:
        model = fused(mixer=mixer)
        latent, inputs, puzzles, _ = batch(model, 3)
        latent.z_L[1, 2, 3] = float("nan")
        after, output = model(latent, inputs, puzzles)
        assert not torch.isfinite(output.logits[1]).any()
        assert torch.isfinite(output.logits[0]).all()
        assert torch.isfinite(after.z_H[2]).all()


def test_a_token_that_there_is_not_is_an_error_as_in_torch() -> None:
    model = fused()
    latent, inputs, puzzles, _ = batch(model, 3)
    for wrong in (-1, VOCAB):
        inputs[2, 5] = wrong
        with pytest.raises(IndexError):
            model(latent, inputs, puzzles)


def test_a_second_backward_pass_is_refused_rather_than_wrong() -> None:
    model = fused()
    latent, inputs, puzzles, _ = batch(model, 3)
    total = model(latent, inputs, puzzles)[1].logits.sum()
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="differentiated once"):
        total.backward()


def test_two_steps_before_their_backward_passes_do_not_share_a_room() -> None:
    model, other = fused(), fused()
    latent, inputs, puzzles, probe = batch(model, 3)
    first = model(latent, inputs, puzzles)[1].logits
    second = model(latent, inputs.flip(0), puzzles)[1].logits
    (first * probe).sum().backward()
    (second * probe).sum().backward()
    (other(latent, inputs, puzzles)[1].logits * probe).sum().backward()
    (other(latent, inputs.flip(0), puzzles)[1].logits * probe).sum().backward()
    for mine, expected in zip(model.layers.parameters(), other.layers.parameters(), strict=True):
        assert mine.grad is not None
        assert expected.grad is not None
        assert torch.equal(mine.grad, expected.grad)


def test_what_it_does_not_take_goes_through_the_layers() -> None:
    model, eager = fused(), build()
    latent, inputs, puzzles, _ = batch(model, 3)
    asked = Latent(latent.z_H.requires_grad_(), latent.z_L)
    assert model.fused is not None
    assert not model.fused.takes(model, asked, inputs)
    mine = model(asked, inputs, puzzles, H_cycles=1)[1].logits
    assert torch.equal(mine, eager(asked, inputs, puzzles, H_cycles=1)[1].logits)
    wide = Latent(latent.z_H.detach().double(), latent.z_L.double())
    assert not model.fused.takes(model, wide, inputs)
    assert model.to("meta").fused is not None
    assert not model.fused.takes(model, latent, inputs)


def test_a_copy_and_a_pickle_compute_on_their_own() -> None:
    model = fused()
    true = step(model, 3)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        found = step(other, 3)
        assert all(torch.equal(found[name], true[name]) for name in true)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda: build(dtype=torch.bfloat16), "bfloat16, not float32"),
        (lambda: build().to("meta"), "on meta, not on a CPU"),
        (lambda: build(mixer="mine"), r"a mixer of another kind \(mine\)"),
        (lambda: build(hidden_size=272, num_heads=8), "wider than 256"),
        (lambda: build(seq_len=1024), "longer than 1024"),
        (lambda: build(), "^$"),
    ],
)
def test_models_that_it_does_not_know(
    model: Any, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mean(nn.Module):
        def forward(self, x: Tensor, rope: Any) -> Tensor:
            return x.mean(1, keepdim=True).expand_as(x)

    mine = Mixer(lambda config, positions, generator: Mean(), lambda config, positions: 1.0)
    monkeypatch.setitem(MIXERS, "mine", mine)
    found = unfit(model())
    assert re.search(reason, found), found
