"""Whether a trial or a node is to blame for attempts that end without ending their trial.

One cannot tell from one fault alone: a kernel that a config breaks and a device that is broken say
the same. So a trial that met a fault runs again after others did. A node is bad after several
faults in a row, whoever met them; a trial is at fault if the same nodes served other trials while
it met its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import takewhile

from search.engine.workers import Worker
from search.ledger.attempts import Attempt
from search.ledger.trial import Trial
from search.logs.console import warn

IN_A_ROW = 4
"""Faults without a report between them: a node then gets no more trials, and a trial is given up
if others have fared well where it did not."""
EVERYWHERE = 8
"""Faults of a trial in a row, over all drivers, after which it is given up whatever others did."""

_FAULTS = ("worker", "machine", "node")


class Guilt:
    """Counts the faults of trials and nodes; plain Python, told by the engine.

    Args:
        attempts: those on record: what a trial met under earlier drivers counts.
    """

    def __init__(self, attempts: Mapping[int, Sequence[Attempt]]) -> None:
        self._attempts = attempts
        self._trials: dict[int, int] = {}
        self._places: dict[int, set[str]] = defaultdict(set)
        self._served: set[int] = set()
        self._nodes: dict[str, int] = defaultdict(int)
        self.bad: set[str] = set()

    def report(self, trial: Trial, node: str) -> None:
        """A trial reported something new from a node."""
        self._nodes.pop(node, None)
        self._trials[trial.id] = 0
        self._places.pop(trial.id, None)
        self._served.discard(trial.id)
        self._served.update(other for other, nodes in self._places.items() if node in nodes)

    def fault(self, trial: Trial, node: str, *, of_node: bool = True) -> bool:
        """An attempt met a fault, which is not on record yet; whether its node became bad by it.

        Args:
            node: empty if it is not known: then nobody but the trial is counted against.
            of_node: whether the node may be at fault.
        """
        self._trials[trial.id] = self.faults(trial) + 1
        if not node:
            return False
        self._places[trial.id].add(node)
        if not of_node:
            return False
        self._nodes[node] += 1
        if self._nodes[node] < IN_A_ROW or node in self.bad:
            return False
        self.bad.add(node)
        return True

    def faults(self, trial: Trial) -> int:
        """Faults of a trial since its last report, those under earlier drivers included."""
        if trial.id not in self._trials:
            known = reversed(self._attempts.get(trial.id, ()))
            own = takewhile(lambda one: one.mark == trial.mark and one.cause in _FAULTS, known)
            self._trials[trial.id] = sum(1 for _ in own)
        return self._trials[trial.id]

    def guilty(self, trial: Trial) -> bool:
        """Whether the trial's faults are its own."""
        faults = self.faults(trial)
        return faults >= EVERYWHERE or (faults >= IN_A_ROW and trial.id in self._served)


class NoNodeError(RuntimeError):
    """Every node was left out for its faults; nothing is lost.

    >>> raise NoNodeError("no node is left")
    Traceback (most recent call last):
    search.engine.guilt.NoNodeError: no node is left
    """


def leave_out(worker: Worker, reason: str, others: Collection[str]) -> None:
    """Say that a node gets no more trials.

    Args:
        worker: the last one that met a fault there.
        others: nodes that can take its trials.

    Raises:
        NoNodeError: there are none.
    """
    line = (
        f"node {worker.host or worker.node}: {IN_A_ROW} faults in a row, the last: {reason[:300]}"
    )
    if others:
        warn(f"{line}; it gets no more trials, which go on elsewhere")
        return
    raise NoNodeError(
        f"{line}; no other node is left, and no trial is given up for it: mend the machine, and "
        "resume"
    )
