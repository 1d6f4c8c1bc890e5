"""Nodes that were lost, and whether one trial alone loses them.

Machines are taken away, and no number of them says anything of the trials that were there: a trial
that needs hours to its next report may lose many. What tells is that a trial's nodes are lost one
after another while those of all others live on, and others report meanwhile.
"""

from __future__ import annotations

ALONE = 8
"""Nodes that a trial loses in a row, and nobody else any, after which it is given up."""


class NodeLosses:
    """The nodes that were lost under one driver, in order.

    >>> losses = NodeLosses()
    >>> for node in range(ALONE):
    ...     losses.lost(7, f"node {node}")
    ...     losses.report(3)
    >>> losses.alone(7)
    True
    >>> losses.lost(3, "another node")
    >>> losses.alone(7)
    False
    """

    def __init__(self) -> None:
        self._trials: dict[str, set[int]] = {}
        self._calm: set[str] = set()

    def lost(self, trial: int, node: str) -> None:
        """A trial lost a node; who shared it loses it too."""
        if node:
            self._trials.setdefault(node, set()).add(trial)

    def report(self, trial: int) -> None:
        """A trial reported something new: what it lost before is void."""
        if self._trials:
            newest = next(reversed(self._trials))
            if trial not in self._trials[newest]:
                self._calm.add(newest)
            for trials in self._trials.values():
                trials.discard(trial)

    def alone(self, trial: int) -> bool:
        """Whether it lost so many in a row, and others fared well after each of them."""
        calm = 0
        for node in reversed(self._trials):
            if trial not in self._trials[node]:
                break
            calm += node in self._calm
        return calm >= ALONE
