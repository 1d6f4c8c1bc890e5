"""A source's trials of a run folder on a cluster, with the folder's logs, clock and a display."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from cluster.admission import admission
from cluster.connect import ClusterError, connected
from cluster.demand import Demand, autoscales
from cluster.mps import require_mps
from cluster.resources import Share, cores, shared, worker_environment
from search.config.plan import Plan
from search.config.sections import ClusterConfig
from search.config.share import share_of
from search.engine.changed_code import warn_of_changed_code
from search.engine.events import Broadcast, Events
from search.engine.node_probe import RayProber, probing
from search.engine.nodes import Nodes, nodes_up
from search.engine.packing.packer import Packer, Subject, subject_of
from search.engine.packing.packings import Packings
from search.engine.packing.threads import Threads, resources_up, threads_of
from search.engine.possible import require_possible
from search.engine.ray_tune import run_trials
from search.engine.roll_call import RollCall
from search.engine.source import FixedTrials, TrialSource
from search.engine.stacks.choice import Stacking
from search.ledger.ledger import Ledger
from search.ledger.trial import Trial
from search.ledger.wall_clock import WallClock
from search.logs.console import warn
from search.logs.deciding import decides
from search.logs.driver_log import driver_log
from search.logs.kept_text import SECRETS_VARIABLE
from search.logs.terminal import SweepDisplay
from search.logs.trial_log import live_logs
from trm.errors import UserError
from trm.files.presence import Presence

JOIN_SECONDS = 20.0
"""That a cluster has, where no node holds a trial, for one to join before that is an error."""


@dataclass(frozen=True)
class Runner:
    """Where trials run and who watches.

    Attributes:
        address: a Ray cluster that is up; None takes the file's.
        parallel: trials at once, at most; None takes the file's, or what the cluster has room for.
        display: shows progress.
        factory: `module:callable` that makes trainers, in place of the TRM trainer.
        path: folders in which workers also look for modules; None is the working directory.
    """

    address: str | None = None
    parallel: int | None = None
    display: SweepDisplay = field(default_factory=lambda: SweepDisplay(quiet=True))
    factory: str | None = None
    path: Sequence[str] | None = None

    def with_folders(self, folders: Sequence[Path]) -> Runner:
        """The same, with folders in which workers look for plug-ins unless it names its own."""
        if self.path is not None or not folders:
            return self
        return replace(self, path=[str(path) for path in folders])

    def check(self, section: ClusterConfig, threads: int) -> None:
        """
        Args:
            threads: of a training.

        Raises:
            UserError: nobody answers at the address, or trials could never run there.
        """
        address = self.address or section.address
        if section.mps:
            try:
                require_mps(address)
            except ClusterError as error:
                raise UserError("cluster.mps", True, str(error)) from error
        if address is not None:
            try:
                require_possible(section, threads, address, admission(address).nodes)
            except ClusterError as error:
                raise UserError(str(error)) from error


@dataclass(frozen=True)
class Driver:
    """Runs sources of trials while the logs of their run folder are open.

    Attributes:
        clock: the wall time of the run folder, which counts on.
        share: what each trial gets, as far as it is known before the cluster is.
        parallel: trials at once at most, as far as somebody has said it; None takes what the
            cluster has room for.
        presence: says that it is at work.
        note: writes a line into the log of this driver.
    """

    plan: Plan
    ledger: Ledger
    runner: Runner
    clock: WallClock
    logs: Sequence[Events]
    share: Share
    parallel: int | None
    presence: Presence
    note: Callable[[str], None]

    def run(
        self,
        source: TrialSource,
        *,
        resized: Callable[[int, Share], None] = lambda at_once, share: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Run a source's trials until it is exhausted.

        Args:
            resized: told how many trials run at once and what each has, once the cluster is there
                and whenever that changes.
            stop: asked about ten times a second; once true, the workers are stopped and the call
                returns. Unfinished trials stay unfinished.

        Raises:
            UserError: no node holds a trial, or every one lacks a plug-in, the run folder or our
                package.
            KeyboardInterrupt: stopped by the user; the same call goes on.
        """
        plan, ledger, runner = self.plan, self.ledger, self.runner
        warn_of_changed_code(plan.default.modules, ledger.trials.values())

        def told(at_once: int, share: Share) -> None:
            if threads is not None:  # the nodes count trials of one thread
                at_once, share = min(at_once, threads.room()), replace(share, cpus=threads.now)
            runner.display.at_once = at_once
            self.presence.tell(parallel=at_once, share=asdict(share))
            resized(at_once, share)

        def tick() -> bool:
            self.clock.tick()
            return stop()

        with connected(
            runner.address or plan.sections.cluster.address,
            cpus=max(cores(), self.share.cpus),
            environment={
                **worker_environment(self.share),
                SECRETS_VARIABLE: ",".join(plan.sections.cluster.secrets),
            },
            niceness=plan.sections.cluster.niceness,
            through_mps=plan.sections.cluster.mps,
        ) as cluster:
            self.note("Ray is there")
            share, up = self.share, [node["Resources"] for node in nodes_up()]
            if not cluster.local:
                share = share_of(plan, up)
            elif self.parallel is not None:
                share = shared(share, self.parallel, int(cluster.resources["CPU"]))
                _warn_of_sharing(share, self.parallel)
            unsaid = plan.sections.cluster.gpus_per_trial is None
            own_gpus = unsaid and not cluster.local and not share.gpus
            scales = not cluster.local and autoscales()
            known = Packings(self.ledger.folder)
            threads = None if scales else self._threads(source, share, known)
            if threads is not None:
                share = threads.share
            demand = None if cluster.local else Demand(share.request())
            stacking = self._stacking(share, known)
            self.note(stacking.text())
            with (
                self._prober(cluster.local) as prober,
                self._packer(share, own_gpus, known) as packer,
            ):
                roll = RollCall(prober, share)
                nodes = Nodes(
                    share, roll.prober, packer=packer, own_gpus=own_gpus,
                    patience=0.0 if demand is None else JOIN_SECONDS,
                    scales=lambda: demand is not None and demand.heard(),
                )  # fmt: skip
                roll.able = nodes.able
                self.presence.tells(roll.facts)
                if threads is not None:
                    threads.changed = lambda: told(nodes.room(), nodes.share())
                self.presence.tell("running")
                self.note("trials may begin")
                run_trials(
                    source,
                    ledger,
                    parallel=self.parallel or sys.maxsize,
                    budget=plan.budget,
                    marks=plan.marks,
                    resources=share,
                    nodes=nodes,
                    threads=threads if threads is not None and threads.decides else None,
                    demand=demand,
                    resized=lambda at_once: told(at_once, nodes.share()),
                    events=Broadcast([runner.display, *self.logs]),
                    stop=tick,
                    path=runner.path,
                    factory=runner.factory,
                    presence=self.presence,
                    stack=stacking.most,
                )

    def _prober(self, local: bool) -> AbstractContextManager[RayProber | None]:
        """What asks nodes; nothing is asked of this machine alone but for its plug-ins."""
        plugins, ledger = self.plan.default.modules, self.ledger
        if local and not plugins:
            return nullcontext()
        return probing(plugins, self._path(), ledger.folder, ledger.room.until)

    def _path(self) -> Sequence[str]:
        return [os.getcwd()] if self.runner.path is None else self.runner.path

    def _threads(self, source: TrialSource, share: Share, known: Packings) -> Threads | None:
        """How many threads each trial on CPUs has, and what memory; None where it is not looked at.

        Where the file says how many there are, the memory alone counts.
        """
        return threads_of(
            self.plan, self._subject(share), known, share, self.parallel, source.waiting,
            self.ledger.trials, self.runner.display.note,
        )  # fmt: skip

    def _stacking(self, share: Share, known: Packings) -> Stacking:
        """How many seeds of a config a worker trains as one model."""

        def holds() -> int | None:
            if share.gpus or not share.memory:
                return known.holds() if share.gpus else None
            largest = max((node.get("memory", 0.0) for node in resources_up()), default=0.0)
            return max(int(largest // share.memory), 1)

        asked, trees = self.plan.sections.cluster.stack, self.runner.factory is None
        return Stacking(asked, bool(share.gpus), holds, trees)

    def _subject(self, share: Share) -> Subject:
        return subject_of(
            self.plan, self.ledger, cpus=share.request()["CPU"], parallel=self.parallel,
            path=self._path(), factory=self.runner.factory,
        )  # fmt: skip

    @contextmanager
    def _packer(self, share: Share, own_gpus: bool, known: Packings) -> Iterator[Packer | None]:
        """What finds how many trials share a GPU, where nobody has said it."""
        section = self.plan.sections.cluster
        may_have = bool(share.gpus) or own_gpus
        if not section.pack or section.gpus_per_trial is not None or not may_have:
            yield None
            return
        note = self.runner.display.note
        packer = Packer(self._subject(share), known, note)
        try:
            yield packer
        finally:
            packer.close()


def _warn_of_sharing(share: Share, parallel: int) -> None:
    """Say that more trials at once are not a faster sweep, where they only share cores."""
    if share.part < 1 and not share.gpus:
        fit = max(cores() // share.cpus, 1)
        warn(
            f"{parallel} trials at once share {cores()} cores: each takes about "
            f"{parallel / fit:.3g} times as long, the sweep as long as with --parallel {fit}, and "
            "each is a process that takes memory of its own"
        )


@contextmanager
def driving(plan: Plan, ledger: Ledger, runner: Runner, presence: Presence) -> Iterator[Driver]:
    """Open a run folder's logs, and count its time; both are closed at the end.

    The logs take in what they lack of trials that ended earlier, whether or not anything runs.

    Raises:
        UserError: a log cannot be begun.
    """
    clock = WallClock(ledger.folder)
    ledger.wait_for_storage(plan.sections.cluster.storage_minutes * 60.0, warn)
    parallel = runner.parallel or plan.sections.cluster.parallel
    try:
        with (
            driver_log(ledger.folder, presence) as own,
            live_logs(plan.sections.log, ledger, ledger.folder, plan.run_id) as others,
        ):
            logs: list[Events] = [own, *others]
            yield Driver(
                plan, ledger, runner, clock, logs, share_of(plan), parallel, presence,
                note=partial(own.add, "driver"),
            )  # fmt: skip
    finally:
        clock.save()


def run_further(
    plan: Plan,
    ledger: Ledger,
    trials: Sequence[Trial],
    stage: str,
    floor: float,
    runner: Runner,
    presence: Presence,
) -> None:
    """Run those of the trials that have no outcome yet; looking at finished ones needs no Ray.

    Args:
        stage: its name on the display.
        floor: the score of a failure.

    Raises:
        KeyboardInterrupt: stopped by the user; the same call goes on.
    """
    waiting = [trial for trial in trials if not trial.ended]
    if not waiting:
        return
    display = runner.display
    display.maximizes = plan.objective.maximizes
    display.order = plan.space.as_written
    decided = decides(trials[0].stage, plan)
    display.stage(stage, len(trials), len(trials) - len(waiting), decides=decided)
    with driving(plan, ledger, runner, presence) as driver, display:
        driver.run(FixedTrials(waiting, plan.objective, floor))
    ledger.flush()
