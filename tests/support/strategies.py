"""Random valid sections of any schedule class, from its fields' types and bounds alone.

A new entry of a registry, or a plug-in's, is drawn too, with nothing to add here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pydantic import BaseModel

from curricula.conformance import SOURCES
from curricula.curriculum import Curriculum
from curricula.depth import DEPTH_SCHEDULES, DepthSchedule
from curricula.difficulty import DIFFICULTY_SCHEDULES, DifficultySchedule
from curricula.pacing import CURVES, Curve
from curricula.published import CURRICULA, NoCurriculum
from curricula.sources import SOURCE_SCHEDULES, SourceSchedule
from curricula.supervision import (
    SUPERVISION_SCHEDULES,
    SUPERVISION_WEIGHTS,
    SupervisionSchedule,
    SupervisionWeights,
)

REGISTRIES: dict[type[BaseModel], Mapping[str, type[BaseModel]]] = {
    Curve: CURVES,
    DepthSchedule: DEPTH_SCHEDULES,
    SupervisionSchedule: SUPERVISION_SCHEDULES,
    SupervisionWeights: SUPERVISION_WEIGHTS,
    DifficultySchedule: DIFFICULTY_SCHEDULES,
    SourceSchedule: SOURCE_SCHEDULES,
    Curriculum: CURRICULA,
}
ENTRIES = [
    (f"{base.__name__}.{name}", kind)
    for base, registry in REGISTRIES.items()
    for name, kind in registry.items()
]
"""Every class of every registry, with a name for the test's report."""

Range = tuple[float, float]
SHARES: Range = (0.01, 1.0)
"""A range of values that every field with a curve takes."""

B = TypeVar("B", bound=BaseModel)


@cache
def sections(kind: type[B], values: Range = SHARES) -> SearchStrategy[B]:
    """Valid instances of a section; numbers without bounds of their own lie in `values`."""
    if kind is NoCurriculum:
        return st.just(kind())
    required, optional = {}, {}
    for name, field in kind.model_fields.items():
        strategy = _of(field.annotation, field.metadata, values)
        # A curve's own defaults may lie outside `values`.
        needed = field.is_required() or issubclass(kind, Curve)
        (required if needed else optional)[name] = strategy
    drawn = st.fixed_dictionaries(required, optional=optional)
    return drawn.map(_in_order).map(kind.model_validate)


def _in_order(tree: dict[str, Any]) -> dict[str, Any]:
    """Shares of the run must rise; those of milestones and stages begin at 0."""
    for key, value in tree.items():
        if key in ("milestones", "stages"):
            starts = _rising([part.at for part in value])
            parts = zip(value, starts, strict=True)
            tree[key] = [part.model_copy(update={"at": at - starts[0]}) for part, at in parts]
        elif key in ("H_at", "L_at"):
            tree[key] = _rising(value)
    return tree


def _rising(shares: list[float]) -> list[float]:
    return [(index + 0.99 * share) / len(shares) for index, share in enumerate(shares)]


def _of(annotation: Any, metadata: list[Any], values: Range) -> SearchStrategy[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _of(arguments[0], [*metadata, *arguments[1:]], values)
    if origin in (Union, UnionType):
        return st.one_of([_of(argument, metadata, values) for argument in arguments])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is list:
        return st.lists(_of(arguments[0], [], values), min_size=1, max_size=5)
    if origin is dict:
        return st.dictionaries(st.sampled_from(SOURCES), _of(arguments[1], [], values), min_size=1)
    if annotation is NoneType:
        return st.none()
    if annotation is str:
        return st.text(max_size=3)
    if annotation is int:
        low = int(_limit(metadata, "ge", 1))
        return st.integers(low, int(_limit(metadata, "le", low + 20)))
    if annotation is float:
        return _floats(metadata, values)
    assert issubclass(annotation, BaseModel), annotation
    kinds = [*REGISTRIES.get(annotation, {"": annotation}).values()]
    return st.sampled_from(kinds).flatmap(lambda kind: sections(kind, values))


def _floats(metadata: list[Any], values: Range) -> SearchStrategy[float]:
    ge, gt = _limit(metadata, "ge", -math.inf), _limit(metadata, "gt", -math.inf)
    le, lt = _limit(metadata, "le", math.inf), _limit(metadata, "lt", math.inf)
    low, high = max(ge, gt), min(le, lt)
    if math.inf in (-low, high):
        low = max(low, values[0])
        high = min(high, values[1]) if values[1] > low else low + 10.0
    return st.floats(low, high, exclude_min=low == gt, exclude_max=high == lt)


def _limit(metadata: list[Any], name: str, otherwise: float) -> float:
    return next((float(getattr(m, name)) for m in metadata if hasattr(m, name)), otherwise)
