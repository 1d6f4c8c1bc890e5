"""Whether a model's weights fit into this machine, before a library finds out by ending."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from trm.errors import UserError
from trm.network.layers import swiglu_width

if TYPE_CHECKING:
    from trm.network.model_config import ModelConfig

_FLOAT = 4
_GB = 1e9


def least_weights(config: ModelConfig, seq_len: int, vocab_size: int, identifiers: int) -> float:
    """Parameters of a model, those of its mixer left out unless it is one of ours.

    >>> from trm.network.model_config import ModelConfig
    >>> least_weights(ModelConfig(hidden_size=8, num_heads=2, swiglu_multiple=8), 4, 10, 1)
    1832
    """
    dim, positions = config.hidden_size, config.prefix + seq_len
    inner = swiglu_width(dim, config.expansion, config.swiglu_multiple)
    turned = swiglu_width(positions, config.expansion, config.swiglu_multiple)
    conv = inner * (3 * dim + config.conv_kernel + 1)
    mixing = {
        "attention": 4 * dim * dim,
        "linear_attention": 4 * dim * dim,
        "conv_swiglu": conv,
        "mlp_t": 3 * positions * turned,
    }
    channels = 3 * dim * inner if config.mlp == "swiglu" else conv
    network = sum(channels + mixing.get(name, 0) for name in config.mixers)
    network += config.state_transfer.weights(dim)
    networks = 2 if config.separate_networks else 1
    return networks * network + 2 * vocab_size * dim + identifiers * config.embedding_dim


def require_room(weights: float, copies: int = 1, have: float | None = None) -> None:
    """
    Args:
        weights: float32 numbers of one copy.
        copies: one of the weights alone; training has their gradients and two moments too.
        have: bytes of memory; None is this machine's.

    Raises:
        UserError: they do not fit.
    """
    have = _memory() if have is None else have
    needed = _FLOAT * copies * weights
    if needed > have:
        what = "weights, gradients and moments" if copies > 1 else "weights"
        raise UserError(
            f"model: its {weights:.2g} parameters need {needed / _GB:,.0f} GB for {what}, and this "
            f"machine has {have / _GB:,.0f} GB: lower hidden_size, L_layers or expansion"
        )


def _memory() -> float:
    """Bytes of this machine; infinite where the system does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return float("inf")
