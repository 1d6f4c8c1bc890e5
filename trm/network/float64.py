"""float64 on devices that have it, and what stands in for it on those that do not.

>>> in_float64(torch.ones(2)).dtype, widest(torch.ones(2)).dtype
(torch.float64, torch.float64)
"""

from __future__ import annotations

import torch
from torch import Tensor


def has_float64(device: torch.device) -> bool:
    """Whether a device computes in float64: Apple's GPUs do not."""
    return device.type != "mps"


def widest(x: Tensor) -> Tensor:
    """The same numbers in the widest type of their device, float64 or else float32."""
    return x.double() if has_float64(x.device) else x.float()


def in_float64(x: Tensor) -> Tensor:
    """The same numbers in float64, on the CPU where their own device has none."""
    return x.double() if has_float64(x.device) else x.cpu().double()
