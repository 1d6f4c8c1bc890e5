"""Whether something brings nodes to the connected Ray as work waits, and asking it for more."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

_STATIC = re.compile(r"node_[0-9a-f]+|")
"""The type of a node that somebody started by hand (ray 2.60)."""
_STATUS_KEY = "__autoscaling_status"
NODE_LABEL = "ray.io/node-id"
MOST = 64
"""Trials for which nodes are asked at once: those that come are asked for again."""


def autoscales() -> bool:
    """Whether the connected Ray has an autoscaler that may start nodes."""
    import ray
    from ray.autoscaler.v2.sdk import get_cluster_status
    from ray.experimental.internal_kv import _internal_kv_get

    said = _internal_kv_get(_STATUS_KEY)
    report = json.loads(said).get("autoscaler_report") if said else None
    if report:
        return managed([*report.get("active_nodes", ()), *report.get("pending_launches", ())])
    try:
        status = get_cluster_status(ray.get_runtime_context().gcs_address)
    except Exception:
        return False
    nodes = [*status.active_nodes, *status.idle_nodes]
    return managed([str(node.ray_node_type_name or "") for node in nodes])


def managed(types: Collection[str]) -> bool:
    """Whether any of these types of nodes is one that an autoscaler knows.

    >>> managed(["node_0a1b2c"]), managed(["ray.head.default", "worker"])
    (False, True)
    """
    return not all(_STATIC.fullmatch(name) for name in types)


class Demand:
    """Tasks that need what a trial needs and do nothing: an autoscaler sees them wait.

    They end with this driver, unlike what `ray.autoscaler.sdk.request_resources` asks for.

    Args:
        request: what one trial gets, in Ray's terms.
    """

    def __init__(self, request: Mapping[str, float]) -> None:
        self._request = dict(request)
        self._waiting: list[Any] = []

    def want(self, count: int, barred: Collection[str] = ()) -> None:
        """Have so many wait, at most `MOST`.

        Args:
            barred: nodes that get no trials, and would run these at once.
        """
        import ray

        if self._waiting:
            self._waiting = ray.wait(
                self._waiting, num_returns=len(self._waiting), timeout=0, fetch_local=False
            )[1]
        count = min(max(count, 0), MOST)
        for surplus in self._waiting[count:]:
            ray.cancel(surplus)
        del self._waiting[count:]
        if len(self._waiting) < count:
            options: dict[str, Any] = {
                "num_cpus": self._request["CPU"], "num_gpus": self._request.get("GPU", 0.0),
                "max_retries": 0,
            }  # fmt: skip
            if barred:
                options["label_selector"] = {NODE_LABEL: f"!in({','.join(sorted(barred))})"}
            task = ray.remote(**options)(_nothing)
            self._waiting += [task.remote() for _ in range(count - len(self._waiting))]


def _nothing() -> None:
    """What a task of a demand does, should it ever run."""
