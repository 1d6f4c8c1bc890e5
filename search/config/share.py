"""CPU cores and GPUs of a trial."""

from __future__ import annotations

import torch

from cluster.resources import Share
from search.config.plan import Plan


def share_of(plan: Plan) -> Share:
    """CPU cores and GPUs of a trial: what the file says, else its threads and a GPU if any."""
    section = plan.sections.cluster
    gpus = section.gpus_per_trial
    if gpus is None:
        gpus = 1.0 if torch.cuda.is_available() else 0.0  # Ray counts no Apple GPU
    return Share(section.cpus_per_trial or plan.evaluated["train"]["threads"], gpus)


def devices_of(share: Share) -> float:
    """What device-hours count: GPUs, or CPU cores where a trial has none."""
    return share.gpus or float(share.cpus)
