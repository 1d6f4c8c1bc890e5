"""The families of worlds by name."""

from __future__ import annotations

from functools import partial

from tests.benchmarks.judging.hpolib import hpolib
from tests.benchmarks.judging.problem import Family
from tests.benchmarks.judging.recorded import recorded
from tests.benchmarks.judging.wide import wide

FAMILIES: dict[str, Family] = {
    "trees": partial(wide, "trees"),
    "net": partial(wide, "net"),
    "hpolib": hpolib,
    "recorded": recorded,
}
