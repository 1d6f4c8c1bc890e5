"""Runs trials on Ray Tune: a source says which and for how long, the ledger remembers.

Tune executes attempts and nothing else. Each attempt is a Tune trial of its own, in a worker that
is used again for the next one; nothing that Tune stores is read on resume.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.tune import (
    CheckpointConfig,
    FailureConfig,
    RunConfig,
    TuneConfig,
    Tuner,
    with_resources,
)
from ray.tune.execution import class_cache
from ray.util.placement_group import (
    PlacementGroup,
    PlacementGroupID,
    placement_group_table,
    remove_placement_group,
)

from cluster.demand import Demand
from cluster.resources import Share
from search.engine.events import Events, NoEvents
from search.engine.execution import Execution
from search.engine.idle_workers import idle_workers_kept
from search.engine.job import Job
from search.engine.nodes import LOOK_SECONDS, Nodes
from search.engine.packing.parts import Threading
from search.engine.source import TrialSource
from search.engine.stacks.companions import Most, alone
from search.engine.tune_hooks import (
    EXECUTIONS,
    AskSource,
    PassOn,
    StopAll,
    TellStarts,
    request_of,
)
from search.engine.worker import TrialRunner
from search.ledger.ledger import Ledger
from search.ledger.trial import Trial
from trm.blame import StorageError, blame
from trm.files.presence import Presence
from trm.stopping import instead_of_raising, interrupt_this

ONE_CORE = Share()
GRACE, GRACE_AT_STORE = 30.0, 60.0
"""Seconds that workers have to save what they are at once a stop is asked for."""

_TUNE_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # the new output prints tables at any verbosity
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": str(10**9),
    # Tune's own limit is fixed as it starts; nodes come and go, and the execution counts them.
    "TUNE_MAX_PENDING_TRIALS_PG": str(10**6),
}


def run_trials(
    source: TrialSource,
    ledger: Ledger,
    *,
    parallel: int,
    budget: float,
    marks: Sequence[float],
    resources: Share = ONE_CORE,
    nodes: Nodes | None = None,
    threads: Threading | None = None,
    demand: Demand | None = None,
    resized: Callable[[int], None] = lambda at_once: None,
    events: Events | None = None,
    stop: Callable[[], bool] = lambda: False,
    cache: Path | None = None,
    path: Sequence[str] | None = None,
    factory: str | None = None,
    presence: Presence | None = None,
    stack: Most = alone,
) -> None:
    """Run a source's trials until it is exhausted, on the Ray that is connected.

    A trial that was begun earlier goes on from its last acknowledged checkpoint.

    Args:
        parallel: trials at once, at most: no more than the nodes have room for.
        budget: training FLOPs of a trial.
        marks: shares of the budget at which trials report.
        resources: what one trial gets.
        nodes: those that can run trials, and how many; None takes all that are up.
        threads: how many each trial has; None takes its config's.
        demand: asks an autoscaler for what the nodes lack; None if there is none.
        resized: told how many trials run at once, whenever that changes.
        events: is told what happens.
        stop: asked about ten times a second; once true, the workers are stopped and the call
            returns. Unfinished trials stay unfinished.
        cache: where generated data is kept; None is each worker's own cache folder.
        path: folders in which workers also look for plug-ins, after all others; None is the
            working directory.
        factory: `module:callable` that makes trainers of jobs, in place of the TRM trainer.
        presence: says what the workers are at, and hears of a request to stop: the workers then
            save what they are at, wherever that is.
        stack: how many seeds of a config a worker trains as one model.

    Raises:
        UserError: no node can run a trial.
        KeyboardInterrupt: a signal asked to stop; the workers were stopped in the same way.
        Exception: what the source or the ledger raised.
    """
    folders = (os.getcwd(),) if path is None else tuple(path)

    def job(trial: Trial, attempt: int) -> Job:
        return Job(
            folder=str(ledger.folder),
            trial=trial.id,
            attempt=attempt,
            config=trial.config,
            seed=trial.seed,
            budget=budget,
            marks=tuple(marks),
            checkpoint=trial.checkpoint,
            cache=None if cache is None else str(cache),
            path=folders,
            factory=factory,
            driver="" if presence is None else presence.token,
            threads=state.parts.threads(trial.id, attempt),
        )

    state = Execution(source, ledger, events or NoEvents(), job)

    def asked_to_stop() -> bool:
        ledger.check()
        return stop()

    nodes = nodes or Nodes(resources)
    key = uuid.uuid4().hex
    EXECUTIONS[key] = state
    try:
        with (
            _signals(state),
            _environment(_TUNE_ENVIRONMENT),
            _secrets_kept(),
            idle_workers_kept(),
            _silenced("ray"),
            _asked(presence, state, isinstance(ledger.folder, Path)),
        ):
            state.asked_to_stop = asked_to_stop
            state.room = ledger.room
            state.nodes, state.barred, state.allows = nodes.able, nodes.barred, nodes.allows
            state.gone = nodes.gone
            state.parts.groups, state.parts.threading = nodes.groups, threads
            state.companions.most = stack
            state.slots = _slots(nodes, state, parallel, resized, demand)
            ledger.room.stopped = lambda: state.interrupted
            # Not in the run folder: where its disk is full, Tune would fail as a whole.
            with tempfile.TemporaryDirectory(prefix="trm-tune-") as scratch:
                _run(key, Path(scratch, "ray"), resources)
    except Exception:
        if state.error is None:
            raise
    finally:
        del EXECUTIONS[key]
        if demand is not None and not state.interrupted:
            demand.want(0)
    if state.error is not None:
        raise state.error
    # One who asked when the last trial had just ended is heard, too.
    if state.interrupted or (presence is not None and presence.asked):
        raise KeyboardInterrupt


def _slots(
    nodes: Nodes,
    state: Execution,
    parallel: int,
    resized: Callable[[int], None],
    demand: Demand | None,
) -> Callable[[], int]:
    """How many trials may run at once, as it is now."""
    told, asked = -1, -LOOK_SECONDS

    def slots() -> int:
        nonlocal told, asked
        found = min(nodes.room(state.guilt.bad), parallel)
        if found != told:
            told = found
            resized(found)
        if demand is not None and time.monotonic() - asked >= LOOK_SECONDS:
            asked = time.monotonic()
            further = min(state.turns.waiting(), parallel - len(state.running))
            lacking = further - (found - len(state.running)) - nodes.coming()
            demand.want(math.ceil(lacking / nodes.packed()), state.left_out())
        return found

    return slots


def _run(key: str, scratch: Path, share: Share) -> None:
    """Run Tune to the end, once more after each end of its own making.

    Tune (ray 2.60) takes only a RayActorError for the death of a worker. Ray's memory monitor, a
    lost node and the like raise other errors, at which it gives up with all that still runs.
    """
    execution = EXECUTIONS[key]
    foreign = _placement_groups()
    while True:
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            _tuner(key, scratch, share).fit()
            return
        except Exception as error:
            death = _ray_error(error)
            if execution.error is None and death is None and blame(error).culprit == "storage":
                raise StorageError(
                    str(scratch.parent),
                    f"{blame(error).words}: nothing is lost: free space there, and resume",
                ) from error
            if execution.error is not None or death is None:
                raise
            if execution.finished or execution.check_stop():
                return
            if not execution.running.live:
                raise
            reason = str(death) or type(death).__name__
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        for group in _placement_groups() - foreign:
            # Whatever still runs in a group ends with it.
            remove_placement_group(PlacementGroup(PlacementGroupID.from_hex(group)))
        execution.on_collapse(reason)


def _ray_error(error: BaseException | None) -> RayError | None:
    """What Ray raised, of an error and its causes."""
    while error is not None and not isinstance(error, RayError):
        error = error.__cause__ or error.__context__
    return error


def _placement_groups() -> set[str]:
    """Ids of those of this driver that hold or await resources; an id ends with its driver's."""
    own = ray.get_runtime_context().get_job_id()
    return {
        group
        for group, entry in placement_group_table().items()
        if group.endswith(own) and entry["state"] != "REMOVED"
    }


def _short_name(trial: Any) -> str:
    return str(trial.trial_id)


def _tuner(key: str, scratch: Path, share: Share) -> Tuner:
    return Tuner(
        with_resources(TrialRunner, partial(request_of, key, share)),
        tune_config=TuneConfig(
            search_alg=AskSource(key),
            scheduler=PassOn(key),
            num_samples=-1,
            reuse_actors=True,
            trial_name_creator=_short_name,
            trial_dirname_creator=_short_name,
        ),
        run_config=RunConfig(
            name="tune",
            storage_path=str(scratch),
            stop=StopAll(key),
            callbacks=[TellStarts(key)],
            failure_config=FailureConfig(max_failures=0),
            checkpoint_config=CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            verbose=0,
        ),
    )


@contextmanager
def _signals(state: Execution) -> Iterator[None]:
    """Turn the first signal that asks to stop into a clean stop."""
    usr1 = signal.getsignal(signal.SIGUSR1)  # Tune takes this one

    def interrupt() -> None:
        state.interrupted = True

    try:
        with instead_of_raising(interrupt):
            yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGUSR1, usr1)


@contextmanager
def _asked(presence: Presence | None, state: Execution, at_disk: bool) -> Iterator[None]:
    """Have a request to stop end the work gently first, and then as a signal does."""
    if presence is None:
        yield
        return
    presence.tells(
        lambda: {"workers": state.running.at_work(), "bad_nodes": sorted(state.guilt.bad)}
    )
    if threading.current_thread() is threading.main_thread():
        state.leave = interrupt_this
    before = presence.gently
    presence.gently = partial(state.end_gently, GRACE if at_disk else GRACE_AT_STORE)
    try:
        yield
    finally:
        presence.gently = before


@contextmanager
def _secrets_kept() -> Iterator[None]:
    """Tune (ray 2.60) hands a cloud's credentials to its workers by way of every node's log files.

    A local cluster's workers have this process's environment anyway, and other nodes have their own
    credentials, or do not see the run folder, which is found out before the first trial.
    """
    before = class_cache.ENV_VARS_TO_PROPAGATE
    class_cache.ENV_VARS_TO_PROPAGATE = {name for name in before if not name.startswith("AWS_")}
    try:
        yield
    finally:
        class_cache.ENV_VARS_TO_PROPAGATE = before


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


@contextmanager
def _silenced(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
