"""Whether a trial or a node is to blame for attempts that end without ending their trial.

One cannot tell from one fault alone: a kernel that a config breaks and a device that is broken say
the same. So a trial that met a fault runs again after others did. A node is bad after several
faults in a row, whoever met them; a trial is at fault if the same nodes served other trials while
it met its own. What died with its node is nobody's fault.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import takewhile

from search.engine.attempts.losses import NodeLosses
from search.engine.workers import Worker
from search.ledger.attempts import Attempt, Cause
from search.ledger.trial import Trial
from search.logs.console import warn

IN_A_ROW = 4
"""Faults without a report between them: a node then gets no more trials, and a trial is given up
if others have fared well where it did not."""
EVERYWHERE = 8
"""Faults of a trial in a row, over all drivers, after which it is given up whatever others did."""
MAX_DEATHS = 3
"""Times that a trial's worker may be ended for memory in a row, without a report in between."""
LOST_FIRST = 2
"""Times in a row that a trial whose node was lost runs before others; then its node may be lost
for what it does."""

SENT_AWAY = "its node gets no trials"
DIED_IDLE = "its worker had died before, at no trial's work"
"""Why attempts ended that had not begun to train: nobody's fault."""

_FAULTS: tuple[Cause, ...] = ("worker", "machine")


class Guilt:
    """Counts the faults of trials and nodes; plain Python, told by the engine.

    Args:
        attempts: those on record: what a trial met under earlier drivers counts.
        gone: whether a node that was up is not any more.
    """

    def __init__(
        self,
        attempts: Mapping[int, Sequence[Attempt]],
        gone: Callable[[str], bool] = lambda node: False,
    ) -> None:
        self._attempts = attempts
        self._gone = gone
        self._faults: dict[int, list[str]] = {}
        self._lost: dict[int, int] = {}
        self._memory: Counter[int] = Counter()
        self._places: dict[int, set[str]] = defaultdict(set)
        self._served: set[int] = set()
        self._nodes: dict[str, int] = defaultdict(int)
        self._struck: dict[str, int] = {}
        self._losses = NodeLosses()
        self.bad: set[str] = set()

    def report(self, trial: Trial, node: str) -> None:
        """A trial reported something new from a node."""
        self._nodes.pop(node, None)
        self._faults[trial.id] = []
        self._lost[trial.id] = 0
        self._memory.pop(trial.id, None)
        self._places.pop(trial.id, None)
        self._losses.report(trial.id)
        self._served.discard(trial.id)
        self._served.update(other for other, nodes in self._places.items() if node in nodes)

    def fault(
        self,
        trial: Trial,
        node: str,
        cause: Cause,
        order: tuple[int, int] = (0, 0),
        *,
        of_node: bool = True,
    ) -> bool:
        """An attempt met a fault, which is not on record yet; whether its node became bad by it.

        Args:
            node: empty if it is not known: then nobody but the trial is counted against.
            order: how many attempts had begun before it, and how many have by now.
            of_node: whether the node may be at fault.
        """
        # A process that ends may be the first that is heard of its node's end.
        self._known_faults(trial).append(node if cause == "worker" else "")
        if not node:
            return False
        self._places[trial.id].add(node)
        if not of_node:
            return False
        if cause == "worker":
            # All processes of a node end at once when it does, and Ray may hear of them first.
            if order[0] < self._struck.get(node, 0):
                return False
            self._struck[node] = order[1]
        self._nodes[node] += 1
        if self._nodes[node] < IN_A_ROW or node in self.bad:
            return False
        self.bad.add(node)
        return True

    def loss(self, trial: Trial, node: str) -> None:
        """An attempt's node was lost, which is not on record yet."""
        self._lost[trial.id] = self.losses(trial) + 1
        self._losses.lost(trial.id, node)

    def memory(self, trial: Trial) -> bool:
        """A worker was ended for its trial's memory; whether that was once too often."""
        self._memory[trial.id] += 1
        return self._memory[trial.id] > MAX_DEATHS

    def faults(self, trial: Trial) -> int:
        """Faults of a trial since its last report, those under earlier drivers included."""
        return len(self._known_faults(trial))

    def losses(self, trial: Trial) -> int:
        """Nodes that a trial lost since its last report, those under earlier drivers included."""
        if trial.id not in self._lost:
            self._lost[trial.id] = self._on_record(trial).count("node")
        return self._lost[trial.id]

    def waits(self, trial: Trial, cause: Cause) -> bool:
        """Whether others go before a trial that such a thing happened to last."""
        allowed = LOST_FIRST if cause == "node" else 1
        return self.faults(trial) + self.losses(trial) > allowed

    def suspects(self, trial: Trial) -> bool:
        """Whether what a trial met last may be its own doing: then it runs by itself."""
        return self._memory[trial.id] > 0 or self.faults(trial) + self.losses(trial) > 1

    def guilty(self, trial: Trial) -> bool:
        """Whether the trial's faults are its own."""
        known = self._known_faults(trial)
        if len(known) < IN_A_ROW:
            return False
        known[:] = [node for node in known if not self._gone(node)]
        return len(known) >= EVERYWHERE or (len(known) >= IN_A_ROW and trial.id in self._served)

    def loses_nodes(self, trial: Trial) -> bool:
        """Whether nodes are lost for what the trial does there."""
        return self._losses.alone(trial.id)

    def _known_faults(self, trial: Trial) -> list[str]:
        if trial.id not in self._faults:
            own = self._on_record(trial)
            self._faults[trial.id] = [""] * sum(cause in _FAULTS for cause in own)
        return self._faults[trial.id]

    def _on_record(self, trial: Trial) -> list[Cause]:
        """What a trial met since its last report, the last thing first."""
        known = reversed(self._attempts.get(trial.id, ()))
        own = takewhile(
            lambda one: one.mark == trial.mark and one.cause in (*_FAULTS, "node"), known
        )
        return [one.cause for one in own if one.reason not in (SENT_AWAY, DIED_IDLE)]


class NoNodeError(RuntimeError):
    """Every node was left out for its faults; nothing is lost.

    >>> raise NoNodeError("no node is left")
    Traceback (most recent call last):
    search.engine.attempts.guilt.NoNodeError: no node is left
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
