"""Decisions that depend on the machine, made once per run and stored with it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trm.errors import UserError
from trm.train_config import TrainConfig


@dataclass(frozen=True)
class Resolved:
    """What `auto` came to mean.

    Attributes:
        device: torch device, as `cpu` or `cuda:0`.
        device_name: what the hardware calls itself.
        precision: `float32` or `bfloat16`, the forward pass's type; parameters stay float32.
        threads: CPU threads of one training.
        compile: whether the recursion runs as compiled graphs, which round otherwise than eagerly.
    """

    device: str
    device_name: str
    precision: str
    threads: int
    compile: bool = False

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
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(key, name, "is no torch device: use auto, cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):
        raise UserError(key, name, "is not supported: use auto, cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(key, name, "is not there: use auto or cpu")
    on_gpu = device.type == "cuda"
    precision = train.precision
    if precision == "auto":
        precision = "bfloat16" if on_gpu and torch.cuda.is_bf16_supported() else "float32"
    hardware = torch.cuda.get_device_name(device) if on_gpu else "cpu"
    return Resolved(str(device), hardware, precision, train.threads, train.compile)
