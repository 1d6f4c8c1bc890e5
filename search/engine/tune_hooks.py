"""What Ray Tune calls while it runs: a searcher, a scheduler and others that ask the execution."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.tune import Callback, PlacementGroupFactory, Stopper
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from cluster.demand import NODE_LABEL
from cluster.resources import Share
from search.engine.execution import Execution
from search.engine.job import Job

_COLOR = re.compile(r"\x1b\[[0-9;]*m")

EXECUTIONS: dict[str, Execution] = {}
"""Tune pickles searcher, scheduler and stopper, so they hold a key and look the rest up here."""


class AskSource(Searcher):  # type: ignore[misc]  # Ray is untyped here
    """Tune's searcher: the next attempt, once a node has room for it."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next job as a config, None for not now."""
        job = EXECUTIONS[self.key].suggest(trial_id)
        if isinstance(job, Job):
            return {"job": job.to_json()}
        return None if job is None else str(Searcher.FINISHED)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tune is done with an attempt."""
        EXECUTIONS[self.key].on_end(trial_id)

    def save(self, checkpoint_path: str) -> None: ...
    def restore(self, checkpoint_path: str) -> None: ...


class PassOn(TrialScheduler):  # type: ignore[misc]  # Ray is untyped here
    """Tune's scheduler: what workers say goes to the execution, whose answer is done."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None: ...

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """A worker's message."""
        # The worker never says `done`: Tune would keep such a result from the scheduler.
        execution = EXECUTIONS[self.key]
        decision = execution.on_message(trial.trial_id, json.loads(result["message"]))
        if decision == "drop":
            # Its next step is asked for after this, and done after it.
            trial.temporary_state.ray_actor.drop.remote(json.loads(result["message"])["trial"])
            return str(self.CONTINUE)
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
        """A worker died."""
        execution, name = EXECUTIONS[self.key], trial.trial_id
        worker = trial.temporary_state.ray_actor
        if worker is not None and name not in execution.running.started:
            execution.on_idle_death(name, worker._actor_id.hex(), _error_line(trial))
        else:
            execution.on_death(name, _error_line(trial))

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """Who gets a worker that is free; asked in every round.

        Tune starts waiting attempts in order as their own requests are met, but gives the worker
        of one that ended to the newest.
        """
        execution = EXECUTIONS[self.key]
        if not execution.check_stop() and not execution.running.lacks_workers:
            return None
        live = tune_controller.get_live_trials()
        if execution.stopping:
            for trial in live:
                _end_worker(trial)  # Tune would wait for the end of its step
            return None
        waiting = {trial.trial_id: trial for trial in live if trial.status == trial.PENDING}
        for name in execution.on_stranded(waiting):
            tune_controller.stop_trial(waiting.pop(name))
        return waiting.get(execution.running.first(waiting))

    def debug_string(self) -> str:
        """Nothing: Tune prints it."""
        return ""


def _end_worker(trial: Any) -> None:
    actor = trial.temporary_state.ray_actor
    if actor is not None:
        ray.kill(actor)


class TellStarts(Callback):  # type: ignore[misc]  # Ray is untyped here
    """Tells which worker takes an attempt."""

    def __init__(self, key: str) -> None:
        self.key = key

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker takes an attempt."""
        worker = trial.temporary_state.ray_actor
        EXECUTIONS[self.key].on_start(trial.trial_id, worker._actor_id.hex())


class StopAll(Stopper):  # type: ignore[misc]  # Ray is untyped here
    """Ends everything once the execution says so."""

    def __init__(self, key: str) -> None:
        self.key = key

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        """Whether everything is to stop."""
        return EXECUTIONS[self.key].stopping


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


def request_of(key: str, share: Share, config: Mapping[str, Any]) -> PlacementGroupFactory:
    """What an attempt asks for: its share, on none of the nodes that are left out.

    Tune compares requests, so no worker on a node that was left out since is used again.
    """
    execution, part = EXECUTIONS[key], None
    if "job" in config:
        job = json.loads(config["job"])
        part = execution.parts.of(job["trial"], job["attempt"])
        if job["threads"] is not None:
            share = replace(share, cpus=job["threads"])
        # Of as many trainings as it holds.
        share = replace(share, memory=share.memory * (1 + len(job["others"])))
    if part is not None:
        share = replace(share, gpus=part.gpus)
    out = sorted(execution.left_out() | execution.parts.elsewhere(part))
    elsewhere = {"bundle_label_selector": [{NODE_LABEL: f"!in({','.join(out)})"}]} if out else {}
    return PlacementGroupFactory([share.request()], **elsewhere)
