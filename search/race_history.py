"""How a race went: after which of its runs each candidate was out of it, and why.

A run folder stores the runs in the order in which they were given, and the race's decisions are
functions of them; so its course is found again by asking after each run who could still win.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from search.race import Rules
from search.statistics import unresolved

Why = Literal["behind", "constraint", "open"]
"""Below the leader by more than seeds explain; a constraint is broken; or in to the end."""


@dataclass(frozen=True)
class Exit:
    """A candidate's way out of the race.

    Attributes:
        candidate: its number.
        after: runs of all candidates after which it was out for good; all there are if it was in to
            the end.
        why: as above.
        seeds: its own runs by then.
        merit: their mean, turned so that more is better.
        leader: who had the highest mean of those that may win by then.
        lead: the leader's mean, likewise.
    """

    candidate: int
    after: int
    why: Why
    seeds: int
    merit: float
    leader: int
    lead: float


def exits(
    runs: Sequence[tuple[int, float]],
    rules: Rules,
    examples: int | None = None,
    barred: Collection[int] = (),
) -> list[Exit]:
    """Every candidate's exit, the first one out first; those in to the end last, the best at last.

    Nobody is out before all have their first seeds. One that fell behind and came back, as the
    leader's own mean fell, is out from the last time on. Several workers are given runs before
    others have ended, so that one that is out may still have got runs.

    Args:
        runs: candidate and merit of every run, in the order in which they were given.
        examples: how many examples a score is a share of, if it is one.
        barred: candidates that break a constraint, which may not win while others may.
    """
    everyone = {candidate for candidate, _ in runs}
    if not everyone:
        return []
    able = everyone - set(barred) or everyone
    found: dict[int, Exit] = {}
    for after, samples in _prefixes(runs, everyone, min(rules.seeds, rules.max_seeds)):
        left = unresolved({key: samples[key] for key in able}, rules.confidence, examples)
        leader, lead = left[0], _mean(samples[left[0]])
        for key in everyone:
            if key in left:
                found.pop(key, None)
            elif key not in found:
                why: Why = "behind" if key in able else "constraint"
                found[key] = Exit(key, after, why, len(samples[key]), _mean(samples[key]),
                                  leader, lead)  # fmt: skip
    samples = _samples(runs)
    best = max(able, key=lambda key: _mean(samples[key]))
    for key in everyone - set(found):
        found[key] = Exit(key, len(runs), "open", len(samples[key]), _mean(samples[key]),
                          best, _mean(samples[best]))  # fmt: skip
    return sorted(found.values(), key=lambda one: (one.why == "open", one.after, one.merit))


def _prefixes(
    runs: Sequence[tuple[int, float]], everyone: Collection[int], first: int
) -> Iterator[tuple[int, Mapping[int, Sequence[float]]]]:
    """What there was after each run, once everyone had the first seeds."""
    samples: dict[int, list[float]] = {key: [] for key in everyone}
    for after, (candidate, merit) in enumerate(runs, 1):
        samples[candidate].append(merit)
        if all(len(merits) >= first for merits in samples.values()):
            yield after, samples


def _samples(runs: Sequence[tuple[int, float]]) -> dict[int, list[float]]:
    samples: dict[int, list[float]] = {}
    for candidate, merit in runs:
        samples.setdefault(candidate, []).append(merit)
    return samples


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
