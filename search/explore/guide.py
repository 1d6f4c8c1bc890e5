"""What a free worker does next: a new config, a run that waits, or a leader's further seed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal

from search.samplers.gaussian.belief import Belief, belief_of
from search.samplers.history import History, PastRun
from search.space.space import Space
from search.stats.foresight import FEWEST

Action = tuple[Literal["new", "resume", "reseed", "none"], int]
"""What to do, and with which candidate."""

_TOP = 0.1
"""Share of the runs, by what is foreseen of them at a report, that always go on."""
MOST = 250
"""Observations that a belief rests on at most, as the sampler `gp` has it."""
_LEAST_GAIN = 1e-3
"""Of a waiting run once nothing new will come, on the scale of the model: less is not worth it."""


class ValueGuide:
    """Compares what each action would raise the best mean by, for each full run of compute.

    Args:
        history: of the search, which grows.
        entropy: of the next draw, for the same proposal as the sampler's.
        share: of its budget that a candidate's first run has had.
        may_draw: whether new candidates will come.
        may_reseed: whether a further seed may start.
    """

    def __init__(
        self,
        history: History,
        space: Space,
        *,
        entropy: Callable[[], int],
        share: Callable[[int], float],
        may_draw: Callable[[], bool],
        may_reseed: Callable[[], bool],
    ) -> None:
        self._history, self._space = history, space
        self._entropy, self._share = entropy, share
        self._may_draw, self._may_reseed = may_draw, may_reseed

    def goes_on(self, trial: int, least: float) -> bool:
        """Whether a trial may well win, or is among the best where it stands.

        The second keeps runs coming to their end where those that have are all bad: what they say
        of better ones is little.
        """
        if self._completed() < FEWEST:
            return True
        belief = self._belief()
        return belief.chance(trial) >= least or belief.standing(trial) < _TOP

    def promoted(self, waiting: Collection[int], *, last: bool) -> int | None:
        """The waiting trial to go on with."""
        kind, number = self.action(waiting, last=last)
        return number if kind == "resume" else None

    def action(self, waiting: Collection[int], *, last: bool = False) -> Action:
        """The one of most value for its cost."""
        completed = self._completed()
        if completed < FEWEST and not last:
            return "new", -1
        belief = self._belief()
        found: list[tuple[float, Action]] = [
            (belief.gain(number) / max(1.0 - self._share(number), 0.05), ("resume", number))
            for number in sorted(waiting)
        ]
        if last:
            value, action = max(found, default=(0.0, ("none", -1)), key=lambda one: one[0])
            return action if value > _LEAST_GAIN or not completed else ("none", -1)
        if self._may_reseed():
            found += [
                (belief.gain(record.number), ("reseed", record.number))
                for record in self._history.records
                if record.outcome == "completed" and not any(map(_open, record.runs))
            ]
        if self._may_draw():
            found.append((belief.propose(self._entropy())[1] / self._cost(), ("new", -1)))
        return max(found, default=(0.0, ("none", -1)), key=lambda one: one[0])[1]

    def _cost(self) -> float:
        """Of a new candidate, in full runs: what those that do not run any more have had."""
        shares = [
            self._share(record.number)
            for record in self._history.records
            if record.outcome not in (None, "infeasible") or any(run.paused for run in record.runs)
        ]
        return max(sum(shares) / len(shares), 0.1) if shares else 1.0

    def _completed(self) -> int:
        return sum(record.outcome == "completed" for record in self._history.records)

    def _belief(self) -> Belief:
        return belief_of(self._history, self._space, MOST)


def _open(run: PastRun) -> bool:
    return run.outcome is None
