"""What the search would still gain: by further runs, and by another hour of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search.config.plan import Plan
from search.explore.candidates import FEWEST
from search.explore.guide import MOST
from search.explore.leaders import CAUTION, completed, searched
from search.ledger.book import Book
from search.ledger.lineage import spent
from search.objectives.objective import Objective
from search.samplers.gaussian.belief import belief_of
from search.samplers.history import History
from search.space.space import Space

CONFIDENCE = 0.9
ADAPTS, WIDER = 1.6, 2.0
"""By how much a search gains more than the model foresees of runs chosen all at once, and how much
farther from it what comes lies: chosen by 141 sweeps of `tests/benchmarks/prospects.py`, and
checked on 59 others."""


@dataclass(frozen=True)
class Outlook:
    """How much better the pick of a search would be after further runs.

    Attributes:
        runs: further full runs.
        gain: expected, in the objective's units; more is better, whatever its direction.
        low: lower end of what it is likely to be; below 0 where the pick may get worse.
        high: upper end.
        confidence: of that interval.
    """

    runs: int
    gain: float
    low: float
    high: float
    confidence: float = CONFIDENCE


def outlook(history: History, space: Space, runs: int) -> Outlook | None:
    """What further runs would bring, as the model of every seed and curve believes it; None if too
    few configs have completed to say.

    The same history gives the same answer. How well such answers hold is measured in
    `tests/benchmarks/prospects.py`.

    Args:
        history: of a search of one objective.
        runs: further full runs.
    """
    from search.samplers.gaussian.prospect import gains

    able = [n for n in completed(history) if history.records[n].excess <= 0]
    if len(able) < FEWEST or runs < 1:
        return None
    found = gains(belief_of(history, space, MOST), able, runs, CAUTION, len(history.records))
    tail = (1.0 - CONFIDENCE) / 2.0
    ends = np.quantile(found, [tail, 1.0 - tail]) - found.mean()
    gain = ADAPTS * float(found.mean())
    low, high = (gain + WIDER * float(end) for end in ends)
    return Outlook(runs, gain, low, high)


def another_hour(plan: Plan, book: Book, elapsed: float | None) -> Outlook | None:
    """What another hour of searching would bring at the run's pace so far; None if that cannot be
    said.

    Args:
        elapsed: seconds of wall time that the run has taken.
    """
    compute, _ = spent(book.trials)
    if len(plan.objectives) > 1 or plan.breeds or not plan.space.parameters:
        return None
    if not elapsed or not compute:
        return None
    runs = round(3600.0 / elapsed * compute / plan.budget)
    return outlook(searched(plan, book)[0], plan.space, runs)


def outlook_text(found: Outlook, objective: Objective) -> str:
    """An outlook in a sentence.

    >>> outlook_text(Outlook(12, 0.0104, -0.002, 0.0413), Objective(column="exact_accuracy"))
    'another hour of searching (12 full runs) would raise exact_accuracy by about 0.010 \
(90%: -0.002 to 0.041)'
    """
    verb = "raise" if objective.maximizes else "lower"
    runs = "1 full run" if found.runs == 1 else f"{found.runs:,} full runs"
    return (
        f"another hour of searching ({runs}) would {verb} {objective.column} by about "
        f"{found.gain:.3f} ({found.confidence:.0%}: {found.low:.3f} to {found.high:.3f})"
    )
