"""What every mixer, every encoding of positions and every state transfer promises."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from trm.network.mixers import MIXERS
from trm.network.model import TRM, ModelConfig
from trm.network.noise import Noise
from trm.network.positions import POSITIONS
from trm.network.transfer import STATE_TRANSFERS, StateTransfer
from trm.testing.fitting import check_trains
from trm.testing.sections import check_section, no_global_randomness

_SIZES: list[dict[str, Any]] = [
    {"hidden_size": 16, "num_heads": 2, "L_layers": 1, "puzzle_emb_len": 1},
    {"hidden_size": 24, "num_heads": 3, "L_layers": 2, "puzzle_emb_len": 2},
]
_SEQ_LEN, _BATCH = 6, 4


def check_mixer(name: str) -> None:
    """Build models with the mixer of that name, and train one for a few steps.

    Raises:
        AssertionError: the mixer breaks a promise.
        UserError: so does what it gives, in a way that is looked for in every model too.

    >>> check_mixer("attention")
    """
    assert name in MIXERS, f"no mixer is registered as {name!r}: MIXERS[{name!r}] = Mixer(...)"
    kind = MIXERS[name]
    assert kind.pos_encodings in POSITIONS, f"pos_encodings {kind.pos_encodings!r} is no encoding"
    for sizes in _SIZES:
        config = ModelConfig(mixer=name, expansion=2.0, swiglu_multiple=8, **sizes)
        _check_model(config)
        _check_rows_are_apart(config)
        _check_flops(config, name)
    check_trains({"model.mixer": name, "model.pos_encodings": None})


def check_positions(name: str) -> None:
    """Build models with the encoding of that name, and train one for a few steps.

    Raises:
        AssertionError: the encoding breaks a promise.
        UserError: so does a table of it, in a way that is looked for in every model too.

    >>> check_positions("learned")
    """
    assert name in POSITIONS, f"no encoding is registered as {name!r}: POSITIONS[{name!r}] = ..."
    for sizes in _SIZES:
        config = ModelConfig(mixer="attention", pos_encodings=name, swiglu_multiple=8, **sizes)
        _check_model(config)
        if POSITIONS[name].added or POSITIONS[name].rotates:
            _check_tells_places_apart(config)
    check_trains({"model.mixer": "attention", "model.pos_encodings": name})


def check_transfer(transfer: StateTransfer) -> None:
    """Try a state transfer on a few rows, and train with it.

    Raises:
        AssertionError: the transfer breaks a promise.

    >>> from trm.network.transfer import GatedTransfer
    >>> check_transfer(GatedTransfer())
    """
    check_section(STATE_TRANSFERS, transfer)
    dim = 16
    with no_global_randomness():
        gate = transfer.build(dim, torch.Generator().manual_seed(0))
        generator = torch.Generator().manual_seed(1)
        state, h, new = (torch.randn(_BATCH, _SEQ_LEN, dim, generator=generator) for _ in range(3))
        before = [state.clone(), h.clone(), new.clone()]
        still = transfer.carried(state, h, new, gate, None)
        again = transfer.carried(state, h, new, gate, None)
        noisy = transfer.carried(state, h, new, gate, Noise(torch.Generator().manual_seed(2)))
        row = transfer.carried(state[1:2], h[1:2], new[1:2], gate, None)
    assert torch.equal(still, again), "it draws without a source of noise: evaluations would differ"
    assert all(map(torch.equal, before, (state, h, new))), "it changes what it is given"
    for found in (still, noisy):
        assert found.shape == state.shape, f"it gives {list(found.shape)}: keep the shape"
        assert found.dtype == state.dtype, f"it gives {found.dtype}: keep the type"
        assert bool(found.isfinite().all()), "it gives numbers that are not finite"
    assert transfer.draws != torch.equal(still, noisy), "`draws` does not say whether it draws"
    assert torch.allclose(row, still[1:2], atol=1e-6), "a row depends on the others"
    own = sum(p.numel() for p in gate.parameters()) if gate is not None else 0
    assert transfer.weights(dim) == own, f"weights() counts {transfer.weights(dim)}, it has {own}"
    with FlopCounterMode(display=False) as counter:
        transfer.carried(state, h, new, gate, None)
    ours, torchs = _BATCH * _SEQ_LEN * transfer.flops(dim), counter.get_total_flops()
    assert abs(ours - torchs) <= 0.01 * torchs, f"flops counts {ours:g}, torch {torchs:g}"
    check_trains({"model.state_transfer": transfer.model_dump(mode="json")})


def _model(config: ModelConfig, dtype: torch.dtype = torch.float32, seq_len: int = _SEQ_LEN) -> TRM:
    generator = torch.Generator().manual_seed(3)
    return TRM(config, seq_len=seq_len, vocab_size=5, generator=generator, dtype=dtype)


def _check_model(config: ModelConfig) -> None:
    """Built the same by the same generator, in float32, for every type of the forward pass."""
    with no_global_randomness():
        model, twin = _model(config), _model(config)
        _model(config, torch.bfloat16)
        _model(config, seq_len=1)
    for (key, one), (_, other) in zip(
        model.state_dict().items(), twin.state_dict().items(), strict=True
    ):
        assert torch.equal(one, other), f"{key} differs between two models from one generator"
        assert one.dtype == torch.float32, f"{key} is {one.dtype}: weights are float32"
    model.layers[0](*_block_input(model)).sum().backward()
    for key, parameter in model.layers[0].named_parameters():
        assert parameter.grad is not None, f"{key} has no gradient: it is not used"


def _block_input(model: TRM) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
    shape = (_BATCH, model.positions, model.config.hidden_size)
    rows = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    rope = None if model.cos is None or model.sin is None else (model.cos, model.sin)
    return rows, rope


def _check_rows_are_apart(config: ModelConfig) -> None:
    model = _model(config)
    rows, rope = _block_input(model)
    with torch.no_grad():
        together, alone = model.layers[0](rows, rope), model.layers[0](rows[1:2], rope)
    same = torch.allclose(together[1:2], alone, atol=1e-5)
    assert same, "what it gives for a row depends on the other rows of the batch"


def _check_flops(config: ModelConfig, name: str) -> None:
    # In bfloat16 attention is plain products, which torch counts.
    model = _model(config, torch.bfloat16)
    kind = MIXERS[name]
    rows, rope = _block_input(model)
    rows = rows.bfloat16().transpose(1, 2) if kind.turned else rows.bfloat16()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        getattr(model.layers[0], kind.attribute)(rows, rope)
    ours, torchs = _BATCH * kind.flops(config, model.positions), counter.get_total_flops()
    counts = f"flops counts {ours / _BATCH:g} a row, torch {torchs / _BATCH:g}"
    assert abs(ours - torchs) <= 0.01 * torchs, f"{counts}: budgets would not compare"


def _check_tells_places_apart(config: ModelConfig) -> None:
    """A mixer that is blind to places gives another answer once two tokens have changed theirs."""
    model = _model(config)
    tokens = torch.tensor([[0, 1, 2, 3, 4, 0], [1, 0, 2, 3, 4, 0]], dtype=torch.int32)
    with torch.no_grad():
        _, output = model(model.fresh_latent(2), tokens, torch.zeros(2, dtype=torch.int32))
    first, second = output.logits[0, 2:], output.logits[1, 2:]
    assert not torch.allclose(first, second, atol=1e-6), "it does not tell places apart"
