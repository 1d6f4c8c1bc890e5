"""A scheduler: once, in the middle, a trial ends if it is the worst of all that came so far."""

from typing import Literal

from pydantic import Field

from search.schedulers import SCHEDULERS
from search.schedulers.scheduler import EarlyStoppingConfig, Mode
from search.schedulers.stopping import Stopping


class Worst(Stopping):
    """`Stopping` keeps the rungs and finds them again on resume; more is better in `values`."""

    def __init__(self, share: float, least: int, mode: Mode) -> None:
        super().__init__((share, 1.0), mode)
        self.least = least

    def goes_on(self, trial: int, rung: int) -> bool:
        scores = self.rungs.values[rung]
        others = [score for other, score in scores.items() if other != trial]
        return len(others) < self.least or scores[trial] >= min(others)


class WorstConfig(EarlyStoppingConfig):
    """The worst ends.

    Attributes:
        at: share of a run at which trials are compared.
        least: others that must have come so far before any trial ends.
    """

    name: Literal["worst"] = "worst"
    at: float = Field(default=0.5, gt=0.0, lt=1.0)
    least: int = Field(default=2, ge=1)

    def build(self, slow_start: bool, mode: Mode = "max") -> Worst:
        return Worst(self.at, self.least, mode)


SCHEDULERS["worst"] = WorstConfig
