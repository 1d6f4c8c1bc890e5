"""Peak memory of a training run, on the accelerator or of the process."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import torch

_PROC = Path("/proc/self")


def reset_peak(device: torch.device) -> None:
    """Begin to measure: a process that trains one run after another has a peak for each."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif device.type == "mps":
        torch.mps.empty_cache()
    else:
        with suppress(OSError):  # not Linux, or not allowed: the peak is then the process's own
            (_PROC / "clear_refs").write_text("5")


def peak_memory(device: torch.device) -> float:
    """Bytes at the peak since `reset_peak`.

    On CUDA what torch's allocator handed out, as `torch.cuda.max_memory_allocated` counts it. On an
    Apple GPU, where nothing counts a peak, what Metal holds for the process now
    (`torch.mps.driver_allocated_memory`): freed blocks stay in torch's cache until `reset_peak`
    empties it. On a CPU the process's resident set (`VmHWM` of proc(5)), the interpreter and its
    libraries included; where the system cannot reset it, the peak of the process's whole life; on
    Windows, where Python's library does not count it, 0.
    """
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    if device.type == "mps":
        return float(torch.mps.driver_allocated_memory())
    with suppress(OSError):
        for line in (_PROC / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) * 1024.0
    if sys.platform == "win32":
        return 0.0
    import resource

    unit = 1.0 if sys.platform == "darwin" else 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
