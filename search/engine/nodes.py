"""That every node can run this sweep's trials, found out before the first of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from search.ledger.files import RUN_FILE
from search.ledger.storage import Place, place
from search.logs.console import warn
from trm.errors import UserError
from trm.plugins import code_hashes, import_plugins, look_in

_WAIT = 60.0
"""Seconds that all nodes have together; one that is silent so long is left to the trials."""


def require_nodes(plugins: Sequence[str], folders: Sequence[str], folder: Place) -> None:
    """Have each node of the cluster import the plug-ins and look at the run folder.

    Without it the first trials on a node that lacks something would end as crashed.

    Args:
        plugins: the modules that the config names.
        folders: in which workers look for them, after all others.
        folder: the run's.

    Raises:
        UserError: a node lacks our package, a plug-in or the run folder; one line naming it.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    asked = [(node, _ask(node["NodeID"], plugins, folders, str(folder))) for node in nodes]
    end = time.monotonic() + _WAIT
    for node, reference in asked:
        name = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        try:
            lacks, hashes = ray.get(reference, timeout=max(end - time.monotonic(), 0.1))
        except GetTimeoutError:
            continue
        except RayError as error:
            if "ModuleNotFoundError" not in str(error):
                continue  # not for want of code: the trials will say more
            lacks = "it lacks this package: install the same version there"
        if lacks:
            raise UserError(f"node {name}: {lacks}")
        others = [
            key for key, code in code_hashes(plugins).items() if hashes.get(key, code) != code
        ]
        if others:
            warn(f"node {name} has other code of plug-ins: {', '.join(others)}")


def _ask(node: str, plugins: Sequence[str], folders: Sequence[str], folder: str) -> Any:
    # Whatever trials hold of the node, this runs beside them.
    there = NodeAffinitySchedulingStrategy(node, soft=False)
    remote = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(_look)
    return remote.remote([*plugins], [*folders], folder)


def _look(plugins: list[str], folders: list[str], folder: str) -> tuple[str, dict[str, str]]:
    """What a node lacks, in words, and the code of its plug-ins. Runs there."""
    look_in(map(Path, folders))
    try:
        import_plugins(plugins)
    except UserError as error:
        remedy = "install it on every node, or keep it beside the config on a disk that all share"
        return f"{error}: {remedy}", {}
    if not (place(folder) / RUN_FILE).is_file():
        remedy = "take a folder on a disk that all nodes share, or a URI (s3://bucket/run)"
        return f"the run folder {folder} is not there: {remedy}", {}
    return "", code_hashes(plugins)
