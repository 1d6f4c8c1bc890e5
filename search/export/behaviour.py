"""How an exported config behaves: its size, what halting and more depth do, what went wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.config.plan import Plan
from search.ledger.book import Book
from search.ledger.trial import Row, Trial
from search.stability.failings import failings, own_trials

_DEPTHS = {2: "exact_accuracy_2x", 4: "exact_accuracy_4x", 8: "exact_accuracy_8x"}
"""Multiples of the trained depth, and the columns of the probe."""


@dataclass(frozen=True)
class Behaviour:
    """Means over a config's own trials that ran to their end.

    Attributes:
        trials: how many those are.
        parameters: of the model; None where nothing ran to its end, as are all that follow.
        steps: supervision steps until the first halt, of at most `most_steps`.
        most_steps: supervision steps in all.
        early: exact accuracy where each example stops at its first halt.
        full: exact accuracy after all steps.
        latency: seconds an example, all steps; None where it was not measured.
        deeper: exact accuracy by multiple of the trained depth, on the probe's examples or
            those of `thought`.
        found: what detectors found, in a line each.
    """

    trials: int
    parameters: int | None
    steps: float | None
    most_steps: int
    early: float | None
    full: float | None
    latency: float | None
    deeper: Mapping[int, float]
    found: Sequence[str]


def behaviour(plan: Plan, book: Book, trial: Trial) -> Behaviour:
    """Of the config of an explore trial: over its fresh seeds, or of itself where it has none."""
    own = own_trials(plan, book, trial) or [trial]
    rows = [book.curve(one.id)[-1] for one in own if one.completed and book.curve(one.id)]
    parameters = _mean(rows, "parameters")
    deeper = {n: value for n, name in _DEPTHS.items() if (value := _mean(rows, name)) is not None}
    wide = {n: _mean(rows, f"accuracy_x{n}") for n in (4, 16)}
    if any(value is not None for value in wide.values()):
        deeper = {n: value for n, value in wide.items() if value is not None}
    return Behaviour(
        trials=len(rows),
        parameters=None if parameters is None else round(parameters),
        steps=_mean(rows, "mean_steps"),
        most_steps=int(trial.config["model"].get("halt_max_steps", 16)),
        early=_mean(rows, "early_exact_accuracy"),
        full=_mean(rows, "exact_accuracy"),
        latency=_mean(rows, "latency"),
        deeper=deeper,
        found=[one.words for one in failings(book, own)],
    )


def _mean(rows: Sequence[Row], column: str) -> float | None:
    known = [float(v) for row in rows if (v := row.get(column)) is not None and math.isfinite(v)]
    return math.fsum(known) / len(known) if known else None
