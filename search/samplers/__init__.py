"""The samplers by name, as `SAMPLERS`.

>>> SAMPLERS["tpe"]().n_startup_trials
10

What they draw with (Optuna, torch, scipy, cmaes) is imported where they draw: reading a run folder
needs their settings alone, and should not wait for those packages.
"""

from __future__ import annotations

from search.samplers.auto import AutoConfig
from search.samplers.base import SamplerConfig
from search.samplers.cmaes import CmaesConfig
from search.samplers.gp import GpConfig
from search.samplers.grid import GridConfig
from search.samplers.nsga2 import Nsga2Config
from search.samplers.nsga3 import Nsga3Config
from search.samplers.qmc import QmcConfig
from search.samplers.random import RandomConfig
from search.samplers.tpe import TpeConfig

__all__ = ["SAMPLERS", "SamplerConfig", "TpeConfig"]

SAMPLERS: dict[str, type[SamplerConfig]] = {
    "tpe": TpeConfig,
    "gp": GpConfig,
    "cmaes": CmaesConfig,
    "nsga2": Nsga2Config,
    "nsga3": Nsga3Config,
    "qmc": QmcConfig,
    "random": RandomConfig,
    "grid": GridConfig,
    "auto": AutoConfig,
}
"""The samplers that `search.sampler` can name; `by_name` takes a bare name or a mapping."""
