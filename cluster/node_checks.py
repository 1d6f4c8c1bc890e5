"""The checks of `cluster.doctor` on every node of a Ray cluster, and what nodes must agree on."""

from __future__ import annotations

import platform
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cluster.connect import ClusterError, connected
from cluster.doctor import Check, machine_checks

_WAIT = 90.0
"""Seconds that a node has for its checks; a first import of torch on a slow disk takes many."""
_ALIKE = ("ray", "torch", "optuna", "pyarrow")


@dataclass(frozen=True)
class NodeReport:
    """What one node said of itself.

    Attributes:
        checks: of the machine.
        versions: of Python, our package and those that must be alike on all nodes.
        sees: whether it sees the driver's run folder.
    """

    checks: list[Check]
    versions: dict[str, str]
    sees: bool


def ray_check() -> Check:
    """Start Ray on this machine, have a worker answer, and stop it."""
    import ray

    begun = time.perf_counter()
    try:
        with connected(cpus=1):
            started = time.perf_counter() - begun
            answer = ray.get(ray.remote(num_cpus=0)(platform.node).remote(), timeout=_WAIT)
    except (ClusterError, OSError, RuntimeError, ray.exceptions.RayError) as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        return Check("ray", "bad", f"does not start here: {line}", "look at what is bad above")
    taken = time.perf_counter() - begun
    found = f"starts in {started:.1f} s, and a worker on {answer} answers in {taken - started:.1f}"
    return Check("ray", "ok", found)


def cluster_checks(address: str, package: str, folder: Path | None) -> Iterator[tuple[str, Check]]:
    """Every node's checks, each with the node's name.

    Args:
        address: `auto` or `host:port`.
        package: as in `machine_checks`.
        folder: a run folder that every node must see; None if it is an object store's.

    Raises:
        ClusterError: nobody answers there.
    """
    import ray

    with connected(address):
        nodes = [node for node in ray.nodes() if node["Alive"]]
        probe = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".trm-doctor-{secrets.token_hex(8)}"
            probe.write_text("trm doctor\n")
        try:
            asked = [(_name(node), _ask(node, package, folder, probe)) for node in nodes]
            said = [(name, _answer(reference)) for name, reference in asked]
        finally:
            if probe is not None:
                probe.unlink(missing_ok=True)
        yield "cluster", Check("nodes", "ok", f"{len(nodes)} alive at {address}")
        mine = _versions(package)
        for name, answer in said:
            if isinstance(answer, Check):
                yield name, answer
                continue
            yield name, _alike(answer.versions, mine)
            if folder is not None:
                yield name, _shared(answer.sees, folder)
            yield from ((name, check) for check in answer.checks)


def _name(node: dict[str, Any]) -> str:
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"


def _ask(node: dict[str, Any], package: str, folder: Path | None, probe: Path | None) -> Any:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # Whatever trials hold of the node, this runs beside them.
    there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    remote = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(_report)
    return remote.remote(package, folder or Path("runs"), probe)


def _report(package: str, folder: Path, probe: Path | None) -> NodeReport:
    sees = probe is not None and probe.exists()
    return NodeReport(list(machine_checks(package, folder)), _versions(package), sees)


def _answer(reference: Any) -> NodeReport | Check:
    import ray

    try:
        answer = ray.get(reference, timeout=_WAIT)
    except ray.exceptions.GetTimeoutError:
        return Check("node", "bad", f"no answer in {_WAIT:.0f} s", "see `ray status` there")
    except ray.exceptions.RayError as error:
        text = str(error)
        if "ModuleNotFoundError" in text or "ImportError" in text:
            remedy = "install this version there, or ship it: trm cluster submit"
            return Check("node", "bad", "lacks our code", remedy)
        line = next((line for line in reversed(text.splitlines()) if line.strip()), "no reason")
        return Check("node", "bad", f"cannot run a task: {line.strip()[:200]}", "see its logs")
    assert isinstance(answer, NodeReport)
    return answer


def _versions(package: str) -> dict[str, str]:
    found = {"python": platform.python_version()}
    return found | {name: version(name) for name in (package, *_ALIKE)}


def _alike(theirs: dict[str, str], ours: dict[str, str]) -> Check:
    different = [
        f"{name} {theirs.get(name, 'none')}, the driver has {own}"
        for name, own in ours.items()
        if theirs.get(name) != own
    ]
    if different:
        remedy = "install the same requirements.lock on all nodes"
        return Check("versions", "bad", ", ".join(different), remedy)
    return Check("versions", "ok", "as the driver's")


def _shared(sees: bool, folder: Path) -> Check:
    if sees:
        return Check("run folder", "ok", f"{folder} is the driver's")
    remedy = "name a folder on a shared disk, or a URI such as s3://bucket/runs"
    return Check("run folder", "bad", f"{folder} is not the driver's", remedy)
