"""Whether a machine is idle enough to measure on."""

from __future__ import annotations

import multiprocessing
import os
import time

LEAST_SHARE = 0.6
"""Of a core that a busy loop must get, in each of two processes."""
SPIN_SECONDS = 1.5


class TooBusyError(Exception):
    """Others use the cores; the message says how much."""


def require_rest(anyway: bool) -> float:
    """The share of a core that each of two busy processes gets, the lesser.

    Raises:
        TooBusyError: it is below `LEAST_SHARE`, and not `anyway`.
    """
    cores = min(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        found = min(pool.map(spin, [SPIN_SECONDS] * cores, chunksize=1))
    if found < LEAST_SHARE and not anyway:
        raise TooBusyError(
            f"a busy loop gets {found:.0%} of a core (load {os.getloadavg()[0]:.1f}), and "
            f"{LEAST_SHARE:.0%} are needed: wait until the machine is idle, or --anyway"
        )
    return found


def spin(seconds: float) -> float:
    """The share of a core that a busy loop gets for so long."""
    begun, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - begun < seconds:
        pass
    return (time.process_time() - used) / (time.perf_counter() - begun)
