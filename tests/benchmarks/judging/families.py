"""The families of worlds by name."""

from __future__ import annotations

from tests.benchmarks.judging.hpolib import hpolib
from tests.benchmarks.judging.problem import Family
from tests.benchmarks.judging.recorded import recorded

FAMILIES: dict[str, Family] = {"hpolib": hpolib, "recorded": recorded}
