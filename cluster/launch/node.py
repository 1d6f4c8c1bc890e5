"""A node of a Ray cluster that one job starts for itself, beside any other Ray on the machine.

Launch files run this on their nodes, as `python -P -m cluster.launch.node`:

    address [NAME]                 an address of this machine with a free port, for the head
    start ADDRESS MARK [--head]    join the cluster, or begin it; until SIGTERM or its end
    wait ADDRESS NODES SECONDS     until so many nodes are up; fails where none is
    end MARK                       end what `start` has left here, and nothing else

Every port is the job's own, files lie in a folder of its own, and the processes carry a mark in
their environment by which they are found again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from cluster.errors import ClusterError
from cluster.launch.awaiting import port_answers, wait

VARIABLE = "TRM_RAY_JOB"
"""The variable of the environment that holds the mark."""
_OBJECT_STORE_BYTES = 100_000_000
_ENDING = "ending"
"""The file that says that `end` of another process has come."""
_REFUSALS = 3
"""How often in a row, some seconds apart, a head's machine says that it is gone."""
_PATIENCE_SECONDS = 120.0
"""How long a worker waits for its head."""


def own_address(name: str = "") -> str:
    """An address of this machine that others reach, with a port that is free now.

    Args:
        name: by which others know this machine; its host name if empty.

    >>> own_address("localhost").rpartition(":")[0] != ""
    True
    """
    return f"{_ip(name or socket.gethostname())}:{free_port()}"


def _ip(name: str) -> str:
    try:
        found = socket.gethostbyname(name)
    except OSError:
        found = "127.0.0.1"
    if not found.startswith("127."):
        return found
    # Names of this machine alone often lead to the loopback; a route to elsewhere does not.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return found
        return str(probe.getsockname()[0])


def free_port() -> int:
    """A TCP port that nobody listens on.

    >>> 1024 < free_port() < 65536
    True
    """
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def folder_of(mark: str) -> Path:
    """The folder of a cluster's files on each node, short enough for its sockets."""
    base = "/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir()
    return Path(base, f"trm-{os.getuid()}-{mark}")


def ray_start(
    address: str, folder: Path, *, head: bool, cpus: int | None, gpus: int | None
) -> list[str]:
    """The arguments of Python that start one node of a cluster.

    >>> ray_start("10.0.0.1:4000", Path("/tmp/x"), head=False, cpus=8, gpus=None)[4:6]
    ['--block', '--address=10.0.0.1:4000']
    """
    ip, _, port = address.rpartition(":")
    words = ["-P", "-m", "ray.scripts.scripts", "start", "--block"]
    if head:
        # `--include-dashboard` is refused by a node that is no head.
        words += ["--head", f"--node-ip-address={ip}", f"--port={port}"]
        words += ["--include-dashboard=false"]
        if find_spec("grpc"):
            # Else it is 10001, which another Ray of this machine may have.
            words.append(f"--ray-client-server-port={free_port()}")
    else:
        words.append(f"--address={address}")
    words += [f"--temp-dir={folder / 'ray'}", f"--object-store-memory={_OBJECT_STORE_BYTES}"]
    words += ["--disable-usage-stats", f"--dashboard-agent-listen-port={free_port()}"]
    words += [f"--num-cpus={cpus}"] if cpus else []
    words += [f"--num-gpus={gpus}"] if gpus is not None else []
    return words


def start(
    address: str, mark: str, *, head: bool, cpus: int | None = None, gpus: int | None = None
) -> int:
    """Run a node until it ends or SIGTERM comes; nothing of it is left behind.

    Returns:
        The exit code of `ray start`, or 0 after SIGTERM and where a worker's head has ended.
    """
    end(mark)
    folder = folder_of(mark)
    # Ray makes its own folder writable by everybody; into this one nobody else can look.
    folder.mkdir(mode=0o700, parents=True)
    if not head:
        port_answers(address, _PATIENCE_SECONDS)
    log = folder / "ray-start.log"
    words = ray_start(address, folder, head=head, cpus=cpus, gpus=gpus)
    with open(log, "wb") as output:
        child = subprocess.Popen(
            [sys.executable, *words],
            env={**os.environ, VARIABLE: mark},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        code = child.wait() if head else _beside_its_head(child, address)
        if code < 0 and (not folder.exists() or (folder / _ENDING).exists()):
            return 0
        if code:
            # Where all is well, what it says is advice that does not fit a cluster of a job's own.
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-30:]
            print("\n".join(lines), file=sys.stderr, flush=True)
        return code
    except (_Ended, OSError):
        return 0
    finally:
        end(mark)


def _beside_its_head(child: subprocess.Popen[bytes], address: str) -> int:
    """Wait for a worker, no longer than its head is there: Ray itself would wait for a minute."""
    host, _, port = address.rpartition(":")
    refusals = 0
    while refusals < _REFUSALS:
        try:
            return child.wait(_REFUSALS)
        except subprocess.TimeoutExpired:
            pass
        try:
            socket.create_connection((host, int(port)), 2.0).close()
            refusals = 0
        except ConnectionRefusedError:
            refusals += 1
        except OSError:
            # The network's fault: that may pass.
            continue
    return 0


def end(mark: str) -> int:
    """Kill what carries the mark on this machine, and remove its files.

    Returns:
        How many processes that were.
    """
    folder, killed = folder_of(mark), set[int]()
    if folder.exists():
        (folder / _ENDING).touch()
    deadline = time.monotonic() + 10.0
    while (pids := list(_belonging(mark, folder))) and time.monotonic() < deadline:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            except OSError:
                continue
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)
    return len(killed)


def _belonging(mark: str, folder: Path) -> Iterator[int]:
    """Processes with the mark, and Ray's agents, whose titles have overwritten their environment.

    Those have files of the cluster's folder open.
    """
    wanted = f"{VARIABLE}={mark}".encode()
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if not name.isdigit() or int(name) == os.getpid():
            continue
        marked = wanted in _content(name, "environ").split(b"\0")
        if marked or (_content(name, "cmdline").startswith(b"ray::") and _uses(name, folder)):
            yield int(name)


def _content(pid: str, name: str) -> bytes:
    try:
        return Path("/proc", pid, name).read_bytes()
    except OSError:
        return b""


def _uses(pid: str, folder: Path) -> bool:
    try:
        return any(
            os.readlink(entry.path).startswith(f"{folder}/")
            for entry in os.scandir(f"/proc/{pid}/fd")
        )
    except OSError:
        return False


class _Ended(Exception):
    """SIGTERM came."""


def _on_term(signum: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the four; returns the exit code."""
    parser = argparse.ArgumentParser(prog="cluster.launch.node", description=__doc__)
    forms = parser.add_subparsers(dest="form", required=True)
    form = forms.add_parser("address")
    form.add_argument("name", nargs="?", default="")
    form = forms.add_parser("start")
    form.add_argument("address")
    form.add_argument("mark")
    form.add_argument("--head", action="store_true")
    form.add_argument("--cpus", type=int)
    form.add_argument("--gpus", type=int)
    form = forms.add_parser("wait")
    form.add_argument("address")
    form.add_argument("nodes", type=int)
    form.add_argument("seconds", type=float)
    form = forms.add_parser("end")
    form.add_argument("mark")
    args = parser.parse_args(arguments)
    if args.form == "address":
        print(own_address(args.name))
    elif args.form == "start":
        signal.signal(signal.SIGTERM, _on_term)
        return start(args.address, args.mark, head=args.head, cpus=args.cpus, gpus=args.gpus)
    elif args.form == "wait":
        try:
            up = wait(args.address, args.nodes, args.seconds)
        except ClusterError as error:
            print(f"trm: error: {error}", file=sys.stderr, flush=True)
            return 2
        print(f"trm: {up} of {args.nodes} nodes are up", flush=True)
        return 0 if up else 1
    else:
        end(args.mark)
    return 0


if __name__ == "__main__":
    sys.exit(main())
