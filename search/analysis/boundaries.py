"""Where the good configs press against the ends of the space, and the space to search next.

Good are the best tenth of the configs that ran in whole and keep the constraints, 5 to 40 of them.
The best is at an end of a range if it lies in the outer tenth there, on the range's own scale, with
a third of the good configs; of a range with few values, if it has the end value with half of them.

The next range holds the good configs' 5 % to 95 % quantiles and the best one, with a margin of a
tenth of the range, and goes beyond an end at which the best is by 30 % of the range. An option that
was tried five times without a good config is left out. Every change is checked against the schema,
and one that it refuses is given up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from search.config.checks import check_config
from search.config.config import config_from
from search.config.plan import Plan
from search.explore.candidates import Explored
from search.ledger.trial import Trial
from search.space.distributions import Choice, Range, is_distribution
from search.space.nodes import FIXED_SECTIONS, named_option
from trm.errors import UserError

GOOD_SHARE, FEWEST_GOOD, MOST_GOOD, FEWEST_CONFIGS = 0.1, 5, 40, 10
FEWEST_VALUES = 4
"""Good configs that must have a conditional parameter before its range is changed."""
FEW_VALUES = 8
"""Up to so many values a range is treated value by value."""
OUTER = 0.1
MARGIN, BEYOND = 0.1, 0.3
TRIED = 5
"""Times that an option must have been drawn before it can be left out."""

End = Literal["low", "high"]


@dataclass(frozen=True)
class Boundary:
    """A parameter whose good values press against an end of its range.

    Attributes:
        name: the parameter.
        end: which end.
        bound: the value there.
        best: the best config's value.
        good: how many good configs have the parameter.
        pressing: how many of them lie at that end.
        extended: whether the next space goes beyond; else the schema has no more.
    """

    name: str
    end: End
    bound: float
    best: Any
    good: int
    pressing: int
    extended: bool

    def text(self) -> str:
        """One line."""
        edge = "upper" if self.end == "high" else "lower"
        line = (
            f"best {self.name} sits at the {edge} edge of its range: {_short(self.best)} with a "
            f"bound of {_short(self.bound)} ({self.pressing} of {self.good} good configs there)"
        )
        return line if self.extended else f"{line}; no value beyond it is allowed"


@dataclass(frozen=True)
class NextSpace:
    """What to search next.

    Attributes:
        boundaries: parameters at an end of their range.
        good: the good configs, the best first.
        ranges: by parameter, the ends of its new range.
        options: by parameter, the options that are kept, where some are left out.
        tree: a sweep's file, that the best config starts; None where nothing changes.
    """

    boundaries: list[Boundary]
    good: list[Trial]
    ranges: dict[str, tuple[float, float]]
    options: dict[str, tuple[str, ...]]
    tree: dict[str, Any] | None


def next_space(
    plan: Plan, explored: Sequence[Explored], tried: Sequence[Mapping[str, Any]] = ()
) -> NextSpace | None:
    """What the configs of a search say of its space; None with fewer than ten.

    Args:
        explored: the configs that ran in whole, the best first.
        tried: the drawn values of every config that was begun, whatever came of it.
    """
    feasible = [one.trial for one in explored if one.feasible]
    if len(feasible) < FEWEST_CONFIGS:
        return None
    good = feasible[: min(max(FEWEST_GOOD, round(GOOD_SHARE * len(feasible))), MOST_GOOD)]
    tree = deepcopy(plan.tree)
    boundaries: list[Boundary] = []
    ranges: dict[str, tuple[float, float]] = {}
    options: dict[str, tuple[str, ...]] = {}
    for name, distribution in plan.space.parameters.items():
        values = [trial.params[name] for trial in good if name in trial.params]
        if distribution.count <= 1:
            continue
        if isinstance(distribution, Choice):
            kept = _kept(distribution, good, values, tried)
            changed = _with(tree, name, kept) if len(kept) < len(distribution.options) else None
            if changed is not None:
                tree, options[name] = changed, kept
            continue
        if len(values) < FEWEST_VALUES:
            continue
        found = _pressed(distribution, values)
        best = values[0]
        for ends in _proposals(distribution, values, [end for end, _ in found]):
            changed = _with(tree, name, ends) if ends != _ends(distribution) else None
            if changed is not None:
                tree, ranges[name] = changed, ends
                break
        low, high = ranges.get(name, _ends(distribution))
        for end, pressing in found:
            beyond = high > distribution.high if end == "high" else low < distribution.low
            bound = distribution.cast(getattr(distribution, end))
            boundaries.append(Boundary(name, end, bound, best, len(values), pressing, beyond))
    if not ranges and not options:
        return NextSpace(boundaries, good, ranges, options, None)
    return NextSpace(boundaries, good, ranges, options, _started(tree, good[0]))


def _started(tree: dict[str, Any], best: Trial) -> dict[str, Any]:
    """The tree with the best config as the first point to try."""
    search = {**tree.get("search", {}), "first": [dict(best.params)]}
    started = {**tree, "search": search}
    return started if _is_valid(started) else tree


def _kept(
    choice: Choice,
    good: Sequence[Trial],
    values: Sequence[Any],
    tried: Sequence[Mapping[str, Any]],
) -> tuple[str, ...]:
    draws = [params.get(choice.name) for params in tried]
    needed = {*values, choice.first(), good[0].params.get(choice.name)}
    return tuple(o for o in choice.options if o in needed or draws.count(o) < TRIED)


def _pressed(distribution: Range, values: Sequence[Any]) -> list[tuple[End, int]]:
    """The ends at which the first value and enough others lie, and how many do."""
    ends: tuple[End, End] = ("low", "high")
    few = distribution.count <= FEW_VALUES
    found: list[tuple[End, int]] = []
    for end in ends if distribution.count > 2 else ():
        bound = getattr(distribution, end)
        there = [
            abs(value - bound) < 1e-9
            if few
            else abs(_share(distribution, value) - (end == "high")) <= OUTER
            for value in values
        ]
        if there[0] and sum(there) * (2 if few else 3) >= len(values):
            found.append((end, sum(there)))
    return found


def _proposals(
    distribution: Range, values: Sequence[Any], pressed: Sequence[End]
) -> list[tuple[float, float]]:
    """Ends of the next range, the boldest first; the schema may refuse some."""
    places = [_share(distribution, value) for value in values]
    low, high = (float(at) for at in np.quantile(places, (0.05, 0.95)))
    low, high = min(low, places[0]), max(high, places[0])
    found = []
    for bold in (True, False):
        ends = []
        for end, at, sign in (("low", low, -1.0), ("high", high, 1.0)):
            if bold and end in pressed:
                ends.append(
                    _rounded(distribution, (0.0 if end == "low" else 1.0) + sign * BEYOND, sign)
                )
            else:
                ends.append(_rounded(distribution, min(max(at + sign * MARGIN, 0.0), 1.0), sign))
        found.append((ends[0], ends[1]))
    return list(dict.fromkeys(found))


def _share(distribution: Range, value: float) -> float:
    """The place between the ends on the own scale, without the half steps of `position`."""
    low, high = distribution.low, distribution.high
    if distribution.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low)


def _rounded(distribution: Range, share: float, sign: float) -> float:
    """The number at a share of the range, also beyond it, rounded outwards."""
    low, high = distribution.low, distribution.high
    if share in (0.0, 1.0):
        return float(high if share else low)
    if distribution.log:
        value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    else:
        value = low + share * (high - low)
    if low >= 0:
        value = max(value, 0.0)  # what starts at 0 or above has no meaning below it
    if distribution.step is not None:
        steps = (value - low) / distribution.step
        whole = math.ceil(steps - 1e-9) if sign > 0 else math.floor(steps + 1e-9)
        whole = whole or (0 if 0 <= share <= 1 else int(sign))
        return round(low + whole * distribution.step, 12)
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 2)
    steps = value / unit
    whole = math.ceil(steps - 1e-9) if sign > 0 else math.floor(steps + 1e-9)
    value = float(f"{whole * unit:.3g}")
    # Rounding outwards must not pass the old end where it was not to be passed.
    return min(max(value, low), high) if 0 <= share <= 1 else value


def _ends(distribution: Range) -> tuple[float, float]:
    return float(distribution.low), float(distribution.high)


def _with(
    tree: Mapping[str, Any], name: str, change: tuple[float, float] | tuple[str, ...]
) -> dict[str, Any] | None:
    """The tree with one parameter changed; None if the schema refuses that."""
    changed = {
        key: node if key in FIXED_SECTIONS else _rewritten(node, str(key), name, change)
        for key, node in tree.items()
    }
    return changed if _is_valid(changed) else None


def _is_valid(tree: Mapping[str, Any]) -> bool:
    try:
        check_config(config_from(dict(tree)))
    except UserError:
        return False
    return True


def _rewritten(node: Any, path: str, name: str, change: tuple[Any, ...]) -> Any:
    if is_distribution(node):
        ((word, body),) = node.items()
        if word == "choice":
            return {"choice": _choice(body, path, name, change)}
        return {word: _range(word, body, change)} if path == name else node
    if isinstance(node, Mapping):
        return {k: _rewritten(v, f"{path}.{k}", name, change) for k, v in node.items()}
    if isinstance(node, list):
        return [_rewritten(v, f"{path}[{i}]", name, change) for i, v in enumerate(node)]
    return node


def _choice(body: Any, path: str, name: str, change: tuple[Any, ...]) -> Any:
    options = []
    for option in body["options"] if isinstance(body, Mapping) else body:
        called, content = named_option(option, path)
        if path == name and called not in change:
            continue
        content = _rewritten(content, f"{path}[{called}]", name, change)
        labelled = isinstance(option, Mapping) and "label" in option
        options.append({"label": option["label"], **content} if labelled else content)
    return {**body, "options": options} if isinstance(body, Mapping) else options


def _range(word: str, body: Any, ends: tuple[float, float]) -> dict[str, Any]:
    fields = dict(body) if isinstance(body, Mapping) else {}
    low, high = ends
    if word in ("int", "logint"):
        low, high = round(low), round(high)
    fields |= {"low": low, "high": high}
    if "default" in fields:
        fields["default"] = min(max(fields["default"], low), high)
    return fields


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
