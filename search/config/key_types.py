"""What a key takes, in words, from the annotation of a model's field."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

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


def registry_of(value: Value) -> SectionIn | None:
    """The registry that a section's class comes from."""
    return next((one for one in value.metadata if isinstance(one, SectionIn)), None)


def unwrapped(value: Value) -> Iterator[tuple[str, Value]]:
    """Everything that a value may be made of, with what its path ends in there.

    >>> [suffix for suffix, _ in unwrapped(Value(dict[str, list[int]] | None))]
    ['.NAME[]', '']
    """
    value = value.bare
    if _is_union(value.kind):
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


def type_text(value: Value) -> str:
    """
    >>> type_text(Value(int | None, (annotated_types.Ge(1),)))
    'integer >= 1, or null'
    """
    value = value.bare
    members = get_args(value.kind) if _is_union(value.kind) else (value.kind,)
    kinds = [member for member in members if member is not type(None)]
    texts = [_text(Value(kind, value.metadata).bare) for kind in kinds]
    texts += [_text(Value(kind)) for kind in _short_forms(value, kinds)]
    texts += ["null"] if len(kinds) < len(members) else []
    distinct = list(dict.fromkeys(texts))
    return distinct[0] if len(distinct) == 1 else f"{', '.join(distinct[:-1])}, or {distinct[-1]}"


def _text(value: Value) -> str:
    kind, arguments = get_origin(value.kind) or value.kind, get_args(value.kind)
    if (registry := registry_of(value)) is not None:
        return f"section: {' | '.join(registry.options)}"
    for one in value.metadata:
        if isinstance(one, NameIn):
            return " | ".join(one.registry)
    if kind is Literal:
        return " | ".join(map(str, arguments))
    if isinstance(kind, type) and issubclass(kind, BaseModel):
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
        yield f" from {limits.pop('>=')} to {limits.pop('<=')}"
    yield ",".join(f" {sign} {limits[sign]}" for sign in (">=", ">", "<=", "<") if sign in limits)
    least, most = limits.get("least", 0), limits.get("most")
    if text.startswith(("list", "mapping")) and (least or most):
        yield f" of {least}" if least == most else f" of at least {least}"
    elif most:
        yield f" of at most {most} characters"


def _short_forms(value: Value, kinds: Sequence[Any]) -> list[Any]:
    """What a validator takes beside the field's own type, as it says itself."""
    taken: list[Any] = []
    for one in value.metadata:
        if isinstance(one, BeforeValidator) and one.json_schema_input_type is not PydanticUndefined:
            given = one.json_schema_input_type
            taken += get_args(given) if _is_union(given) else [given]
    return [kind for kind in taken if kind not in kinds and kind is not Any]


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType)
