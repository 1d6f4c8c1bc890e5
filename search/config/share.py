"""CPU cores and GPUs of a trial."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch

from cluster.resources import Share, room
from search.config.plan import Plan
from search.ledger.trial import Trial
from trm.errors import UserError


def share_of(plan: Plan, nodes: Sequence[Mapping[str, float]] | None = None) -> Share:
    """CPU cores and GPUs of a trial: what the file says, else its threads and a GPU if any.

    Args:
        nodes: the resources of each node of the cluster; None is this machine alone.
    """
    section = plan.sections.cluster
    gpus = section.gpus_per_trial
    if gpus is None and nodes is None:
        gpus = float(torch.cuda.is_available())  # Ray counts no Apple GPU
    elif gpus is None:
        gpus = float(any(node.get("GPU", 0.0) >= 1.0 for node in nodes or ()))
    return Share(section.cpus_per_trial or plan.evaluated["train"]["threads"], gpus)


def share_had(plan: Plan, trials: Iterable[Trial]) -> Share:
    """The same of trials that have run, on whatever machine this is asked."""
    said = [trial.provenance.get("resolved", {}) for trial in trials if trial.provenance]
    devices = [str(resolved["device"]) for resolved in said if "device" in resolved]
    if not devices:
        return share_of(plan)
    return share_of(plan, [{"GPU": float(any(name.startswith("cuda") for name in devices))}])


def require_fit(share: Share, nodes: Sequence[Mapping[str, float]]) -> None:
    """
    Raises:
        UserError: no node holds a trial; names the key, and what the largest has.

    >>> require_fit(Share(gpus=0.5), [{"CPU": 4.0}, {"CPU": 8.0}])
    Traceback (most recent call last):
        ...
    trm.errors.UserError: cluster.gpus_per_trial: 0.5 is more than a node has: ...
    """
    if any(room(node, share) for node in nodes):
        return
    without = Share(share.cpus, 0.0, share.part)
    by_cores = not any(room(node, without) for node in nodes)
    key = "cluster.cpus_per_trial" if by_cores else "cluster.gpus_per_trial"
    order = ("CPU", "GPU") if by_cores else ("GPU", "CPU")
    largest = max(nodes, key=lambda node: [node.get(name, 0.0) for name in order], default={})
    has = _counted(largest.get("CPU", 0.0), largest.get("GPU", 0.0))
    remedy = "lower it (or train.threads)" if by_cores else "lower it, 0 is none"
    raise UserError(
        key, share.cpus if by_cores else share.gpus,
        f"is more than a node has: the largest of {len(nodes)} has {has}: {remedy}, or start "
        "larger nodes",
    )  # fmt: skip


def in_words(share: Share) -> str:
    """
    >>> in_words(Share(cpus=2, gpus=0.5))
    '2 CPU cores and 0.5 GPUs'
    """
    return _counted(share.cpus, share.gpus)


def _counted(cpus: float, gpus: float) -> str:
    def count(number: float, noun: str) -> str:
        return f"{f'{number:g}' if number else 'no'} {noun}{'' if number == 1 else 's'}"

    return f"{count(cpus, 'CPU core')} and {count(gpus, 'GPU')}"


def devices_of(share: Share) -> float:
    """What device-hours count: GPUs, or CPU cores where a trial has none."""
    return share.gpus or float(share.cpus)
