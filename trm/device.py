"""Decisions that depend on the machine, made once per run and stored with it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cache

import torch

from trm.errors import UserError
from trm.train_config import TrainConfig


@dataclass(frozen=True)
class Resolved:
    """What `auto` came to mean.

    Attributes:
        device: torch device, as `cpu`, `cuda:0` or `mps`.
        device_name: what the hardware calls itself.
        precision: `float32` or `bfloat16`, the forward pass's type; parameters stay float32.
        threads: CPU threads of one training.
        compile: whether the recursion runs as compiled graphs, which round otherwise than eagerly.
        kernel: `fused` where supervision steps run through the compiled library of
            `trm.network.fused`, which rounds otherwise too; else `eager`.
        kernel_reason: why it is not `fused`, in a few words.
        cuda_graphs: `on` where training steps are replayed as CUDA graphs, else `off`; `auto` until
            the first steps have decided.
        cuda_graphs_reason: why it is not `on`, in a few words.
    """

    device: str
    device_name: str
    precision: str
    threads: int
    compile: bool = False
    kernel: str = "eager"
    kernel_reason: str = field(default="", compare=False)
    cuda_graphs: str = "off"
    cuda_graphs_reason: str = field(default="", compare=False)

    @property
    def dtype(self) -> torch.dtype:
        """The forward pass's type."""
        return torch.bfloat16 if self.precision == "bfloat16" else torch.float32


def resolve(train: TrainConfig, key: str = "train.device") -> Resolved:
    """Turn `auto` into facts for this machine.

    Args:
        key: what an error names as the place where the device was chosen.

    Raises:
        UserError: the device is unknown or absent.
    """
    name = train.device
    if name == "auto":
        name = _best(train)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(key, name, "is no torch device: use auto, cpu, cuda or mps") from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise UserError(key, name, "is not supported: use auto, cpu, cuda or mps")
    if not is_here(device):
        raise UserError(key, name, "is not there: use auto or cpu")
    if device.type == "mps" and (lacking := _beyond_mps(train)):
        raise UserError(key, name, f"does not have {lacking}, or use cpu")
    on_gpu = device.type == "cuda"
    precision = train.precision
    if precision == "auto":
        precision = "bfloat16" if on_gpu and torch.cuda.is_bf16_supported() else "float32"
    return Resolved(str(device), _hardware(device), precision, train.threads, train.compile)


@cache
def bfloat16_cost() -> float:
    """How many times as long as in float32 a product of matrices takes in bfloat16 on this CPU.

    Below 1 where it has units for bfloat16; without them it was 30 to 300. Takes some milliseconds
    the first time, or as many as ten products.
    """

    def seconds(dtype: torch.dtype) -> float:
        matrix = torch.ones(256, 256, dtype=dtype)
        times = []
        for _ in range(5):
            begun = time.thread_time()
            matrix @ matrix
            times.append(time.thread_time() - begun)
        return min(times)

    return seconds(torch.bfloat16) / max(seconds(torch.float32), 1e-9)


def slow_precision(resolved: Resolved) -> str:
    """One line where a CPU computes slowly in the precision that was asked for; else empty."""
    if resolved.precision != "bfloat16" or resolved.device != "cpu":
        return ""
    if (cost := bfloat16_cost()) < 1.5:
        return ""
    return (
        f"train.precision bfloat16: this CPU takes {cost:.2g} times as long for a product of "
        "matrices as in float32, which auto would take"
    )


def is_here(device: torch.device) -> bool:
    """Whether this machine, and this build of torch, have the device."""
    if device.type == "cuda":
        return (device.index or 0) < torch.cuda.device_count()
    if device.type == "mps":
        return not device.index and torch.backends.mps.is_available()
    return device.type == "cpu"


def require_here(resolved: Resolved, path: object) -> None:
    """
    Raises:
        UserError: the run of the checkpoint at `path` is on a device that is not here.
    """
    if not is_here(torch.device(resolved.device)):
        raise UserError(
            f"{path}: its run is on {resolved.device!r} ({resolved.device_name}), which is not "
            "here: resume it where that is, or start a new run"
        )


def _best(train: TrainConfig) -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() and not _beyond_mps(train) else "cpu"


def _beyond_mps(train: TrainConfig) -> str:
    """What a training asks for that is not offered on an Apple GPU, with the remedy."""
    if train.precision == "bfloat16":
        return "train.precision: bfloat16: set it to auto"
    return "train.compile: true: set it to false" if train.compile else ""


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return torch.backends.mps.get_name() if device.type == "mps" else "cpu"
