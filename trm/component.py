"""The base of every config section, and lookup of a section's class by its `name`."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from trm.errors import UserError


class Component(BaseModel):
    """A frozen section of the config tree that knows its own keys and refuses all others.

    Types are strict: `"3"` is not an integer and `1` is not a boolean, but an integer is a number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


C = TypeVar("C", bound=Component)


class _SectionError(ValueError):
    """A named section's own errors, carried through pydantic so that their paths are not lost."""

    def __init__(self, error: ValidationError, known: list[str]) -> None:
        super().__init__(str(error))
        self.error = error
        self.known = known


def nearest(word: str, words: list[str]) -> str:
    """The remedy for an unknown word: the closest known ones first, else all of them.

    >>> nearest("adamw2", ["adamw", "adam_atan2"])
    'did you mean adamw, adam_atan2?'
    """
    close = get_close_matches(word, words, n=3, cutoff=0.5)
    return f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(sorted(words))}"


def by_name(registry: Mapping[str, type[C]], section: Any, default: str | None = None) -> C:
    """Validate a section with the class that its `name` key picks from `registry`.

    Raises:
        ValueError: the section has no known `name`, or breaks its class's rules; `validate`
            turns either into one line with the whole path.
    """
    if isinstance(section, Component):
        return section  # type: ignore[return-value]  # validated when it was made
    if isinstance(section, str):
        section = {"name": section}
    if not isinstance(section, Mapping):
        raise ValueError(f"must be a mapping with a `name` key; known: {', '.join(registry)}")
    name = section.get("name", default)
    if name not in registry:
        raise ValueError(f"unknown name {name!r}: {nearest(str(name), list(registry))}")
    kind = registry[name]
    try:
        return kind.model_validate({**section, "name": name})
    except ValidationError as error:
        raise _SectionError(error, list(kind.model_fields)) from error


def validate(kind: type[C], tree: Any, path: str = "") -> C:
    """Validate a tree of plain values.

    Raises:
        UserError: one line with the first error's path, its value and the remedy.
    """
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise _user_error(error, (path,) if path else (), kind) from error


def _user_error(
    error: ValidationError, prefix: tuple[str | int, ...], kind: type[BaseModel] | None
) -> UserError:
    first, count = error.errors()[0], error.error_count()
    location = prefix + first["loc"]
    inner = first.get("ctx", {}).get("error")
    if isinstance(inner, _SectionError):
        return _user_error_of_section(inner, location)
    where = _path(location)
    more = f" ({count - 1} more)" if count > 1 else ""
    if first["type"] == "extra_forbidden":
        known = _fields_at(kind, first["loc"][:-1])
        remedy = nearest(str(location[-1]), known) if known else "remove it"
        return UserError(f"{where}: unknown key: {remedy}{more}")
    if first["type"] == "missing":
        return UserError(f"{where}: is missing: give it a value{more}")
    message = first["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    message = message.replace("Input should be", "should be")
    if isinstance(inner, ValueError) or isinstance(first["input"], dict | list):
        return UserError(f"{where}: {message}{more}" if where else f"{message}{more}")
    return UserError(where, first["input"], message + more)


def _user_error_of_section(inner: _SectionError, location: tuple[str | int, ...]) -> UserError:
    first = inner.error.errors()[0]
    if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
        where = _path(location + first["loc"])
        return UserError(f"{where}: unknown key: {nearest(str(first['loc'][0]), inner.known)}")
    return _user_error(inner.error, location, None)


def _path(location: tuple[str | int, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def _fields_at(kind: type[BaseModel] | None, location: tuple[str | int, ...]) -> list[str]:
    for part in location:
        if kind is None or part not in kind.model_fields:
            return []
        annotation = kind.model_fields[str(part)].annotation
        kind = annotation if isinstance(annotation, type) else None
        if kind is not None and not issubclass(kind, BaseModel):
            return []
    return list(kind.model_fields) if kind else []
