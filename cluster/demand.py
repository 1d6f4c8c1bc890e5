"""Whether something brings nodes to the connected Ray as work waits, and asking it for more."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

_STATIC = re.compile(r"node_[0-9a-f]+|")
"""The type of a node that somebody started by hand (ray 2.60)."""
_STATUS_KEY = "__autoscaling_status"
NODE_LABEL = "ray.io/node-id"
_ASK_SECONDS, _APPEAR_SECONDS = 5.0, 180.0
"""Between two looks for an autoscaler, and how long after the start one may appear: that of a
Kubernetes cluster starts after its head."""
_VERDICT_SECONDS = 20.0
"""That an autoscaler has to look at a request, every 5 s (ray 2.60), and nodes that nobody calls an
autoscaler's have to join."""
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


def can_never_bring(request: Mapping[str, float]) -> bool:
    """Whether the connected Ray's autoscaler says that none of its nodes would hold a request.

    Only the second autoscaler says so, and not for certain once nodes are up: that as many run as
    may is the same to it. Otherwise it begins to bring one meanwhile.
    """
    demand, end = Demand(request, lambda: True), time.monotonic() + _VERDICT_SECONDS
    demand.want(1)
    refused = False
    try:
        while time.monotonic() < end:
            state = _second_autoscaler()
            if state is None or state.pending_instance_requests or state.pending_instances:
                return False
            known = [dict(one.resources_bundle) for one in state.infeasible_resource_requests]
            refused = any(one.items() >= request.items() for one in known)
            time.sleep(0.5)
        return refused
    finally:
        demand.want(0)


def _second_autoscaler() -> Any:
    """What it said last of what it does; None where there is none, or nodes that it brought."""
    import ray
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply
    from ray.experimental.internal_kv import _internal_kv_get

    if _internal_kv_get(_STATUS_KEY) or sum(bool(node["Alive"]) for node in ray.nodes()) > 1:
        return None
    try:
        said = GcsClient(ray.get_runtime_context().gcs_address).get_cluster_status(timeout_s=10)
        return GetClusterStatusReply.FromString(said).autoscaling_state
    except Exception:
        return None


class Demand:
    """Tasks that need what a trial needs and do nothing: an autoscaler sees them wait.

    They end with this driver, unlike what `ray.autoscaler.sdk.request_resources` asks for. Where
    there is no autoscaler, there are none.

    Args:
        request: what one trial gets, in Ray's terms.
        scales: whether the connected Ray has an autoscaler.
        now: a clock in seconds.
    """

    def __init__(
        self,
        request: Mapping[str, float],
        scales: Callable[[], bool] = autoscales,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._request = dict(request)
        self._scales = scales
        self._now = now
        self._begun, self._asked = now(), -_ASK_SECONDS
        self._heard = False
        self._waiting: list[Any] = []

    def heard(self) -> bool:
        """Whether somebody brings what is asked for, as far as is known by now."""
        now = self._now()
        may_appear = not self._heard and now - self._begun < _APPEAR_SECONDS
        if may_appear and now - self._asked >= _ASK_SECONDS:
            self._asked, self._heard = now, self._scales()
        return self._heard

    def want(self, count: int, barred: Collection[str] = ()) -> None:
        """Have so many wait, at most `MOST`, if somebody hears of it.

        Args:
            barred: nodes that get no trials, and would run these at once.
        """
        import ray

        if not self.heard():
            return
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
