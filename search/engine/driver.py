"""Given trials of a run folder, run to their end: what comes after a sweep, or without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cluster.connect import ClusterError, check_address, connected
from cluster.resources import cores, default_parallel, worker_environment
from search.config.plan import Plan
from search.config.share import share_of
from search.engine.changed_code import warn_of_changed_code
from search.engine.events import Broadcast
from search.engine.ray_tune import run_trials
from search.engine.source import FixedTrials
from search.ledger.ledger import Ledger
from search.ledger.trial import Trial
from search.ledger.wall_clock import WallClock
from search.logs.terminal import SweepDisplay
from search.logs.trial_log import live_logs
from trm.errors import UserError


@dataclass(frozen=True)
class Runner:
    """Where trials run and who watches.

    Attributes:
        address: a Ray cluster that is up; None takes the file's.
        parallel: trials at once; None takes the file's, or what the cluster has room for.
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

    def check(self, plan: Plan) -> None:
        """
        Raises:
            UserError: nobody answers at the address.
        """
        address = self.address or plan.sections.cluster.address
        if address is not None:
            try:
                check_address(address)
            except ClusterError as error:
                raise UserError(str(error)) from error


def run_further(
    plan: Plan, ledger: Ledger, trials: Sequence[Trial], stage: str, floor: float, runner: Runner
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
    warn_of_changed_code(plan.default.plugins, ledger.trials.values())
    share, asked = share_of(plan), runner.parallel or plan.sections.cluster.parallel
    clock, display = WallClock(ledger.folder), runner.display
    display.maximizes = plan.objective.maximizes
    display.stage(stage, len(trials), len(trials) - len(waiting))

    def tick() -> bool:
        clock.tick()
        return False

    try:
        with (
            display,
            live_logs(plan.sections.log, ledger, ledger.folder, plan.run_id) as logs,
            connected(
                runner.address or plan.sections.cluster.address,
                cpus=max(cores(), (asked or 1) * share.cpus),
                environment=worker_environment(share),
            ) as cluster,
        ):
            run_trials(
                FixedTrials(waiting, plan.objective, floor),
                ledger,
                parallel=asked or default_parallel(cluster.resources, share),
                budget=plan.budget,
                marks=plan.marks,
                resources=share,
                events=Broadcast([display, *logs]),
                stop=tick,
                path=runner.path,
                factory=runner.factory,
            )
    finally:
        clock.save()
    ledger.flush()
