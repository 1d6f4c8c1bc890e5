"""What a worker's process uses of its machine, measured by itself between two reports."""

from __future__ import annotations

import os
import sys
import time
from typing import Any


class UsageMeter:
    """Measures this process: a few system calls, some microseconds."""

    def __init__(self) -> None:
        self._at, self._cpu = time.monotonic(), _cpu_seconds()

    def look(self) -> dict[str, Any]:
        """What was used since the last look.

        `cpu` is cores on average, `memory` bytes now; with CUDA also `gpu_memory`, bytes that the
        process holds at most, `gpu_total`, and `gpu` where the driver says how busy the device is.

        >>> meter = UsageMeter()
        >>> sorted(meter.look())[:2]
        ['cpu', 'memory']
        """
        at, cpu = time.monotonic(), _cpu_seconds()
        spent = max(at - self._at, 1e-6)
        found: dict[str, Any] = {
            "cpu": round((cpu - self._cpu) / spent, 3),
            "memory": _memory(),
            **_gpu(),
        }
        self._at, self._cpu = at, cpu
        return {name: value for name, value in found.items() if value is not None}


def _cpu_seconds() -> float:
    now = os.times()
    return now.user + now.system


def _memory() -> int | None:
    """Bytes of this process in memory; None where the system does not say."""
    try:
        import psutil  # Ray brings one along for its workers

        return int(psutil.Process().memory_info().rss)
    except Exception:
        pass
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return None


_asks_the_driver = True


def _gpu() -> dict[str, Any]:
    """Of a process that uses CUDA; it is not asked of one that does not."""
    global _asks_the_driver
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return {}
    found: dict[str, Any] = {
        "gpu_memory": int(torch.cuda.max_memory_reserved()),
        "gpu_total": int(torch.cuda.get_device_properties(0).total_memory),
    }
    if _asks_the_driver:
        try:
            found["gpu"] = float(torch.cuda.utilization()) / 100.0
        except Exception:  # it takes a package that need not be there
            _asks_the_driver = False
    return found
