"""A Ray cluster to run on: one made here for the purpose, or one that is already up."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from cluster.admission import Admission, admission, check_address, variables_of_tokens
from cluster.errors import ClusterError
from cluster.local import own_token, start
from cluster.mps import mps
from cluster.session import session_folder, signals_are_ours, workers_path, working_directory

__all__ = ["Cluster", "ClusterError", "check_address", "connected"]

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TQDM": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
}
_NICENESS = "RAY_worker_niceness"


@dataclass(frozen=True)
class Cluster:
    """A connected cluster.

    Attributes:
        local: whether it was made here and ends with this process.
        nodes: machines that are up.
        resources: what they have together, `CPU`, `GPU` and Ray's other names.

    >>> Cluster(local=True, nodes=1, resources={"CPU": 8.0}).resources["CPU"]
    8.0
    """

    local: bool
    nodes: int
    resources: Mapping[str, float]


def _say(text: str) -> None:
    print(f"trm: {text}", file=sys.stderr, flush=True)


@contextmanager
def connected(
    address: str | None = None,
    *,
    cpus: int | None = None,
    gpus: int | None = None,
    environment: Mapping[str, str] | None = None,
    niceness: int = 0,
    through_mps: bool = False,
    timeout: float = 5.0,
    say: Callable[[str], None] = _say,
) -> Iterator[Cluster]:
    """Connect to Ray, or start it here; disconnect, or stop it, at the end.

    A Ray that this process is connected to already is used as it is and left running. One that is
    started here listens on the loopback alone. A token is sent where the cluster asks for one.

    Args:
        address: None starts a cluster of this machine alone; `auto` or `host:port` is one that
            is up.
        cpus: trials' cores of a cluster started here; None takes Ray's count.
        gpus: the same for GPUs.
        environment: variables of every worker process.
        niceness: of worker processes of a cluster started here, on top of this process's own;
            they would give way to everything else on the machine with Ray's own 15.
        through_mps: whether processes of a cluster started here share GPUs through NVIDIA's
            Multi-Process Service.
        timeout: seconds to wait for an answer from `host:port`.
        say: takes a line for a person when a start is slow.

    Raises:
        ClusterError: the address is malformed, of the client protocol, nobody answers there, or the
            cluster there wants a token that is not here; or Ray does not start here.
    """
    os.environ.update({key: os.environ.get(key, value) for key, value in _QUIET.items()})
    there = None if address is None else admission(address, timeout)
    import ray

    if ray.is_initialized():
        yield _cluster(local=False)
        return
    _silence()
    with ExitStack() as stack:
        folder = stack.enter_context(session_folder())
        tokens = own_token(folder) if there is None else there.variables
        stack.enter_context(variables_of_tokens(tokens))
        shared = stack.enter_context(mps(folder)) if through_mps and there is None else {}
        stack.callback(_shut_down)
        path = workers_path(folder)
        with working_directory(folder / "empty"), signals_are_ours():
            if there is None:
                own = {
                    **(environment or {}),
                    **shared,
                    _NICENESS: str(niceness),
                    "PYTHONPATH": path,
                }
                start(folder, cpus, gpus, own, say)
            else:
                assert address is not None
                _join(address, there, environment or {})
        yield _cluster(local=there is None)


def _shut_down() -> None:
    import ray
    from ray._private import worker

    node = worker._global_node
    if node is not None:
        # To ask servers that do not hear of it takes a second each (ray 2.60).
        kill = node.kill_all_processes
        node.kill_all_processes = lambda **_: kill(check_alive=False, allow_graceful=False)
    ray.shutdown()


def _join(address: str, there: Admission, environment: Mapping[str, str]) -> None:
    import ray

    try:
        ray.init(
            address=there.address,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            runtime_env={"env_vars": dict(environment)},
        )
    except (ConnectionError, RuntimeError, TimeoutError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        remedy = "start one with `ray start --head`, or give its host:port"
        raise ClusterError(f"--address {address}: no Ray cluster ({reason}); {remedy}") from error


def _silence() -> None:
    # A worker's death is printed to standard output whatever `log_to_driver` says (ray 2.60); the
    # setting to skip such lines is read when Ray is imported, which may be long ago.
    from ray._private import worker

    for name in ("stdout_deduplicator", "stderr_deduplicator"):
        if hasattr(worker, name):
            getattr(worker, name).skip_re = re.compile("")


def _cluster(local: bool) -> Cluster:
    import ray

    nodes = sum(bool(node["Alive"]) for node in ray.nodes())
    return Cluster(local, nodes, dict(ray.cluster_resources()))
