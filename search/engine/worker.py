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
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.tune import Trainable

from search.engine.bell import Bell
from search.engine.job import Job, TrainingRun, TRMTraining, build_trainer
from search.engine.output import WorkerOutput, output_file
from search.engine.usage import UsageMeter
from search.ledger.storage import place, remove_tree, write_folder
from search.ledger.trial import keep_only
from trm.blame import Blame, StorageError, blame, links_of
from trm.report import Report

AGAIN_SECONDS = 1.0
"""Until what storage refused is tried again."""
CUDA_BYTES = 6e8
"""Of a device, for a process, that torch's limit does not count: CUDA's own context and code."""
KEPT = 2
"""Checkpoints kept per trial: the last acknowledged one, and the one that is being reported."""


class TrialRunner(Trainable):  # type: ignore[misc]  # Ray is untyped here
    """Runs one attempt after another in a worker process.

    A step returns `{"message": JSON}`. The first message of a process is `started`; an attempt's
    are one `report` per compute mark, of which the last has `last` set, or `end` with an outcome.
    `saved` is the end of an attempt whose driver was asked to stop: its state is in a checkpoint.
    `fault` is the end of an attempt alone: this machine cannot go on with it. `storage` says that
    the run folder does not take or give something, which the next step tries again. A failure is a
    message too, so Tune sees an error only when the process itself dies.
    """

    _job: Job
    _training: TrainingRun | None
    _reports: Iterator[Report] | None
    _unsaved: Report | None

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
        message |= {"trial": self._job.trial, "attempt": self._job.attempt}
        if message["kind"] in ("started", "report"):
            message["usage"] = self._usage.look()
        return {"message": json.dumps(message)}

    def log_result(self, result: dict[str, Any]) -> None:
        """Leave out of a result what the driver knows: Tune would keep it for every trial."""
        result.pop("config", None)

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """A pointer to our own checkpoint."""
        return {"checkpoint": self._checkpoints[-1] if self._checkpoints else None}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Go on from our own checkpoint."""
        if checkpoint and checkpoint["checkpoint"]:
            self._job = Job(**{**vars(self._job), "checkpoint": checkpoint["checkpoint"]})
            self._forget_training()

    def cleanup(self) -> None:
        """Free the training run."""
        self._forget_training()
        self._output.end()

    def _forget_training(self) -> None:
        self._training = self._reports = self._unsaved = None

    def _take(self, config: dict[str, Any]) -> None:
        self._job = Job.from_json(config["job"])
        self._forget_training()
        self._provenance_sent = False
        self._refused = False
        job = self._job
        self._mark = 0
        if self._bell is None:
            self._bell = Bell(place(job.folder), job.driver)
        self._output.begin(output_file(place(job.folder), job.trial, job.attempt))
        # Another trial's checkpoint, from which this one goes on, is not this trial's to remove.
        self._checkpoints = [job.checkpoint] if job.checkpoint and not job.forks else []
        # What outlives a training are modules, and stays: to look through torch's each time takes
        # 0.4 s. Whatever is let go of is freed all the same, unless it holds itself.
        gc.collect()
        gc.freeze()
        # Nothing of ours draws from the global generators, but a plug-in may.
        random.seed(self._job.seed)
        np.random.seed(self._job.seed)  # noqa: NPY002
        if torch := sys.modules.get("torch"):
            torch.manual_seed(self._job.seed)

    def _next(self) -> dict[str, Any]:
        if not self._introduced:
            self._introduced = True
            node = ray.get_runtime_context().get_node_id()
            return {"kind": "started", "host": platform.node(), "pid": os.getpid(), "node": node}
        if self._refused:
            time.sleep(AGAIN_SECONDS)
        if self._training is None or self._reports is None:
            _empty_device_cache()
            if self._job.factory is None:
                _cap_device_memory()
            if not self._refused:
                self._forget_other_checkpoints()
            self._training = build_trainer(self._job, self._output.note)
            if isinstance(self._training, TRMTraining):
                self._training.asked = self._is_asked
            self._reports = self._training.run()
        # A report that could not be stored is still to be told.
        report = self._unsaved or next(self._reports, None)
        if report is None and not self._training.finished and self._is_asked():
            # No report has this number yet, and none of this attempt will.
            return {"kind": "saved", "checkpoint": self._save(self._training, self._mark + 1)}
        if report is None:
            return {"kind": "end", "outcome": "completed", "reason": ""}
        self._unsaved = report
        message: dict[str, Any] = {"kind": "report", "row": report.row()}
        message["last"] = self._training.finished
        if not report.diverged:
            message["checkpoint"] = self._save(self._training, report.mark)
        if (findings := self._training.findings()) is not None:
            message["findings"] = findings
        if not self._provenance_sent:
            node = ray.get_runtime_context().get_node_id()
            message["provenance"] = {
                **self._training.provenance(),
                "node": node,
                "gpu_part": _share_of_device(),
            }
            self._provenance_sent = True
        self._unsaved, self._refused, self._mark = None, False, report.mark
        return message

    def _is_asked(self) -> bool:
        """Whether the driver was asked to stop."""
        return self._bell is not None and self._bell.rung

    def _save(self, training: TrainingRun, mark: int) -> str:
        job = self._job
        path = f"{job.checkpoints}/{job.attempt}/{mark}"
        folder = place(job.folder)
        try:
            write_folder(folder / path, training.save)
        except StorageError:
            raise
        except Exception as error:
            found = blame(error)
            if found.culprit != "storage":
                raise
            raise StorageError(str(folder / path), found.words) from error
        self._checkpoints.append(path)
        # The driver asks for a report only after it acknowledged the one before. On an object
        # store it acknowledges later, and removes what is replaced by itself.
        if isinstance(folder, Path):
            for old in self._checkpoints[:-KEPT]:
                remove_tree(folder / old)
        del self._checkpoints[:-KEPT]
        return path

    def _forget_other_checkpoints(self) -> None:
        """Remove what earlier attempts wrote and the driver never acknowledged."""
        job = self._job
        # A node that was frozen may go on here long after another one has the trial.
        keep_only(place(job.folder), job.trial, job.checkpoint, job.attempt)

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
        own = str(place(self._job.folder))
        links = [link for link in links_of(error) if isinstance(link, OSError)]
        named = [getattr(link, "where", link.filename) for link in links]
        return any(str(name).startswith(own) for name in named if name)

    def _wait_for_storage(self, error: Exception, found: Blame) -> dict[str, Any]:
        """Keep what is trained in memory; what cannot go on is begun again from its checkpoint."""
        if self._unsaved is None:
            self._forget_training()
            last = self._checkpoints[-1] if self._checkpoints else self._job.checkpoint
            self._job = replace(self._job, checkpoint=last)
        self._refused = True
        needed = max((getattr(link, "needed", 0) for link in links_of(error)), default=0)
        return {
            "kind": "storage",
            "reason": getattr(error, "problem", found.words),
            "needed": needed or self._size_of_a_checkpoint(),
        }

    def _size_of_a_checkpoint(self) -> int:
        """Bytes of the last one; a little where there is none yet, or none to be seen."""
        last = self._checkpoints[-1] if self._checkpoints else None
        folder = place(self._job.folder)
        if last is None or not isinstance(folder, Path):
            return 1 << 20
        try:
            return sum(file.stat().st_size for file in (folder / last).iterdir()) + (1 << 16)
        except OSError:
            return 1 << 20

    def _write_down(self) -> None:
        """Keep the whole trace, if storage takes it: the message has what matters."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            self._output.note(f"attempt {self._job.attempt}, {now}\n{traceback.format_exc()}\n")
        except Exception as error:
            if blame(error).culprit == "config":
                raise


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
