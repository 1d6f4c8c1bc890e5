"""How long calls take, what they hold in memory, and the energy where a device tells."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from trm.training.memory import peak_memory, reset_peak

_POWERCAP = Path("/sys/class/powercap")
LEAST_CALLS = 5
MOST_CALLS = 2_000


@dataclass(frozen=True)
class TimedCalls:
    """Calls of one kind, one after another.

    Attributes:
        calls: how many.
        p50: seconds of half of them at most.
        p99: seconds of 99 % of them at most; of fewer than 100 calls the longest.
        mean: seconds of one.
        cpu: seconds of the process's CPU time of one, which other work of the machine leaves alone.
        memory: bytes at the peak, as `trm.training.memory.peak_memory` counts them.
        joules: of one call, the whole of the device; None where it does not tell.
    """

    calls: int
    p50: float
    p99: float
    mean: float
    cpu: float
    memory: float
    joules: float | None


def timed(call: Callable[[int], object], seconds: float, device: torch.device) -> TimedCalls:
    """Time calls, each with its number, after two that do not count.

    Args:
        seconds: for all of them, at least `LEAST_CALLS` though.

    >>> found = timed(lambda number: sum(range(1000)), 0.01, torch.device("cpu"))
    >>> found.calls >= 5, 0.0 < found.p50 <= found.p99
    (True, True)
    """
    for number in range(2):
        call(number)
    reset_peak(device)
    _wait(device)
    taken: list[float] = []
    energy = joules(device)
    begun, worked = time.perf_counter(), time.process_time()
    while len(taken) < LEAST_CALLS or (
        time.perf_counter() - begun < seconds and len(taken) < MOST_CALLS
    ):
        start = time.perf_counter()
        call(len(taken))
        _wait(device)
        taken.append(time.perf_counter() - start)
    worked = time.process_time() - worked
    after = joules(device)
    known = energy is not None and after is not None and after >= energy
    return TimedCalls(
        len(taken),
        quantile(taken, 0.5),
        quantile(taken, 0.99),
        sum(taken) / len(taken),
        worked / len(taken),
        peak_memory(device),
        (after - energy) / len(taken) if known else None,  # type: ignore[operator]
    )


def quantile(values: list[float], share: float) -> float:
    """The least value that so large a share of all does not pass.

    >>> quantile([3.0, 1.0, 2.0], 0.5), quantile([3.0, 1.0, 2.0], 0.99)
    (2.0, 3.0)
    """
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


def joules(device: torch.device, powercap: Path = _POWERCAP) -> float | None:
    """Energy that a device has taken since some moment, in joules; None where it does not tell.

    A CPU by Linux's powercap (the whole package, whoever uses it), a CUDA device by NVML.

    >>> joules(torch.device("cpu"), Path("nowhere")) is None
    True
    """
    if device.type == "cuda":
        with suppress(Exception):  # no pynvml, or a device that does not count
            import pynvml

            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByIndex(device.index or 0)
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3
        return None
    if device.type != "cpu":
        return None
    packages = [path for path in powercap.glob("intel-rapl:*") if path.name.count(":") == 1]
    try:
        found = [int((path / "energy_uj").read_text()) / 1e6 for path in packages]
    except (OSError, ValueError):
        return None
    return sum(found) if found else None


def device_name(device: torch.device) -> str:
    """What the hardware calls itself; of a CPU its model, where the system tells."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return str(torch.backends.mps.get_name())
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return "CPU"


def _wait(device: torch.device) -> None:
    """Until an accelerator has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
