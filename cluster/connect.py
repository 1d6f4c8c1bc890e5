"""A Ray cluster to run on: one made here for the purpose, or one that is already up."""

from __future__ import annotations

import logging
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TQDM": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
}
_MARK = "TRM_RAY_SESSION"
_STARTS = 3
"""Times that Ray is started, if it fails."""
_NICENESS = "RAY_worker_niceness"
_OURS = ("cluster", "curricula", "search", "trm")
_OBJECT_STORE_BYTES = 100_000_000
_STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class ClusterError(ValueError):
    """A cluster that cannot be had, in one line with the address and the remedy.

    >>> check_address("nowhere")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    cluster.connect.ClusterError: --address nowhere: must be `auto` or host:port, as in ...
    """


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


@contextmanager
def connected(
    address: str | None = None,
    *,
    cpus: int | None = None,
    gpus: int | None = None,
    environment: Mapping[str, str] | None = None,
    niceness: int = 0,
    timeout: float = 5.0,
) -> Iterator[Cluster]:
    """Connect to Ray, or start it here; disconnect, or stop it, at the end.

    A Ray that this process is connected to already is used as it is and left running.

    Args:
        address: None starts a cluster of this machine alone; `auto` or `host:port` is one that
            is up.
        cpus: trials' cores of a cluster started here; None takes Ray's count.
        gpus: the same for GPUs.
        environment: variables of every worker process.
        niceness: of worker processes of a cluster started here, on top of this process's own;
            they would give way to everything else on the machine with Ray's own 15.
        timeout: seconds to wait for an answer from `host:port`.

    Raises:
        ClusterError: the address is malformed, of the client protocol, or nobody answers there; or
            Ray does not start here.
    """
    os.environ.update({key: os.environ.get(key, value) for key, value in _QUIET.items()})
    if address is not None:
        check_address(address, timeout)
    import ray

    if ray.is_initialized():
        yield _cluster(local=False)
        return
    _silence()
    folder = Path(tempfile.mkdtemp(prefix="trm-ray-", dir=_short_temporary_folder()))
    with _reaper(folder):
        try:
            own = {**(environment or {}), _NICENESS: str(niceness), "PYTHONPATH": _path(folder)}
            with _working_directory(folder / "empty"), _signals_are_ours():
                if address is None:
                    _start(folder, cpus, gpus, own)
                else:
                    _join(address, environment or {})
            yield _cluster(local=address is None)
        finally:
            _shut_down()


@contextmanager
def _signals_are_ours() -> Iterator[None]:
    """Processes begun within never hear of a stop; what handles our signals stays as it was.

    What stops a job (a queue, a container's runtime, `timeout`) signals all of its processes. Ray's
    servers would be gone before the driver has put its affairs in order, which waits for them.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _STOP_SIGNALS}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        yield
    except SystemExit as leave:  # Ray's own handler of SIGTERM, which another thread may hear
        raise KeyboardInterrupt from leave
    finally:
        for number, handler in handlers.items():
            if handler is not None:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _shut_down() -> None:
    import ray
    from ray._private import worker

    node = worker._global_node
    if node is not None:
        # To ask servers that do not hear of it takes a second each (ray 2.60).
        kill = node.kill_all_processes
        node.kill_all_processes = lambda **_: kill(check_alive=False, allow_graceful=False)
    ray.shutdown()


def _start(
    folder: Path, cpus: int | None, gpus: int | None, environment: Mapping[str, str]
) -> None:
    import ray

    environment = {**environment, _MARK: str(folder), **_own_token(folder)}
    before = {key: os.environ.get(key) for key in environment}
    os.environ.update(environment)
    try:
        for left in reversed(range(_STARTS)):
            try:
                ray.init(
                    address="local",
                    num_cpus=cpus,
                    num_gpus=gpus,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.CRITICAL,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    _temp_dir=str(folder),
                )
                break
            # Ray gives its servers half a minute (ray 2.60), which a busy machine may not have.
            except Exception as error:
                ray.shutdown()
                if not left:
                    raise _no_start(error) from error
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def _no_start(error: Exception) -> ClusterError:
    reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
    try:
        from resource import RLIMIT_NOFILE, getrlimit

        files = f" (ulimit -n says {getrlimit(RLIMIT_NOFILE)[0]}, Ray wants 256 or more)"
    except ImportError:
        files = ""
    return ClusterError(
        f"Ray does not start on this machine: {reason} It may be too busy, or short of memory or "
        f"of open files{files}: `trm doctor` looks; nothing is lost, run the same again"
    )


def _own_token(folder: Path) -> dict[str, str]:
    """What tells Ray of a token in the session's folder, if the home folder cannot have one."""
    if os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return {}
    try:
        kept = Path.home() / ".ray"
        kept.mkdir(exist_ok=True)
        if (kept / "auth_token").exists() or os.access(kept, os.W_OK | os.X_OK):
            return {}
    except (OSError, RuntimeError):  # a home that is read-only or another's, or none
        pass
    token = folder / "auth_token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32), encoding="ascii")
    return {"RAY_AUTH_TOKEN_PATH": str(token)}


def _path(folder: Path) -> str:
    """Workers' PYTHONPATH: ours with our packages first, as they are not in another's stead."""
    packages = folder / "packages"
    packages.mkdir()
    for name in _OURS:
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            (packages / name).symlink_to(Path(spec.origin).parent)
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    # Their working directory is another one.
    return os.pathsep.join([str(packages), *(os.path.abspath(entry) for entry in given if entry)])


@contextmanager
def _reaper(folder: Path) -> Iterator[None]:
    """A process of its own that ends what this session leaves, even if we are killed."""
    script = str(Path(__file__).with_name("reaper.py"))
    mark = f"{_MARK}={folder}"
    with _signals_are_ours():
        reaper = subprocess.Popen(
            [sys.executable, "-I", "-S", script, str(os.getpid()), mark, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
    assert reaper.stdin is not None
    try:
        yield
    finally:
        reaper.stdin.close()
        reaper.wait()


def _join(address: str, environment: Mapping[str, str]) -> None:
    import ray

    try:
        ray.init(
            address=address,
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


def check_address(address: str, timeout: float = 5.0) -> None:
    """Make sure that somebody answers at an address, before anything is started.

    Raises:
        ClusterError: the address is malformed, of the client protocol, or nobody answers there.

    >>> check_address("auto")
    >>> check_address("localhost:1")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    cluster.connect.ClusterError: --address localhost:1: nobody ...
    """
    if address == "auto":
        return
    if address.startswith("ray://"):
        raise ClusterError(
            f"--address {address}: a Ray Client address would run the sweep on the far side, where "
            "this machine's files are not; run it there: ray job submit --address "
            f"http://{address[6:].split(':')[0]}:8265 -- trm sweep ... --address auto"
        )
    match = re.fullmatch(r"\[?([^\[\]/]+?)\]?:(\d{1,5})", address)
    if match is None:
        raise ClusterError(f"--address {address}: must be `auto` or host:port, as in 10.0.0.1:6379")
    host, port = match[1], int(match[2])
    try:
        socket.create_connection((host, port), timeout).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"--address {address}: nobody answers ({error}); check host and port, and that the "
            "head node is up (`ray status` there)"
        ) from error


def _cluster(local: bool) -> Cluster:
    import ray

    nodes = sum(bool(node["Alive"]) for node in ray.nodes())
    return Cluster(local, nodes, dict(ray.cluster_resources()))


@contextmanager
def _working_directory(folder: Path) -> Iterator[None]:
    # Ray's workers get the driver's working directory as the first entry of their module path:
    # a user's own search.py there would shadow ours.
    folder.mkdir()
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _short_temporary_folder() -> str | None:
    # A Unix socket's path has at most 107 bytes, and Ray puts about 70 behind this folder.
    return None if len(tempfile.gettempdir()) < 20 or not os.path.isdir("/tmp") else "/tmp"
