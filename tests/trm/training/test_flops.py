"""The analytic count against torch's own counter."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from trm.learning.losses import LossConfig, act_loss
from trm.network.model import TRM, ModelConfig
from trm.training.flops import supervision_step_flops

SEQ_LEN, VOCAB, BATCH = 6, 5, 3
SMALL = {
    "hidden_size": 16,
    "num_heads": 4,
    "expansion": 2.0,
    "swiglu_multiple": 8,
    "puzzle_emb_len": 2,
    "halt_max_steps": 4,
}
CASES: dict[str, dict[str, object]] = {
    "attention": {"mixer": "attention", "H_cycles": 2, "L_cycles": 3},
    "attention, no positions": {"pos_encodings": "none", "H_cycles": 1, "L_cycles": 1},
    "attention, one layer": {"L_layers": 1, "H_cycles": 3, "L_cycles": 2},
    "mlp_t": {"mixer": "mlp_t", "H_cycles": 3, "L_cycles": 1},
    "one-step gradient": {"H_cycles": 2, "L_cycles": 4, "one_step_gradient": True},
    "linear attention": {"mixer": "linear_attention", "H_cycles": 2, "L_cycles": 2},
    "linear attention, one head": {"mixer": "linear_attention", "num_heads": 1, "L_cycles": 2},
    "conv_swiglu": {"mixer": "conv_swiglu", "H_cycles": 2, "L_cycles": 2, "conv_kernel": 3},
    "conv_swiglu as mlp": {"mlp": "conv_swiglu", "H_cycles": 2, "L_cycles": 2},
    "mixture": {"mixer": ["attention", "mlp_t"], "L_layers": 3, "H_cycles": 2, "L_cycles": 1},
    "one head, rope_2d": {"num_heads": 1, "pos_encodings": "rope_2d", "L_cycles": 1},
    "gradient of two cycles": {"H_cycles": 3, "L_cycles": 2, "gradient_cycles": 2},
    "gradient of all": {"H_cycles": 3, "L_cycles": 2, "gradient_cycles": None},
    "more gradient than cycles": {"H_cycles": 2, "L_cycles": 1, "gradient_cycles": 9},
    "normed before": {"H_cycles": 2, "L_cycles": 2, "norm": "pre", "mixer": "mlp_t"},
    "separate networks": {"H_cycles": 2, "L_cycles": 2, "separate_networks": True},
    "gated": {"H_cycles": 2, "L_cycles": 2, "state_transfer": "gated"},
    "damped, learned": {
        "H_cycles": 1,
        "L_cycles": 2,
        "state_transfer": "damped",
        "initial_state": "learned",
    },
    "gated, one-step gradient": {
        "H_cycles": 2,
        "L_cycles": 3,
        "state_transfer": "gated",
        "one_step_gradient": True,
    },
    "no carry": {"H_cycles": 2, "L_cycles": 2, "carry_latent": False},
    "mlp_t, no prefix": {
        "mixer": "mlp_t",
        "puzzle_emb_ndim": 0,
        "puzzle_emb_len": 0,
        "H_cycles": 2,
        "L_cycles": 2,
    },
}


def counted(config: ModelConfig, H: int | None = None, L: int | None = None) -> float:
    """One training step as torch counts it; bfloat16, where attention is plain products."""
    model = TRM(
        config,
        seq_len=SEQ_LEN,
        vocab_size=VOCAB,
        generator=torch.Generator().manual_seed(0),
        dtype=torch.bfloat16,
    )
    inputs = torch.randint(0, VOCAB, (BATCH, SEQ_LEN), generator=torch.Generator().manual_seed(1))
    identifiers = torch.zeros(BATCH, dtype=torch.int32)
    with FlopCounterMode(display=False) as counter:
        latent, output = model(
            model.fresh_latent(BATCH), inputs, identifiers, H_cycles=H, L_cycles=L
        )
        if not config.no_ACT_continue:
            with torch.no_grad():
                model(latent, inputs, identifiers, H_cycles=H, L_cycles=L)
        act_loss(output, inputs, LossConfig()).total.backward()  # type: ignore[no-untyped-call]
    counts = counter.get_flop_counts()["Global"]
    # Torch takes the weights' gradient of a convolution channel by channel for a dense one's: each
    # of the two gradients costs what the forward pass does. That of this step alone, of all cycles.
    counts.pop(torch.ops.aten.convolution_backward, 0)
    cycles = config.H_cycles * (config.L_cycles + 1)
    forward = counts.get(torch.ops.aten.convolution, 0)
    backward = 2 * forward * (config.L_cycles + 1) / cycles
    return float(sum(counts.values())) + backward


@pytest.mark.parametrize("case", CASES)
def test_as_many_as_torch_counts(case: str) -> None:
    config = ModelConfig.model_validate(SMALL | CASES[case])
    ours = supervision_step_flops(config, SEQ_LEN, VOCAB, BATCH)
    assert ours == pytest.approx(counted(config), rel=1e-9)


def test_depth_of_a_curriculum() -> None:
    config = ModelConfig.model_validate(SMALL)
    ours = supervision_step_flops(config, SEQ_LEN, VOCAB, BATCH, H_cycles=2, L_cycles=1)
    assert ours == pytest.approx(counted(config, 2, 1), rel=1e-9)
    assert ours < supervision_step_flops(config, SEQ_LEN, VOCAB, BATCH)


def test_the_continue_head_costs_one_more_forward_pass() -> None:
    config = ModelConfig.model_validate(SMALL | CASES["mlp_t"] | {"no_ACT_continue": False})
    ours = supervision_step_flops(config, SEQ_LEN, VOCAB, BATCH)
    assert ours == pytest.approx(counted(config), rel=1e-9)


def test_by_hand() -> None:
    config = ModelConfig(
        hidden_size=4,
        num_heads=2,
        L_layers=1,
        H_cycles=2,
        L_cycles=3,
        expansion=1.0,
        swiglu_multiple=1,
        puzzle_emb_len=1,
    )
    # 3 positions; qkv 4 x 12, out 4 x 4, scores and mix 2 x 3 x 3 x 4; SwiGLU width 3: 3 x 4 x 3.
    once = 2 * (3 * 4 * 12 + 3 * 4 * 4 + 2 * 3 * 3 * 4 + 3 * 3 * 4 * 3)
    cycle, heads = 4 * once, 2 * (2 * 4 * 7) + 2 * 4 * 2
    assert supervision_step_flops(config, 2, 7, 5) == 5 * (cycle + 3 * (cycle + heads))
