"""The candidate that a Gaussian process proposes, from what is believed of those of a history."""

from __future__ import annotations

from search.samplers.gaussian.belief import belief_of
from search.samplers.history import History
from search.space.space import Draw, Space


def proposed(history: History, space: Space, entropy: int, most: int | None) -> Draw:
    """The candidate from which most is expected.

    Args:
        most: observations that the process sees; None is all of them.
    """
    belief = belief_of(history, space, most)
    return belief.encoding.draw(belief.propose(entropy)[0])
