"""What a launch file starts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from cluster.launch.errors import LaunchError

AUTO = "auto"
"""The address of the Ray cluster that a process of a node finds by itself."""


@dataclass(frozen=True)
class LaunchJob:
    """A program that drives a Ray cluster, begins a run or goes on with it, and ends.

    Attributes:
        name: of the run.
        program: what follows `python -P` up to its file.
        file: the file that the program reads, on this machine.
        text: that file's content, for machines that do not see it.
        options: what follows the file, without `--out`, `--resume` and `--address`.
        out: the run folder, a path or a URI.
        paths: files and folders that the file names, by key.
        python: the Python that runs here.
        version: of Ray, here and on the cluster.
        packages: folders with the program's code, by their import names.
        requirements: what pip installs for it, with versions.

    >>> job = LaunchJob("mine", ("-m", "mine"), "/srv/a.yaml", "", (), "/srv/runs/mine")
    >>> job.words("/srv/a.yaml", AUTO)[:4]
    ['-P', '-m', 'mine', '/srv/a.yaml']
    """

    name: str
    program: Sequence[str]
    file: str
    text: str
    options: Sequence[str]
    out: str
    paths: Mapping[str, str] = field(default_factory=dict)
    python: str = "/usr/bin/python3"
    version: str = "2.60.0"
    packages: Mapping[str, Path] = field(default_factory=dict)
    requirements: Sequence[str] = ()

    def words(self, file: str, address: str) -> list[str]:
        """The arguments of Python: a run that is there already is gone on with.

        Args:
            file: where the job's file lies.
            address: of the Ray cluster.
        """
        # -P: what lies in the working directory must not stand in for a package.
        return [
            "-P", *self.program, file, *self.options,
            "--out", self.out, "--resume", "--address", address,
        ]  # fmt: skip


def is_uri(text: str) -> bool:
    """Whether a place is a URI.

    >>> is_uri("s3://bucket/runs"), is_uri("/srv/runs")
    (True, False)
    """
    return re.match(r"[a-z][a-z0-9+.-]*://", text) is not None


def require_bucket(job: LaunchJob, why: str) -> None:
    """
    Raises:
        LaunchError: the run folder is no URI, or one of a local file system.
    """
    if not is_uri(job.out) or job.out.startswith("file:"):
        raise LaunchError(
            "cluster.storage", job.out, f"is on this machine, {why}: name a bucket, as in s3://mine/runs"
        )  # fmt: skip


def require_reachable(job: LaunchJob, mounts: Sequence[str], remedy: str) -> None:
    """
    Args:
        mounts: folders that the nodes have.

    Raises:
        LaunchError: the job's file names a file or folder that the nodes do not see.
    """
    for key, path in job.paths.items():
        if not is_uri(path) and not any(below(path, mount) for mount in mounts):
            raise LaunchError(key, path, f"is on this machine, where the nodes are not: {remedy}")


def below(path: str, folder: str) -> bool:
    """Whether a full path lies in a folder, or is it.

    >>> below("/shared/runs/mine", "/shared"), below("/shared/../etc", "/shared")
    (True, False)
    """
    parts = PurePosixPath(path)
    return ".." not in parts.parts and parts.is_relative_to(folder)
