"""Who looks how: a finalist has the same colour, marker and dash in every figure."""

from __future__ import annotations

from search.confirm import Result
from search.report.theme import OTHERS, WINNER, Role


def role_of(result: Result, trial: int) -> Role:
    """The look of a finalist; beyond the winner and four others, looks repeat."""
    if trial == result.winner:
        return WINNER
    others = [c.trial for c in result.candidates if c.trial != result.winner]
    return OTHERS[others.index(trial) % len(OTHERS)]
