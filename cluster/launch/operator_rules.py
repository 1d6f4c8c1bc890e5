"""What the KubeRay operator (1.5) refuses although the schema lets it through.

Source: `ray-operator/controllers/ray/utils/validation.go` of ray-project/kuberay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

Rule: TypeAlias = tuple[str, object, str]
"""A key, its value, and what to do."""
_LONGEST_NAME = 47
_TOKENS_SINCE = (2, 52)


def broken_rule(ray_job: Mapping[str, Any]) -> Rule | None:
    """The first rule that a RayJob breaks, None if it keeps all of them.

    >>> spec = {"clusterSelector": {"ray.io/cluster": "a"}}
    >>> broken_rule({"metadata": {"name": "9"}, "spec": spec})
    ('metadata.name', '9', 'must be letters a-z, digits and `-`, and begin with a letter')
    """
    return next(_broken(ray_job), None)


def _broken(ray_job: Mapping[str, Any]) -> Iterator[Rule]:
    name, spec = ray_job["metadata"]["name"], ray_job["spec"]
    if len(name) > _LONGEST_NAME:
        yield "metadata.name", name, f"is longer than {_LONGEST_NAME} characters: shorten it"
    if not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name):
        yield "metadata.name", name, "must be letters a-z, digits and `-`, and begin with a letter"
    cluster, selector = spec.get("rayClusterSpec"), spec.get("clusterSelector")
    mode = spec.get("submissionMode", "K8sJobMode")
    if (cluster is None) == (not selector):
        yield "spec.rayClusterSpec", None, "or spec.clusterSelector: give one of the two"
    if spec.get("suspend") and not spec.get("shutdownAfterJobFinishes"):
        yield "spec.suspend", True, "needs shutdownAfterJobFinishes: true"
    if spec.get("backoffLimit", 0) > 0 and (selector or mode == "InteractiveMode"):
        yield (
            "spec.backoffLimit",
            spec["backoffLimit"],
            "works on a cluster of the job's own only: 0",
        )
    for key in ("activeDeadlineSeconds", "preRunningDeadlineSeconds"):
        if spec.get(key, 1) <= 0:
            yield f"spec.{key}", spec[key], "must be above 0"
    for key in ("backoffLimit", "ttlSecondsAfterFinished"):
        if spec.get(key, 0) < 0:
            yield f"spec.{key}", spec[key], "must not be negative"
    if mode == "SidecarMode":
        if "submitterPodTemplate" in spec:
            yield "spec.submitterPodTemplate", None, "does not go with SidecarMode: remove it"
        if cluster and _policy(cluster["headGroupSpec"]) not in ("", "Never"):
            yield "spec.submissionMode", mode, "needs the head's restartPolicy Never"
    if cluster is not None:
        yield from _broken_cluster(cluster)


def _broken_cluster(cluster: Mapping[str, Any]) -> Iterator[Rule]:
    if cluster.get("authOptions", {}).get("mode") == "token":
        version = str(cluster.get("rayVersion", ""))
        numbers = re.match(r"(\d+)\.(\d+)", version)
        if numbers is None or (int(numbers[1]), int(numbers[2])) < _TOKENS_SINCE:
            yield "spec.rayClusterSpec.rayVersion", version, "must be 2.52 or newer for tokens"
    scales = bool(cluster.get("enableInTreeAutoscaling"))
    second = scales and cluster.get("autoscalerOptions", {}).get("version") == "v2"
    if second and _policy(cluster["headGroupSpec"]) not in ("", "Never"):
        yield "headGroupSpec.restartPolicy", None, "must be Never for the second autoscaler"
    for group in cluster.get("workerGroupSpecs", []):
        low, high = group.get("minReplicas"), group.get("maxReplicas")
        key = f"workerGroupSpecs.{group['groupName']}"
        if not scales and (low is None or high is None):
            yield f"{key}.maxReplicas", high, "and minReplicas must be set without autoscaling"
        if any(count is not None and count < 0 for count in (low, high)):
            yield f"{key}.minReplicas", low, "and maxReplicas must not be negative"
        if low is not None and high is not None and low > high:
            yield f"{key}.minReplicas", low, f"is above maxReplicas {high}: lower it"
        if second and _policy(group) not in ("", "Never"):
            yield f"{key}.restartPolicy", _policy(group), "must be Never for the second autoscaler"


def _policy(group: Mapping[str, Any]) -> str:
    return str(group["template"]["spec"].get("restartPolicy", ""))
