"""Whether what a sampler proposes lies in the space."""

from __future__ import annotations

from typing import Any

from search.samplers.base import SamplerConfig
from search.samplers.history import History
from search.space.space import Draw, Space
from trm.fault import Fault, working


def next_draw(
    sampler: SamplerConfig, history: History, space: Space, seed: int, trials: int
) -> Draw:
    """A sampler's next candidate, if it is one; arguments are those of `draw`.

    Raises:
        Fault: a plug-in's sampler fails, or proposes what is no candidate of the space.
    """
    if type(sampler).__module__.startswith("search.samplers."):
        return sampler.draw(history, space, seed, trials)
    with working(f"sampler {sampler.name!r}", "to draw a candidate"):
        draw = sampler.draw(history, space, seed, trials)
    return require_drawn(sampler.name, space, draw)


def require_drawn(name: str, space: Space, draw: Any) -> Draw:
    """A sampler's candidate, if it is one.

    Args:
        name: the sampler's.

    Raises:
        Fault: it is not a pair of parameters within their distributions and the tree they make.
    """
    component = f"sampler {name!r}"
    try:
        params, tree = draw
        made = space.apply(params)
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise Fault(
            component, f"proposes what is no candidate of the space ({reason})",
            "draw with space.sample or space.draw",
        ) from error  # fmt: skip
    if made != tree:
        raise Fault(
            component, "proposes parameters and a tree that differ", "give space.apply(params)"
        )
    return params, tree
