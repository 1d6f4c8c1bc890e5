"""The schedulers by name, as `SCHEDULERS`.

>>> SCHEDULERS["asha"]().build(slow_start=False).shares[-1]
1.0
"""

from __future__ import annotations

from search.schedulers.asha import AshaConfig
from search.schedulers.halving import HalvingConfig
from search.schedulers.hyperband import HyperbandConfig
from search.schedulers.learned import LearnedConfig
from search.schedulers.median import MedianConfig
from search.schedulers.none import NoSchedulerConfig
from search.schedulers.pbt import PbtConfig
from search.schedulers.scheduler import SchedulerConfig

SCHEDULERS: dict[str, type[SchedulerConfig]] = {
    "asha": AshaConfig,
    "hyperband": HyperbandConfig,
    "halving": HalvingConfig,
    "learned": LearnedConfig,
    "median": MedianConfig,
    "none": NoSchedulerConfig,
    "pbt": PbtConfig,
}
"""The schedulers that `search.scheduler` can name; `by_name` takes a bare name or a mapping."""
