"""Failure detectors, one a file, with their settings; `DETECTORS` lists them by name.

A plug-in adds its own to the dict. Every detector that is listed runs in every training.

>>> DETECTORS["flat_line"].definition
'nothing is solved and cell accuracy stands still in the second half'
"""

from __future__ import annotations

from typing import Any

from trm.detectors.depth_divergence import DEPTH_DIVERGENCE
from trm.detectors.detector import Detector
from trm.detectors.ema_dependence import EMA_DEPENDENCE
from trm.detectors.flat_line import FLAT_LINE
from trm.detectors.gradient_explosion import GRADIENT_EXPLOSION
from trm.detectors.halting_collapse import HALTING_COLLAPSE
from trm.detectors.late_collapse import LATE_COLLAPSE
from trm.detectors.loss_spike import LOSS_SPIKE
from trm.detectors.numeric_divergence import NUMERIC_DIVERGENCE
from trm.detectors.overfit_plateau import OVERFIT_PLATEAU
from trm.detectors.wandering_latent import WANDERING_LATENT

DETECTORS: dict[str, Detector[Any]] = {
    "numeric_divergence": NUMERIC_DIVERGENCE,
    "loss_spike": LOSS_SPIKE,
    "gradient_explosion": GRADIENT_EXPLOSION,
    "late_collapse": LATE_COLLAPSE,
    "overfit_plateau": OVERFIT_PLATEAU,
    "halting_collapse": HALTING_COLLAPSE,
    "ema_dependence": EMA_DEPENDENCE,
    "flat_line": FLAT_LINE,
    "wandering_latent": WANDERING_LATENT,
    "depth_divergence": DEPTH_DIVERGENCE,
}
"""Every detector by name, in the order in which findings are told."""
