"""One of the copies of a training that are measured side by side on a device; runs on its node."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from search.engine.job import Job, task_of
from trm.plugins import look_in

if TYPE_CHECKING:
    from trm.training.trainer import Trainer

LEAST_STEPS = 3
"""Steps that are timed, however long they take."""
_NEAR_THE_END = 0.9
"""Of a training's compute: a curriculum of depth has reached its full depth there."""


@dataclass(frozen=True)
class Used:
    """Memory of a device, in bytes.

    Attributes:
        peak: that this process had at most.
        now: that it has.
        device: in use now, by whomever.
    """

    peak: float
    now: float
    device: float


@dataclass(frozen=True)
class Timed:
    """What one copy did in its few seconds.

    Attributes:
        rate: steps a second.
        flops: training FLOPs of a step.
        used: memory.
    """

    rate: float
    flops: float
    used: Used


class Measurable(Protocol):
    """A training whose steps can be timed."""

    def device(self) -> tuple[str, float]:
        """What its device calls itself, and its bytes of memory; "" where there is none."""

    def prepare(self) -> float:
        """Build it, and do once whatever a training does; the training FLOPs of a step."""

    def step(self) -> None:
        """One training step."""

    def wait(self) -> None:
        """Until the device has done what it was told."""

    def used(self) -> Used:
        """Memory of the device."""


def measurable(job: Job, others: Sequence[dict[str, Any]] = ()) -> Measurable | None:
    """What a job's training is measured by; None where it cannot be.

    Args:
        others: further configs of the sweep, of which the largest is measured.
    """
    look_in(map(Path, job.path))
    if job.factory is None:
        return TRMCopy(job, others)
    module, _, name = job.factory.partition(":")
    factory = getattr(importlib.import_module(module), name)
    found: Measurable | None = factory.measurable(job) if hasattr(factory, "measurable") else None
    return found


def timed(training: Measurable, flops: float, seconds: float) -> Timed:
    """What a training does in so long."""
    steps = 0
    training.wait()
    begun = time.perf_counter()
    while steps < LEAST_STEPS or time.perf_counter() - begun < seconds:
        training.step()
        steps += 1
    training.wait()
    return Timed(steps / (time.perf_counter() - begun), flops, training.used())


class Copy:
    """An actor of Ray that holds one measurable training.

    Args:
        job: of the sweep's default config, as text.
        others: further configs of the sweep, of which the largest is measured.
    """

    def __init__(self, job: str, others: Sequence[dict[str, Any]] = ()) -> None:
        self._training = measurable(Job.from_json(job), others)
        self._flops = 0.0

    def device(self) -> tuple[str, float]:
        """As the training has it; none where it cannot be measured."""
        return ("", 0.0) if self._training is None else self._training.device()

    def prepare(self) -> str:
        """Build the training; returns which of the node's devices it has."""
        assert self._training is not None
        self._flops = self._training.prepare()
        return os.environ.get("CUDA_VISIBLE_DEVICES", "")

    def measure(self, seconds: float) -> Timed:
        """Train for so long."""
        assert self._training is not None
        return timed(self._training, self._flops, seconds)


class TRMCopy:
    """The TRM trainer on its real data."""

    def __init__(self, job: Job, others: Sequence[dict[str, Any]]) -> None:
        self._job = job
        self._others = others
        self._trainer: Trainer

    def device(self) -> tuple[str, float]:
        """The first CUDA device that torch sees here."""
        import torch

        if not torch.cuda.is_available():
            return "", 0.0
        return torch.cuda.get_device_name(0), float(
            torch.cuda.get_device_properties(0).total_memory
        )

    def prepare(self) -> float:
        """Build it, train some steps and evaluate one batch, for their memory."""
        from trm.config import load_experiment
        from trm.evaluation import subset
        from trm.training.flops import step_flops
        from trm.training.trainer import Trainer

        job = self._job
        config = load_experiment(job.config)
        task = task_of(job, config)
        sizes = [(step_flops(config, task), 0, config)]
        for number, tree in enumerate(self._others, 1):
            with suppress(ValueError):  # a draw that no model can be built from
                other = load_experiment(tree)
                if other.task == config.task:
                    sizes.append((step_flops(other, task), -number, other))
        flops, _, config = max(sizes, key=lambda size: size[:2])
        trainer = self._trainer = Trainer(config, task, job.budget, job.marks)
        trainer.prepare()
        trainer.counters.compute = _NEAR_THE_END * trainer.budget
        for _ in range(LEAST_STEPS):
            trainer.train_step()
        split = task.split("valid")
        trainer.evaluate(subset(split, min(config.train.eval_batch_size, len(split))))
        return flops

    @property
    def on_cpu(self) -> bool:
        """Whether it trains on the CPU, once it is built."""
        return self._trainer.device.type == "cpu"

    def step(self) -> None:
        """One training step."""
        self._trainer.train_step()

    def wait(self) -> None:
        """Until the device has done what it was told."""
        import torch

        if self._trainer.device.type == "cuda":
            torch.cuda.synchronize(self._trainer.device)

    def used(self) -> Used:
        """What torch's allocator has of the device, and what the driver says of the whole."""
        import torch

        device = self._trainer.device
        if device.type != "cuda":
            own = own_memory()
            return Used(own, own, 0.0)
        free, total = torch.cuda.mem_get_info(device)
        return Used(
            float(torch.cuda.max_memory_reserved(device)),
            float(torch.cuda.memory_reserved(device)),
            float(total - free),
        )


def own_memory() -> float:
    """Bytes that this process had at most, what it shares with others left out; 0 if unknown."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii")
        found = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        peak, files, shared = (
            1024.0 * float(found[name].split()[0]) for name in ("VmHWM", "RssFile", "RssShmem")
        )
        return max(peak - files - shared, 0.0)
    except (OSError, KeyError, ValueError, IndexError):
        return 0.0
