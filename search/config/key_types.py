"""What a key takes, in words, from the annotation of a model's field."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple, TypeGuard, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel, BeforeValidator
from pydantic_core import PydanticUndefined

from curricula.component import NameIn, SectionIn

_WORDS: dict[Any, str] = {
    int: "integer",
    float: "number",
    bool: "true or false",
    str: "text",
    type(None): "null",
    Any: "any value",
    dict: "mapping",
}


class Value(NamedTuple):
    """What a field takes.

    Attributes:
        kind: its annotation, without what only refines it.
        metadata: bounds, registries and validators.
    """

    kind: Any
    metadata: tuple[Any, ...] = ()

    @property
    def bare(self) -> Value:
        """The same with the refinements of the annotation itself among the metadata."""
        if get_origin(self.kind) is not Annotated:
            return self
        kind, *metadata = get_args(self.kind)
        return Value(kind, (*metadata, *self.metadata)).bare

    @property
    def accepted(self) -> Value:
        """What a file may hold, short forms included, where a validator says so."""
        value = self.bare
        for one in value.metadata:
            if isinstance(one, BeforeValidator):
                taken = one.json_schema_input_type
                if taken not in (PydanticUndefined, Any):
                    return Value(taken, value.metadata)
        return value


def registry_of(value: Value) -> SectionIn | None:
    """The registry that a section's class comes from."""
    found = [one for one in value.metadata if isinstance(one, SectionIn)]
    return found[0] if found and is_section(value.kind) else None


def unwrapped(value: Value) -> Iterator[tuple[str, Value]]:
    """Everything that a value may be made of, with what its path ends in there.

    >>> [suffix for suffix, _ in unwrapped(Value(dict[str, list[int]] | None))]
    ['.NAME[]', '']
    """
    value = value.bare
    if is_union(value.kind):
        for member in get_args(value.kind):
            yield from unwrapped(Value(member, value.metadata))
    elif get_origin(value.kind) is list:
        for suffix, inner in unwrapped(Value(get_args(value.kind)[0])):
            yield f"[]{suffix}", inner
    elif get_origin(value.kind) is dict:
        for suffix, inner in unwrapped(Value(get_args(value.kind)[1])):
            yield f".NAME{suffix}", inner
    else:
        yield "", value


def members(value: Value) -> Iterator[Value]:
    """What a file may hold there, one kind after another."""
    value = value.accepted
    for kind in get_args(value.kind) if is_union(value.kind) else (value.kind,):
        if get_origin(kind) is Annotated:
            yield from members(Value(kind))
        else:
            yield Value(kind, () if kind is type(None) else value.metadata)


def type_text(value: Value) -> str:
    """
    >>> type_text(Value(int | None, (annotated_types.Ge(1),)))
    'integer >= 1, or null'
    """
    texts = [_text(member) for member in members(value)]
    distinct = sorted(dict.fromkeys(texts), key="null".__eq__)
    return distinct[0] if len(distinct) == 1 else f"{', '.join(distinct[:-1])}, or {distinct[-1]}"


def _text(value: Value) -> str:
    kind, arguments = get_origin(value.kind) or value.kind, get_args(value.kind)
    if (registry := registry_of(value)) is not None:
        return f"section: {' | '.join(registry.options) or 'none without a plug-in'}"
    for one in value.metadata:
        if isinstance(one, NameIn) and kind is str:
            return " | ".join(one.registry)
        if isinstance(one, NameIn) and kind is list:
            return "list of such names"
    if kind is Literal:
        return " | ".join(map(str, arguments))
    if is_section(kind):
        return "section"
    if kind is list:
        text = f"list of {_entry(arguments[0])}"
    elif kind is tuple:
        text = f"[{', '.join(type_text(Value(one)) for one in arguments)}]"
    elif kind is dict and arguments:
        text = f"mapping of names to {_entry(arguments[1])}"
    else:
        text = _WORDS[kind]
    return text + "".join(_bounds(value.metadata, text))


def _entry(kind: Any) -> str:
    """The type of a list's entries in brackets where it has parts."""
    text = type_text(Value(kind))
    return f"({text})" if ", or " in text else text


def _bounds(metadata: Sequence[Any], text: str) -> Iterator[str]:
    limits: dict[str, Any] = {}
    for one in metadata:
        match one:
            case annotated_types.Ge(ge=limit):
                limits[">="] = limit
            case annotated_types.Gt(gt=limit):
                limits[">"] = limit
            case annotated_types.Le(le=limit):
                limits["<="] = limit
            case annotated_types.Lt(lt=limit):
                limits["<"] = limit
            case annotated_types.MinLen(min_length=count):
                limits["least"] = count
            case annotated_types.MaxLen(max_length=count):
                limits["most"] = count
    if {">=", "<="} <= limits.keys():
        yield f" from {_short(limits.pop('>='))} to {_short(limits.pop('<='))}"
    yield ",".join(
        f" {sign} {_short(limits[sign])}" for sign in (">=", ">", "<=", "<") if sign in limits
    )
    least, most = limits.get("least", 0), limits.get("most")
    if text.startswith(("list", "mapping")) and (least or most):
        yield f" of {least}" if least == most else f" of at least {least}"
    elif most:
        yield f" of at most {most} characters"


def is_union(kind: Any) -> bool:
    """Whether an annotation is a union of several."""
    return get_origin(kind) in (Union, types.UnionType)


def is_section(kind: Any) -> TypeGuard[type[BaseModel]]:
    """Whether an annotation is a section's class."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _short(limit: float) -> str:
    """A limit in digits; as a power where those are many.

    >>> _short(1_048_576), _short(0.5), _short(10**12)
    ('1048576', '0.5', '1e+12')
    """
    exact = isinstance(limit, int) and limit < 10**9
    return str(limit) if exact else f"{limit:g}"
