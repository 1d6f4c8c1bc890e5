"""Where a result comes from: versions, revision and machine."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("trm-search", "torch", "numpy", "optuna", "ray")


def provenance() -> dict[str, str]:
    """Versions of what the numbers depend on, and the git revision if this is a checkout."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found | {"git": _revision()}


def _revision() -> str:
    """The commit of the checkout that holds this package, `+` if it was changed; empty if none."""
    home = Path(__file__).resolve().parent.parent
    if not (home / ".git").exists():
        return ""
    git = ["git", "-C", str(home)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10
        )
        changes = subprocess.run(
            [*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    if head.returncode:
        return ""
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "")
