"""What the search would still gain: by further runs, and by another hour of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search.config.plan import Plan
from search.explore.enough import FEWEST
from search.explore.guide import MOST
from search.explore.leaders import CAUTION, cautious, completed, searched
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

MOST_PICKS = 400
"""Of more configs the others are not picked, now or later: time grows with the cube."""


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
    belief = belief_of(history, space, MOST)
    if len(able) > MOST_PICKS:
        worth = dict(zip(able, cautious(belief, able), strict=True))
        able = sorted(sorted(able, key=lambda n: -worth[n])[:MOST_PICKS])
    found = gains(belief, able, runs, CAUTION, len(history.records))
    tail = (1.0 - CONFIDENCE) / 2.0
    ends = np.quantile(found, [tail, 1.0 - tail]) - found.mean()
    gain = ADAPTS * float(found.mean())
    low, high = (gain + WIDER * float(end) for end in ends)
    return Outlook(runs, gain, low, high)


@dataclass(frozen=True)
class Hindsight:
    """What was foreseen of the later half of a search, and what it brought.

    Attributes:
        after: configs that had run to their end.
        foreseen: of the runs that came then.
        came: how much better the pick at the end is than the pick of then, as the model of all
            results has both; more is better, whatever the objective's direction.
    """

    after: int
    foreseen: Outlook
    came: float

    @property
    def held(self) -> bool:
        """Whether what came is within the interval."""
        return self.foreseen.low <= self.came <= self.foreseen.high


def hindsight(plan: Plan, book: Book) -> Hindsight | None:
    """The outlook at the half of a search beside what came; None if too few configs had completed
    by then.
    """
    if len(plan.objectives) > 1 or plan.breeds or not plan.space.parameters:
        return None
    history = searched(plan, book)[0]
    whole = [n for n in completed(history) if history.records[n].excess <= 0]
    after = len(whole) // 2
    if after < FEWEST:
        return None
    before = History(
        history.directions, (), history.records[: whole[after - 1] + 1], history.bounds
    )
    foreseen = outlook(before, plan.space, len(whole) - after)
    if foreseen is None:
        return None
    then, now = (_pick(one, plan.space, some) for one, some in
                 ((before, whole[:after]), (history, whole)))  # fmt: skip
    belief = belief_of(history, plan.space, MOST)
    means = belief.mean[[belief.place(then), belief.place(now)]]
    first, last = belief.scale.merits(means).tolist()
    return Hindsight(after, foreseen, last - first)


def _pick(history: History, space: Space, able: list[int]) -> int:
    return able[int(np.argmax(cautious(belief_of(history, space, MOST), able)))]


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


def hindsight_text(found: Hindsight, objective: Objective) -> str:
    """A hindsight in a sentence.

    >>> found = Hindsight(9, Outlook(10, 0.02, -0.01, 0.05), 0.031)
    >>> hindsight_text(found, Objective(column="exact_accuracy"))
    'after 9 configs the 10 that came then were expected to raise exact_accuracy by about 0.020 \
(90%: -0.010 to 0.050); as all results have it, they raised it by 0.031, inside that'
    """
    verbs = ("raise", "raised") if objective.maximizes else ("lower", "lowered")
    ahead = found.foreseen
    place = "inside" if found.held else "outside"
    return (
        f"after {found.after:,} configs the {ahead.runs:,} that came then were expected to "
        f"{verbs[0]} {objective.column} by about {ahead.gain:.3f} ({ahead.confidence:.0%}: "
        f"{ahead.low:.3f} to {ahead.high:.3f}); as all results have it, they {verbs[1]} it by "
        f"{found.came:.3f}, {place} that"
    )
