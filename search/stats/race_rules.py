"""Which candidate gets the next seed, and when more seeds would tell nothing: a race.

Every candidate first gets the same few seeds. Then successive elimination (Maron & Moore,
"Hoeffding races", NIPS 1993, with t tests in place of their bounds) drops whoever is below the
leader by more than seeds explain, all looks of the race together at one level; and optimal
computing budget allocation (Chen, Lin, Yücesan & Chick, Discrete Event Dynamic Systems 10, 2000;
Chen & Lee, "Stochastic Simulation Optimization", 2011) says which of the others needs seeds most.
The race ends with one left, or with the budget.

A decision is a pure function of what the candidates have: neither order nor clock counts, so a race
that was stopped goes on from its ledger as if nothing had happened.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from search.stats.separation import unresolved
from search.stats.spreads import NO_SPREAD, floored, pooled_spread

Ending = Literal["separated", "budget", "seeds"]
"""One candidate is left; the runs are spent; or all that are left have `max_seeds`."""


@dataclass(frozen=True)
class Rules:
    """What a race may spend.

    Attributes:
        seeds: what every candidate gets before any is preferred.
        budget: runs of all candidates together, at which the race ends. What some had beyond their
            first seeds takes no first seed from others: a run may be extended with new candidates.
        max_seeds: runs of one candidate.
        confidence: with which the best is not dropped, over all looks of the race.
        racing: whether seeds beyond the first go where they matter; else there are none.
    """

    seeds: int
    budget: int
    max_seeds: int
    confidence: float = 0.9
    racing: bool = True

    @property
    def first(self) -> int:
        """Seeds that each gets before the first look."""
        return min(self.seeds, self.max_seeds)

    def left(
        self, samples: Mapping[int, Sequence[float]], examples: int | None = None
    ) -> list[int]:
        """Who is not behind by more than seeds explain, the leader first.

        The level allows for a look after each run, from the first seeds to the budget, or to the
        runs that there are, if those are more.

        Args:
            samples: merits of those that may win.
            examples: how many examples a score is a share of, if it is one.
        """
        first = last = self.first * len(samples)
        if self.racing:
            most = min(self.budget, self.max_seeds * len(samples))
            last = max(most, sum(map(len, samples.values())))
        return unresolved(samples, self.confidence, examples, (first, last))


@dataclass(frozen=True)
class Entrant:
    """A candidate in the race.

    Attributes:
        merits: scores of the seeds that have ended, turned so that more is better; failures among
            them at the floor.
        running: seeds that were given and have not ended.
        eligible: whether it may win; one that breaks a constraint gets only its first seeds.
    """

    merits: Sequence[float]
    running: int = 0
    eligible: bool = True

    @property
    def given(self) -> int:
        """Seeds in all, those that run included."""
        return len(self.merits) + self.running


def next_seed(
    entrants: Mapping[int, Entrant], rules: Rules, examples: int | None = None
) -> int | None:
    """The candidate that gets a further seed now.

    None while it waits for the last of the first seeds, and once the race is over; what still runs
    then ends and counts. Seeds that run count as given: several workers share one allocation.

    Args:
        entrants: by candidate, in the order in which they are to be served.
        examples: how many examples a score is a share of, if it is one.
    """
    first = rules.first
    fewest = min(entrants, key=lambda key: entrants[key].given)
    if entrants[fewest].given < first:
        begun = sum(min(entrant.given, first) for entrant in entrants.values())
        return fewest if begun < rules.budget or not entrants[fewest].given else None
    spent = sum(entrant.given for entrant in entrants.values())
    ended = all(len(entrant.merits) >= first for entrant in entrants.values())
    if not rules.racing or not ended or spent >= rules.budget:
        return None
    samples = _samples(entrants)
    left = rules.left(samples, examples)
    if len(left) == 1:
        return None
    shares = allocation({key: samples[key] for key in left}, examples)
    total = 1 + sum(entrants[key].given for key in left)
    room = [key for key in left if entrants[key].given < rules.max_seeds]
    return max(room, key=lambda key: shares[key] * total - entrants[key].given, default=None)


def first_seeds(entrants: Mapping[int, Entrant], rules: Rules) -> dict[int, int]:
    """How many of its first seeds each candidate is yet to be given: no result changes that.

    >>> rules = Rules(seeds=3, budget=7, max_seeds=9)
    >>> first_seeds({1: Entrant([0.5], running=1), 2: Entrant([]), 3: Entrant([])}, rules)
    {2: 2, 3: 2, 1: 1}
    """
    left = dict(entrants)
    found: dict[int, int] = {}
    while min(entrant.given for entrant in left.values()) < rules.first:
        key = next_seed(left, rules)
        if key is None:
            break
        found[key] = found.get(key, 0) + 1
        left[key] = replace(left[key], running=left[key].running + 1)
    return found


def ending(entrants: Mapping[int, Entrant], rules: Rules, examples: int | None = None) -> Ending:
    """Why a race that has ended did so."""
    if rules.racing and len(rules.left(_samples(entrants), examples)) == 1:
        return "separated"
    spent = sum(entrant.given for entrant in entrants.values())
    return "budget" if spent >= rules.budget else "seeds"


def allocation(
    samples: Mapping[int, Sequence[float]], examples: int | None = None
) -> dict[int, float]:
    """The shares of all runs that make it likeliest to see the best as the best.

    N_i ~ (s / d_i)^2 for all but the leader, with d_i its lead, and N_b = sqrt(sum N_i^2) for the
    leader b (Chen et al. 2000, theorem 1, for one pooled s: own ones are known too badly, and made
    picks worse on recorded configs). A lead counts at least as its own
    standard error, s sqrt(1 / n_b + 1 / n_i): a smaller one is not known so well, and a tie would
    ask for all runs.
    """
    means = {key: math.fsum(merits) / len(merits) for key, merits in samples.items()}
    best = max(means, key=lambda key: means[key])
    sd = max(floored(pooled_spread(samples).sd, means[best], examples), NO_SPREAD)
    wanted = {}
    for key, merits in samples.items():
        error = sd * math.sqrt(1 / len(samples[best]) + 1 / len(merits))
        wanted[key] = (sd / max(means[best] - means[key], error)) ** 2
    wanted[best] = math.sqrt(math.fsum(n**2 for key, n in wanted.items() if key != best)) or 1.0
    total = math.fsum(wanted.values())
    return {key: n / total for key, n in wanted.items()}


def _samples(entrants: Mapping[int, Entrant]) -> dict[int, Sequence[float]]:
    """The merits of those that may win; of all where none may."""
    able = {key: e.merits for key, e in entrants.items() if e.eligible and e.merits}
    return able or {key: e.merits for key, e in entrants.items()}


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
    for after, samples in _prefixes(runs, everyone, rules.first):
        left = rules.left({key: samples[key] for key in able}, examples)
        leader, lead = left[0], _mean(samples[left[0]])
        for key in everyone:
            if key in left:
                found.pop(key, None)
            elif key not in found:
                why: Why = "behind" if key in able else "constraint"
                found[key] = Exit(key, after, why, len(samples[key]), _mean(samples[key]),
                                  leader, lead)  # fmt: skip
    samples = _by_candidate(runs)
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


def _by_candidate(runs: Sequence[tuple[int, float]]) -> dict[int, list[float]]:
    samples: dict[int, list[float]] = {}
    for candidate, merit in runs:
        samples.setdefault(candidate, []).append(merit)
    return samples


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
