"""Validation of a config section with one-line errors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from curricula.component import SectionError, UnknownNameError, nearest, shown
from trm.errors import UserError

C = TypeVar("C", bound=BaseModel)
Location = tuple[str | int, ...]

_FEW = 8
"""Values of a key that an error lists, whichever is the closest."""


def validate(kind: type[C], tree: Any, path: str = "") -> C:
    """Validate a tree of plain values.

    Raises:
        UserError: one line with the first error's path, its value and the remedy.
    """
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise _user_error(error, (path,) if path else (), kind) from error


def _user_error(error: ValidationError, prefix: Location, kind: type[BaseModel]) -> UserError:
    errors = error.errors()
    # A misspelt key is the reason why the right one is missing, so it comes first.
    first = min(errors, key=lambda found: found["type"] != "extra_forbidden")
    location = prefix + first["loc"]
    inner = first.get("ctx", {}).get("error")
    if isinstance(inner, SectionError):
        return _user_error(inner.error, location, inner.kind)
    if isinstance(inner, UnknownNameError):
        where = _path((*location, inner.key) if inner.key else location)
        return UserError(f"{where}: unknown name {shown(inner.name)}: {inner.remedy}")
    where = _path(location)
    text = _message(first, kind)
    more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    return UserError(f"{where}: {text}{more}" if where else text + more)


def _message(error: ErrorDetails, kind: type[BaseModel]) -> str:
    """The value and what is wrong with it."""
    what, context, value = error["type"], error.get("ctx", {}), error["input"]
    if what == "extra_forbidden":
        owner = _kind_at(kind, error["loc"][:-1])
        known = list(owner.model_fields) if owner else []
        return f"unknown key: {nearest(str(error['loc'][-1]), known) if known else 'remove it'}"
    if what == "missing":
        return "is missing: give it a value"
    if what in ("value_error", "assertion_error"):
        return str(context["error"])
    if what == "invalid_key":
        return "unknown key: keys must be text"
    if what in ("model_type", "model_attributes_type", "dict_type"):
        owner = _kind_at(kind, error["loc"])
        keys = f", with keys such as {', '.join([*owner.model_fields][:3])}" if owner else ""
        return f"{shown(value)} must be a section{keys}"
    if what == "literal_error":
        options = [
            "null" if option == "None" else option.strip("'")
            for option in _literals(str(context["expected"]))
        ]
        if len(options) == 1:
            return f"{shown(value)} must be {options[0]}"
        if len(options) > _FEW:
            return f"{shown(value)} is unknown: {nearest(str(value), options)}"
        return f"{shown(value)} is unknown: use {', '.join(options[:-1])} or {options[-1]}"
    if isinstance(value, float) and (value != value or value == math.inf):
        return f"{value} must be a finite number"
    if what in _MESSAGES:
        return f"{shown(value)} {_MESSAGES[what].format(**context)}"
    return f"{shown(value)} {error['msg'].replace('Input should be', 'must be')}"


_MESSAGES = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "list_type": "must be a list",
    "finite_number": "must be a finite number",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "too_short": "must have at least {min_length} item(s)",
    "too_long": "must have at most {max_length} item(s)",
    "string_too_short": "must not be empty",
}


def _literals(expected: str) -> Iterator[str]:
    """pydantic's "'a', 'b' or 'c'" as a, b, c."""
    for part in expected.split(", "):
        yield from part.split(" or ")


def _path(location: Location) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def _kind_at(kind: type[BaseModel], location: Location) -> type[BaseModel] | None:
    """The section class that stands at a location below a section of class `kind`."""
    found: type[BaseModel] | None = kind
    for part in location:
        if isinstance(part, str):
            if found is None or part not in found.model_fields:
                return None
            found = _section_in(found.model_fields[part].annotation)
    return found


def _section_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)
