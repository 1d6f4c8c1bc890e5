"""A Slurm cluster of this machine alone: its own ports and files, a namespace for each node.

Needs root, Slurm, munge, iproute2 and util-linux (Debian: slurm-wlm munge slurmctld slurmd).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.launch.node import free_port

_NET = "10.213.77"
_PROGRAMS = ("slurmctld", "slurmd", "sbatch", "scontrol", "munged", "ip", "unshare", "nsenter")


@dataclass(frozen=True)
class Slurm:
    """
    Attributes:
        folder: seen by all nodes; their /tmp and /dev/shm are their own.
        inside: the process of each node whose namespaces are the node.
    """

    folder: Path
    environment: Mapping[str, str]
    inside: Mapping[str, int]

    def run(self, *words: str, check: bool = True) -> str:
        """The output of a command of Slurm."""
        return subprocess.run(
            words, env={**self.environment}, cwd=self.folder, capture_output=True, text=True,
            check=check, timeout=60,
        ).stdout  # fmt: skip

    def on(self, node: str, *words: str) -> list[str]:
        """The words of a command that runs on a node."""
        return ["nsenter", "--target", str(self.inside[node]), "--all", *words]

    def state(self, job: str) -> str:
        """A job's state, as `RUNNING`; `ENDED` once Slurm has none."""
        return self.run("squeue", "--noheader", "--format=%T", f"--jobs={job}", check=False).strip()


def missing() -> str:
    """What keeps a cluster from being made; empty if nothing does."""
    if os.name != "posix" or os.geteuid() != 0:
        return "needs root, for namespaces"
    absent = [name for name in _PROGRAMS if shutil.which(name) is None]
    return f"needs {', '.join(absent)}" if absent else ""


@contextmanager
def slurm_cluster(folder: Path, nodes: int = 2) -> Iterator[Slurm]:
    """A controller and nodes named `sl1`, `sl2`, ..., of a core each."""
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
    started: list[subprocess.Popen[bytes]] = []
    bridge = "trmslurm"
    try:
        _munge()
        _ip("link", "add", bridge, "type", "bridge")
        _ip("addr", "add", f"{_NET}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        inside = {}
        for index, name in enumerate(names):
            _ip("netns", "add", f"trm{name}")
            peer = ("peer", "name", "eth0", "netns", f"trm{name}")
            _ip("link", "add", f"v{name}", "type", "veth", *peer)
            _ip("link", "set", f"v{name}", "master", bridge, "up")
            for words in (
                ("addr", "add", f"{_NET}.{index + 2}/24", "dev", "eth0"),
                ("link", "set", "eth0", "up"), ("link", "set", "lo", "up"),
                ("route", "add", "default", "via", f"{_NET}.1"),
            ):  # fmt: skip
                _ip("-n", f"trm{name}", *words)
            (folder / f"spool-{name}").mkdir()
            child = _node(folder, name, environment)
            started.append(child)
            inside[name] = _child_of(child.pid)
        log = open(folder / "controller.out", "wb")  # noqa: SIM115
        words = ["slurmctld", "-D", "-f", str(folder / "slurm.conf")]
        started.append(subprocess.Popen(words, env=environment, stdout=log, stderr=log))
        slurm = Slurm(folder, environment, inside)
        _until_idle(slurm, nodes)
        yield slurm
    finally:
        for child in started:
            child.send_signal(signal.SIGTERM if child is started[-1] else signal.SIGKILL)
        for child in started:
            child.wait(30)
        for name in names:
            subprocess.run(["ip", "netns", "delete", f"trm{name}"], capture_output=True)
        subprocess.run(["ip", "link", "delete", bridge], capture_output=True)


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


def _node(folder: Path, name: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    script = (
        f"hostname {name}; mount -t tmpfs none /tmp; mount -t tmpfs none /dev/shm; "
        f"mount --bind {folder}/hosts /etc/hosts; "
        f"exec slurmd -D -N {name} -f {folder}/slurm.conf"
    )
    words = ["nsenter", f"--net=/run/netns/trm{name}", "unshare", "--uts", "--pid", "--fork"]
    words += ["--mount", "--mount-proc", "--kill-child=SIGKILL", "bash", "-c", script]
    log = open(folder / f"{name}.out", "wb")  # noqa: SIM115
    return subprocess.Popen(words, env={**environment}, stdout=log, stderr=log, cwd="/")


def _child_of(pid: int) -> int:
    """The first process in the namespaces that `unshare` makes."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found := path.read_text().split():
            return int(found[0])
        time.sleep(0.05)
    raise TimeoutError("no process in the namespaces")


def _until_idle(slurm: Slurm, nodes: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        told = slurm.run("sinfo", "--noheader", "--Node", "--format=%T", check=False).split()
        if told == ["idle"] * nodes:
            return
        time.sleep(0.5)
    raise TimeoutError(f"nodes are {told}; see {slurm.folder}")


def _munge() -> None:
    if Path("/run/munge/munge.socket.2").exists():
        return
    Path("/run/munge").mkdir(exist_ok=True)
    shutil.chown("/run/munge", "munge")
    subprocess.run(["runuser", "-u", "munge", "--", "munged"], check=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
