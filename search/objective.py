"""The columns of a report that a trial can be judged by."""

from __future__ import annotations

from typing import Literal

ObjectiveName = Literal[
    "exact_accuracy",
    "cell_accuracy",
    "blank_accuracy",
    "valid_rate",
    "early_exact_accuracy",
    "live_exact_accuracy",
    "halt_auc",
]
"""Shares in [0, 1], where more is better."""
