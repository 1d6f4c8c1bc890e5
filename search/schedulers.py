"""The schedulers by name."""

from __future__ import annotations

from search.asha import AshaConfig, NoSchedulerConfig, SchedulerConfig
from search.pbt import PbtConfig

SCHEDULERS: dict[str, type[SchedulerConfig]] = {
    "asha": AshaConfig,
    "none": NoSchedulerConfig,
    "pbt": PbtConfig,
}
"""The schedulers that `search.scheduler` can name; `by_name` takes a bare name or a mapping."""
