"""A sweep as a job for launch files: what is started, with which code, and which files it reads."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from cluster.launch.job import LaunchJob, is_uri
from cluster.launch.settings import Machines
from search.config.config import Config, read_config
from search.config.file import preset_or_path
from trm.files.paths import checked_path, home_path
from trm.files.secret_uris import refuse_secrets
from trm.files.yaml12 import dump_yaml

PACKAGES = ("cluster", "curricula", "search", "trm")
_DISTRIBUTION = "trm-search"
_EXTRAS = {"ray": "ray[default,tune]"}


def sweep_job(
    source: str, sets: Sequence[str], *, out: str | None, trials: int | None, ships: bool
) -> tuple[LaunchJob, Machines]:
    """The job that `trm sweep` of a config is, and the machines that its file asks for.

    Args:
        out: the run folder; None is `cluster.storage` with the experiment's name.
        ships: whether the config is to be sent along, instead of being read where it is.

    Raises:
        UserError: the config is bad.
    """
    config = read_config(source, sets)
    if trials is not None:
        config = config.with_trials(trials)
    machines = config.sections.cluster
    needed = ["WANDB_API_KEY"] if config.sections.log.wandb.mode == "online" else []
    secrets = list(dict.fromkeys([*machines.secrets, *needed]))
    path, is_preset = preset_or_path(source)
    options: list[str] = []
    if not ships:
        options += [word for one in sets for word in ("--set", one)]
        options += [] if trials is None else ["--trials", str(trials)]
    job = LaunchJob(
        name=config.default.name,
        program=("-m", "search.cli", "sweep"),
        file=source if is_preset else str(path.absolute()),
        text=dump_yaml(_portable(config.tree)),
        options=options,
        out=_out(out, machines.storage, config.default.name, ships=ships),
        paths=dict(_paths(config)),
        python=sys.executable,
        version=version("ray"),
        packages={**_packages(), **_plugins(config)},
        requirements=requirements(),
    )
    return job, machines.model_copy(update={"secrets": secrets})


def _portable(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree without the address of this machine's cluster: a job is told its own."""
    section = {key: value for key, value in tree.get("cluster", {}).items() if key != "address"}
    return {**tree, **({"cluster": section} if "cluster" in tree else {})}


def _out(out: str | None, storage: str | None, name: str, *, ships: bool) -> str:
    where = out if out is not None else f"{(storage or 'runs').rstrip('/')}/{name}"
    if is_uri(where):
        refuse_secrets(where)
        return where
    folder = home_path(checked_path(where, "cluster.storage"), "cluster.storage")
    return str(folder) if ships and out is None and storage else str(folder.absolute())


def _paths(config: Config) -> Iterator[tuple[str, str]]:
    """Files and folders that the config names, by key."""
    yield from _files(config.tree["task"], "task")
    for index, entry in enumerate(config.sections.search.first):
        if isinstance(entry, str) and entry not in ("default", "reference"):
            yield f"search.first[{index}]", entry
    for index, folder in enumerate(config.sections.search.warm_start):
        yield f"search.warm_start[{index}]", folder


def _files(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "file" and isinstance(value, str):
                yield f"{path}.file", value
            else:
                yield from _files(value, f"{path}.{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _files(value, f"{path}[{index}]")


def _packages() -> dict[str, Path]:
    return {name: Path(str(import_module(name).__file__)).parent for name in PACKAGES}


def _plugins(config: Config) -> dict[str, Path]:
    """The modules and packages of the config's plug-ins."""
    found: dict[str, Path] = {}
    for name in config.default.modules:
        root = sys.modules[name.partition(".")[0]]
        file = Path(str(root.__file__)) if getattr(root, "__file__", None) else None
        if file is not None:
            whole = file.parent if hasattr(root, "__path__") else file
            found[whole.name] = whole
    return found


def requirements() -> list[str]:
    """What this package needs, in the versions that are installed here; nothing if it is a copy.

    >>> any(line.startswith("ray[default,tune]==") for line in requirements())
    True
    """
    found = []
    try:
        lines = requires(_DISTRIBUTION) or []
    except PackageNotFoundError:  # the code was copied here, not installed
        return []
    for line in lines:
        if "extra ==" in line:
            continue
        name = line.split(";")[0].split("[")[0].split(">")[0].split("=")[0].strip()
        try:
            # "2.13.0+cpu" is a build of this machine.
            number = version(name).partition("+")[0]
        except PackageNotFoundError:
            continue
        found.append(f"{_EXTRAS.get(name, name)}=={number}")
    return found
