"""An attempt as its worker has it: its job, its training, the checkpoints that it has written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from search.engine.job import Job, TrainingRun, build_trainer
from search.ledger.storage import place, remove_tree, write_folder
from search.ledger.trial import keep_only
from trm.blame import StorageError, blame

KEPT = 2
"""Checkpoints kept per trial: the last acknowledged one, and the one that is being reported."""


class AttemptInHand:
    """One attempt in a worker's hands.

    Attributes:
        job: what it is to do.
        training: what does it; None until it is begun.
        mark: the last report that was told of.
        told: whether its provenance was.
        over: whether nothing more comes of it here.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.training: TrainingRun | None = None
        self.mark = 0
        self.told = self.over = False
        # Another trial's checkpoint, from which this one goes on, is not this trial's to remove.
        self._checkpoints = [job.checkpoint] if job.checkpoint and not job.forks else []

    @property
    def last_checkpoint(self) -> str | None:
        """Its newest own one."""
        return self._checkpoints[-1] if self._checkpoints else None

    def begin(self, note: Callable[[str], object]) -> None:
        """Build the training, as its checkpoint has it."""
        self.training = build_trainer(self.job, note)

    def go_on_from(self, checkpoint: str | None) -> None:
        """Forget what is trained: the next training goes on from there."""
        self.training = None
        self.job = replace(self.job, checkpoint=checkpoint)

    def save(self, mark: int) -> str:
        """Write a checkpoint; its path, relative to the run folder.

        Raises:
            StorageError: storage does not take it.
        """
        assert self.training is not None
        job = self.job
        path = f"{job.checkpoints}/{job.attempt}/{mark}"
        folder = place(job.folder)
        try:
            write_folder(folder / path, self.training.save)
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

    def forget_other_checkpoints(self) -> None:
        """Remove what earlier attempts wrote and the driver never acknowledged."""
        job = self.job
        # A node that was frozen may go on here long after another one has the trial.
        keep_only(place(job.folder), job.trial, job.checkpoint, job.attempt)

    def size_of_a_checkpoint(self) -> int:
        """Bytes of the last one; a little where there is none yet, or none to be seen."""
        last, folder = self.last_checkpoint, place(self.job.folder)
        if last is None or not isinstance(folder, Path):
            return 1 << 20
        try:
            return sum(file.stat().st_size for file in (folder / last).iterdir()) + (1 << 16)
        except OSError:
            return 1 << 20

    def provenance(self, **more: Any) -> dict[str, Any]:
        """Hashes and decisions that its results depend on, and `more`."""
        assert self.training is not None
        self.told = True
        return {**self.training.provenance(), **more}
