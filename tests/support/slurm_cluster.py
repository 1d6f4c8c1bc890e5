"""A Slurm cluster of this machine alone: its own ports and files, a namespace for each node.

Needs Slurm and munge (Debian: slurm-wlm munge slurmctld slurmd), and what machines need.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.launch.node import free_port
from tests.support import namespaces
from tests.support.namespaces import Machine, lan

_NET = "10.213.77"
_PROGRAMS = ("slurmctld", "slurmd", "sbatch", "scontrol", "munged")


@dataclass(frozen=True)
class Slurm:
    """
    Attributes:
        folder: seen by all nodes; their /tmp and /dev/shm are their own.
    """

    folder: Path
    environment: Mapping[str, str]
    nodes: Mapping[str, Machine]

    def run(self, *words: str, check: bool = True) -> str:
        """The output of a command of Slurm."""
        return subprocess.run(
            words, env={**self.environment}, cwd=self.folder, capture_output=True, text=True,
            check=check, timeout=60,
        ).stdout  # fmt: skip

    def on(self, node: str, *words: str) -> list[str]:
        """The words of a command that runs on a node."""
        return self.nodes[node].on(*words)

    def state(self, job: str) -> str:
        """A job's state, as `RUNNING`; `ENDED` once Slurm has none."""
        return self.run("squeue", "--noheader", "--format=%T", f"--jobs={job}", check=False).strip()

    def idle(self) -> bool:
        """Whether nothing of a job is left on any node."""
        states = self.run("sinfo", "--noheader", "--Node", "--format=%T", check=False).split()
        return states == ["idle"] * len(self.nodes)

    def told(self) -> str:
        """The end of what the controller and the nodes have written."""
        logs = [self.folder / "ctld.log", *sorted(self.folder.glob("slurmd-*.log"))]
        return "\n".join(f"{path.name}:\n{path.read_text()[-3000:]}" for path in logs)


def missing() -> str:
    """What keeps a cluster from being made; empty if nothing does."""
    return namespaces.missing(*_PROGRAMS)


@contextmanager
def slurm_cluster(folder: Path, nodes: int = 2) -> Iterator[Slurm]:
    """A controller and nodes named `sl1`, `sl2`, ..., of a core each.

    Args:
        folder: is removed at the end.
    """
    names = [f"sl{index + 1}" for index in range(nodes)]
    folder.mkdir(exist_ok=True)
    (folder / "state").mkdir()
    hosts = "".join(f"{_NET}.{index + 2} {name}\n" for index, name in enumerate(names))
    host = os.uname().nodename.partition(".")[0]
    (folder / "hosts").write_text(f"127.0.0.1 localhost\n{_NET}.1 {host}\n{hosts}")
    (folder / "slurm.conf").write_text(_configuration(folder, host, names))
    (folder / "cgroup.conf").write_text(
        "CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\nCgroupAutomount=no\n"
    )
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    controller = None
    _munge()
    with lan(folder, _NET) as network:
        try:
            inside = {}
            for index, name in enumerate(names):
                (folder / f"spool-{name}").mkdir()
                inside[name] = network.boot(
                    index + 1, name,
                    ["slurmd", "-D", "-N", name, "-f", str(folder / "slurm.conf")],
                    environment=environment, private=("/tmp", "/dev/shm"),
                    mounts={"/etc/hosts": str(folder / "hosts")},
                )  # fmt: skip
            log = open(folder / "controller.out", "wb")  # noqa: SIM115
            words = ["slurmctld", "-D", "-f", str(folder / "slurm.conf")]
            controller = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
            slurm = Slurm(folder, environment, inside)
            _until_idle(slurm)
            yield slurm
        finally:
            if controller is not None:
                controller.terminate()
                controller.wait(30)


def _configuration(folder: Path, host: str, names: list[str]) -> str:
    lines = [
        "ClusterName=trm", f"SlurmctldHost={host}({_NET}.1)", "AuthType=auth/munge",
        "CredType=cred/munge", "SlurmUser=root", "SlurmdUser=root",
        f"SlurmctldPort={free_port()}", f"SlurmdPort={free_port()}",
        f"StateSaveLocation={folder}/state", f"SlurmdSpoolDir={folder}/spool-%n",
        f"SlurmctldPidFile={folder}/ctld.pid", f"SlurmdPidFile={folder}/slurmd-%n.pid",
        f"SlurmctldLogFile={folder}/ctld.log", f"SlurmdLogFile={folder}/slurmd-%n.log",
        "ProctrackType=proctrack/linuxproc", "TaskPlugin=task/none",
        "JobAcctGatherType=jobacct_gather/none",
        "AccountingStorageType=accounting_storage/none", "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_CPU", "MpiDefault=none", "JobRequeue=1", "ReturnToService=2",
        "KillWait=10", "SlurmdTimeout=300",
    ]  # fmt: skip
    lines += [
        f"NodeName={name} NodeHostname={name} NodeAddr={_NET}.{index + 2} CPUs=1 RealMemory=8000"
        for index, name in enumerate(names)
    ]
    lines.append("PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP")
    return "\n".join(lines) + "\n"


def _until_idle(slurm: Slurm) -> None:
    deadline = time.monotonic() + 60
    while not slurm.idle():
        if time.monotonic() > deadline:
            raise TimeoutError(slurm.run("sinfo", "--Node", check=False) + slurm.told())
        time.sleep(0.5)


def _munge() -> None:
    if Path("/run/munge/munge.socket.2").exists():
        return
    Path("/run/munge").mkdir(exist_ok=True)
    shutil.chown("/run/munge", "munge")
    subprocess.run(["runuser", "-u", "munge", "--", "munged"], check=True)
