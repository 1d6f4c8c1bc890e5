"""What every failure detector promises."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from curricula.component import Component
from trm.detectors import DETECTORS
from trm.diagnostics import diagnostics_class, evidence, require_finding
from trm.report import ReportRow

_RUNS, _REPORTS = 60, 8


def check_detector(name: str, config: Component | None = None) -> None:
    """Show the detector of that name the reports of made-up runs, good, bad and full of holes.

    Args:
        config: its settings; their defaults if None.

    Raises:
        AssertionError: the detector breaks a promise.
        UserError: so does a finding, in a way that is looked for in every training too.

    >>> check_detector("flat_line")
    """
    assert name in DETECTORS, f"no detector is registered as {name!r}: DETECTORS[{name!r}] = ..."
    detector = DETECTORS[name]
    ours = issubclass(diagnostics_class(), detector.config) and detector.config is not Component
    settings = config or (diagnostics_class()() if ours else detector.config())
    assert detector.definition, "definition is empty: say what counts as the failure"
    assert detector.find([], settings) is None, "it finds something in a run without reports"
    for seed in range(_RUNS):
        rows = list(_run(seed))
        before = deepcopy(rows)
        found = detector.find(rows, settings)
        assert str(rows) == str(before), "it changes the reports"
        assert str(detector.find(deepcopy(rows), settings)) == str(found), "a second look differs"
        if found is not None:
            require_finding(name, found)


def _run(seed: int) -> Iterator[ReportRow]:
    """A run's reports; about one in three has holes, and one in five is not finite."""
    rng = random.Random(seed)
    columns = evidence()
    holes, broken = rng.random() < 0.3, rng.random() < 0.2
    trend = rng.choice([-1.0, 0.0, 1.0])
    for mark in range(1, rng.randint(1, _REPORTS) + 1):
        row: dict[str, Any] = {name: max(rng.random() + trend * mark / 8, 0.0) for name in columns}
        row |= {"progress": mark / _REPORTS, "step": 10 * mark, "diverged": False, "evaluated": 100}
        if holes:
            for name in rng.sample(columns, len(columns) // 2):
                row[name] = None
        if broken and mark > 1:
            row[rng.choice(columns)] = rng.choice([math.nan, math.inf])
        yield row
