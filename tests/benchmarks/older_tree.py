"""The packages of an older commit, in a folder that processes can import them from."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from tests.support.folders import ROOT

OURS = ("search", "trm", "curricula", "cluster")


def tree_of(commit: str, folder: Path) -> Path | None:
    """The packages of a commit in a folder of their own; None if the history has no such commit."""
    found = subprocess.run(
        ["git", "archive", commit, *OURS], cwd=ROOT, capture_output=True, check=False
    )
    if found.returncode:
        return None
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder
