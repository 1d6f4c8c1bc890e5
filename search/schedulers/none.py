"""No early stopping."""

from __future__ import annotations

from typing import Literal

from search.schedulers.asha import Asha
from search.schedulers.scheduler import EarlyStoppingConfig, Mode


class NoSchedulerConfig(EarlyStoppingConfig):
    """Every trial runs to its end unless its score is not finite."""

    name: Literal["none"] = "none"

    def build(self, slow_start: bool, mode: Mode = "max") -> Asha:
        return Asha((1.0,), mode=mode)
