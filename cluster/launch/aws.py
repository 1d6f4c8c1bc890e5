"""A cluster on AWS for `ray up`: a head that runs the sweep, and workers that come and go."""

from __future__ import annotations

from typing import Any

from cluster.launch import bare_machine
from cluster.launch.commented_yaml import dump
from cluster.launch.errors import LaunchError
from cluster.launch.job import LaunchJob, require_bucket, require_reachable
from cluster.launch.settings import Machines
from cluster.launch.words import command, label, quoted

_PORT = 6379
_START = "trm-start.sh"
_AUTOSCALER = "boto3>=1.28"
"""What Ray needs on the head to ask AWS for workers."""
_HEAD = """\
# A sweep on AWS, written by `trm cluster aws`, for Ray's launcher (ray[default] and boto3).
# Once, a token that the cluster asks everybody for:
#     RAY_AUTH_MODE=token ray get-auth-token --generate
# Then, with your AWS credentials in the environment:
#     {up}
{start}
# Look at it with `ray attach {path}`; end it with `ray down {path}`: the head is paid for
# until then. The run lies in the bucket, and a new start goes on with it.
"""
_COMMENTS = {
    "provider.cache_stopped_nodes": "Machines are given back, not stopped and kept.",
    "idle_timeout_minutes": "After so long without a trial a worker is given back.",
    "available_node_types.head": "Runs the sweep, and no trial: it has no cores for Ray.",
    "available_node_types.worker.node_config.InstanceMarketOptions": (
        "Machines that may be taken away, at a lower price."
    ),
    "file_mounts": "The token, and this program as it is on the machine that wrote this file.",
    "setup_commands": "On every machine, before Ray starts.",
    "head_setup_commands": "The sweep's file, and what starts it.",
}


def cluster(job: LaunchJob, machines: Machines, path: str = "aws.yaml") -> str:
    """The text of the file for `ray up`.

    Args:
        path: what the file will be called.

    Raises:
        LaunchError: a key of the `cluster` section is missing or does not fit.
    """
    _check(job, machines)
    settings = machines.aws
    python = bare_machine.python_of(machines.python)
    ray = f"export RAY_AUTH_MODE=token; {python} -P -m ray.scripts.scripts"
    store = "--object-store-memory=100000000 --disable-usage-stats"
    tree: dict[str, Any] = {
        "cluster_name": label(job.name),
        "max_workers": machines.nodes,
        "idle_timeout_minutes": settings.idle_minutes,
        "provider": {
            "type": "aws",
            "region": settings.region,
            **({"availability_zone": ",".join(settings.zones)} if settings.zones else {}),
            "cache_stopped_nodes": False,
        },
        "auth": {"ssh_user": settings.ssh_user},
        "available_node_types": {
            "head": {
                "resources": {"CPU": 0, "GPU": 0},
                "node_config": _node(machines, settings.head_type),
                "min_workers": 0,
                "max_workers": 0,
            },
            "worker": {
                "resources": _worker_resources(machines),
                "node_config": {
                    **_node(machines, str(settings.worker_type)),
                    **({"InstanceMarketOptions": {"MarketType": "spot"}} if machines.spot else {}),
                },
                "min_workers": settings.min_workers,
                "max_workers": machines.nodes,
            },
        },
        "head_node_type": "head",
        "file_mounts": {
            "~/.ray/auth_token": "~/.ray/auth_token",
            **bare_machine.copied_packages(job),
        },
        "rsync_exclude": ["**/__pycache__"],
        # In one piece: each command of the list has a shell of its own.
        "setup_commands": [
            "\n".join(
                [
                    "set -e",
                    *([] if machines.python else bare_machine.install(job, _AUTOSCALER)),
                    bare_machine.find_code(python),
                ]
            )
        ],
        "head_setup_commands": [bare_machine.write_config(job), _write_start(job, python)],
        "worker_setup_commands": [],
        "head_start_ray_commands": [
            f"{ray} stop",
            f"ulimit -n 65536; {ray} start --head --port={_PORT} --num-cpus=0 --num-gpus=0 {store} "
            "--autoscaling-config=~/ray_bootstrap_config.yaml --dashboard-host=127.0.0.1",
        ],
        "worker_start_ray_commands": [
            f"{ray} stop",
            f'ulimit -n 65536; {ray} start --address="$RAY_HEAD_IP:{_PORT}" {store}',
        ],
    }
    return _head(machines, path) + dump(tree, _COMMENTS)


def _head(machines: Machines, path: str) -> str:
    shown = quoted(path)
    if machines.secrets:
        start = [f"#     ray attach {shown} --tmux"]
        start += ["# and there, with the value in place of ...:"]
        start += [f"#     export {name}=..." for name in machines.secrets]
        start += [f"#     bash ~/{_START}"]
    else:
        start = ["#     " + command("ray", "exec", "--tmux", path, f"bash ~/{_START}")]
    return _HEAD.format(up=command("ray", "up", path), start="\n".join(start), path=shown)


def _write_start(job: LaunchJob, python: str) -> str:
    text = "\n".join([
        "export RAY_AUTH_MODE=token",
        f"exec {bare_machine.start(job, python, f'127.0.0.1:{_PORT}')}",
        "",
    ])  # fmt: skip
    return f"printf '%s' {quoted(text)} > \"$HOME/{_START}\""


def _check(job: LaunchJob, machines: Machines) -> None:
    settings = machines.aws
    require_bucket(job, "and the machines of AWS do not see it")
    require_reachable(job, [], "put it in a bucket")
    if settings.worker_type is None:
        raise LaunchError(
            "cluster.aws.worker_type", None, "is missing: name an instance, as in g5.2xlarge"
        )
    if settings.image is None:
        raise LaunchError(
            "cluster.aws.image", None,
            f"is missing: name an AMI of {settings.region} with Ubuntu and NVIDIA's driver",
        )  # fmt: skip
    if settings.min_workers > machines.nodes:
        raise LaunchError(
            "cluster.aws.min_workers", settings.min_workers,
            f"is more than the {machines.nodes} of cluster.nodes: lower it, or raise that",
        )  # fmt: skip
    for zone in settings.zones:
        if zone[:-1] != settings.region:
            raise LaunchError(
                "cluster.aws.zones", zone, f"is not in {settings.region}: change cluster.aws.region"
            )
    if machines.hours is not None:
        raise LaunchError(
            "cluster.hours", machines.hours,
            "is no limit that `ray up` keeps: use search.limits, and null here",
        )  # fmt: skip


def _node(machines: Machines, kind: str) -> dict[str, Any]:
    settings = machines.aws
    disk = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": settings.disk_gb, "VolumeType": "gp3"}}
    profile = settings.instance_profile
    return {
        "InstanceType": kind,
        "ImageId": settings.image,
        **({"IamInstanceProfile": {"Arn": profile}} if profile else {}),
        "BlockDeviceMappings": [disk],
    }


def _worker_resources(machines: Machines) -> dict[str, int]:
    """What the autoscaler is told; without it, Ray asks AWS about the instance."""
    found: dict[str, int] = {}
    if machines.cpus_per_node:
        found["CPU"] = machines.cpus_per_node
    if machines.gpus_per_node:
        found["GPU"] = machines.gpus_per_node
    return found
