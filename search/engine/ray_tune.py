"""Runs trials on Ray Tune: a source says which and for how long, the ledger remembers.

Tune executes attempts and nothing else. Each attempt is a Tune trial of its own, in a worker that
is used again for the next one; nothing that Tune stores is read on resume.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.tune import (
    Callback,
    CheckpointConfig,
    FailureConfig,
    PlacementGroupFactory,
    RunConfig,
    Stopper,
    TuneConfig,
    Tuner,
    with_resources,
)
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher
from ray.util.placement_group import (
    PlacementGroup,
    PlacementGroupID,
    placement_group_table,
    remove_placement_group,
)

from cluster.resources import Share
from search.engine.events import Events, NoEvents
from search.engine.execution import Execution
from search.engine.job import Job
from search.engine.source import TrialSource
from search.engine.worker import TrialRunner
from search.ledger.ledger import Ledger
from search.ledger.trial import Trial
from trm.blame import StorageError, blame
from trm.stopping import instead_of_raising

ONE_CORE = Share()
NODE_LABEL = "ray.io/node-id"
_COLOR = re.compile(r"\x1b\[[0-9;]*m")

_TUNE_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # the new output prints tables at any verbosity
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": str(10**9),
}


def run_trials(
    source: TrialSource,
    ledger: Ledger,
    *,
    parallel: int,
    budget: float,
    marks: Sequence[float],
    resources: Share = ONE_CORE,
    events: Events | None = None,
    stop: Callable[[], bool] = lambda: False,
    cache: Path | None = None,
    path: Sequence[str] | None = None,
    factory: str | None = None,
) -> None:
    """Run a source's trials until it is exhausted, on the Ray that is connected.

    A trial that was begun earlier goes on from its last acknowledged checkpoint.

    Args:
        parallel: trials at once.
        budget: training FLOPs of a trial.
        marks: shares of the budget at which trials report.
        resources: what one trial gets.
        events: is told what happens.
        stop: asked about ten times a second; once true, the workers are stopped and the call
            returns. Unfinished trials stay unfinished.
        cache: where generated data is kept; None is each worker's own cache folder.
        path: folders in which workers also look for plug-ins, after all others; None is the
            working directory.
        factory: `module:callable` that makes trainers of jobs, in place of the TRM trainer.

    Raises:
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
        )

    state = Execution(source, ledger, events or NoEvents(), job)

    def asked_to_stop() -> bool:
        ledger.check()
        return stop()

    key = uuid.uuid4().hex
    _EXECUTIONS[key] = state
    try:
        with _signals(state), _environment(_TUNE_ENVIRONMENT), _silenced("ray"):
            state.asked_to_stop = asked_to_stop
            state.room = ledger.room
            state.nodes = lambda: _able_nodes(resources)
            ledger.room.stopped = lambda: state.interrupted
            # Not in the run folder: where its disk is full, Tune would fail as a whole.
            with tempfile.TemporaryDirectory(prefix="trm-tune-") as scratch:
                _run(key, Path(scratch, "ray"), parallel, resources)
    except Exception:
        if state.error is None:
            raise
    finally:
        del _EXECUTIONS[key]
    if state.error is not None:
        raise state.error
    if state.interrupted:
        raise KeyboardInterrupt


_EXECUTIONS: dict[str, Execution] = {}
"""Tune pickles searcher, scheduler and stopper, so they hold a key and look the rest up here."""


class _Searcher(Searcher):  # type: ignore[misc]  # Ray is untyped here
    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        job = _EXECUTIONS[self.key].suggest(trial_id)
        if isinstance(job, Job):
            return {"job": job.to_json()}
        return None if job is None else str(Searcher.FINISHED)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        _EXECUTIONS[self.key].on_end(trial_id)

    def save(self, checkpoint_path: str) -> None: ...
    def restore(self, checkpoint_path: str) -> None: ...


class _Scheduler(TrialScheduler):  # type: ignore[misc]  # Ray is untyped here
    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None: ...

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        # The worker never says `done`: Tune would keep such a result from the scheduler.
        execution = _EXECUTIONS[self.key]
        decision = execution.on_message(trial.trial_id, json.loads(result["message"]))
        if decision == "replace":
            # Told to go on, Tune meets its death, and does not use it again.
            _end_worker(trial)
            return str(self.CONTINUE)
        return str(self.CONTINUE if decision == "continue" else self.STOP)

    def on_trial_complete(
        self, tune_controller: Any, trial: Any, result: dict[str, Any]
    ) -> None: ...

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None: ...

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        _EXECUTIONS[self.key].on_death(trial.trial_id, _error_line(trial))

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        # Asked in every round. Tune starts waiting trials in order by itself.
        if _EXECUTIONS[self.key].check_stop():
            for trial in tune_controller.get_live_trials():
                _end_worker(trial)  # Tune would wait for the end of its step

    def debug_string(self) -> str:
        return ""


def _end_worker(trial: Any) -> None:
    actor = trial.temporary_state.ray_actor
    if actor is not None:
        ray.kill(actor)


class _Starts(Callback):  # type: ignore[misc]  # Ray is untyped here
    def __init__(self, key: str) -> None:
        self.key = key

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        worker = trial.temporary_state.ray_actor
        _EXECUTIONS[self.key].on_start(trial.trial_id, worker._actor_id.hex())


class _StopAll(Stopper):  # type: ignore[misc]  # Ray is untyped here
    def __init__(self, key: str) -> None:
        self.key = key

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return _EXECUTIONS[self.key].stopping


def _run(key: str, scratch: Path, parallel: int, share: Share) -> None:
    """Run Tune to the end, once more after each end of its own making.

    Tune (ray 2.60) takes only a RayActorError for the death of a worker. Ray's memory monitor, a
    lost node and the like raise other errors, at which it gives up with all that still runs.
    """
    execution = _EXECUTIONS[key]
    foreign = _placement_groups()
    while True:
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            _tuner(key, scratch, parallel, share).fit()
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
            if not execution.live:
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


def _error_line(trial: Any) -> str:
    """What Tune says of a trial's error, on one line."""
    try:
        lines = Path(trial.error_file).read_text(encoding="utf-8").split("\n")
    except (OSError, TypeError):
        return "the worker died"
    words = [line.strip() for line in lines if line.strip() and not line.startswith("Failure #")]
    cause = next((line for line in words if line.startswith("The actor is dead because")), None)
    said = cause or " ".join(words) or "the worker died"
    if "error raised in its creation task" in said:  # a trace, whose last line says why
        said = f"the worker did not start: {words[-1]}"
    return _COLOR.sub("", said.partition(" Some common causes")[0])[:300]


def _resources(key: str, request: Mapping[str, float], _: Any) -> PlacementGroupFactory:
    """What a trial asks for: its share, on none of the nodes that were left out.

    Tune compares requests, so no worker on such a node is used again.
    """
    bad = sorted(node for node in _EXECUTIONS[key].guilt.bad if node)
    elsewhere = {"bundle_label_selector": [{NODE_LABEL: f"!in({','.join(bad)})"}]} if bad else {}
    return PlacementGroupFactory([dict(request)], **elsewhere)


def _able_nodes(share: Share) -> list[str]:
    """Nodes that are up and hold a trial's share."""
    return [
        node["NodeID"]
        for node in ray.nodes()
        if node["Alive"]
        and all(node["Resources"].get(name, 0.0) >= v for name, v in share.request().items())
    ]


def _short_name(trial: Any) -> str:
    return str(trial.trial_id)


def _tuner(key: str, scratch: Path, parallel: int, share: Share) -> Tuner:
    return Tuner(
        with_resources(TrialRunner, partial(_resources, key, share.request())),
        tune_config=TuneConfig(
            search_alg=_Searcher(key),
            scheduler=_Scheduler(key),
            num_samples=-1,
            max_concurrent_trials=parallel,
            reuse_actors=True,
            trial_name_creator=_short_name,
            trial_dirname_creator=_short_name,
        ),
        run_config=RunConfig(
            name="tune",
            storage_path=str(scratch),
            stop=_StopAll(key),
            callbacks=[_Starts(key)],
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
