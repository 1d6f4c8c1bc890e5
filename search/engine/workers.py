"""Worker processes: who they are, and what Ray's words say of why one is gone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from search.ledger.attempts import Cause

_MEMORY = re.compile("low on memory|OutOfMemory")
_NODE = re.compile(
    r"\bnode\b.{0,40}\b(died|dead|lost|removed|terminated|preempted)|NodeDied|raylet"
    r"|owner (has )?died|drain",
    re.IGNORECASE,
)
_KILLED_FOR_MEMORY = re.compile(r"pid=(\d+), actual memory used=([\d.]+)GB")


@dataclass(frozen=True)
class Worker:
    """A worker process, as it introduced itself.

    Attributes:
        host: its machine's name.
        pid: its process.
        node: Ray's id of the node.
    """

    host: str = ""
    pid: int = 0
    node: str = ""


def cause_of_death(reason: str) -> Cause:
    """Why a worker died, by what Ray says of it.

    >>> cause_of_death("The actor is dead because its node has died. Node Id: ab")
    'node'
    >>> cause_of_death("Worker exit type: SYSTEM_ERROR Worker exit detail: End of file")
    'worker'
    """
    if _MEMORY.search(reason):
        return "memory"
    return "node" if _NODE.search(reason) else "worker"


def hungriest(reason: str, attempts: Iterable[str], pids: Mapping[str, int]) -> str | None:
    """The attempt with the most memory among those that Ray's memory monitor killed.

    It kills the neighbours of a worker that takes too much along with it (ray 2.60); they must
    not be given up for that.

    Args:
        pids: of attempts.
    """
    used = {int(pid): float(memory) for pid, memory in _KILLED_FOR_MEMORY.findall(reason)}
    killed = [name for name in attempts if pids.get(name) in used]
    return max(killed, key=lambda name: used[pids[name]], default=None)
