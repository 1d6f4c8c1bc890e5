"""The task for SkyPilot: its keys, its scripts, and what it refuses."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.launch.errors import LaunchError
from cluster.launch.sky import task
from tests.cluster.launch.test_slurm import checked
from tests.support.launched import HOSTILE, job, machines
from trm.errors import UserError


def test_spot_machines_of_any_cloud() -> None:
    wanted = machines(
        nodes=2, gpus_per_node=1, gpu="L4", cpus_per_node=8, memory_gb_per_node=32, spot=True,
        secrets=["WANDB_API_KEY"],
        sky={"infra": "gcp/us-central1", "image": "docker:ubuntu:24.04", "mounts": {"/data": "s3://d"}},
    )  # fmt: skip
    text = task(job(paths={"task.file": "/data/x.csv"}), wanted, "my sky.yaml")
    assert "--secret RAY_AUTH_TOKEN --secret WANDB_API_KEY 'my sky.yaml'" in text
    tree = yaml.safe_load(text)
    assert tree["resources"] == {
        "use_spot": True, "infra": "gcp/us-central1", "accelerators": "L4:1", "cpus": "8+",
        "memory": "32+", "image_id": "docker:ubuntu:24.04", "disk_size": 100,
        "job_recovery": {"strategy": "EAGER_NEXT_REGION", "max_restarts_on_errors": 3},
    }  # fmt: skip
    assert tree["secrets"] == {"RAY_AUTH_TOKEN": None, "WANDB_API_KEY": None}
    assert tree["file_mounts"] == {
        "~/trm-code/trm": "/opt/trm", "/data": {"source": "s3://d", "mode": "MOUNT"},
    }  # fmt: skip
    assert (tree["name"], tree["num_nodes"]) == ("first", 2)
    # SkyPilot has a Ray of its own: neither found by `auto` nor stopped.
    assert "auto" not in tree["run"].replace("RAY_AUTH", "")
    assert "ray stop" not in text


@pytest.mark.parametrize("value", HOSTILE)
def test_scripts_hold_values_as_they_are(value: str, tmp_path: Path) -> None:
    hostile = job(f"s3://mine/{value}", name=value, text=value, options=("--set", value))
    tree = yaml.safe_load(task(hostile, machines(python=str(tmp_path / "python"))))
    wrote = tmp_path / "words"
    (tmp_path / "python").write_text(f'#!/bin/bash\nprintf "%s\\0" "$@" "END" >> "{wrote}"\n')
    (tmp_path / "python").chmod(0o755)
    (tmp_path / "trm-code.pth").touch()
    for script in ("setup", "run"):
        path = checked(f"#!/bin/bash\n{tree[script]}", tmp_path)
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(tmp_path), "SKYPILOT_NODE_RANK": "0",
            "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2", "SKYPILOT_NUM_NODES": "2",
        }  # fmt: skip
        subprocess.run(["bash", str(path)], env=environment, cwd=tmp_path, timeout=30)
    assert (tmp_path / "trm-sweep.yaml").read_bytes() == value.encode()
    calls = [part.split("\0") for part in wrote.read_bytes().decode().split("END\0")]
    [sweep] = [call for call in calls if "sweep" in call]
    assert sweep[4:11] == [
        str(tmp_path / "trm-sweep.yaml"), "--set", value, "--out", f"s3://mine/{value}", "--resume",
        "--address",
    ]  # fmt: skip
    assert sweep[11] == "10.0.0.1:6379"
    assert not (tmp_path / "PWNED").exists()


@pytest.mark.parametrize(
    ("section", "out", "message"),
    [
        ({}, "/home/me/runs", "cluster.storage: '/home/me/runs' is on this machine"),
        ({}, "file:///srv", "cluster.storage: 'file:///srv' is on this machine"),
        ({"gpus_per_node": 1}, "s3://b/r", "cluster.gpu is missing: name the GPU"),
        ({"gpu": "L4"}, "s3://b/r", "cluster.gpu: 'L4' counts with GPUs alone"),
        ({"hours": 2.0}, "s3://b/r", "cluster.hours: 2.0 is no limit that SkyPilot keeps"),
        ({"sky": {"mounts": {"/": "s3://b"}}}, "s3://b/r", "cluster.sky.mounts: '/' is taken"),
        ({"sky": {"mounts": {"/a b": "s3://b"}}}, "s3://b/r", "'/a b' must be a full path"),
        ({"sky": {"mounts": {"/a": "b"}}}, "s3://b/r", "'b' must be as in s3://bucket/data"),
        ({"sky": {"infra": "aws; rm"}}, "s3://b/r", "cluster.sky.infra: 'aws; rm' must be as in"),
        ({"sky": {"disk_gb": 1}}, "s3://b/r", "cluster.sky.disk_gb: 1 must be at least 20"),
    ],
)
def test_what_does_not_fit_is_refused(section: dict[str, Any], out: str, message: str) -> None:
    with pytest.raises((LaunchError, UserError)) as refused:
        task(job(out), machines(**section))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_data_of_this_machine_is_refused() -> None:
    with pytest.raises(LaunchError, match=r"task.file: '/data/x.csv' is on this machine"):
        task(job(paths={"task.file": "/data/x.csv"}), machines())


@pytest.mark.slow
def test_skypilot_takes_it(tmp_path: Path) -> None:
    chosen = os.environ.get("TRM_SKY_PYTHON")
    if chosen is None:
        pytest.skip("needs TRM_SKY_PYTHON, a Python with skypilot 0.14")
    wanted = machines(nodes=2, gpus_per_node=1, gpu="L4", spot=True, sky={"infra": "gcp"})
    path = tmp_path / "sky.yaml"
    # Folders of this machine and buckets are looked at when a task is launched.
    path.write_text(task(job(packages={}), wanted))
    code = (
        "import sky, sys, yaml; tree = yaml.safe_load(open(sys.argv[1]));"
        "secrets = dict.fromkeys(tree['secrets'], 'x');"
        "made = sky.Task.from_yaml_config({**tree, 'secrets': secrets});"
        "print(made.num_nodes, next(iter(made.resources)).use_spot);"
        "tree['resources']['use_spott'] = True; sky.Task.from_yaml_config(tree)"
    )
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(
        [chosen, "-c", code, str(path)], env=environment, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1:] == ["2 True"], done.stderr
    assert "use_spott" in done.stderr
