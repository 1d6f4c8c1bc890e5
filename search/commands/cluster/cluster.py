"""Start a sweep on a cluster: write what Slurm, Kubernetes or a cloud takes, or submit it.

The file's `cluster` section says which machines and where run folders go (`trm keys cluster`). The
text goes to the screen, or into `--file`. Every start goes on with the run folder if it is there.

  trm cluster slurm my.yaml | sbatch
  trm cluster kuberay my.yaml --file rayjob.yaml     # then: kubectl apply -f rayjob.yaml
  trm cluster sky my.yaml --file sky.yaml            # any cloud, by SkyPilot
  trm cluster aws my.yaml --file aws.yaml            # then: ray up aws.yaml
  trm cluster submit my.yaml --address http://head:8265
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from search.commands.options import a_path, a_place, positive
from trm.errors import UserError
from trm.files.paths import write_output

if TYPE_CHECKING:
    from cluster.launch.job import LaunchJob
    from cluster.launch.settings import Machines

FORMS = {
    "slurm": ("a script for sbatch", "slurm.sh"),
    "kuberay": ("a RayJob for kubectl apply", "rayjob.yaml"),
    "sky": ("a task for sky jobs launch", "sky.yaml"),
    "aws": ("a cluster for ray up", "aws.yaml"),
    "submit": ("send it to a Ray cluster that is up, code included", ""),
}
"""What each form writes, and what the file is called unless somebody says otherwise."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `trm cluster`."""
    forms = parser.add_subparsers(dest="form", required=True, metavar="FORM")
    for name, (line, _) in FORMS.items():
        form = forms.add_parser(name, help=line, description=f"{line[0].upper()}{line[1:]}.")
        form.add_argument("config", help="a YAML file or a preset's name")
        form.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", dest="sets",
            help="override one value, as in cluster.nodes=4; may be repeated",
        )  # fmt: skip
        form.add_argument("--trials", type=positive, metavar="N", help="explore trials")
        form.add_argument(
            "--out", type=a_place, metavar="RUN",
            help="run folder, a path or a URI (default: cluster.storage/NAME)",
        )  # fmt: skip
        if name == "submit":
            form.add_argument(
                "--address", required=True, metavar="URL", help="as in http://head:8265"
            )
        else:
            form.add_argument(
                "--file",
                type=a_path,
                metavar="FILE",
                help="where to write it (default: the screen)",
            )


def run(args: argparse.Namespace) -> int:
    """Write the launch file, or submit the job; returns the exit code."""
    from cluster.launch.errors import LaunchError
    from search.commands.cluster.job import sweep_job

    job, machines = sweep_job(
        args.config, args.sets, out=args.out, trials=args.trials, ships=args.form != "slurm"
    )
    try:
        if args.form == "submit":
            return _submit(job, machines, args.address)
        path = args.file or Path(FORMS[args.form][1])
        text = _text(args.form, job, machines, str(path))
    except LaunchError as error:
        raise UserError(str(error)) from error
    if args.file is None:
        sys.stdout.write(text)
    else:
        write_output(path, text, "--file")
        print(f"written to {path}; its first lines say how to start it")
    return 0


def _text(form: str, job: LaunchJob, machines: Machines, path: str) -> str:
    if form == "slurm":
        from cluster.launch.slurm import script

        return script(job, machines)
    if form == "kuberay":
        from cluster.launch.kuberay import manifest

        return manifest(job, machines, path)
    if form == "sky":
        from cluster.launch.sky import task

        return task(job, machines, path)
    from cluster.launch.aws import cluster

    return cluster(job, machines, path)


def _submit(job: LaunchJob, machines: Machines, address: str) -> int:
    from cluster.launch.submit import submit

    name, where = submit(job, machines, address), shlex.quote(address)
    print(f"submitted as {name}; the run folder is {job.out}")
    if machines.secrets:
        print(f"it needs these variables in the head's environment: {', '.join(machines.secrets)}")
    print(f"watch it with: ray job logs {name} --follow --address {where}")
    print(f"stop it with: ray job stop {name} --address {where}")
    return 0
