"""How many threads each trial of a sweep on CPUs has: one number a stage, which a trial keeps."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ray.exceptions import RayError

from cluster.resources import Share
from cluster.threads import (
    ThreadPace,
    memory_share,
    places,
    threads_for,
)
from search.config.plan import Plan
from search.engine.nodes import nodes_up
from search.engine.packing.pacer import Pacer
from search.engine.packing.packer import Subject
from search.engine.packing.packings import Packings
from search.engine.packing.worth import are_said, long_enough, to_measure
from search.ledger.trial import Trial
from search.logs.console import warn
from trm.blame import blame

Resources = Mapping[str, float]


@dataclass
class Threads:
    """Threads of the attempts of one execution.

    The trials of a stage have the same number, also after a resume, and a trial keeps what it was
    begun with: its results depend on it bit for bit.

    Attributes:
        pace: what was measured.
        share: what a trial gets with one thread.
        parallel: trials at once, at most.
        waiting: trials that could start now besides the one that does.
        trials: of the run, by id.
        nodes: resources of each node that is up.
        decides: whether trials have what is found here; else as the file says.
        runs: trials of a stage that count as one batch however few of them begin at first.
        changed: called when the number is another one than before.
        now: the number of the trials begun last.
    """

    pace: ThreadPace
    share: Share
    parallel: int
    waiting: Callable[[], int]
    trials: Mapping[int, Trial]
    nodes: Callable[[], Sequence[Resources]]
    decides: bool = True
    runs: Mapping[str, int] = field(default_factory=dict)
    changed: Callable[[], None] = lambda: None
    now: int = 0
    _stages: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.now = self.now or self.share.cpus

    def of(self, trial: Trial) -> int:
        """Threads of an attempt that begins; no more than a node has cores."""
        found = trial.threads
        if found is None:
            if trial.stage not in self._stages:
                self._stages[trial.stage] = self._of_stage(trial.stage)
            found = self._stages[trial.stage]
        found = max(min(found, self.most()), 1)
        if found != self.now:
            self.now = found
            self.changed()
        return found

    def most(self) -> int:
        """Cores of the largest node."""
        return int(max((node.get("CPU", 0.0) for node in self.nodes()), default=0.0))

    def room(self) -> int:
        """Trials that the nodes hold, each with as many threads as the one begun last."""
        return places(self.nodes(), replace(self.share, cpus=self.now))

    def _of_stage(self, stage: str) -> int:
        same = (trial.threads for trial in self.trials.values() if trial.stage == stage)
        if (before := next(filter(None, same), None)) is not None:
            return before
        at_once = min(self.parallel, max(self.waiting() + 1, self.runs.get(stage, 0)))
        return threads_for(self.pace, self.nodes(), self.share, at_once)


def threads_of(
    plan: Plan,
    subject: Subject,
    known: Packings,
    share: Share,
    parallel: int | None,
    waiting: Callable[[], int],
    trials: Mapping[int, Trial],
    say: Callable[[str], None],
) -> Threads | None:
    """Threads and memory of a run's trials, measured if they are not known; None if not needed.

    Args:
        subject: what a probe is for.
        known: what was found before.
        share: what a trial gets with one thread.
        parallel: trials at once at most, if somebody has said it.
        waiting: trials that could start now.
        trials: of the run, by id.
        say: is told a line once something is known.
    """
    nodes = nodes_up()
    pace = _pace(plan, subject, known, share, nodes, parallel, say)
    if pace is None:
        return None
    own = replace(share, memory=memory_share(pace, [node["Resources"] for node in nodes]))
    # The reference recipe's may begin one by one, beside the last trials of another stage.
    promised = 2 * plan.sections.stability.promise_seeds
    return Threads(
        pace, own, parallel or sys.maxsize, waiting, trials, resources_up,
        decides=not are_said(plan), runs={"promise": promised, "reference": promised},
    )  # fmt: skip


def _pace(
    plan: Plan,
    subject: Subject,
    known: Packings,
    share: Share,
    nodes: Sequence[Mapping[str, Any]],
    parallel: int | None,
    say: Callable[[str], None],
) -> ThreadPace | None:
    resources = [node["Resources"] for node in nodes]
    most = to_measure(plan, share, resources, parallel)
    if not most or not long_enough(subject.flops, subject.trials):
        return None
    largest = max(nodes, key=lambda node: float(node["Resources"].get("CPU", 0.0)))
    cores = int(largest["Resources"]["CPU"])
    at_once = max(min(subject.trials, places(resources, share)), 1)
    try:
        return Pacer(subject, known, say).pace(largest["NodeID"], cores, most, at_once)
    except (RayError, OSError) as error:
        warn(
            f"node {largest['NodeManagerHostname']}: what trials gain by threads could not be "
            f"measured ({blame(error).words[:200]}): each has one; train.threads says it"
        )
        return None


def resources_up() -> list[Resources]:
    """Of each node of the connected Ray."""
    return [node["Resources"] for node in nodes_up()]
