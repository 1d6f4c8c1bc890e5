"""What the first process of a training does beside training: it gathers the others and reports."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

import torch

from trm.config import Experiment
from trm.device import resolve
from trm.errors import UserError
from trm.parallel.meeting import Meeting, connected, own_device
from trm.parallel.spawned import Spawned
from trm.plugins import looked_in
from trm.ranks import Joined, LostRankError
from trm.training.trainer import Trainer

JOB, READY = "job", "ready"
"""Keys of the meeting's table: what is to be trained, and what keeps a process from it."""


class LostProcessError(RuntimeError):
    """One of a training's processes has ended before the training; what was saved stays."""


def require_divisible(config: Experiment, size: int, *, begun: bool) -> None:
    """
    Args:
        begun: whether a checkpoint says how much is to be trained, and where.

    Raises:
        UserError: the training cannot be shared out over so many processes.
    """
    train = config.train
    if size > train.batch_size:
        raise UserError(
            "train.batch_size", train.batch_size, f"is less than {size} processes: raise it, or "
            "train with fewer"
        )  # fmt: skip
    if begun or size == 1:
        return
    own_device(resolve(train).device, size - 1)
    if train.budget.minutes is not None:
        raise UserError(
            "train.budget.minutes", train.budget.minutes, "is timed on one process: for several "
            "give steps or flops"
        )  # fmt: skip


@contextmanager
def accompanied(trainer: Trainer, processes: int, meeting: Meeting | None) -> Iterator[None]:
    """Inside, the trainer is the first of several processes, if it is to be.

    Args:
        processes: to be started on this machine, itself included; 1 where they are there already.
        meeting: of those that are there.

    Raises:
        LostProcessError: one of them has ended, inside or before.
        UserError: one of them cannot train this here.
    """
    if meeting is None and processes == 1:
        yield
        return
    if meeting is not None:
        try:
            with _leading(trainer, meeting, lambda: None):
                yield
        except LostRankError as error:
            raise LostProcessError(f"another process has ended: {error}") from error
        return
    own_device(trainer.resolved.device, processes - 1)
    with Spawned(processes) as spawned:
        try:
            with _leading(trainer, spawned.meeting, spawned.require_alive):
                yield
        except LostRankError as error:
            raise LostProcessError(spawned.lost() or str(error)) from error


@contextmanager
def _leading(trainer: Trainer, meeting: Meeting, check: Callable[[], None]) -> Iterator[None]:
    job = {
        "config": trainer.config.tree(),
        "folders": looked_in(),
        "budget": trainer.budget,
        "marks": list(trainer.marks),
        "resolved": asdict(trainer.resolved),
        "data_hash": trainer.task.data_hash,
    }
    meeting.store.set(JOB, json.dumps(job))
    for rank in range(1, meeting.size):
        if problem := _answer(meeting, f"{READY}/{rank}", check):
            raise UserError(f"process {rank + 1} of {meeting.size}: {problem}")
    if trainer.device.type == "cuda":
        torch.cuda.set_device(0)
    with connected(meeting, trainer.device):
        trainer.join(Joined(0, meeting.size))
        yield


def _answer(meeting: Meeting, key: str, check: Callable[[], None]) -> str:
    """What a process says once its data are there; `check` raises where it has ended before."""
    while not meeting.store.check([key]):
        time.sleep(0.05)  # not in the table's own `wait`, which hears no signal
        check()
    return str(meeting.store.get(key), "utf-8")
