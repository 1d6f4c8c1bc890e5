"""A task for SkyPilot: machines of any cloud, spot ones included, and recovery from their loss."""

from __future__ import annotations

from typing import Any

from cluster.launch import bare_machine
from cluster.launch.commented_yaml import dump
from cluster.launch.errors import LaunchError
from cluster.launch.job import LaunchJob, require_bucket, require_reachable
from cluster.launch.settings import Machines
from cluster.launch.words import command, label

_HEAD = """\
# A sweep on any cloud, written by `trm cluster sky`, for SkyPilot (docs.skypilot.co). Start it with
{lines}
# and look at it with `sky jobs queue`; `sky jobs cancel` stops it. A machine that is lost is
# replaced, and the run goes on from its checkpoints; so does a new start.
"""
_COMMENTS = {
    "resources.use_spot": "Machines that may be taken away, at a lower price.",
    "resources.job_recovery": "What to do when they are, or when the sweep fails.",
    "secrets": "Their values come from your shell: never write them here.",
    "file_mounts": "This program, as it is on the machine that wrote this file.",
    "setup": "Once on each machine.",
    "run": (
        "On each machine, at each start. SkyPilot has a Ray of its own there: this one has a\n"
        "port, token, files and processes of its own, and neither joins nor stops the other."
    ),
}
# An address, not `auto`: that could be SkyPilot's own Ray.
_RUN = """\
python={python}
node() {{ "$python" -P -m cluster.launch.node "$@"; }}
export RAY_AUTH_MODE=token
address="$(printf '%s\\n' "$SKYPILOT_NODE_IPS" | head -n 1):6379"
has=(--cpus "$(nproc)" --gpus "${{SKYPILOT_NUM_GPUS_PER_NODE:-0}}")
if [ "$SKYPILOT_NODE_RANK" != 0 ]; then
  node start "$address" sky "${{has[@]}}"
  exit 0
fi
node start "$address" sky --head "${{has[@]}}" &
node wait "$address" "$SKYPILOT_NUM_NODES" 300 || exit 1
{start} &
driver=$!
trap 'kill -TERM "$driver" 2>/dev/null' TERM
code=0
while kill -0 "$driver" 2>/dev/null; do
  wait "$driver"
  code=$?
done
node end sky
exit "$code"
"""


def task(job: LaunchJob, machines: Machines, path: str = "sky.yaml") -> str:
    """The text of the file for `sky jobs launch`.

    Args:
        path: what the file will be called.

    Raises:
        LaunchError: a key of the `cluster` section is missing or does not fit.
    """
    _check(job, machines)
    secrets = list(dict.fromkeys(["RAY_AUTH_TOKEN", *machines.secrets]))
    flags = [word for name in secrets for word in ("--secret", name)]
    lines = [
        'export RAY_AUTH_TOKEN="$(openssl rand -hex 32)"',
        command("sky", "jobs", "launch", *flags, path),
    ]
    python = bare_machine.python_of(machines.python)
    run = _RUN.format(python=python, start=bare_machine.start(job, '"$python"', "ADDRESS"))
    tree: dict[str, Any] = {
        "name": label(job.name),
        "num_nodes": machines.nodes,
        "resources": _resources(machines),
        "secrets": dict.fromkeys(secrets),
        "file_mounts": {
            **bare_machine.copied_packages(job),
            **{
                place: {"source": bucket, "mode": "MOUNT"}
                for place, bucket in machines.sky.mounts.items()
            },
        },
        "setup": _setup(job, machines),
        "run": run.replace("--address ADDRESS", '--address "$address"'),
    }
    head = _HEAD.format(lines="\n".join(f"#     {line}" for line in lines))
    return head + dump(tree, _COMMENTS)


def _setup(job: LaunchJob, machines: Machines) -> str:
    own = [] if machines.python else bare_machine.install(job)
    python = bare_machine.python_of(machines.python)
    lines = ["set -e", *own, bare_machine.find_code(python), bare_machine.write_config(job)]
    return "\n".join(lines) + "\n"


def _check(job: LaunchJob, machines: Machines) -> None:
    require_bucket(job, "and the machines of a cloud do not see it")
    require_reachable(
        job, list(machines.sky.mounts), "put it in a bucket and mount that with cluster.sky.mounts"
    )
    if machines.gpus_per_node and machines.gpu is None:
        raise LaunchError(
            "cluster.gpu", None, "is missing: name the GPU, as `sky show-gpus` does, as in L4"
        )
    if machines.gpu is not None and not machines.gpus_per_node:
        raise LaunchError(
            "cluster.gpu", machines.gpu, "counts with GPUs alone: set cluster.gpus_per_node"
        )
    if machines.hours is not None:
        raise LaunchError(
            "cluster.hours", machines.hours,
            "is no limit that SkyPilot keeps: use search.limits, and null here",
        )  # fmt: skip
    taken = ("/", "/tmp", "/etc", "/home", "~", "~/", "/usr", "/root")
    for place in machines.sky.mounts:
        if place in taken or place.startswith("~/trm-"):
            raise LaunchError(
                "cluster.sky.mounts", place, "is taken: mount it elsewhere, as in /data"
            )


def _resources(machines: Machines) -> dict[str, Any]:
    settings = machines.sky
    found: dict[str, Any] = {"use_spot": machines.spot}
    if settings.infra:
        found["infra"] = settings.infra
    if machines.gpus_per_node:
        found["accelerators"] = f"{machines.gpu}:{machines.gpus_per_node}"
    if machines.cpus_per_node:
        found["cpus"] = f"{machines.cpus_per_node}+"
    if machines.memory_gb_per_node:
        found["memory"] = f"{machines.memory_gb_per_node}+"
    if settings.image:
        found["image_id"] = settings.image
    found["disk_size"] = settings.disk_gb
    found["job_recovery"] = {
        "strategy": "EAGER_NEXT_REGION", "max_restarts_on_errors": settings.restarts,
    }  # fmt: skip
    return found
