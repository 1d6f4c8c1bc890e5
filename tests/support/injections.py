"""A sweep in a laboratory, faults that are injected into it, and the table of what they cost."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.config.plan import Plan, write_plan
from search.ledger.ledger import Ledger
from tests.support.killable import tree
from tests.support.laboratory import Laboratory, until
from tests.support.namespaces import Machine
from tests.support.planned import planned
from tests.support.told import Listener, Told, lost, lost_trials

PACE = 2.0
"""Seconds that a mark takes."""
PATIENCE = 120.0
"""Seconds within which a sweep has to recover from any fault."""


@dataclass(frozen=True)
class Injection:
    """One fault, and what it cost.

    Attributes:
        lost: records that the driver had acknowledged and the ledger does not have.
        ended: trials that ended by it.
        repeated: seconds of work that were done again.
        recovery: seconds until all that it hit was at work again, and had reported.
    """

    fault: str
    lost: int
    ended: int
    repeated: float
    recovery: float


def table(injections: Collection[Injection]) -> str:
    """What every fault cost, in Markdown."""
    lines = [
        "| fault | times | acknowledged lost | trials lost | work repeated, s: median, max "
        "| time to recover, s: median, max |",
        "|---|---|---|---|---|---|",
    ]
    for fault in dict.fromkeys(one.fault for one in injections):
        mine = [one for one in injections if one.fault == fault]
        repeated, recovery = [m.repeated for m in mine], [m.recovery for m in mine]
        lines.append(
            f"| {fault} | {len(mine)} | {sum(m.lost for m in mine)} "
            f"| {sum(m.ended for m in mine)} "
            f"| {statistics.median(repeated):.1f}, {max(repeated):.1f} "
            f"| {statistics.median(recovery):.1f}, {max(recovery):.1f} |"
        )
    return "\n".join(lines)


@dataclass
class Sweep:
    """A sweep of toy trainings whose driver runs on the head.

    Attributes:
        told: what the driver says.
    """

    lab: Laboratory
    folder: Path
    plan: Plan
    told: Listener
    injections: list[Injection]
    driver: subprocess.Popen[bytes] | None = None
    _known_lost: int = 0
    _known_ended: int = 0

    def drive(self) -> None:
        """Start the driver, or start it anew."""
        file = self.lab.folder / f"told-{self.folder.parent.name}"
        words = [sys.executable, "-m", "tests.support.lab_driver", str(self.folder), str(file)]
        log = self.lab.folder / f"driver-{self.folder.parent.name}.log"
        self.driver = self.lab.run("lab1", *words, self.lab.address, log=log)

    @property
    def pid(self) -> int:
        """The driver's process, as this machine numbers it."""
        own = next(one["pid"] for one in reversed(self.told.listen()) if one["k"] == "driver")
        found = self.lab.machines["lab1"].numbered(own)
        assert found is not None, "the driver has ended"
        return found

    def until(self, true: Any, what: str, seconds: float = PATIENCE) -> None:
        """Wait until something holds, as long as the driver lives."""

        def holds() -> bool:
            assert self.driver is not None
            code = self.driver.poll()
            assert code is None, f"the driver ended with {code}: {self.said()}"
            return bool(true())

        until(holds, seconds, f"{what}; {self.lab.folder}")

    def said(self) -> str:
        """The end of what the driver printed."""
        path = self.lab.folder / f"driver-{self.folder.parent.name}.log"
        return path.read_text(errors="replace")[-3000:]

    def busy(self, count: int) -> None:
        """Wait until so many trials run, each for a moment already."""

        def running() -> bool:
            live = self.told.live().values()
            return sum(float(one["when"]) < time.time() - 0.3 for one in live) >= count

        self.until(running, f"{count} trials run")

    def victim(self) -> tuple[Machine, Told]:
        """A machine with a trial at work, and the `started` of that; another one every time."""
        self.busy(2)
        live = sorted(self.told.live().values(), key=lambda one: float(one["when"]))
        one = live[len(self.injections) % len(live)]
        return self.lab.machines[one["worker"].partition(":")[0]], one

    def on(self, machine: Machine) -> dict[int, Told]:
        """The attempts that run on a machine."""
        live = self.told.live().items()
        return {n: one for n, one in live if one["worker"].partition(":")[0] == machine.name}

    def reports(self, since: float) -> bool:
        """Whether anything was reported since a moment."""
        return any(one["k"] == "row" and one["when"] > since for one in self.told.listen())

    def heard_of(self, trial: int, since: float) -> bool:
        """Whether a trial has reported since a moment, or runs no more."""
        mine = (o for o in self.told.listen() if o.get("t") == trial and o["when"] > since)
        return any(o["k"] == "row" for o in mine) or trial not in self.told.live()

    def again(self, hit: dict[int, Told], since: float) -> bool:
        """Whether those that were hit have reported in a later attempt.

        What was on its way counts as said: then a trial needs no later one.
        """
        for number, old in hit.items():
            mine = [o for o in self.told.listen() if o.get("t") == number and o["when"] > since]
            anew = [o for o in mine if o["k"] == "row" and o["attempt"] > old["attempt"]]
            if not anew and not any(o["k"] in ("pause", "end") for o in mine):
                return False
        return True

    @contextmanager
    def injecting(self, fault: str) -> Iterator[Clock]:
        """Inject a fault within and wait for the recovery; then it is looked at what it cost."""
        clock = Clock()
        yield clock
        recovery = time.time() - clock.over
        self.count(fault, clock, recovery)

    def count(self, fault: str, clock: Clock, recovery: float) -> None:
        """Compare what was acknowledged with the ledger, and write the fault down."""
        told = list(self.told.listen())
        missing, ended = lost(told, self.folder), lost_trials(told)
        cut = [one for one in told if one["k"] == "preempted" and one["when"] > clock.begun]
        repeated = clock.repeated + sum(
            float(one["repeated"])
            if clock.unheard
            else self.told.since_work(one["t"], clock.begun, one["attempt"])
            for one in cut
        )
        found = Injection(
            fault, len(missing) - self._known_lost, len(ended) - self._known_ended,
            repeated, recovery,
        )  # fmt: skip
        self._known_lost, self._known_ended = len(missing), len(ended)
        self.injections.append(found)
        print(f"{time.strftime('%H:%M:%S')} {found}", flush=True)
        assert not missing, missing
        assert not ended, [one for one in told if one["k"] == "end" and one["t"] in ended]

    def unacknowledged(self, live: Mapping[int, Told]) -> float:
        """Seconds of work that attempts have done and not reported."""
        now = time.time()
        return sum(self.told.since_work(n, now, one["attempt"]) for n, one in live.items())

    def kill_driver(self) -> float:
        """SIGKILL; says how much work it leaves unacknowledged, in seconds."""
        pid, live = self.pid, self.told.live()
        os.kill(pid, signal.SIGKILL)
        assert self.driver is not None
        self.driver.wait(20)
        return self.unacknowledged(live)

    def finish(self) -> None:
        """Let it run to its end without faults or sleep."""
        (self.folder.parent / "pace").unlink()
        assert self.driver is not None
        code = self.driver.wait(240)
        assert code == 0, self.said()


@contextmanager
def sweeping(
    lab: Laboratory, name: str, trials: int, injections: list[Injection]
) -> Iterator[Sweep]:
    """Start a sweep in a folder of its own; at the end its driver is gone, however it fared."""
    file = tree("halving", trials, pause=1)
    file["train"]["reports"] = 8
    file["search"]["sampler"] = "random"
    group = lab.folder / "disk" / name
    group.mkdir()
    (group / "pace").write_text(str(PACE))
    plan, folder = planned(file), group / "run"
    folder.mkdir()
    with Ledger.create(folder):
        pass
    write_plan(folder, plan)
    sweep = Sweep(lab, folder, plan, Listener(lab.folder / f"told-{name}"), injections)
    sweep.drive()
    try:
        yield sweep
    finally:
        if sweep.driver is not None and sweep.driver.poll() is None:
            with suppress(AssertionError, StopIteration):  # it is not there, or not yet
                sweep.kill_driver()


@dataclass
class Clock:
    """
    Attributes:
        begun: when the fault began.
        over: when the recovery could begin: where the fault passes, when it has.
        repeated: seconds of work to be done again of which no record tells.
        unheard: whether work went on during the fault, and was done in vain.
    """

    begun: float = field(default_factory=time.time)
    over: float = field(default_factory=time.time)
    repeated: float = 0.0
    unheard: bool = False

    def passed(self) -> None:
        """The fault is over."""
        self.over = time.time()
