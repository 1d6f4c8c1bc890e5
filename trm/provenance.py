"""Where a result comes from: versions, revision, machine and the code of plug-ins."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from trm.plugins import code_hashes

_PACKAGES = ("trm-search", "torch", "numpy", "optuna", "ray")
_PLUGIN = "plugin "
"""How the key of a plug-in's code begins; its module's name follows."""


def provenance(plugins: Sequence[str] = ()) -> dict[str, str]:
    """Versions of what the numbers depend on, and the git revision if this is a checkout.

    Args:
        plugins: modules whose code counts too, beside those of installed plug-ins.
    """
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found | {"git": _revision()} | plugin_provenance(plugins)


def plugin_provenance(plugins: Sequence[str]) -> dict[str, str]:
    """The hash of the code of each imported plug-in, under `plugin MODULE`."""
    return {_PLUGIN + name: code for name, code in code_hashes(plugins).items()}


def changed_plugins(recorded: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """The plug-ins whose code differs between two provenances that both have it.

    >>> changed_plugins({"plugin a": "1", "plugin b": "2"}, {"plugin a": "1", "plugin b": "0"})
    ['b']
    """
    return [
        key.removeprefix(_PLUGIN)
        for key, code in recorded.items()
        if key.startswith(_PLUGIN) and now.get(key, code) != code
    ]


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
