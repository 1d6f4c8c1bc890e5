"""One repetition of a benchmark: a world, the plan of a sweep in it, and what is best there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from search.config.plan import Plan
from search.simulator.world import World


@dataclass(frozen=True)
class Problem:
    """What every method is given.

    Attributes:
        world: makes the world anew, for another sweep; it is the same one each time.
        plan: its space, objective, marks and our default settings.
        best: the true mean of the world's best config.
        stratum: repetitions of one stratum are alike: a bootstrap draws within it.
        ceiling: regret of what all compute would pick; 0 where seeds are without number.
    """

    world: Callable[[], World]
    plan: Plan
    best: float
    stratum: str
    ceiling: float = 0.0

    @property
    def default(self) -> float:
        """The true mean of the file's default values."""
        world = self.world()
        return world.truth(world.stands_for(self.plan.space.default()[0]))


Family = Callable[[int], Problem]
"""Its worlds by number."""
