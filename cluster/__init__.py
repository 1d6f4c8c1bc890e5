"""The Ray cluster: joining or starting one, and how many trainings fit on it.

Nothing is imported before it is used; Ray itself is imported where a cluster is joined.

>>> import cluster
>>> cluster.room({"CPU": 8.0}, cluster.Share(cpus=2))
4
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluster.connect import Cluster, ClusterError, check_address, connected
    from cluster.resources import Share, cores, room, shared, worker_environment

__all__ = [
    "Cluster",
    "ClusterError",
    "Share",
    "check_address",
    "connected",
    "cores",
    "room",
    "shared",
    "worker_environment",
]

_HOMES = {
    "Cluster": "cluster.connect",
    "ClusterError": "cluster.connect",
    "Share": "cluster.resources",
    "check_address": "cluster.connect",
    "connected": "cluster.connect",
    "cores": "cluster.resources",
    "room": "cluster.resources",
    "shared": "cluster.resources",
    "worker_environment": "cluster.resources",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
