"""Experiments that the reference repository can express."""

from __future__ import annotations

from typing import Any

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_heads": 2,
    "expansion": 1.0,
    "swiglu_multiple": 8,
    "puzzle_emb_len": 2,
}
