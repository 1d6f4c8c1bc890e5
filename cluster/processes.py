"""One command as several processes at once on a Ray cluster, with the variables torchrun sets.

All of them run in one placement group, so that none waits for another while holding a device.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.errors import ClusterError

_PATIENCE = 10.0
"""Seconds of waiting for room before a person is told."""
_LOOK = 0.25
"""Seconds between two looks at the processes."""
BEREFT = 3
"""The exit code of a process that has ended because another one had."""
_DEATH_SIGNAL = 1
"""`PR_SET_PDEATHSIG` of prctl(2)."""


@dataclass(frozen=True)
class End:
    """How the processes came to their end.

    Attributes:
        code: the first one's exit code; None if it is not known, as its worker is gone.
        lost: which other process failed, and how, in words; empty if none did.
    """

    code: int | None
    lost: str = ""


class Process:
    """One of the processes, in a Ray worker of its own, with which it dies."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115
        self._read = [0, 0]

    def where(self) -> tuple[str, str, int]:
        """This machine's name and address, and a port that is free there."""
        import ray

        address: str = ray.util.get_node_ip_address()
        with socket.create_server((address, 0)) as free:
            return socket.gethostname(), address, free.getsockname()[1]

    def begin(
        self, words: list[str], variables: dict[str, str], files: dict[str, str], folder: str
    ) -> None:
        """Start `python WORDS`; `{name}` in a word stands for the path of that file.

        Args:
            files: texts of files that it is to find, by name.
            folder: its working directory, where there is one of that name.
        """
        home = Path(tempfile.mkdtemp(prefix="trm-process-"))
        for name, text in files.items():
            (home / name).write_text(text, encoding="utf-8")
            words = [word.replace(f"{{{name}}}", str(home / name)) for word in words]
        self._child = subprocess.Popen(
            [sys.executable, "-P", *words],
            env={**os.environ, **variables},
            cwd=folder if os.path.isdir(folder) else home,
            stdin=subprocess.DEVNULL,
            stdout=self._files[0],
            stderr=self._files[1],
            preexec_fn=_ends_with_parent if sys.platform == "linux" else None,
        )

    def news(self) -> tuple[str, str, int | None]:
        """What it has written since, and its exit code once it has ended."""
        assert self._child is not None
        code = self._child.poll()
        texts = []
        for index, file in enumerate(self._files):
            # Not by the file's own position, which is the child's too.
            found = os.pread(file.fileno(), 1 << 20, self._read[index])
            end = len(found) if code is not None else found.rfind(b"\n") + 1
            self._read[index] += end
            texts.append(found[:end].decode(errors="replace"))
        return texts[0], texts[1], code

    def stop(self) -> None:
        """Ask it to stop, as a job's queue does."""
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()


def _ends_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGTERM)


def run_together(
    words: Sequence[str],
    size: int,
    *,
    resources: Mapping[str, float],
    files: Mapping[str, str],
    out: Callable[[str], None],
    err: Callable[[str], None],
    say: Callable[[str], None],
    stop: threading.Event,
) -> End:
    """Run `python WORDS` as `size` processes of the cluster that this process is connected to.

    Args:
        resources: of Ray's, that each of them has.
        files: as in `Process.begin`.
        out: is told what the first one writes, line by line as it comes; of the others nothing.
        err: the same for its errors.
        say: is told when there is no room yet.
        stop: once set, the first one is asked to stop.

    Raises:
        ClusterError: the cluster can never hold them.
    """
    import ray
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    with _room(size, resources, say, stop) as group:
        if group is None:
            return End(128 + signal.SIGTERM)
        actors = [
            ray.remote(Process)
            .options(
                num_cpus=resources.get("CPU", 0),
                num_gpus=resources.get("GPU", 0),
                max_restarts=0,
                scheduling_strategy=PlacementGroupSchedulingStrategy(
                    group, placement_group_bundle_index=rank
                ),
            )
            .remote()
            for rank in range(size)
        ]
        places = ray.get([actor.where.remote() for actor in actors])
        _, address, port = places[0]
        for rank, actor in enumerate(actors):
            variables = {
                "RANK": str(rank), "LOCAL_RANK": _local(places, rank, resources),
                "WORLD_SIZE": str(size), "MASTER_ADDR": address, "MASTER_PORT": str(port),
            }  # fmt: skip
            ray.get(actor.begin.remote([*words], variables, {**files}, os.getcwd()))
        return _watched(actors, [name for name, _, _ in places], out, err, stop)


def _local(
    places: Sequence[tuple[str, str, int]], rank: int, resources: Mapping[str, float]
) -> str:
    """Its number on its machine, by which it chooses a GPU; Ray shows each worker its own alone."""
    if resources.get("GPU"):
        return "0"
    return str([address for _, address, _ in places[:rank]].count(places[rank][1]))


@contextmanager
def _room(
    size: int, resources: Mapping[str, float], say: Callable[[str], None], stop: threading.Event
) -> Iterator[Any]:
    """A placement group for all of them; None if they are to stop before there is room."""
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group

    whole = ray.cluster_resources()
    for name, each in resources.items():
        if whole.get(name, 0.0) < each * size:
            raise ClusterError(
                f"{size} processes need {each * size:g} {name}, and the cluster has "
                f"{whole.get(name, 0.0):g}: use fewer processes or another cluster"
            )
    group = placement_group([dict(resources)] * size, strategy="PACK")
    begun, told = time.monotonic(), False
    try:
        while not group.wait(1.0):
            if stop.is_set():
                yield None
                return
            if not told and time.monotonic() - begun > _PATIENCE:
                told = True
                needs = ", ".join(f"{each:g} {name}" for name, each in resources.items())
                say(f"waiting for room on the cluster: {size} times {needs} at once")
        yield group
    finally:
        remove_placement_group(group)


def _watched(
    actors: Sequence[Any],
    names: Sequence[str],
    out: Callable[[str], None],
    err: Callable[[str], None],
    stop: threading.Event,
) -> End:
    """Pass on what the first one writes until it, or any of the others, has ended."""
    import ray
    from ray.exceptions import RayError

    lost, asked = "", False
    while True:
        if stop.is_set() and not asked:
            asked = True
            actors[0].stop.remote()
        try:
            said, wrong, code = ray.get(actors[0].news.remote())
        except RayError:
            return End(None, f"process 1 of {len(actors)} on {names[0]} was lost with its worker")
        for text, tell in ((said, out), (wrong, err)):
            for line in text.splitlines():
                tell(line)
        # Why the first one ended may be that another had.
        lost = lost or _lost(actors, names)
        if code is not None:
            return End(code, lost)
        time.sleep(_LOOK)


def _lost(actors: Sequence[Any], names: Sequence[str]) -> str:
    import ray
    from ray.exceptions import RayError

    for index, actor in enumerate(actors[1:], start=1):
        number = f"process {index + 1} of {len(actors)} on {names[index]}"
        try:
            _, wrong, code = ray.get(actor.news.remote())
        except RayError:
            return f"{number} was lost with its worker"
        if code not in (None, 0, BEREFT):
            how = f"ended with code {code}" if code > 0 else f"was killed by signal {-code}"
            last = next((line for line in reversed(wrong.splitlines()) if line.strip()), "")
            return f"{number} {how}{last and f': {last.strip()[:300]}'}"
    return ""
