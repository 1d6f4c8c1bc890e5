"""A RayJob for Kubernetes, by the KubeRay operator, with the config beside it."""

from __future__ import annotations

import math
from importlib import resources
from typing import Any

import yaml

from cluster.launch.commented_yaml import dump
from cluster.launch.errors import LaunchError
from cluster.launch.job import AUTO, LaunchJob, below, is_uri, require_reachable
from cluster.launch.operator_rules import broken_rule
from cluster.launch.settings import KuberaySettings, Machines
from cluster.launch.words import command, label, quoted

Tree = dict[str, Any]

_FOLDER = "/etc/trm"
"""Where the head's pod sees the config."""
_FILE = "sweep.yaml"
_SPOT_TAINTS = (
    ("cloud.google.com/gke-spot", "true"),
    ("kubernetes.azure.com/scalesetpriority", "spot"),
    ("eks.amazonaws.com/capacityType", "SPOT"),
)
_LARGEST_CONFIG = 1_000_000


def manifest(job: LaunchJob, machines: Machines, path: str = "rayjob.yaml") -> str:
    """The text of the file for `kubectl apply -f`.

    Args:
        path: what the file will be called.

    Raises:
        LaunchError: a key of the `cluster` section is missing or does not fit.
    """
    _check(job, machines)
    config, ray_job = _config_map(job, machines), _ray_job(job, machines)
    _check_tree(ray_job)
    head = _HEAD.format(path=quoted(path), name=label(job.name))
    if machines.secrets:
        values = " ".join(f'--from-literal={name}="${name}"' for name in machines.secrets)
        secret = machines.kuberay.secret
        head += "# Before the first start, with the values in your shell's environment:\n"
        head += f"#     kubectl create secret generic {secret} {values}\n"
    comments = dict(_COMMENTS)
    return (
        head
        + dump(config, {"data": "What the head's pod reads."})
        + "---\n"
        + dump(ray_job, comments)
    )


_HEAD = """\
# A sweep on Kubernetes, written by `trm cluster kuberay`, for the KubeRay operator 1.5.1 or newer.
# Start it with
#     kubectl apply -f {path}
# look at it with `kubectl get rayjobs` and `kubectl logs -f job/{name}`, and end it with
#     kubectl delete -f {path}
# A new start goes on with the run folder if one is there.
"""

_COMMENTS = {
    "spec.entrypoint": "On the head: it begins the run, or goes on with the one that is there.",
    "spec.backoffLimit": "A lost head means a new cluster, which goes on with the run.",
    "spec.activeDeadlineSeconds": "All that the job may take, waiting for machines included.",
    "spec.preRunningDeadlineSeconds": "How long it may wait for machines.",
    "spec.shutdownAfterJobFinishes": "Machines are given back at the end.",
    "spec.rayClusterSpec.authOptions": (
        "The operator draws a token and gives it to the pods; nobody else can use this Ray."
    ),
    "spec.rayClusterSpec.enableInTreeAutoscaling": (
        "Ray adds workers while trials wait, and removes idle ones."
    ),
    "spec.rayClusterSpec.headGroupSpec": "Runs the sweep, and no trial: it has no cores for Ray.",
    "spec.rayClusterSpec.workerGroupSpecs": "Run the trials.",
}


def _check(job: LaunchJob, machines: Machines) -> None:
    settings = machines.kuberay
    if settings.image is None:
        raise LaunchError(
            "cluster.kuberay.image", None,
            f"is missing: name one with Ray {job.version} and this package (`trm guide clusters`)",
        )  # fmt: skip
    if machines.cpus_per_node is None:
        raise LaunchError(
            "cluster.cpus_per_node", None, "is missing: say how many cores a worker's pod gets"
        )
    if machines.memory_gb_per_node is None:
        raise LaunchError(
            "cluster.memory_gb_per_node",
            None,
            "is missing: say how much memory a pod gets, as in 16",
        )
    if machines.gpu is not None and not settings.node_selector:
        raise LaunchError(
            "cluster.gpu", machines.gpu,
            "means nothing to Kubernetes: use cluster.kuberay.node_selector, as in "
            "{cloud.google.com/gke-accelerator: nvidia-l4}",
        )  # fmt: skip
    if settings.min_workers > machines.nodes:
        raise LaunchError(
            "cluster.kuberay.min_workers", settings.min_workers,
            f"is more than the {machines.nodes} of cluster.nodes: lower it, or raise that",
        )  # fmt: skip
    if machines.secrets and settings.secret is None:
        raise LaunchError(
            "cluster.kuberay.secret", None,
            f"is missing: name the Secret that holds {', '.join(machines.secrets)}",
        )  # fmt: skip
    if len(job.text.encode()) > _LARGEST_CONFIG:
        raise LaunchError(
            "the config", None, "is over 1 MB: Kubernetes stores no more in one piece"
        )
    mounts = [settings.mount] if settings.claim else []
    if settings.claim and settings.mount in ("/", _FOLDER, "/dev/shm", "/tmp"):
        raise LaunchError("cluster.kuberay.mount", settings.mount, "is taken: as in /shared")
    if not is_uri(job.out) and not any(below(job.out, mount) for mount in mounts):
        where = f"below {settings.mount}" if settings.claim else "as in s3://mine/runs"
        remedy = f"name a bucket or a folder {where}" if settings.claim else (
            f"name a bucket, {where}, or a shared volume with cluster.kuberay.claim and .mount"
        )  # fmt: skip
        raise LaunchError("cluster.storage", job.out, f"is not seen by the pods: {remedy}")
    if job.out.startswith("file:"):
        raise LaunchError("cluster.storage", job.out, "is one pod's own: name a bucket")
    require_reachable(job, mounts, "put it on the shared volume (cluster.kuberay.claim)")


def _config_map(job: LaunchJob, machines: Machines) -> Tree:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(f"{label(job.name)}-config", machines.kuberay),
        "data": {_FILE: job.text},
    }


def _metadata(name: str, settings: KuberaySettings) -> Tree:
    return {"name": name, **({"namespace": settings.namespace} if settings.namespace else {})}


def _ray_job(job: LaunchJob, machines: Machines) -> Tree:
    settings = machines.kuberay
    python = machines.python or "python"
    spec: Tree = {
        "entrypoint": command(python, *job.words(f"{_FOLDER}/{_FILE}", AUTO)),
        "submissionMode": "K8sJobMode",
        "backoffLimit": settings.retries,
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": settings.keep_minutes * 60,
    }
    if machines.hours:
        spec["activeDeadlineSeconds"] = math.ceil(machines.hours * 3600)
    if settings.pending_minutes:
        spec["preRunningDeadlineSeconds"] = settings.pending_minutes * 60
    scales = settings.min_workers < machines.nodes
    cluster: Tree = {"rayVersion": job.version, "authOptions": {"mode": "token"}}
    if scales:
        cluster["enableInTreeAutoscaling"] = True
        cluster["autoscalerOptions"] = {
            "version": "v2", "idleTimeoutSeconds": settings.idle_seconds,
        }  # fmt: skip
    cluster["headGroupSpec"] = {
        "rayStartParams": {"num-cpus": "0", "object-store-memory": "100000000"},
        "template": {"spec": _pod(job, machines, head=True)},
    }
    cluster["workerGroupSpecs"] = [
        {
            "groupName": "trials",
            "replicas": settings.min_workers,
            "minReplicas": settings.min_workers,
            "maxReplicas": machines.nodes,
            "rayStartParams": {"object-store-memory": "100000000"},
            "template": {"spec": _pod(job, machines, head=False)},
        }
    ]
    spec["rayClusterSpec"] = cluster
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": _metadata(label(job.name), settings),
        "spec": spec,
    }


def _pod(job: LaunchJob, machines: Machines, *, head: bool) -> Tree:
    settings = machines.kuberay
    mounts: list[Tree] = [{"name": "memory", "mountPath": "/dev/shm"}]
    volumes: list[Tree] = [{"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}]
    if settings.claim:
        mounts.append({"name": "shared", "mountPath": settings.mount})
        volumes.append({"name": "shared", "persistentVolumeClaim": {"claimName": settings.claim}})
    if head:
        mounts.append({"name": "config", "mountPath": _FOLDER, "readOnly": True})
        volumes.append({"name": "config", "configMap": {"name": f"{label(job.name)}-config"}})
    container: Tree = {
        "name": "ray-head" if head else "ray-worker",
        "image": settings.image,
        "resources": _resources(machines, head=head),
        "volumeMounts": mounts,
    }
    if settings.secret:
        container["envFrom"] = [{"secretRef": {"name": settings.secret}}]
    pod: Tree = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 60}
    if settings.service_account:
        pod["serviceAccountName"] = settings.service_account
    if not head and settings.node_selector:
        pod["nodeSelector"] = dict(settings.node_selector)
    tolerations = _tolerations(machines) if not head else []
    return {
        **pod,
        **({"tolerations": tolerations} if tolerations else {}),
        "containers": [container],
        "volumes": volumes,
    }


def _tolerations(machines: Machines) -> list[Tree]:
    found: list[Tree] = []
    if machines.spot:
        found += [
            {"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"}
            for key, value in _SPOT_TAINTS
        ]
    if machines.gpus_per_node:
        found.append({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"})
    return found


def _resources(machines: Machines, *, head: bool) -> Tree:
    settings = machines.kuberay
    cpus = settings.head_cpus if head else machines.cpus_per_node
    memory = settings.head_memory_gb if head else machines.memory_gb_per_node
    amount: Tree = {"cpu": str(cpus), "memory": f"{memory}Gi"}
    if machines.gpus_per_node and not head:
        amount["nvidia.com/gpu"] = str(machines.gpus_per_node)
    return {"requests": dict(amount), "limits": dict(amount)}


def _check_tree(ray_job: Tree) -> None:
    """
    Raises:
        LaunchError: the schema of the fields that are written here, or the operator, refuses it.
    """
    import jsonschema

    text = (resources.files("cluster.launch") / "rayjob.schema.yaml").read_text(encoding="utf-8")
    try:
        jsonschema.validate(ray_job, yaml.safe_load(text))
    except jsonschema.ValidationError as error:
        where = ".".join(str(part) for part in error.absolute_path)
        raise LaunchError(
            f"RayJob {where}", None, f"does not fit its schema: {error.message}"
        ) from error
    if broken := broken_rule(ray_job):
        raise LaunchError(*broken)
