"""Numbers and values as a report writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from search.ledger.lineage import PLACE
from search.objectives.objective import Objective


def number(value: float | None, digits: int = 3) -> str:
    """Three decimals for what is of the order of 1, none for hundreds, else significant digits.

    >>> number(0.93125), number(1234567.0), number(3e-4), number(None), number(12), number(185.2)
    ('0.931', '1.23e+06', '0.0003', '', '12', '185')
    """
    if value is None or math.isnan(value):
        return ""
    if value == round(value) and abs(value) < 1e5:
        return (
            f"{value:.0f}" if isinstance(value, int) or abs(value) >= 2 else f"{value:.{digits}f}"
        )
    if 100 <= abs(value) < 1e5:
        return f"{value:,.0f}"
    return f"{value:.{digits}f}" if 0.01 <= abs(value) < 100 else f"{value:.{digits}g}"


def share(value: float) -> str:
    """
    >>> share(0.125), share(0.004)
    ('12%', '0.4%')
    """
    return f"{value:.1%}" if 0 < value < 0.01 else f"{value:.0%}"


def count(n: int, what: str, many: str | None = None) -> str:
    """
    >>> count(1, "seed"), count(1200, "trial")
    ('1 seed', '1,200 trials')
    """
    return f"{n:,} {what if n == 1 else many or what + 's'}"


def listed(words: list[str]) -> str:
    """
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def short(value: Any) -> str:
    """A drawn value."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def drawn(params: Mapping[str, Any]) -> dict[str, str]:
    """The drawn values of a trial, without its place in a population."""
    return {name: short(value) for name, value in params.items() if name not in PLACE}


def better(objective: Objective) -> str:
    """Which end of an objective is the good one."""
    return "higher is better" if objective.maximizes else "lower is better"


def slug(text: str) -> str:
    """Text as part of a file's name and of a place on the page.

    >>> slug("optimizer[adamw].lr")
    'optimizer-adamw-lr'
    """
    return re.sub("[^A-Za-z0-9]+", "-", text).strip("-")


def plain(text: str) -> str:
    """Text for a figure: plotly reads some HTML there, and a name must stay a name."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def folded(name: str, room: int = 20) -> str:
    """A parameter's name for an axis: a long one takes two lines, so that the figure has room.

    >>> folded("model.L_cycles"), folded("optimizer[adamw].weight_decay")
    ('model.L_cycles', 'optimizer[adamw].<br>weight_decay')
    """
    head, dot, tail = name.rpartition(".")
    fits = len(name) <= room or not dot
    return plain(name) if fits else f"{plain(head)}.<br>{plain(tail)}"
