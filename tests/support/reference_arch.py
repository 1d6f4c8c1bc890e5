"""The reference's `config/arch/trm.yaml`, smaller."""

from __future__ import annotations

from typing import Any

ARCH: dict[str, Any] = {
    "name": "recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1",
    "loss": {"name": "losses@ACTLossHead", "loss_type": "stablemax_cross_entropy"},
    "halt_exploration_prob": 0.1, "halt_max_steps": 4, "H_cycles": 2, "L_cycles": 2, "H_layers": 0,
    "L_layers": 2, "hidden_size": 64, "num_heads": 4, "expansion": 4,
    "puzzle_emb_ndim": "${.hidden_size}", "pos_encodings": "rope", "forward_dtype": "float32",
    "mlp_t": False, "puzzle_emb_len": 16, "no_ACT_continue": True,
}  # fmt: skip
