"""What every process but the first does: it trains what it is told, and says nothing.

python -m trm.parallel.following ADDRESS PORT RANK SIZE LOCAL
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from trm.config import load_experiment
from trm.device import Resolved
from trm.errors import UserError
from trm.files.run_folder import cache_folder
from trm.parallel.leading import JOB, READY
from trm.parallel.meeting import BEREFT, Meeting, connected, join, own_device
from trm.ranks import GO_ON, SAVE, STOP, Joined, LostRankError
from trm.stopping import instead_of_raising
from trm.training.trainer import Trainer

DONE, FAILED = 0, 1


def follow(meeting: Meeting) -> int:
    """Train as one of several until the first one ends; returns the exit code.

    A signal is a wish to stop, of which all are told.
    """
    asked = False

    def ask() -> None:
        nonlocal asked
        asked = True

    with instead_of_raising(ask):
        try:
            job = json.loads(meeting.store.get(JOB))
        except RuntimeError:
            return BEREFT  # the first one has ended before it began: it says why
        try:
            trainer = _trainer(job, meeting)
        except Exception as error:  # whatever a task or a plug-in does while it is built
            words = (
                str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            )
            meeting.store.set(f"{READY}/{meeting.rank}", " ".join(words.split()) or repr(error))
            return FAILED
        meeting.store.set(f"{READY}/{meeting.rank}", "")
        # Without the first one there is nothing to leave behind: it holds the run.
        with suppress(LostRankError), connected(meeting, trainer.device):
            trainer.join(Joined(meeting.rank, meeting.size))
            _accompany(trainer, lambda: asked)
            return DONE
    return BEREFT


def _trainer(job: dict[str, Any], meeting: Meeting) -> Trainer:
    config = load_experiment(job["config"], [Path(folder) for folder in job["folders"]])
    device = own_device(job["resolved"]["device"], meeting.local)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    resolved = replace(Resolved(**job["resolved"]), device=str(device))
    task = config.task.build(cache_folder())
    if task.data_hash != job["data_hash"]:
        raise UserError("its task section gives other data here than in the first process")
    return Trainer(config, task, job["budget"], job["marks"], resolved)


def _accompany(trainer: Trainer, stop: Callable[[], bool]) -> None:
    """Train on, and save, when all do."""

    def between_steps() -> bool:
        agreed = trainer.ranks.highest(STOP if stop() else GO_ON)
        if agreed == SAVE:
            trainer.give_state()
        return agreed == STOP

    for _ in trainer.run(between_steps):
        trainer.give_state()
    if not trainer.finished:
        trainer.give_state()


def main(arguments: list[str]) -> int:
    """Follow whom the arguments name."""
    address, (port, rank, size, local) = arguments[0], map(int, arguments[1:])
    try:
        meeting = join(address, port, rank, size, local)
    except RuntimeError:
        return BEREFT
    return follow(meeting)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
