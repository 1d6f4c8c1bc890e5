"""The RayJob: against its schema, the operator's rules, and what a config may not ask for."""

from __future__ import annotations

import shlex
from copy import deepcopy
from importlib import resources
from typing import Any

import jsonschema
import pytest
import yaml

from cluster.launch.errors import LaunchError
from cluster.launch.kuberay import manifest
from cluster.launch.operator_rules import broken_rule
from tests.support.launched import HOSTILE, job, machines
from trm.errors import UserError

WANTED: dict[str, Any] = {
    "nodes": 8, "cpus_per_node": 4, "memory_gb_per_node": 16,
    "kuberay": {"image": "registry.example/trm:0.1"},
}  # fmt: skip


def section(**changes: Any) -> dict[str, Any]:
    """`WANTED` with changes; those of `kuberay` by key."""
    return {**WANTED, **changes, "kuberay": {**WANTED["kuberay"], **changes.get("kuberay", {})}}


def written(**changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    config, ray_job = yaml.safe_load_all(manifest(job(), machines(**section(**changes))))
    return config, ray_job


def test_workers_come_and_go_and_a_lost_head_goes_on() -> None:
    config, ray_job = written()
    assert config["data"] == {"sweep.yaml": job().text}
    spec = ray_job["spec"]
    assert shlex.split(spec["entrypoint"]) == [
        "python", "-P", "-m", "search.cli", "sweep", "/etc/trm/sweep.yaml", "--out",
        "s3://mine/runs/first", "--resume", "--address", "auto",
    ]  # fmt: skip
    assert spec["backoffLimit"] == 3
    cluster = spec["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    [group] = cluster["workerGroupSpecs"]
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (0, 0, 8)
    assert "activeDeadlineSeconds" not in spec


def test_workers_that_stay_need_no_autoscaler() -> None:
    _, ray_job = written(kuberay={"min_workers": 8})
    cluster = ray_job["spec"]["rayClusterSpec"]
    assert "enableInTreeAutoscaling" not in cluster
    [group] = cluster["workerGroupSpecs"]
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (8, 8, 8)


def test_all_that_can_be_asked_for() -> None:
    asked = section(
        spot=True, gpus_per_node=2, hours=1.5, python="/opt/trm/bin/python",
        secrets=["WANDB_API_KEY"],
        kuberay={
            "namespace": "ml", "service_account": "runner", "claim": "shared", "mount": "/shared",
            "secret": "keys", "node_selector": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
            "pending_minutes": 30, "retries": 0, "keep_minutes": 5,
        },
    )  # fmt: skip
    text = manifest(
        job("/shared/runs/first", paths={"task.file": "/shared/d.csv"}), machines(**asked)
    )
    assert '--from-literal=WANDB_API_KEY="$WANDB_API_KEY"' in text.splitlines()[7]
    _, ray_job = yaml.safe_load_all(text)
    spec = ray_job["spec"]
    assert spec["entrypoint"].startswith("/opt/trm/bin/python -P")
    assert (spec["activeDeadlineSeconds"], spec["preRunningDeadlineSeconds"]) == (5400, 1800)
    assert (spec["backoffLimit"], spec["ttlSecondsAfterFinished"]) == (0, 300)
    pod = spec["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "keys"}}]
    assert {one["key"] for one in pod["tolerations"]} >= {"nvidia.com/gpu"}
    assert len(pod["tolerations"]) == 4
    assert pod["nodeSelector"] == {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    assert {"name": "shared", "mountPath": "/shared"} in pod["containers"][0]["volumeMounts"]


@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_becomes_syntax(value: str) -> None:
    hostile = job(f"s3://mine/{value}", name=value, text=value, options=("--set", value))
    config, ray_job = yaml.safe_load_all(manifest(hostile, machines(**WANTED)))
    assert config["data"] == {"sweep.yaml": value}
    words = shlex.split(ray_job["spec"]["entrypoint"])
    assert words[6:9] == ["--set", value, "--out"]
    assert words[9] == f"s3://mine/{value}"
    assert ray_job["kind"] == "RayJob"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"kuberay": {"image": None}}, "cluster.kuberay.image is missing: name one with Ray"),
    ({"kuberay": {"image": "my image"}}, "cluster.kuberay.image: 'my image' must be an image"),
    ({"cpus_per_node": None}, "cluster.cpus_per_node is missing: say"),
    ({"memory_gb_per_node": None}, "cluster.memory_gb_per_node is missing: say"),
    ({"memory_gb_per_node": "16Gi"}, "cluster.memory_gb_per_node: '16Gi' must be a whole number"),
    ({"nodes": 0}, "cluster.nodes: 0 must be at least 1"),
    ({"gpus_per_node": -1}, "cluster.gpus_per_node: -1 must be at least 0"),
    ({"gpu": "L4"}, "cluster.gpu: 'L4' means nothing to Kubernetes: use cluster.kuberay.node_sel"),
    ({"hours": 0.0}, "cluster.hours: 0.0 must be greater than 0"),
    ({"secrets": ["WANDB_API_KEY"]}, "cluster.kuberay.secret is missing: name the Secret that"),
    ({"secrets": ["KEY=abc"]}, "cluster.secrets[0]: 'KEY=abc' must be the name of an environment"),
    ({"kuberay": {"min_workers": 9}}, "cluster.kuberay.min_workers: 9 is more than the 8 of"),
    ({"kuberay": {"retries": -1}}, "cluster.kuberay.retries: -1 must be at least 0"),
    ({"kuberay": {"namespace": "My_Space"}}, "cluster.kuberay.namespace: 'My_Space' must be a Kub"),
    ({"kuberay": {"claim": "../x"}}, "cluster.kuberay.claim: '../x' must be a Kubernetes name"),
    ({"kuberay": {"claim": "c", "mount": "/"}}, "cluster.kuberay.mount: '/' is taken: as in /shar"),
    ({"kuberay": {"mount": "shared"}}, "cluster.kuberay.mount: 'shared' must be a full path"),
    ({"kuberay": {"secret": "a\nb"}}, "cluster.kuberay.secret: 'a\\nb' must be a Kubernetes name"),
    ({"kuberay": {"node_selector": {"a b": "x"}}}, "'a b' must be a label's key"),
    ({"kuberay": {"node_selector": {"a": "x y"}}}, "cluster.kuberay.node_selector.a: 'x y' must"),
    ({"kuberay": {"pending_minutes": 0}}, "cluster.kuberay.pending_minutes: 0 must be at least 1"),
    ({"kuberay": {"imagee": "x"}}, "cluster.kuberay.imagee: unknown key: did you mean image?"),
    ({"python": "python3"}, "cluster.python: 'python3' must be a full path"),
    ({"kuberay": {"keep_minutes": 10**9}}, "cluster.kuberay.keep_minutes: 1000000000 must be at m"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_a_wrong_config_is_refused_in_a_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((UserError, LaunchError)) as refused:
        manifest(job(), machines(**section(**changes)))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("out", "claim", "message"),
    [
        ("/home/me/runs/a", None, "name a bucket, as in s3://mine/runs, or a shared volume with"),
        ("runs/a", None, "is not seen by the pods"),
        ("/shared/a", None, "is not seen by the pods"),
        ("/home/me/runs/a", "c", "name a bucket or a folder below /shared"),
        ("/shared/../home/a", "c", "is not seen by the pods"),
        ("/sharedx/a", "c", "is not seen by the pods"),
        ("file:///srv/a", None, "is one pod's own"),
    ],
)
def test_a_folder_that_pods_do_not_see_is_refused(
    out: str, claim: str | None, message: str
) -> None:
    with pytest.raises(LaunchError) as refused:
        manifest(job(out), machines(**section(kuberay={"claim": claim})))
    assert str(refused.value).startswith(f"cluster.storage: {out!r}")
    assert message in str(refused.value)


def test_data_of_this_machine_is_refused() -> None:
    with pytest.raises(LaunchError, match=r"task.file: '/data/mine.csv' is on this machine"):
        manifest(job(paths={"task.file": "/data/mine.csv"}), machines(**WANTED))
    with pytest.raises(LaunchError, match="over 1 MB"):
        manifest(job(text="#" * 1_000_001), machines(**WANTED))


RULES: list[tuple[str, Any, str]] = [
    ("metadata.name", "a" * 48, "metadata.name"),
    ("metadata.name", "9a", "metadata.name"),
    ("metadata.name", "a_b", "metadata.name"),
    ("spec.clusterSelector", {"ray.io/cluster": "a"}, "spec.rayClusterSpec"),
    ("spec.rayClusterSpec", None, "spec.rayClusterSpec"),
    ("spec.suspend+shutdownAfterJobFinishes", (True, False), "spec.suspend"),
    ("spec.submissionMode", "InteractiveMode", "spec.backoffLimit"),
    ("spec.activeDeadlineSeconds", 0, "spec.activeDeadlineSeconds"),
    ("spec.preRunningDeadlineSeconds", -1, "spec.preRunningDeadlineSeconds"),
    ("spec.backoffLimit", -1, "spec.backoffLimit"),
    ("spec.ttlSecondsAfterFinished", -1, "spec.ttlSecondsAfterFinished"),
    ("spec.rayClusterSpec.rayVersion", "2.51.0", "spec.rayClusterSpec.rayVersion"),
    ("spec.rayClusterSpec.rayVersion", "", "spec.rayClusterSpec.rayVersion"),
    ("spec.rayClusterSpec.workerGroupSpecs.0.minReplicas", 9, "workerGroupSpecs.trials.minReplica"),
    ("spec.rayClusterSpec.workerGroupSpecs.0.minReplicas", -1, "workerGroupSpecs.trials.minReplic"),
    ("spec.rayClusterSpec.workerGroupSpecs.0.template.spec.restartPolicy", "Always",
     "workerGroupSpecs.trials.restartPolicy"),
    ("spec.rayClusterSpec.headGroupSpec.template.spec.restartPolicy", "Always",
     "headGroupSpec.restartPolicy"),
]  # fmt: skip


def changed(tree: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    copy: dict[str, Any] = deepcopy(tree)
    *parents, last = path.split(".")
    node: Any = copy
    for part in parents:
        node = node[int(part)] if part.isdigit() else node[part]
    for key, one in zip(last.split("+"), value if "+" in last else (value,), strict=True):
        if one is None:
            del node[key]
        else:
            node[key] = one
    return copy


@pytest.mark.parametrize(("path", "value", "key"), RULES)
def test_the_operators_own_rules(path: str, value: Any, key: str) -> None:
    _, ray_job = written()
    assert broken_rule(ray_job) is None
    broken = broken_rule(changed(ray_job, path, value))
    assert broken is not None
    assert broken[0].startswith(key)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.entrypiont", "x"),
        ("spec.rayClusterSpec.headGroupSpec.template.spec.containers.0.imagee", "x"),
        (
            "spec.rayClusterSpec.headGroupSpec.template.spec.containers.0.resources.limits.cpu",
            "a lot",
        ),
        ("spec.rayClusterSpec.headGroupSpec.rayStartParams.num-cpus", 0),
        ("spec.rayClusterSpec.workerGroupSpecs.0.maxReplicas", 2**31),
        ("spec.rayClusterSpec.headGroupSpec", None),
        ("spec.backoffLimit", "3"),
        ("spec.rayClusterSpec.authOptions.mode", "password"),
        ("apiVersion", "ray.io/v1alpha1"),
    ],
)
def test_the_schema_refuses_what_the_api_server_would(path: str, value: Any) -> None:
    text = (resources.files("cluster.launch") / "rayjob.schema.yaml").read_text(encoding="utf-8")
    schema = yaml.safe_load(text)
    _, ray_job = written()
    jsonschema.validate(ray_job, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed(ray_job, path, value), schema)
