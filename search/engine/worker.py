"""The Ray side of a training run: a Trainable whose step is the next message to the driver."""

from __future__ import annotations

import gc
import json
import os
import platform
import random
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import ray
from ray.tune import Trainable

from search.engine.attempts.in_hand import AttemptInHand
from search.engine.bell import Bell
from search.engine.job import Job
from search.engine.output import WorkerOutput, output_file, refer
from search.engine.stacks.several import Told, reports_of
from search.engine.usage import UsageMeter
from search.ledger.storage import place
from trm.blame import Blame, blame, links_of

AGAIN_SECONDS = 1.0
"""Until what storage refused is tried again."""
CUDA_BYTES = 6e8
"""Of a device, for a process, that torch's limit does not count: CUDA's own context and code."""


class TrialRunner(Trainable):  # type: ignore[misc]  # Ray is untyped here
    """Runs one attempt after another in a worker process.

    A step returns `{"message": JSON}`. The first message of a process is `started`; an attempt's
    are one `report` per compute mark, of which the last has `last` set, or `end` with an outcome.
    `saved` is the end of an attempt whose driver was asked to stop: its state is in a checkpoint.
    `fault` is the end of an attempt alone: this machine cannot go on with it. `storage` says that
    the run folder does not take or give something, which the next step tries again. A failure is a
    message too, so Tune sees an error only when the process itself dies.

    A job with others is several attempts at once: seeds of one config that train as one model. Each
    message is of the one whose trial and attempt it names; what is said of the process is of all.
    """

    _attempts: list[AttemptInHand]
    _speaks: AttemptInHand
    _reports: Iterator[Told] | None
    _unsaved: Told | None

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first job."""
        # Ray's processes are begun deaf to signals, and so would be what a plug-in starts here.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGHUP})
        self._usage = UsageMeter()
        self._bell: Bell | None = None
        self._output = WorkerOutput((1, 2) if _in_ray() else ())
        self._introduced = self._over = False
        self._take(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another job, with nothing left of the one before."""
        self._take(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """The next message of this attempt."""
        if self._over:
            os._exit(1)  # it is being replaced, and must not touch what its successor goes on from
        try:
            message = self._next()
        except Exception as error:
            message = self._failed(error)
        self._over = message["kind"] == "fault" or bool(message.get("broken"))
        job = self._speaks.job
        message |= {"trial": job.trial, "attempt": job.attempt}
        # Of the process, once a round.
        if message["kind"] in ("started", "report") and self._speaks is self._first:
            message["usage"] = self._usage.look()
        return {"message": json.dumps(message)}

    def drop(self, trial: int) -> None:
        """Go on without one of several trials: it has ended, or waits."""
        for one in self._attempts:
            one.over = one.over or one.job.trial == trial

    def log_result(self, result: dict[str, Any]) -> None:
        """Leave out of a result what the driver knows: Tune would keep it for every trial."""
        result.pop("config", None)

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """A pointer to our own checkpoint."""
        return {"checkpoint": self._first.last_checkpoint}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Go on from our own checkpoint."""
        if checkpoint and checkpoint["checkpoint"]:
            self._first.go_on_from(checkpoint["checkpoint"])
            self._forget_training()

    def cleanup(self) -> None:
        """Free the training run."""
        self._forget_training()
        self._output.end()

    @property
    def _first(self) -> AttemptInHand:
        """The first one that is not over; the last one, if all are."""
        return next((one for one in self._attempts if not one.over), self._attempts[-1])

    def _forget_training(self) -> None:
        self._reports = self._unsaved = None
        for one in self._attempts:
            one.training = None

    def _take(self, config: dict[str, Any]) -> None:
        jobs = Job.from_json(config["job"]).all
        self._attempts = [AttemptInHand(job) for job in jobs]
        self._speaks = self._attempts[0]
        self._forget_training()
        self._refused = False
        job, folder = jobs[0], place(jobs[0].folder)
        if self._bell is None:
            self._bell = Bell(folder, job.driver)
        self._output.begin(output_file(folder, job.trial, job.attempt))
        for other in jobs[1:]:
            refer(output_file(folder, other.trial, other.attempt), job.trial, job.attempt)
        # What outlives a training are modules, and stays: to look through torch's each time takes
        # 0.4 s. Whatever is let go of is freed all the same, unless it holds itself.
        gc.collect()
        gc.freeze()
        _seed(job)

    def _next(self) -> dict[str, Any]:
        self._speaks = self._first
        if not self._introduced:
            self._introduced = True
            node = ray.get_runtime_context().get_node_id()
            return {"kind": "started", "host": platform.node(), "pid": os.getpid(), "node": node}
        if self._refused:
            time.sleep(AGAIN_SECONDS)
        if self._reports is None:
            self._reports = self._begun()
        # A report that could not be stored is still to be told.
        told = self._unsaved or next(self._reports, None)
        if told is None:
            return self._without_report(self._speaks)
        self._unsaved = told
        one, report = told
        self._speaks = one
        assert one.training is not None
        message: dict[str, Any] = {"kind": "report", "row": report.row()}
        message["last"] = one.training.finished
        if not report.diverged:
            message["checkpoint"] = one.save(report.mark)
        if (findings := one.training.findings()) is not None:
            message["findings"] = findings
        if not one.told:
            message["provenance"] = one.provenance(
                node=ray.get_runtime_context().get_node_id(),
                gpu_part=_share_of_device(),
                **self._stack(),
            )
        self._unsaved, self._refused, one.mark = None, False, report.mark
        one.over = message["last"]
        return message

    def _begun(self) -> Iterator[Told]:
        _empty_device_cache()
        attempts = [one for one in self._attempts if not one.over] or self._attempts[-1:]
        if attempts[0].job.factory is None:
            _cap_device_memory()
        for one in attempts:
            if not self._refused:
                one.forget_other_checkpoints()
            if len(attempts) > 1:
                _seed(one.job)
            one.begin(self._output.note)
        return reports_of(attempts, self._is_asked)

    def _without_report(self, one: AttemptInHand) -> dict[str, Any]:
        """The end of an attempt that has nothing more to report."""
        assert one.training is not None
        message: dict[str, Any] = {"kind": "end", "outcome": "completed", "reason": ""}
        if not one.training.finished and self._is_asked():
            # No report has this number yet, and none of this attempt will.
            message = {"kind": "saved", "checkpoint": one.save(one.mark + 1)}
        one.over = True
        return message

    def _stack(self) -> dict[str, Any]:
        """What is to be known of trials that were trained as one model."""
        trials = [one.job.trial for one in self._attempts]
        return {"stack": trials} if len(trials) > 1 else {}

    def _is_asked(self) -> bool:
        """Whether the driver was asked to stop."""
        return self._bell is not None and self._bell.rung

    def _failed(self, error: Exception) -> dict[str, Any]:
        """What is told of an error: whose fault it is decides what becomes of trial and process."""
        share = _share_of_device()
        found = blame(error, share)
        if found.culprit == "storage" and self._of_the_run(error):
            return self._wait_for_storage(error, found)
        self._forget_training()
        self._write_down()
        # A run folder whose files are missing here is one that this node does not share.
        if found.culprit in ("machine", "storage") or self._of_the_run(error):
            return {"kind": "fault", "reason": found.words, "memory": found.memory}
        outcome = "oom" if found.memory else "crashed"
        # With a larger part of its GPU the trial may go on, in another process.
        broken = found.broken or (found.memory and share < 1.0)
        return {"kind": "end", "outcome": outcome, "reason": found.words, "broken": broken}

    def _of_the_run(self, error: Exception) -> bool:
        """Whether it was the run folder that storage refused, and not a cache or a data file."""
        own = str(place(self._speaks.job.folder))
        links = [link for link in links_of(error) if isinstance(link, OSError)]
        named = [getattr(link, "where", link.filename) for link in links]
        return any(str(name).startswith(own) for name in named if name)

    def _wait_for_storage(self, error: Exception, found: Blame) -> dict[str, Any]:
        """Keep what is trained in memory; what cannot go on is begun again from its checkpoint."""
        if self._unsaved is None:
            self._forget_training()
            for one in self._attempts:
                one.go_on_from(one.last_checkpoint or one.job.checkpoint)
        self._refused = True
        needed = max((getattr(link, "needed", 0) for link in links_of(error)), default=0)
        return {
            "kind": "storage",
            "reason": getattr(error, "problem", found.words),
            "needed": needed or self._speaks.size_of_a_checkpoint(),
        }

    def _write_down(self) -> None:
        """Keep the whole trace, if storage takes it: the message has what matters."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            self._output.note(
                f"attempt {self._speaks.job.attempt}, {now}\n{traceback.format_exc()}\n"
            )
        except Exception as error:
            if blame(error).culprit == "config":
                raise


def _seed(job: Job) -> None:
    """Nothing of ours draws from the global generators, but a plug-in may."""
    random.seed(job.seed)
    np.random.seed(job.seed)  # noqa: NPY002
    if torch := sys.modules.get("torch"):
        torch.manual_seed(job.seed)


def _empty_device_cache() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch is not None and torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _in_ray() -> bool:
    """Whether this process is one of Ray's workers: a runner may be driven in any."""
    return bool(ray.get_runtime_context().worker.mode == ray.WORKER_MODE)


def _cap_device_memory() -> None:
    """Keep this process within its part of a GPU: its neighbours have the rest."""
    share = _share_of_device()
    if share == 1.0:
        return  # nobody is beside it
    import torch

    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(capped(share, float(total)), 0)


def capped(share: float, total: float) -> float:
    """What torch's allocator may take of a device, of which a process may have a share.

    >>> round(capped(0.25, 16e9), 4)
    0.2125
    """
    return max(share - CUDA_BYTES / total, share / 2)


def _share_of_device() -> float:
    """The part of a GPU that Ray gave this process; 1 where it has whole ones, or none."""
    if not _in_ray():  # whom it does not tell
        return 1.0
    share = ray.get_runtime_context().get_assigned_resources().get("GPU", 1.0)
    return float(share) if 0.0 < share < 1.0 else 1.0
