"""Work that waits for a machine with cores to spare, and gives way to everything else."""

from __future__ import annotations

import os
import sys
import time

_LOOK_SECONDS = 20.0


def give_way() -> None:
    """Run with the lowest priority from now on."""
    os.nice(19 - os.nice(0))


def wait_for_room(most_load: float) -> float:
    """Sleep until the load of the last minute is below a bound; returns the load."""
    told = False
    while (load := os.getloadavg()[0]) >= most_load:
        if not told:
            print(f"load {load:.1f}: waiting for less than {most_load:g}", file=sys.stderr)
            told = True
        time.sleep(_LOOK_SECONDS)
    return load
