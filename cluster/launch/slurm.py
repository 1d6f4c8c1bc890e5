"""A job script for Slurm."""

from __future__ import annotations

import math
from collections.abc import Iterator
from importlib import resources
from pathlib import PurePosixPath

from cluster.launch.errors import LaunchError
from cluster.launch.job import LaunchJob, is_uri
from cluster.launch.settings import Machines
from cluster.launch.words import command, label, quoted


def script(job: LaunchJob, machines: Machines) -> str:
    """The text of the script for `sbatch`.

    Raises:
        LaunchError: a key of the `cluster` section is missing or does not fit.
    """
    _check(job, machines)
    settings = machines.slurm
    modules = "".join(f"module load {quoted(name)}\n" for name in settings.modules)
    words = job.words("CONFIG", "ADDRESS")
    shell = {"CONFIG": '"$config"', "ADDRESS": '"$address"', job.out: '"$out"'}
    sweep = " ".join(['"$python"', *(shell.get(word, quoted(word)) for word in words)])
    values = {
        "sbatch": "\n".join(_directives(job, machines)),
        "python": quoted(machines.python or job.python),
        "config": quoted(job.file),
        "out": quoted(job.out),
        "warning": str(settings.warning_seconds),
        "requeue": "1" if settings.requeue else "0",
        "modules": modules and f"# Software of this site.\n{modules}\n",
        "cpus": str(machines.cpus_per_node or '"$SLURM_CPUS_ON_NODE"'),
        "gpus": str(machines.gpus_per_node),
        "sweep": sweep,
    }
    text = (resources.files("cluster.launch") / "slurm.sh").read_text(encoding="utf-8")
    before, *parts = text.split("{{")
    filled = [before]
    for part in parts:
        name, _, rest = part.partition("}}")
        filled.append(values[name] + rest)
    return "".join(filled)


def _check(job: LaunchJob, machines: Machines) -> None:
    for key, value in (("the config", job.file), ("cluster.storage", job.out)):
        if any(ord(letter) < 32 for letter in value):
            raise LaunchError(key, value, "holds a line break or another control character")
    if not is_uri(job.out) and PurePosixPath(job.out).parts[:2] in (("/", "tmp"), ("/", "dev")):
        raise LaunchError(
            "cluster.storage", job.out,
            "is on one machine alone: name a folder that all nodes share, as in /home or /scratch",
        )  # fmt: skip
    if machines.gpu is not None and not machines.gpus_per_node:
        raise LaunchError(
            "cluster.gpu", machines.gpu, "counts with GPUs alone: set cluster.gpus_per_node"
        )


def _directives(job: LaunchJob, machines: Machines) -> Iterator[str]:
    settings = machines.slurm
    yield f"#SBATCH --job-name={label(job.name)}"
    yield f"#SBATCH --nodes={machines.nodes}"
    yield "#SBATCH --ntasks-per-node=1"
    if machines.cpus_per_node:
        yield f"#SBATCH --cpus-per-task={machines.cpus_per_node}"
    exclusive = settings.exclusive
    if exclusive or (exclusive is None and not machines.cpus_per_node):
        yield "# Whole machines, shared with no other job:"
        yield "#SBATCH --exclusive"
    if machines.gpus_per_node:
        kind = f"{machines.gpu}:" if machines.gpu else ""
        yield f"#SBATCH --gpus-per-node={kind}{machines.gpus_per_node}"
    if machines.memory_gb_per_node:
        yield f"#SBATCH --mem={machines.memory_gb_per_node}G"
    if machines.hours:
        yield f"# In minutes; {machines.hours:g} hours:"
        yield f"#SBATCH --time={max(math.ceil(machines.hours * 60), 1)}"
    for name in ("partition", "account", "qos", "constraint"):
        if value := getattr(settings, name):
            yield f"#SBATCH --{name}={value}"
    yield f"# USR1 to this script {settings.warning_seconds} s before the time limit:"
    yield f"#SBATCH --signal=B:USR1@{settings.warning_seconds}"
    yield f"#SBATCH --{'requeue' if settings.requeue else 'no-requeue'}"
    yield "# One log for all starts of the job:"
    yield "#SBATCH --output=%x-%j.log"
    yield "#SBATCH --open-mode=append"


def launching(path: str) -> str:
    """The command that starts a script.

    >>> launching("my sweep.sh")
    "sbatch 'my sweep.sh'"
    """
    return command("sbatch", path)
