"""The Ray side of a training run: a Trainable whose step is the next message to the driver."""

from __future__ import annotations

import gc
import json
import os
import platform
import random
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.tune import Trainable

from search.engine.job import Job, TrainingRun, build_trainer
from search.ledger.checkpoints import keep_only
from search.ledger.storage import StoreError, append_text, place, remove_tree, write_folder
from trm.report import Report

KEPT = 2
"""Checkpoints kept per trial: the last acknowledged one, and the one that is being reported."""


class TrialRunner(Trainable):  # type: ignore[misc]  # Ray is untyped here
    """Runs one attempt after another in a worker process.

    A step returns `{"message": JSON}`. The first message of a process is `started`; an attempt's
    are one `report` per compute mark, of which the last has `last` set, or `end` with an outcome.
    A failure is a message too, so Tune sees an error only when the process itself dies.
    """

    _job: Job
    _training: TrainingRun | None
    _reports: Iterator[Report] | None

    def setup(self, config: dict[str, Any]) -> None:
        """Take the first job."""
        # What is loaded by now stays: collecting garbage between trials need not look at it.
        gc.freeze()
        self._introduced = False
        self._take(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another job, with nothing left of the one before."""
        self._take(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """The next message of this attempt."""
        try:
            message = self._next()
        except StoreError:
            raise  # the attempt is begun anew, as after the death of its worker
        except Exception as error:
            message = self._failed(error)
        message |= {"trial": self._job.trial, "attempt": self._job.attempt}
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
            self._training = self._reports = None

    def cleanup(self) -> None:
        """Free the training run."""
        self._training = self._reports = None

    def _take(self, config: dict[str, Any]) -> None:
        self._job = Job.from_json(config["job"])
        self._training = None
        self._reports = None
        self._provenance_sent = False
        job = self._job
        # Another trial's checkpoint, from which this one goes on, is not this trial's to remove.
        self._checkpoints = [job.checkpoint] if job.checkpoint and not job.forks else []
        gc.collect()
        # Nothing of ours draws from the global generators, but a plug-in may.
        random.seed(self._job.seed)
        np.random.seed(self._job.seed)  # noqa: NPY002
        if torch := sys.modules.get("torch"):
            torch.manual_seed(self._job.seed)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _next(self) -> dict[str, Any]:
        if not self._introduced:
            self._introduced = True
            return {"kind": "started", "host": platform.node(), "pid": os.getpid()}
        if self._training is None or self._reports is None:
            self._forget_other_checkpoints()
            self._training = build_trainer(self._job)
            self._reports = self._training.run()
        report = next(self._reports, None)
        if report is None:
            return {"kind": "end", "outcome": "completed", "reason": ""}
        message: dict[str, Any] = {"kind": "report", "row": report.row()}
        message["last"] = self._training.finished
        if not report.diverged:
            message["checkpoint"] = self._save(self._training, report.mark)
        if (findings := self._training.findings()) is not None:
            message["findings"] = findings
        if not self._provenance_sent:
            node = ray.get_runtime_context().get_node_id()
            message["provenance"] = {**self._training.provenance(), "node": node}
            self._provenance_sent = True
        return message

    def _save(self, training: TrainingRun, mark: int) -> str:
        job = self._job
        path = f"{job.checkpoints}/{job.attempt}/{mark}"
        folder = place(job.folder)
        write_folder(folder / path, training.save)
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
        keep_only(place(self._job.folder), self._job.trial, self._job.checkpoint)

    def _failed(self, error: Exception) -> dict[str, Any]:
        self._training = self._reports = None
        now = datetime.now(UTC).isoformat(timespec="seconds")
        append_text(
            place(self._job.folder) / "logs" / f"{self._job.trial}.txt",
            f"attempt {self._job.attempt}, {now}\n{traceback.format_exc()}\n",
        )
        words = " ".join(str(error).split())
        reason = f"{type(error).__name__}: {words}" if words else type(error).__name__
        outcome = "oom" if _out_of_memory(error) else "crashed"
        return {"kind": "end", "outcome": outcome, "reason": reason[:500]}


def _out_of_memory(error: Exception) -> bool:
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in text  # torch's CPU allocator raises a RuntimeError
        or "CUDA out of memory" in text
    )
