"""Weights under the reference's names, and back."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.support.reference_experiments import SMALL
from trm.network.model import TRM, ModelConfig
from trm.reference.weights import CHECKPOINT_PREFIX, export_state_dict, import_state_dict


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mixer": "mlp_t"},
        {"pos_encodings": "learned"},
        {"puzzle_emb_ndim": 0, "puzzle_emb_len": 0},
    ],
)
@pytest.mark.parametrize("prefix", ["", CHECKPOINT_PREFIX, "model."])
def test_a_state_dict_survives_the_round_trip(changes: dict[str, Any], prefix: str) -> None:
    model = TRM(
        ModelConfig.model_validate(SMALL | changes),
        seq_len=4,
        vocab_size=9,
        generator=torch.Generator().manual_seed(0),
    )
    state = model.state_dict()
    exported = export_state_dict(state, prefix)
    assert all(name.startswith(f"{prefix}inner.") for name in exported)
    back = import_state_dict(exported)
    assert back.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(back[name], tensor)
    model.load_state_dict(back)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_checkpoints_initial_states_have_the_forward_dtype(dtype: torch.dtype) -> None:
    model = TRM(
        ModelConfig.model_validate(SMALL),
        seq_len=4,
        vocab_size=9,
        generator=torch.Generator().manual_seed(0),
    )
    state = model.state_dict()
    exported = export_state_dict(state, CHECKPOINT_PREFIX, forward_dtype=dtype)
    for name, tensor in exported.items():
        initial = name.endswith(("H_init", "L_init"))
        assert tensor.dtype == (dtype if initial else torch.float32), name
    # What a carry of this dtype becomes where a row is reset, in the reference's own words.
    carry = torch.zeros(1, 4, 16, dtype=dtype)
    first = exported[f"{CHECKPOINT_PREFIX}inner.H_init"]
    assert torch.where(torch.tensor([[[True]]]), first, carry).dtype == dtype
    assert export_state_dict(state)["inner.H_init"].dtype == torch.float32
