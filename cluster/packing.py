"""How many trials share a device: as many as raise the throughput of all together, and fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

GAIN = 0.1
"""By which more copies must raise the total throughput to be worth their memory and processes.

Where each measurement is off by at most a share e, what is chosen is truly no slower than one copy
as long as (1 + GAIN) (1 - e) / (1 + e) >= 1: up to e = GAIN / (2 + GAIN), 4.7 %.
"""
FILL = 0.9
"""Of a device's memory that the copies may take: a longer run's allocator holds more."""
MOST = 32
"""Trials on a device, at most."""


@dataclass(frozen=True)
class Probed:
    """What so many copies on one device did.

    Attributes:
        copies: that ran at once.
        rate: training steps a second of all together.
        memory: bytes of the device in use at the peak, by all together.
    """

    copies: int
    rate: float
    memory: float


@dataclass(frozen=True)
class Packing:
    """How many trials share a device.

    Attributes:
        copies: so many.
        probes: what was measured, in order.
        why: why no more than that, in words.

    >>> Packing(2, (Probed(1, 10.0, 3e9), Probed(2, 18.0, 6e9)), "no more is allowed").gpus
    0.5
    """

    copies: int
    probes: tuple[Probed, ...] = ()
    why: str = ""

    @property
    def gpus(self) -> float:
        """What a trial asks for of a GPU; Ray counts in ten-thousandths, and all have to fit."""
        return math.floor(1e4 / self.copies) / 1e4

    def text(self) -> str:
        """In one line, with the figures.

        >>> print(Packing(2, (Probed(1, 10.0, 3e9), Probed(2, 18.0, 6e9)), "3 do not fit").text())
        2 trials a device: steps/s of 1: 10 (3.00 GB), 2: 18 (6.00 GB); 3 do not fit
        """
        noun = "trial" if self.copies == 1 else "trials"
        figures = ", ".join(
            f"{one.copies}: {one.rate:.3g} ({one.memory / 1e9:.2f} GB)" for one in self.probes
        )
        measured = f"steps/s of {figures}; " if figures else ""
        return f"{self.copies} {noun} a device: {measured}{self.why}"


def pack(
    measure: Callable[[int], Probed | str],
    *,
    memory: float,
    most: int = MOST,
    gain: float = GAIN,
) -> Packing:
    """Measure 1, 2, 3, 4, 6, 8, 12, ... copies at once, until more are of no use.

    Args:
        measure: what so many copies did, or why that could not be found out.
        memory: bytes that the device has.
        most: copies to look at.
        gain: share by which more copies must raise the total throughput.

    >>> curve = {1: 10.0, 2: 19.0, 3: 24.0, 4: 25.0}
    >>> pack(lambda copies: Probed(copies, curve[copies], copies * 1e9), memory=16e9).copies
    3
    >>> pack(lambda copies: Probed(copies, 10.0 * copies, copies * 5e9), memory=16e9).why
    '3 would take 15.0 of 16.0 GB'
    """
    probes: list[Probed] = []
    for copies in ladder(most):
        if probes and (needed := _extrapolated(probes, copies)) > FILL * memory:
            why = f"{copies} would take {needed / 1e9:.1f} of {memory / 1e9:.1f} GB"
            return Packing(probes[-1].copies, tuple(probes), why)
        found = measure(copies)
        if isinstance(found, str):
            return Packing(probes[-1].copies if probes else 1, tuple(probes), found)
        before = probes[-1] if probes else None
        probes.append(found)
        if before is None:
            continue
        if found.memory > FILL * memory:
            why = f"{copies} took {found.memory / 1e9:.1f} of {memory / 1e9:.1f} GB"
            return Packing(before.copies, tuple(probes), why)
        if not found.rate >= (1.0 + gain) * before.rate:
            why = f"{copies} are not {gain:.0%} faster together"
            return Packing(before.copies, tuple(probes), why)
    return Packing(probes[-1].copies, tuple(probes), f"no more than {most} were to be tried")


def ladder(most: int) -> Iterator[int]:
    """The numbers of copies that are looked at, in order.

    >>> list(ladder(14))
    [1, 2, 3, 4, 6, 8, 12, 14]
    """
    copies, last = 1, max(most, 1)
    while copies < last:
        yield copies
        # Halfway to the next power of two, then that power.
        power = 1 << (copies.bit_length() - 1)
        copies += max(power // 2, 1)
    yield last


def _extrapolated(probes: list[Probed], copies: int) -> float:
    """Memory of more copies, each taking as much as the hungriest seen.

    One alone is charged with whatever else is on the device: there is nothing to tell it from.
    """
    each = probes[0].memory
    if len(probes) > 1:
        pairs = pairwise(probes)
        each = max((b.memory - a.memory) / (b.copies - a.copies) for a, b in pairs)
    return probes[-1].memory + (copies - probes[-1].copies) * max(each, 0.0)
